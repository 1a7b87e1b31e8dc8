//! Commands and the placeholders in them and in other templates.
//!
//! Nothing is run here. The runtime fills in the placeholders when it runs the command.

use crate::crosscheck::Imported;
use crate::expr::place::Placer;
use crate::finding::{Finding, Findings, Span};
use crate::path;
use crate::read::{ENTRIES_MAX, Session, TEXT_LENGTH_MAX};
use crate::reader::{Node, Text};
use crate::suggest;
use crate::template::{self, PORT_FIELDS};
use rhizo_types::spec::Component;
use rhizo_types::{PortName, ValueName};

/// Words that only a shell understands.
const SHELL_WORDS: &[&str] = &["|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"];

/// Placeholders that need no port.
const PLAIN_PLACEHOLDERS: &[&str] = &["app", "component", "instance", "ordinal", "node", "dir"];

/// Placeholders of a port or a value, as a hint shows them.
const DOTTED_PLACEHOLDERS: [&str; 4] =
    ["export.PORT.addr", "import.PORT.addr", "attribute.NAME", "value.NAME"];

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
        match argv.first_mut() {
            Some(program) if !program.is_empty() => {
                *program = path::program(self.base, program);
                Some(argv)
            }
            _ => {
                self.reader
                    .findings
                    .error(node.span.clone(), "the command names no program")
                    .hint("leave `exec` out when the component is a Rust closure of this binary");
                None
            }
        }
    }

    /// Adds an error for every placeholder that names nothing.
    pub(crate) fn check_placeholders(&mut self, text: &Text<'_>, component: &Component) {
        let placer = Placer::new(self.reader.source, &text.span, text.text);
        for placeholder in template::placeholders(text.text) {
            let span = placer.span(&placeholder.span);
            if let Some(flaw) = flaw(placeholder.name, component) {
                self.reader.findings.error(span, flaw.message).maybe_hint(flaw.hint);
            } else if let Some((port, field)) = import_of(placeholder.name) {
                self.check_import(port, field, span, component);
            }
        }
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

/// An error in a placeholder.
struct Flaw {
    message: String,
    hint: Option<String>,
}

/// The port and the field of `import.PORT.FIELD`.
fn import_of(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("import.")?.split_once('.').filter(|(_, field)| !field.contains('.'))
}

/// The error in a placeholder, as far as it can be seen from its own component.
fn flaw(name: &str, component: &Component) -> Option<Flaw> {
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
        [plain] if PLAIN_PLACEHOLDERS.contains(plain) => None,
        _ => {
            let known = PLAIN_PLACEHOLDERS.iter().chain(&DOTTED_PLACEHOLDERS).copied();
            let hint = suggest::hint(name, known, "placeholders");
            Some(Flaw { message: format!("unknown placeholder `{{{name}}}`"), hint })
        }
    }
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
    export.data.then_some(Flaw { message, hint: None })
}

fn unknown_port<'p>(kind: &str, port: &str, field: &str, known: impl Iterator<Item = &'p PortName>) -> Flaw {
    let known: Vec<&str> = known.map(PortName::as_str).collect();
    let message = format!("`{{{kind}.{port}.{field}}}` names an {kind} `{port}` that is not declared");
    Flaw { message, hint: suggest::hint(port, known, "ports") }
}

/// The errors in the placeholders of a component's template file, with places in that file.
pub(crate) fn check_template(text: &str, file_name: &str, component: &Component) -> Vec<Finding> {
    let mut findings = Findings::default();
    for placeholder in template::placeholders(text) {
        if let Some(flaw) = flaw(placeholder.name, component) {
            findings.error(placeholder.span, flaw.message).maybe_hint(flaw.hint);
        }
    }
    findings.finish(text, file_name)
}
