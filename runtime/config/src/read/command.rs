//! Commands and the placeholders in them and in other templates.
//!
//! Nothing is run here. The runtime fills in the placeholders when it runs the command.

use crate::crosscheck::Imported;
use crate::expr::place::Placer;
use crate::finding::Span;
use crate::named_file::FileKind;
use crate::path;
use crate::read::{ENTRIES_MAX, Session, TEXT_LENGTH_MAX};
use crate::reader::{Node, Text};
use crate::resolved::Replacement;
use crate::suggest;
use crate::template::{self, Braces, PORT_FIELDS, Part};
use rhizo_types::spec::Component;
use rhizo_types::{PortName, ValueName};

/// Words that only a shell understands.
const SHELL_WORDS: &[&str] = &["|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"];

/// Placeholders that need no port.
pub(crate) const PLAIN_PLACEHOLDERS: &[&str] =
    &["app", "component", "instance", "ordinal", "node", "dir", "files"];

/// Placeholders of a port or a value, as a hint shows them.
const DOTTED_PLACEHOLDERS: [&str; 8] = [
    "export.PORT.addr",
    "export.PORT.host",
    "export.PORT.port",
    "import.PORT.addr",
    "import.PORT.host",
    "import.PORT.port",
    "attribute.NAME",
    "value.NAME",
];

impl Session<'_> {
    /// A command line or a list of words; checks placeholders and resolves the program's path.
    pub(crate) fn command(&mut self, node: &Node<'_>, component: &Component) -> Option<Vec<String>> {
        let mut argv: Vec<String> = if self.reader.is_array(node) {
            let words = self.reader.texts(node)?;
            for word in &words {
                self.check_text(word, TEXT_LENGTH_MAX);
                self.check_placeholders(word, component);
            }
            words.into_iter().map(|word| word.text.to_owned()).collect()
        } else {
            let Some(line) = self.reader.as_text(node) else {
                self.reader.mismatch(node, "a command line or a list of words");
                return None;
            };
            self.check_text(&line, TEXT_LENGTH_MAX);
            self.check_placeholders(&line, component);
            let Some(words) = shlex::split(line.text) else {
                self.reader
                    .findings
                    .error(line.span, "a quote in the command line is not closed")
                    .hint("close it, or write a list of words: `exec = [\"program\", \"argument\"]`");
                return None;
            };
            if let Some(word) = words.iter().find(|word| SHELL_WORDS.contains(&word.as_str())) {
                self.reader
                    .findings
                    .warning(line.span, format!("`{word}` is passed to the program: no shell is run"))
                    .hint("for a shell write `exec = [\"sh\", \"-c\", \"…\"]`");
            }
            words
        };
        if argv.len() > ENTRIES_MAX {
            self.reader.findings.error(node.span.clone(), format!("more than {ENTRIES_MAX} words"));
            return None;
        }
        for argument in argv.iter().skip(1).filter(|word| may_be_a_path(word)) {
            self.files.push((
                FileKind::Argument,
                path::join(self.base_of(node), argument),
                node.span.clone(),
            ));
        }
        if argv.first().is_none_or(String::is_empty) {
            self.reader
                .findings
                .error(node.span.clone(), "the command names no program")
                .hint("leave `exec` out when the component is a Rust closure of this binary");
            return None;
        }
        self.resolve_program(&mut argv, node);
        Some(argv)
    }

    /// Joins the path of a command's program to the folder of its file.
    fn resolve_program(&mut self, argv: &mut [String], node: &Node<'_>) {
        let Some(program) = argv.first_mut() else { return };
        let path = path::program(self.base_of(node), program);
        let is_other = path != *program;
        program.clone_from(&path);
        // A path with a placeholder is known at run time only.
        if path.contains('/')
            && let Ok(path) = template::fill(&path, &|_| None)
        {
            self.files.push((FileKind::Program, path, node.span.clone()));
        }
        if is_other {
            self.resolved.insert(node.span.start, Replacement::Words(argv.to_vec()));
        }
    }

    /// Adds an error for every placeholder that names nothing.
    pub(crate) fn check_placeholders(&mut self, text: &Text<'_>, component: &Component) {
        let placer = Placer::new(self.reader.source(), &text.span, text.text);
        let mut has_stray = false;
        for part in template::parts(text.text, Braces::Strict) {
            match part {
                Part::Literal(_) => {}
                Part::Placeholder(name, span) => {
                    let span = placer.span(&span);
                    if self.uses_unread_import(name) {
                        continue;
                    }
                    if let Some(flaw) = flaw(name, component) {
                        self.reader.findings.error(span, flaw.message).maybe_hint(flaw.hint);
                    } else if let Some((port, field)) = import_of(name) {
                        self.check_import(port, field, span, component);
                    }
                }
                // The other braces of the text have the same cause.
                Part::Stray(span) if !has_stray => {
                    has_stray = true;
                    self.reader
                        .findings
                        .error(placer.span(&span), "braces that are no placeholder")
                        .hint(BRACES_HINT);
                }
                Part::Stray(_) => {}
            }
        }
    }

    /// Whether a placeholder names an import that could not be read, which has been reported.
    fn uses_unread_import(&self, name: &str) -> bool {
        let port = name.strip_prefix("import.").and_then(|rest| rest.split('.').next());
        port.is_some_and(|port| self.unread_imports.contains(port))
    }

    /// Records a use of an import; its field is checked when all components are known.
    fn check_import(&mut self, port: &str, field: &str, span: Span, component: &Component) {
        let Some(import) = component.imports.get(&PortName::from(port)) else { return };
        self.places.imported.push(Imported {
            component: import.component.clone(),
            export: import.export.clone(),
            import: PortName::from(port),
            field: field.to_owned(),
            span,
        });
    }
}

