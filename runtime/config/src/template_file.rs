//! The template files that a config names: a finding for one that cannot be read, and the errors inside one.
//!
//! The crate reads no file; the caller does, and passes its text. Every name in a template is compared with the spec.
//! Then the template is rendered twice with values that stand for the real ones: with all imports bound, and with the
//! optional ones unbound. A branch that neither rendering takes may still fail when the action runs. Read next:
//! `rendering`, for what a template can do.

use crate::finding::{Finding, Findings, Span};
use crate::read::command::{self, PLAIN_PLACEHOLDERS};
use crate::rendering::{
    TemplateError, TemplateExporter, TemplateImport, TemplateInputs, names_used, render_template,
};
use crate::sources::Sources;
use crate::suggest;
use crate::template::{self, Braces, PORT_FIELDS, Part};
use rhizo_types::spec::{Component, Import, Pick, Spec};
use rhizo_types::{ComponentName, PortName, ValueName};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// A file whose text an action of a component writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateFile {
    /// Its path; a relative one is already joined to the config's folder.
    pub path: String,
    /// The component of the action.
    pub component: ComponentName,
    /// A finding at the place where the config names it; its reason is still to be added.
    unreadable: Finding,
}

impl TemplateFile {
    pub(crate) fn new(component: ComponentName, path: String, span: Span, sources: &Sources) -> Self {
        let mut findings = Findings::default();
        findings.error(span, format!("`{path}` cannot be read")).hint(
            "the path of a template is found from the folder of the config; the file has to be UTF-8 text",
        );
        let unreadable = findings.finish(sources).swap_remove(0);
        Self { path, component, unreadable }
    }

    /// The finding that the file cannot be read, with the reason and the place in the config.
    #[must_use]
    pub fn unreadable(&self, reason: &str) -> Finding {
        let message = format!("{}: {reason}", self.unreadable.message);
        Finding { message, ..self.unreadable.clone() }
    }

    /// The findings inside the file, with places in `text`, its content.
    #[must_use]
    pub fn check(&self, text: &str, spec: &Spec) -> Vec<Finding> {
        let Some(component) = spec.components.get(&self.component) else { return Vec::new() };
        let mut findings = Findings::default();
        check_strings(text, component, &mut findings);
        match names_used(text) {
            Ok(names) => {
                for name in names {
                    check_name(text, &name, component, spec, &mut findings);
                }
            }
            Err(error) => drop(findings.error(error.span, error.message).hint(SYNTAX_HINT)),
        }
        if !findings.has_errors() {
            for is_bound in [true, false] {
                if let Err(error) = render_template(text, &stand_ins(component, spec, is_bound)) {
                    add(&mut findings, error);
                }
            }
        }
        findings.finish(&Sources::one(&self.path, text))
    }
}

const SYNTAX_HINT: &str = "a template file has `{{ value }}`, `{% if … %}` and `{% for … %}`; `{% raw %}` … `{% endraw %}` \
                           keeps such signs as they are";

/// Adds the error of a rendering with stand-ins. One that depends on their values is a warning.
fn add(findings: &mut Findings, error: TemplateError) {
    if error.is_certain {
        findings.error(error.span, error.message).hint(SYNTAX_HINT);
    } else {
        findings.warning(error.span, error.message).hint(
            "rendering failed with values that stand for the real ones; test for the case with `{% if … %}`",
        );
    }
}

/// Adds an error for each placeholder in the form of strings of the config: in a template file it would stay as it is.
fn check_strings(text: &str, component: &Component, findings: &mut Findings) {
    for part in template::parts(text, Braces::Lenient) {
        if let Part::Placeholder(name, span) = part
            && name.contains('.')
            && !is_raw(&text[..span.start])
            && flaw(name, component).is_none()
        {
            findings.error(span, format!("`{{{name}}}` stays as it is in a template file")).hint(format!(
                "write `{{{{ {name} }}}}`; for the text itself, `{{% raw %}}{{{name}}}{{% endraw %}}`"
            ));
        }
    }
}

/// Whether a `raw` block is open at the end of this text.
fn is_raw(before: &str) -> bool {
    before.rfind("raw %}").is_some_and(|at| !before[..at].ends_with("end"))
}

