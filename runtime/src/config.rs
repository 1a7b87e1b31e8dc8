//! Reads a config file, and checks it against this machine and this binary.
//!
//! `rhizo-config` parses and checks the text, without reading any file. This reads the config, the files that it
//! includes and the templates that it names, and compares the spec with the closures and functions that the binary has.

use crate::admin::ConfigText;
use crate::closures::{self, Closures, actions};
use crate::component::action::write::TEMPLATE_BYTES_MAX;
use crate::component::registry::Registry;
use crate::secrets::{self, ByVariable, Plain};
use rhizo_actuators::Kinds;
use rhizo_config::{ConfigFile, FileKind, Finding, Gathering, NamedFile, Severity, Sources};
use rhizo_types::lifecycle::Action;
use rhizo_types::secret::SealingKey;
use rhizo_types::spec::{Run, Spec};
use rhizo_types::wire::COMMAND_BYTES_MAX;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A config without findings.
pub(crate) struct Config {
    pub(crate) text: ConfigText,
    pub(crate) parsed: rhizo_config::Parsed,
    /// The values of its secrets; empty unless the config is to be planned or deployed.
    pub(crate) secrets: Plain,
}

/// The reason why a config cannot be used.
pub(crate) enum ConfigError {
    /// The config file could not be read. Completes "failed to …".
    Unreadable(String),
    /// The config, or templates that it names, have faults.
    Findings(Vec<Flawed>),
}

/// The findings in one file.
pub(crate) struct Flawed {
    pub(crate) findings: Vec<Finding>,
    /// The texts whose places the findings name.
    pub(crate) sources: Sources,
}

/// Reads and checks a config file, the files that it includes and the templates that they name.
///
/// # Errors
/// When the file cannot be read, or anything in it or in another one is wrong. All findings are returned at once.
pub(crate) fn load(path: &Path, kinds: &Kinds) -> Result<Config, ConfigError> {
    let unreadable =
        |error: std::io::Error| ConfigError::Unreadable(format!("read `{}`: {error}", path.display()));
    check(path.display().to_string(), config_file(path).map_err(unreadable)?, kinds)
}

/// Checks a config, the files that it includes and the templates that they name. `file` is its name in messages, and
/// `kinds` are the kinds of providers that this binary has.
///
/// # Errors
/// When anything in it or in another file is wrong. All findings are returned at once.
pub(crate) fn check(file: String, first: ConfigFile, kinds: &Kinds) -> Result<Config, ConfigError> {
    let base = first.folder.clone();
    let mut gathering = Gathering::new(&file, first);
    while let Some(wanted) = gathering.wanted() {
        let read = config_file(wanted).map_err(|error| error.to_string());
        gathering.supply(read);
    }
    let mut parsed = gathering
        .parse()
        .map_err(|(findings, sources)| ConfigError::Findings(vec![Flawed { findings, sources }]))?;
    let mut flawed = flawed_templates(&mut parsed);
    let (mut errors, warnings): (Vec<_>, Vec<_>) =
        unusable_files(&parsed.files).into_iter().partition(|finding| finding.severity == Severity::Error);
    errors.extend(parsed.kinds.iter().filter_map(|kind| kind.unless_known(kinds.names())));
    if !errors.is_empty() {
        flawed.insert(0, Flawed { findings: errors, sources: parsed.sources.clone() });
    }
    parsed.warnings.extend(warnings);
    if !flawed.is_empty() {
        return Err(ConfigError::Findings(flawed));
    }
    let base = base.to_string_lossy().into_owned();
    let (text, closures) = (parsed.text.clone(), Closures::new());
    let text = ConfigText { text, file, base, secrets: ByVariable::new(), closures };
    Ok(Config { text, parsed, secrets: Plain::default() })
}

/// Reads a file of a config. One that is longer than a config can be is read so far that it is refused for its length.
fn config_file(path: &Path) -> std::io::Result<ConfigFile> {
    let length = rhizo_config::SOURCE_LENGTH_MAX + 1;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(length as u64).read_to_end(&mut bytes)?;
    let text = if bytes.len() == length {
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))?
    };
    // A pipe has no path of its own.
    let identity = path.canonicalize().or_else(|_| std::path::absolute(path))?;
    Ok(ConfigFile { text, folder: folder(path)?, identity })
}