/// The remedy for braces that are meant literally.
const BRACES_HINT: &str = "write `{{` and `}}` for literal braces; `${…}` is left to the program as it is";

/// An error in a placeholder.
pub(crate) struct Flaw {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The port and the field of `import.PORT.FIELD`.
fn import_of(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("import.")?.split_once('.').filter(|(_, field)| !field.contains('.'))
}

/// Whether an argument may name a file by a path that begins where the program starts. Options, placeholders and texts
/// with blanks do not.
fn may_be_a_path(word: &str) -> bool {
    !word.is_empty() && !word.starts_with(['-', '/']) && !word.contains(['{', ' ', '\n'])
}

/// The error in a placeholder, as far as it can be seen from its own component.
pub(crate) fn flaw(name: &str, component: &Component) -> Option<Flaw> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["export", port, field] => export_flaw(port, field, component),
        ["import", port, field] => (!component.imports.contains_key(&PortName::from(*port)))
            .then(|| unknown_port("import", port, field, component.imports.keys())),
        ["attribute", name] => {
            let known: Vec<&str> = component.attributes.keys().map(ValueName::as_str).collect();
            let message = format!("there is no attribute `{name}`");
            (!known.contains(name)).then(|| Flaw { message, hint: suggest::hint(name, known, "attributes") })
        }
        // The outputs of actions are known at run time only.
        ["value", _] => None,
        ["data"] if component.state.is_kept() => None,
        ["data"] => Some(Flaw {
            message: "`{data}` is the directory of the data, and the component has none".to_owned(),
            hint: Some("add `state = \"pinned\"`, or use `{dir}` for files that may be lost".to_owned()),
        }),
        [plain] if PLAIN_PLACEHOLDERS.contains(plain) => None,
        _ => Some(Flaw {
            message: format!("unknown placeholder `{{{name}}}`"),
            hint: Some(unknown_hint(name)),
        }),
    }
}

/// The remedy for a placeholder that does not exist: the nearest name, or the ways to write what was meant.
fn unknown_hint(name: &str) -> String {
    let known = PLAIN_PLACEHOLDERS.iter().chain(&DOTTED_PLACEHOLDERS).copied();
    if let Some(near) = suggest::nearest(name, known.clone()) {
        return format!("did you mean `{{{near}}}`?");
    }
    let variable = name.strip_prefix("env.").or_else(|| name.strip_prefix("ENV."));
    if let Some(variable) = variable.or_else(|| (name == name.to_ascii_uppercase()).then_some(name)) {
        return format!(
            "rhizo does not insert environment variables: pass it to the program with \
             `env = {{ {variable} = {{ env = \"{variable}\" }} }}`; a shell inserts it into a command: \
             `[\"sh\", \"-c\", \"… ${{{variable}}}\"]`"
        );
    }
    let known: Vec<String> = known.map(|name| format!("{{{name}}}")).collect();
    format!(
        "write `{{{{{name}}}}}` for the literal text `{{{name}}}`; the placeholders are {}",
        known.join(" ")
    )
}

fn export_flaw(port: &str, field: &str, component: &Component) -> Option<Flaw> {
    let Some(export) = component.exports.get(&PortName::from(port)) else {
        return Some(unknown_port("export", port, field, component.exports.keys()));
    };
    let fields = PORT_FIELDS.iter().copied().filter(|known| *known != "addrs");
    if !fields.clone().any(|known| known == field) {
        let hint = suggest::hint(field, fields, "properties of a port");
        return Some(Flaw {
            message: format!("`{{export.{port}.{field}}}` asks a port for `{field}`"),
            hint,
        });
    }
    let message = format!("the export `{port}` has no address: it is data");
    let hint = Some("use one of its values, or remove `data = true`".to_owned());
    export.data.then_some(Flaw { message, hint })
}

fn unknown_port<'p>(kind: &str, port: &str, field: &str, known: impl Iterator<Item = &'p PortName>) -> Flaw {
    let known: Vec<&str> = known.map(PortName::as_str).collect();
    let message = format!("`{{{kind}.{port}.{field}}}` names an {kind} `{port}` that is not declared");
    let declare = match kind {
        "import" => format!("declare it: `imports.{port} = {{ from = \"COMPONENT.EXPORT\" }}`"),
        _ => format!("declare it: `exports.{port} = {{}}`"),
    };
    let hint = match suggest::nearest(port, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? Otherwise {declare}"),
        None if known.is_empty() => declare,
        None => format!("{declare}; the component has the {kind}s {}", quoted(&known)),
    };
    Flaw { message, hint: Some(hint) }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