/// Adds an error for a dotted name that nothing defines, at its first place.
fn check_name(text: &str, name: &str, component: &Component, spec: &Spec, findings: &mut Findings) {
    let parts: Vec<&str> = name.split('.').collect();
    let found = match parts.as_slice() {
        ["secret", variable] => {
            let known = component.secrets.keys().map(String::as_str);
            let message = format!("there is no secret `{variable}`");
            let is_known = component.secrets.contains_key(*variable);
            (!is_known).then(|| (message, suggest::hint(variable, known, "secrets")))
        }
        ["import", port, "all"] => flaw(&format!("import.{port}.addr"), component),
        ["import", port, field] => {
            flaw(name, component).or_else(|| unknown_field(port, field, component, spec))
        }
        // The rest of a longer name is used as a value: `import.db.addrs.0`.
        [space @ ("export" | "import"), port, field, ..] => {
            flaw(&format!("{space}.{port}.{field}"), component)
        }
        ["data"] => flaw(name, component),
        [space] if SPACES.contains(space) => None,
        [space @ ("import" | "export"), port] => flaw(&format!("{space}.{port}.addr"), component),
        [space @ ("attribute" | "value"), name, ..] => flaw(&format!("{space}.{name}"), component),
        [plain, ..] if FUNCTIONS.contains(plain) => None,
        [plain, ..] => {
            let known = PLAIN_PLACEHOLDERS.iter().chain(&SPACES).copied();
            let is_known = known.clone().any(|known| known == *plain);
            (!is_known).then(|| (format!("`{name}` is not defined"), suggest::hint(plain, known, "names")))
        }
        [] => None,
    };
    if let Some((message, hint)) = found {
        let place = place_of(text, name);
        if text[..place.start].ends_with('-') && parts.len() > 1 {
            // The rest of a name with a hyphen, whose beginning has an error.
            return;
        }
        let draft = findings.error(place, message.replace(['{', '}'], ""));
        if text.contains(&format!("{name}-")) {
            let space = parts[0];
            draft.hint(format!("a name with a hyphen is written `{space}['a-name']`"));
        } else {
            draft.maybe_hint(hint);
        }
    }
}

/// Names below which others are.
const SPACES: [&str; 5] = ["import", "export", "attribute", "value", "secret"];

/// Functions that every template can call.
const FUNCTIONS: [&str; 4] = ["range", "dict", "namespace", "loop"];

type Flaw = (String, Option<String>);

fn flaw(name: &str, component: &Component) -> Option<Flaw> {
    command::flaw(name, component).map(|flaw| (flaw.message, flaw.hint))
}

/// The error that an import has no such field; none if it has.
fn unknown_field(port: &str, field: &str, component: &Component, spec: &Spec) -> Option<Flaw> {
    let import = component.imports.get(&PortName::from(port))?;
    let export = spec.components.get(&import.component)?.exports.get(&import.export)?;
    let values = export.values.iter().map(ValueName::as_str);
    let known: Vec<&str> = PORT_FIELDS.into_iter().chain(["all"]).chain(values).collect();
    let message = format!("the import `{port}` has no `{field}`");
    (!known.contains(&field)).then(|| (message, suggest::hint(field, known, "fields")))
}

/// The first place of a dotted name in a template; its beginning, if it is written in another way.
fn place_of(text: &str, name: &str) -> Span {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let places = text.match_indices(name).map(|(at, _)| at);
    let mut whole = places.filter(|at| {
        let (before, after) = (&text[..*at], &text[at + name.len()..]);
        !before.ends_with(is_part) && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    whole.next().map_or(0..0, |at| at..at + name.len())
}

/// Values that stand for the real ones: of the form that they will have.
fn stand_ins(component: &Component, spec: &Spec, is_bound: bool) -> TemplateInputs {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let import = |import: &Import| {
        if import.optional && !is_bound {
            return TemplateImport::default();
        }
        let exporter = spec.components.get(&import.component);
        let export = exporter.and_then(|exporter| exporter.exports.get(&import.export));
        let has_address = export.is_none_or(|export| !export.data);
        let values = export.into_iter().flat_map(|export| &export.values);
        let values: BTreeMap<String, String> =
            values.map(|name| (name.to_string(), "1".to_owned())).collect();
        let address = has_address.then_some(address);
        let of = |ordinal: u32| TemplateExporter {
            instance: format!("{}.{ordinal}", import.component),
            address,
            values: values.clone(),
        };
        let count = if import.pick == Pick::One { 1 } else { 2 };
        TemplateImport { address, exporters: (0..count).map(of).collect() }
    };
    let data = component.state.is_kept().then_some(("data", "/tmp"));
    let names = [
        ("app", "x"),
        ("component", "x"),
        ("instance", "x.0"),
        ("ordinal", "0"),
        ("node", "n1"),
        ("dir", "/tmp"),
    ];
    TemplateInputs {
        names: names
            .into_iter()
            .chain(data)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        exports: component.exports.keys().map(|name| (name.to_string(), address)).collect(),
        imports: component.imports.iter().map(|(name, of)| (name.to_string(), import(of))).collect(),
        attributes: component
            .attributes
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        values: None,
        secrets: component.secrets.keys().map(|name| (name.clone(), "1".to_owned())).collect(),
    }
}