/// Reads a file of the user: without a byte order mark, and with single line feeds.
///
/// # Errors
/// When it cannot be read, or is not UTF-8 text.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    Ok(rhizo_config::plain_text(&std::fs::read_to_string(path)?).into_owned())
}

/// The folder of a config, in which its relative paths are found. Links to folders are resolved, because the parent of
/// such a folder is that of the folder itself: so does every program understand `..`.
fn folder(config: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(config)?;
    absolute.parent().unwrap_or(Path::new("/")).canonicalize()
}

/// The findings about programs that cannot be run and data files that cannot be read on this machine, and about
/// arguments that name a file where the program does not start.
fn unusable_files(files: &[NamedFile]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let unusable = |file: &NamedFile| match file.kind {
        FileKind::Data | FileKind::SecretFile => {
            std::fs::File::open(&file.path).err().map(|error| error.to_string())
        }
        FileKind::SecretVariable => {
            std::env::var_os(&file.path).is_none().then(|| "it is not set".to_owned())
        }
        FileKind::Program | FileKind::SecretProgram => match std::fs::metadata(&file.path) {
            Err(error) => Some(error.to_string()),
            Ok(found) if found.is_dir() => Some("it is a folder".to_owned()),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => Some("it is not executable".to_owned()),
            Ok(_) => None,
        },
        FileKind::Argument => Path::new(&file.path).is_file().then(|| {
            "it starts in the directory of its instance, not in the folder of the config".to_owned()
        }),
    };
    let files = files.iter().filter(|file| seen.insert(&file.path));
    files.filter_map(|file| Some(file.unusable(&unusable(file)?))).collect()
}

/// The findings about template files. A file that cannot be read is a finding at its place in the config; a placeholder
/// that names nothing is a finding in the template. Warnings are added to those of the config.
fn flawed_templates(parsed: &mut rhizo_config::Parsed) -> Vec<Flawed> {
    let mut missing = Vec::new();
    let mut flawed = Vec::new();
    // A template that several actions of a component use is checked once.
    let mut seen = BTreeSet::new();
    for template in parsed.templates.clone() {
        match read_template(Path::new(&template.path)) {
            Err(reason) => missing.push(template.unreadable(&reason)),
            Ok(text) if seen.insert((template.component.clone(), template.path.clone())) => {
                let findings = template.check(&text, &parsed.spec);
                if findings.iter().any(|finding| finding.severity == Severity::Error) {
                    flawed.push(Flawed { findings, sources: Sources::one(&template.path, &text) });
                } else if !findings.is_empty() {
                    parsed.sources.add_other(&template.path, &text);
                    parsed.warnings.extend(findings);
                }
            }
            Ok(_) => {}
        }
    }
    if !missing.is_empty() {
        flawed.insert(0, Flawed { findings: missing, sources: parsed.sources.clone() });
    }
    flawed
}

fn read_template(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > TEMPLATE_BYTES_MAX {
        return Err(format!("it is longer than {TEMPLATE_BYTES_MAX} bytes"));
    }
    read_text(path).map_err(|error| error.to_string())
}

/// Parses a config that came over a link, with the sealed values of its secrets.
///
/// # Errors
/// The findings, the name of a secret without a value, or that the sealed values do not fit into the log, as text that
/// completes "failed to …".
pub(crate) fn parse(config: &ConfigText) -> Result<Spec, String> {
    let parsed = rhizo_config::parse(&config.text, &config.file, Path::new(&config.base));
    let mut spec = parsed.map(|parsed| parsed.spec).map_err(|findings| {
        format!("use the config:\n{}", rhizo_config::render(&findings, &config.text, false))
    })?;
    fill(&mut spec, config)?;
    Ok(spec)
}

