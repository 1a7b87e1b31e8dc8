//! Configs of several files: `tests/includes/NAME/rhizo.toml` with the files beside it, against reviewed findings.
//!
//! `UPDATE_EXPECT=1` writes the findings anew. The folder `good` has no error.

use rhizo_config::{ConfigFile, Finding, Gathering, Parsed, Sources, parse, render_sources};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/includes")
}

/// Reads a config as the runtime does; the folders of its files begin with `/base`.
fn gather(case: &Path) -> Result<Parsed, (Vec<Finding>, Sources)> {
    let file = |path: &Path| {
        let real = path.strip_prefix("/base").map_err(|_| "it is outside".to_owned())?;
        let text = std::fs::read_to_string(case.join(real)).map_err(|error| error.to_string())?;
        let folder = path.parent().expect("a folder").to_owned();
        Ok(ConfigFile { text, folder, identity: path.to_owned() })
    };
    let first = file(Path::new("/base/rhizo.toml")).expect("the config");
    let mut gathering = Gathering::new("rhizo.toml", first);
    while let Some(wanted) = gathering.wanted() {
        let read = file(wanted);
        gathering.supply(read);
    }
    gathering.parse()
}

#[test]
fn every_broken_config_of_several_files_is_refused_with_the_reviewed_messages() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in std::fs::read_dir(folder()).expect("the cases") {
        let case = case.expect("an entry").path();
        if case.ends_with("good") {
            continue;
        }
        seen += 1;
        let Err((findings, sources)) = gather(&case) else { panic!("{} is accepted", case.display()) };
        for finding in &findings {
            let line = sources.text_of(&finding.file).and_then(|text| text.split('\n').nth(finding.line - 1));
            let line = line.unwrap_or_else(|| panic!("{}: no such place: {finding:?}", case.display()));
            assert!(finding.column <= line.chars().count() + 1, "{}: {finding:?}", case.display());
        }
        let text = render_sources(&findings, &sources, false);
        let expected = case.join("expected.err");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&expected, &text).expect("the findings are written");
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{} differs: now\n{text}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 10, "only {seen} cases");
}

#[test]
fn a_config_of_several_files_is_one_config() {
    let parsed = gather(&folder().join("good")).unwrap_or_else(|(findings, sources)| {
        panic!("{}", render_sources(&findings, &sources, false));
    });
    assert_eq!(parsed.spec.components.len(), 4);
    let paths: Vec<&str> = parsed.files.iter().map(|file| file.path.as_str()).collect();
    let expected =
        ["web", "web.key", "data/db", "data/db.password", "data/token", "data/offers.csv", "data/more/cache"];
    assert_eq!(paths, expected.map(|path| format!("/base/{path}")));
    assert_eq!(parsed.templates[0].path, "/base/data/db.conf.in");
    let secrets = &parsed.spec.components[&"db".into()].secrets;
    let secrets = format!("{secrets:?}");
    assert!(secrets.contains("/base/data/db.password") && secrets.contains("/base/data/token"), "{secrets}");
    let expected = folder().join("good/shown.toml");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&expected, &parsed.shown).expect("the text is written");
    }
    assert_eq!(parsed.shown, std::fs::read_to_string(&expected).unwrap_or_default());
}

/// The configs that other tests and the examples use.
fn good_configs() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    for folder in [tests.join("good"), tests.join("../../../examples")] {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let path = if path.is_dir() { path.join("rhizo.toml") } else { path };
            found.extend(
                (path.exists() && path.extension().is_some_and(|kind| kind == "toml")).then_some(path),
            );
        }
    }
    found
}

#[test]
fn the_text_for_the_log_gives_the_same_spec() {
    let whole = gather(&folder().join("good")).unwrap_or_else(|_| panic!("a good config"));
    let again = parse(&whole.text, "f", Path::new("/base")).expect("the resolved text");
    assert_eq!(again.spec, whole.spec);
    // A config of one file is kept as it is.
    assert_eq!(again.text, whole.text);
}

#[test]
fn the_shown_text_gives_the_same_spec() {
    let mut seen = 0;
    for path in good_configs() {
        let source = std::fs::read_to_string(&path).expect("the config");
        let parsed = parse(&source, "f", Path::new("/base")).expect("a good config");
        let again = parse(&parsed.shown, "f", Path::new("/elsewhere"));
        let again = again.unwrap_or_else(|found| panic!("{}: {found:?}\n{}", path.display(), parsed.shown));
        assert_eq!(again.spec, parsed.spec, "{}:\n{}", path.display(), parsed.shown);
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} configs");
}

#[test]
fn texts_that_look_like_secrets_are_not_shown() {
    let source = "rhizo = 1\napp.name = \"x\"\n[components.web]\nexec = \"web\"\n\
                  env = { PASSWORD = \"hunter/2\", TOKEN = \"{instance}\", SECRET = { env = \"S\" } }\n\
                  [providers.p]\nkind = \"process\"\napi_token = \"abc\"\n";
    let shown = parse(source, "f", Path::new("/base")).expect("a config").shown;
    assert!(!shown.contains("hunter") && !shown.contains("abc"), "{shown}");
    assert!(shown.contains("[secret PASSWORD]") && shown.contains("[secret api_token]"), "{shown}");
    assert!(shown.contains("{instance}") && shown.contains("{ env = \"S\" }"), "{shown}");
}
