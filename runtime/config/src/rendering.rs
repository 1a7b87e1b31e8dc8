//! Renders the template files of a config with minijinja: `{{ import.db.addr }}`, loops, conditions and filters.
//!
//! The values are passed in; nothing is read. A name that is not defined is an error, work and output are bounded, and
//! other files cannot be included. Intermediate values of a template are not bounded: templates come from the operator,
//! whose programs could take the memory as well. `template_file` checks a template before anything is started. The
//! placeholders in strings of the config are in `template`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

/// Most instructions of one rendering. A table of 10,000 lines takes about 200,000; this ends within a second.
const FUEL: u64 = 5_000_000;

/// Longest output: four times the longest template.
const RENDERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of blocks and expressions.
const NESTING_MAX: usize = 50;

/// The values that a template can name.
#[derive(Clone, Debug, Default)]
pub struct TemplateInputs {
    /// `app`, `component`, `instance`, `ordinal`, `node` and `dir`.
    pub names: BTreeMap<String, String>,
    /// `export.PORT`: the addresses on which the instance listens.
    pub exports: BTreeMap<String, SocketAddr>,
    /// `import.PORT`.
    pub imports: BTreeMap<String, TemplateImport>,
    /// `attribute.NAME`.
    pub attributes: BTreeMap<String, String>,
    /// `value.NAME`: the values that earlier actions printed; none if every name has a value, as in a check.
    pub values: Option<BTreeMap<String, String>>,
    /// `secret.NAME`.
    pub secrets: BTreeMap<String, String>,
}

/// One import in a template.
#[derive(Clone, Debug, Default)]
pub struct TemplateImport {
    /// The address to use for any exporter.
    pub address: Option<SocketAddr>,
    /// The bound exporters: `all` in a template. The values of the first one are those of the import.
    pub exporters: Vec<TemplateExporter>,
}

/// One exporter of an import in a template.
#[derive(Clone, Debug, Default)]
pub struct TemplateExporter {
    /// The instance.
    pub instance: String,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The values that it supplies.
    pub values: BTreeMap<String, String>,
}

/// Why a template cannot be rendered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateError {
    /// The line in the template, counted from 1.
    pub line: usize,
    /// The reason.
    pub message: String,
    /// The bytes of the template that it is about.
    pub(crate) span: Range<usize>,
    /// The error is one of every rendering, and not of these values only.
    pub(crate) is_certain: bool,
}

/// Returns the text that a template stands for.
///
/// # Errors
/// When the template is malformed, names something that is not defined, uses it in a way that it does not allow, or
/// exceeds a bound.
pub fn render_template(template: &str, inputs: &TemplateInputs) -> Result<String, TemplateError> {
    let environment = environment();
    let wrong = |error: minijinja::Error| wrong(template, &error);
    let parsed = environment.template_from_str(template).map_err(wrong)?;
    let mut output = Bounded(Vec::new());
    parsed.render_captured_to(context(inputs), &mut output).map_err(wrong)?;
    // minijinja writes text only.
    Ok(String::from_utf8_lossy(&output.0).into_owned())
}

/// The dotted names that a template uses and does not define itself, such as `import.db.addr`.
pub(crate) fn names_used(template: &str) -> Result<std::collections::BTreeSet<String>, TemplateError> {
    let environment = environment();
    let parsed = environment.template_from_str(template).map_err(|error| wrong(template, &error))?;
    Ok(parsed.undeclared_variables(true).into_iter().collect())
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(NESTING_MAX);
    // Errors then have their place.
    environment.set_debug(true);
    // It would print all values, also secrets.
    environment.remove_global("debug");
    // A line that only has a block leaves no empty line, and the end of the file stays.
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment
}

fn wrong(template: &str, error: &minijinja::Error) -> TemplateError {
    let line = error.line().unwrap_or(1);
    let line_span = || {
        let begin = template.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
        let length = template[begin.min(template.len())..].lines().next().map_or(0, str::len);
        begin..begin + length
    };
    let span = error.range().filter(|span| template.get(span.clone()).is_some()).unwrap_or_else(line_span);
    let named = template.get(span.clone()).unwrap_or("").trim();
    let detail = error.detail().map(str::to_owned).unwrap_or_else(|| error.kind().to_string());
    let message = match error.kind() {
        ErrorKind::UndefinedError if !named.is_empty() && named.len() <= 80 && !named.contains('\n') => {
            format!("`{named}` is not defined")
        }
        ErrorKind::OutOfFuel => format!("the template takes more than {FUEL} steps"),
        ErrorKind::WriteFailure => format!("the output has more than {RENDERED_BYTES_MAX} bytes"),
        _ => detail,
    };
    use ErrorKind as Kind;
    let is_certain = matches!(
        error.kind(),
        Kind::SyntaxError
            | Kind::BadEscape
            | Kind::UndefinedError
            | Kind::UnknownFilter
            | Kind::UnknownTest
            | Kind::UnknownFunction
            | Kind::UnknownMethod
            | Kind::TooManyArguments
            | Kind::MissingArgument
            | Kind::OutOfFuel
            | Kind::WriteFailure
    );
    TemplateError { line, message, span, is_certain }
}

fn context(inputs: &TemplateInputs) -> Value {
    let mut all: BTreeMap<String, Value> =
        inputs.names.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect();
    let exports =
        inputs.exports.iter().map(|(name, address)| (name.clone(), Value::from(address_of(Some(*address)))));
    all.insert("export".to_owned(), exports.collect::<BTreeMap<_, _>>().into());
    let imports = inputs.imports.iter().map(|(name, import)| (name.clone(), imported(import)));
    all.insert("import".to_owned(), imports.collect::<BTreeMap<_, _>>().into());
    all.insert("attribute".to_owned(), texts(&inputs.attributes));
    all.insert("value".to_owned(), inputs.values.as_ref().map_or_else(|| Value::from_object(Any), texts));
    all.insert("secret".to_owned(), texts(&inputs.secrets));
    all.into()
}