/// Replaces the sources of a spec's secrets by the sealed values of its config.
///
/// # Errors
/// When a value is missing, or the spec does not fit into the log with the values.
fn fill(spec: &mut Spec, config: &ConfigText) -> Result<(), String> {
    secrets::fill(spec, &config.secrets)?;
    closures::fill(spec, &config.closures);
    let bytes = rhizo_config::spec_bytes(spec, &config.text);
    if bytes > COMMAND_BYTES_MAX {
        return Err(format!(
            "use the config: with its secrets it takes {bytes} bytes in the log, and at most {COMMAND_BYTES_MAX} fit"
        ));
    }
    Ok(())
}

/// Returns the text of a config with the values of its secrets, sealed with `key`.
///
/// # Errors
/// When the spec does not fit into the log with the sealed values, as text that completes "failed to …".
pub(crate) fn sealed(config: &Config, key: &SealingKey) -> Result<ConfigText, String> {
    let text = ConfigText { secrets: config.secrets.seal(key), ..config.text.clone() };
    fill(&mut config.parsed.spec.clone(), &text)?;
    Ok(text)
}

/// Sentences that name the closures and functions that the spec needs and this binary does not have.
pub(crate) fn missing_code(spec: &Spec, registry: &Registry) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, component) in &spec.components {
        if matches!(component.run, Run::Embedded) && !registry.has_closure(name) {
            missing.push(format!("component `{name}` has no `exec`, and this binary has no closure for it"));
        }
        let called: BTreeSet<&String> = actions(component)
            .filter_map(|action| match action {
                Action::Function(function) => Some(function),
                _ => None,
            })
            .collect();
        let unknown = called.into_iter().filter(|function| !registry.has_function(name, function));
        missing.extend(unknown.map(|function| {
            format!("component `{name}` calls `{function}`, and this binary has no such function for it")
        }));
    }
    missing
}

/// Sentences that name the closures and functions of this binary for components that the spec does not have: most often
/// a name with a slip, in the code or in the config.
pub(crate) fn unused_code(spec: &Spec, registry: &Registry) -> Vec<String> {
    let unknown = registry.components().into_iter().filter(|name| !spec.components.contains_key(*name));
    unknown
        .map(|name| format!("this binary has code for a component `{name}`, and the config has none"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::spec::Component;

    #[test]
    fn a_missing_program_is_a_warning_and_missing_offers_are_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rhizo.toml");
        let write = |offers: &str| {
            let config = format!(
                "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"./serve\"\n\
                 [providers.p]\nkind = \"process\"\noffers = \"{offers}\"\n"
            );
            std::fs::write(&path, config).expect("the config");
        };
        std::fs::write(dir.path().join("offers.csv"), "name,region\n").expect("the offers");
        write("offers.csv");
        let Ok(config) = load(&path, &Kinds::default()) else {
            panic!("a missing program refuses the config")
        };
        let warning = &config.parsed.warnings[0];
        assert_eq!(
            (warning.severity, warning.line, warning.column),
            (Severity::Warning, 4, 8),
            "{warning:?}"
        );
        write("offer.csv");
        let Err(ConfigError::Findings(flawed)) = load(&path, &Kinds::default()) else {
            panic!("missing offers are accepted")
        };
        let error = &flawed[0].findings[0];
        assert_eq!((error.severity, error.line, error.column), (Severity::Error, 7, 10), "{error:?}");
        assert!(error.hint.is_some() && error.message.contains("offer.csv"), "{error:?}");
    }

    #[test]
    fn sealed_secrets_that_do_not_fit_into_the_log_are_refused_where_they_are_sealed_and_where_they_arrive() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("large"), "x".repeat(32_000)).expect("a secret");
        let config = |count: usize| {
            let variables: String =
                (0..count).map(|number| format!("S{number} = {{ file = \"large\" }}\n")).collect();
            let path = dir.path().join("rhizo.toml");
            let text =
                "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\n[components.web.env]\n";
            std::fs::write(&path, text.to_owned() + &variables).expect("the config");
            let Ok(mut config) = load(&path, &Kinds::default()) else {
                panic!("{count} secrets are refused by their sources")
            };
            config.secrets = Plain::read(&config.parsed.spec, dir.path()).expect("the secrets");
            config
        };
        let key = SealingKey([7; 32]);
        let few = sealed(&config(8), &key).expect("eight secrets fit");
        assert!(parse(&few).is_ok());
        let many = config(9);
        let refused = |reason: String| reason.starts_with("use the config: with its secrets it takes");
        assert!(sealed(&many, &key).is_err_and(refused));
        let text = ConfigText { secrets: many.secrets.seal(&key), ..many.text };
        assert!(parse(&text).is_err_and(refused));
    }

    #[test]
    fn a_missing_source_of_a_secret_is_a_warning_with_its_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rhizo.toml");
        std::fs::write(dir.path().join("key"), "x").expect("a file");
        let config = "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\n[components.web.env]\n\
                      A = { file = \"key\" }\nB = { file = \"none\" }\nC = { env = \"RHIZO_NO_SUCH_VARIABLE\" }\n\
                      D = { env = \"PATH\" }\nE = { command = \"./no-program\" }\nF = { command = \"cat key\" }\n";
        std::fs::write(&path, config).expect("the config");
        let Ok(config) = load(&path, &Kinds::default()) else { panic!("the config is refused") };
        let places: Vec<_> = config.parsed.warnings.iter().map(|found| (found.line, found.column)).collect();
        assert_eq!(places, [(7, 14), (8, 13), (10, 17)], "{:?}", config.parsed.warnings);
    }

    #[test]
    fn a_kind_of_provider_must_be_built_in_or_added() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rhizo.toml");
        let config = "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\n\
                      [providers.p]\nkind = \"proces\"\n";
        std::fs::write(&path, config).expect("the config");
        let Err(ConfigError::Findings(flawed)) = load(&path, &Kinds::default()) else { panic!("accepted") };
        let error = &flawed[0].findings[0];
        assert_eq!((error.line, error.column), (6, 8), "{error:?}");
        assert_eq!(error.hint.as_deref(), Some("did you mean `process`?"));
        let mut kinds = Kinds::default();
        kinds.add("proces", |_| Err("it is not called".into()));
        assert!(load(&path, &kinds).is_ok());
    }

    #[test]
    fn an_argument_that_names_a_file_beside_the_config_is_a_warning() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rhizo.toml");
        std::fs::write(dir.path().join("store.py"), "").expect("a program");
        std::fs::create_dir(dir.path().join("run")).expect("a folder");
        let warnings = |exec: &str| {
            let config = format!("rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"{exec}\"\n");
            std::fs::write(&path, config).expect("the config");
            let Ok(config) = load(&path, &Kinds::default()) else { panic!("the config is refused") };
            config.parsed.warnings
        };
        let found = warnings("python3 -u store.py");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.starts_with("the program does not find `store.py`"), "{found:?}");
        let whole = dir.path().canonicalize().expect("a folder").join("store.py").display().to_string();
        assert!(found[0].hint.as_ref().is_some_and(|hint| hint.contains(&whole)), "{found:?}");
        for exec in ["python3 -u other.py", "service run", "python3 {dir}/store.py", "./store.py"] {
            let found = warnings(exec);
            assert!(found.iter().all(|each| !each.message.contains("does not find")), "{exec}: {found:?}");
        }
    }

    #[test]
    fn an_included_file_has_its_own_folder_and_a_link_to_it_is_the_same_file() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("db")).expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
        write("db/db.toml", "[components.db]\nexec = \"./serve\"\n[providers.p]\nkind = \"process\"\n");
        let config = |include: &str| {
            let text = format!(
                "rhizo = 1\ninclude = [{include}]\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\n"
            );
            write("rhizo.toml", &text);
            load(&dir.path().join("rhizo.toml"), &Kinds::default())
        };
        let Ok(found) = config("\"db/db.toml\"") else { panic!("the config is refused") };
        let warning = &found.parsed.warnings[0];
        assert!(
            warning.file.ends_with("/db/db.toml") && warning.message.contains("/db/serve"),
            "{warning:?}"
        );
        // The coordinator, which has none of the files, reads the same spec.
        assert_eq!(parse(&found.text).expect("the spec"), found.parsed.spec);
        std::os::unix::fs::symlink(dir.path().join("db/db.toml"), dir.path().join("link.toml"))
            .expect("a link");
        let Err(ConfigError::Findings(flawed)) = config("\"db/db.toml\", \"link.toml\"") else {
            panic!("a file is included twice")
        };
        assert!(flawed[0].findings[0].message.contains("link.toml` is included twice"));
        let Err(ConfigError::Findings(flawed)) = config("\"nothing.toml\"") else { panic!("it is missing") };
        assert_eq!((flawed[0].findings[0].line, flawed[0].findings[0].column), (2, 12));
    }

    #[test]
    fn an_error_in_a_template_refuses_the_config_and_a_warning_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
        write(
            "rhizo.toml",
            "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\nattributes.size = \"big\"\n\
             [components.web.lifecycle]\nplaces = [\"down\", \"up\"]\nstarted = [\"up\"]\n\
             behaviours = { deploy = [\"start\"], retire = [\"stop\"] }\n\
             transitions.start = { from = \"down\", to = \"up\", write = \"a\", template = \"a.in\" }\n\
             transitions.stop = { from = \"up\", to = \"down\" }\n",
        );
        write("a.in", "{{ attribute.size / 2 }}");
        let Ok(config) = load(&dir.path().join("rhizo.toml"), &Kinds::default()) else {
            panic!("a warning refuses the config")
        };
        let warning = &config.parsed.warnings[0];
        assert!(warning.file.ends_with("/a.in") && warning.severity == Severity::Warning, "{warning:?}");
        assert_eq!(config.parsed.sources.text_of(&warning.file), Some("{{ attribute.size / 2 }}"));
        write("a.in", "{{ attribute.sice }}");
        let Err(ConfigError::Findings(flawed)) = load(&dir.path().join("rhizo.toml"), &Kinds::default())
        else {
            panic!("an error is accepted")
        };
        assert_eq!((flawed[0].findings[0].line, flawed[0].findings[0].column), (1, 4));
    }

    #[test]
    fn the_folder_of_a_config_is_the_one_that_a_link_leads_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let inner = dir.path().join("outer/inner");
        std::fs::create_dir_all(&inner).expect("a folder");
        std::fs::write(dir.path().join("outer/offers.csv"), "name,region\n").expect("the offers");
        let config = "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\n\
                      [providers.p]\nkind = \"process\"\noffers = \"../offers.csv\"\n";
        std::fs::write(inner.join("rhizo.toml"), config).expect("the config");
        std::os::unix::fs::symlink(&inner, dir.path().join("link")).expect("a link");
        for path in [inner.join("rhizo.toml"), dir.path().join("link/rhizo.toml")] {
            let Ok(config) = load(&path, &Kinds::default()) else { panic!("{} is refused", path.display()) };
            assert_eq!(Path::new(&config.text.base), inner.canonicalize().expect("a folder"));
        }
    }

    #[test]
    fn a_config_is_found_from_a_folder_whose_name_is_no_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"n\xff"));
        std::fs::create_dir_all(&odd).expect("a folder");
        let config = "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"sleep 1\"\n\
                      [providers.p]\nkind = \"process\"\n";
        std::fs::write(dir.path().join("rhizo.toml"), config).expect("the config");
        assert!(load(&odd.join("../rhizo.toml"), &Kinds::default()).is_ok());
    }

    #[test]
    fn every_reader_drops_the_mark_and_the_carriage_returns() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("text");
        std::fs::write(&path, "\u{feff}a\r\nb\r\n").expect("a file");
        assert_eq!(read_text(&path).expect("a text"), "a\nb\n");
        assert_eq!(read_template(&path).expect("a text"), "a\nb\n");
    }

    #[test]
    fn code_for_no_component_is_named() {
        let mut registry = Registry::default();
        registry.add_closure("greeter", |_| async { Ok(()) });
        registry.add_function("gretter", "migrate", |_| async { Ok(()) });
        let greeter = (rhizo_types::ComponentName::from("greeter"), Component::new(Run::Embedded));
        let spec = Spec::new("x", std::collections::BTreeMap::from([greeter]));
        let unused = unused_code(&spec, &registry);
        assert_eq!(unused, ["this binary has code for a component `gretter`, and the config has none"]);
    }
}