fn texts(of: &BTreeMap<String, String>) -> Value {
    of.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect::<BTreeMap<_, _>>().into()
}

/// `addr`, `host` and `port`; empty texts without an address, as in strings of the config.
fn address_of(address: Option<SocketAddr>) -> BTreeMap<String, Value> {
    let part = |text: Option<String>| Value::from(text.unwrap_or_default());
    BTreeMap::from([
        ("addr".to_owned(), part(address.map(|address| address.to_string()))),
        ("host".to_owned(), part(address.map(|address| address.ip().to_string()))),
        ("port".to_owned(), address.map_or(Value::from(""), |address| Value::from(address.port()))),
    ])
}

fn imported(import: &TemplateImport) -> Value {
    let mut fields = address_of(import.address);
    let first = import.exporters.first();
    fields.extend(
        first
            .into_iter()
            .flat_map(|first| &first.values)
            .map(|(name, value)| (name.clone(), Value::from(value))),
    );
    let mut addresses: Vec<String> = Vec::new();
    for address in import.exporters.iter().filter_map(|exporter| exporter.address) {
        let address = address.to_string();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let exporter = |exporter: &TemplateExporter| {
        let mut fields = address_of(exporter.address);
        fields.insert("instance".to_owned(), Value::from(&exporter.instance));
        fields.extend(exporter.values.iter().map(|(name, value)| (name.clone(), Value::from(value))));
        Value::from(fields)
    };
    fields.insert("addrs".to_owned(), addresses.into());
    fields.insert("all".to_owned(), import.exporters.iter().map(exporter).collect::<Vec<_>>().into());
    if import.exporters.is_empty() { Value::from_object(Unbound(fields)) } else { Value::from(fields) }
}

/// An import without an exporter: its values are empty texts, so that a template can test for them.
#[derive(Debug)]
struct Unbound(BTreeMap<String, Value>);

impl Object for Unbound {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        Some(self.0.get(name).cloned().unwrap_or_else(|| Value::from("")))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// Values whose names are known only when the template is rendered.
#[derive(Debug)]
struct Any;

impl Object for Any {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        key.as_str().map(|_| Value::from("1"))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// Keeps at most [`RENDERED_BYTES_MAX`] bytes.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > RENDERED_BYTES_MAX {
            return Err(io::Error::other("the output is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn inputs() -> TemplateInputs {
        let address = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let exporter = |ordinal: u16| TemplateExporter {
            instance: format!("db.{ordinal}"),
            address: address(1 + ordinal),
            values: BTreeMap::from([("user".to_owned(), format!("u{ordinal}"))]),
        };
        let db = TemplateImport { address: address(9), exporters: vec![exporter(0), exporter(1)] };
        TemplateInputs {
            names: BTreeMap::from([("instance".to_owned(), "web.0".to_owned())]),
            exports: BTreeMap::from([("http".to_owned(), SocketAddr::from((Ipv4Addr::LOCALHOST, 80)))]),
            imports: BTreeMap::from([
                ("db".to_owned(), db),
                ("my-cache".to_owned(), TemplateImport::default()),
            ]),
            attributes: BTreeMap::from([("colour".to_owned(), "<blue>".to_owned())]),
            values: Some(BTreeMap::new()),
            secrets: BTreeMap::from([("PASSWORD".to_owned(), "s3cret".to_owned())]),
        }
    }

    fn rendered(template: &str) -> Result<String, String> {
        render_template(template, &inputs()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_has_values_loops_conditions_and_filters() {
        let check = |template: &str, expected: &str| {
            assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}")
        };
        check("{{ import.db.addr }} {{import.db.user}}\n", "127.0.0.1:9 u0\n");
        check(
            "{% for db in import.db.all %}\n{{ db.instance }}={{ db.addr }}\n{% endfor %}\nend\n",
            "db.0=127.0.0.1:1\ndb.1=127.0.0.1:2\nend\n",
        );
        check("{{ import.db.addrs|join(', ') }} {{ export.http.port + 1 }}", "127.0.0.1:1, 127.0.0.1:2 81");
        check("{% if import['my-cache'] %}on{% else %}off{% endif %}{{ import['my-cache'].user }}", "off");
        check("{{ attribute.colour|upper }} {{ secret.PASSWORD }} {{ instance }}", "<BLUE> s3cret web.0");
        check(
            "json = {\"a\": {}} ${x} {x} {% raw %}{{ kept }}{% endraw %}",
            "json = {\"a\": {}} ${x} {x} {{ kept }}",
        );
    }

    #[test]
    fn a_wrong_template_is_refused_with_its_line() {
        let check = |template: &str, expected: &str| {
            let error = rendered(template).expect_err(template);
            assert!(error.contains(expected), "{template}: {error}");
        };
        check("a\nb {{ import.db.adr }}", "line 2: `import.db.adr` is not defined");
        check("{{ value.schema }}", "line 1: `value.schema` is not defined");
        check("{{ nothing }}", "not defined");
        check("a\n\n{% if x %}", "line 3: ");
        check("{{ instance|nofilter }}", "filter nofilter is unknown");
        check("{{ debug() }}", "unknown");
        check("{% include 'other' %}", "line 1: ");
        check("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "steps");
        check("{{ 'x' * 9000000 }}", "bytes");
    }
}
