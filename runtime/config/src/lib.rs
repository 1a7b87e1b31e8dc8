//! From the text of one `rhizo.toml` to a typed, checked [`Spec`], or to everything that is wrong with it.
//!
//! Every finding has its place (line, column) and, where possible, a hint; all are collected in one go. The
//! crate reads no file, no clock and no environment: text in, spec or findings out. It also evaluates and
//! prints the expressions it made. Read next: `read` for the tables, `expr` for the language, `docs/config.md`
//! for the user's view.

#![forbid(unsafe_code)]

mod crosscheck;
mod document;
mod expr;
mod finding;
mod path;
mod read;
mod reader;
mod render;
mod script;
mod suggest;
mod syntax;
mod template;
mod template_file;
mod units;

pub use document::schema;
pub use expr::attributes::{AttributeKind, WELL_KNOWN};
pub use expr::eval::{Environment, EvalError, Value, evaluate, holds, number};
pub use expr::explain::{explain_expr, explain_measure, explain_rule};
pub use finding::{Finding, Label, Severity};
pub use render::render;
pub use script::parse_script;
pub use template::{Placeholder, fill, placeholders};
pub use template_file::TemplateFile;
pub use units::Quantity;

use reader::Reader;
use rhizo_types::AttributeName;
use rhizo_types::spec::Spec;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A longer config is refused before it is parsed: a person's has some kilobytes.
pub const SOURCE_LENGTH_MAX: usize = 1024 * 1024;

/// A config without errors.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What the user wants.
    pub spec: Spec,
    /// What was probably not meant, in the order of the file.
    pub warnings: Vec<Finding>,
    /// The properties of nodes that rules and utilities use.
    pub attributes: BTreeMap<AttributeName, AttributeUse>,
    /// The files that components write from; this crate has not read them.
    pub templates: Vec<TemplateFile>,
}

/// The use of one property of nodes in a config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeUse {
    /// As what it is used; none when no use tells (`has(node.x)`, `distinct(placement, node.x)`).
    pub kind: Option<AttributeKind>,
    /// A finding at its first use that says that nobody supplies it; see [`Parsed::unknown_attributes`].
    absent: Finding,
}

impl Parsed {
    /// A warning for each property that a rule uses and that nobody in `supplied` has, with its place.
    ///
    /// `supplied` is what offers, data files, sensors and the application supply; only the caller knows that.
    #[must_use]
    pub fn unknown_attributes(&self, supplied: &BTreeSet<AttributeName>) -> Vec<Finding> {
        let missing = self.attributes.iter().filter(|(name, _)| !supplied.contains(*name));
        missing
            .map(|(name, used)| {
                let mut finding = used.absent.clone();
                let known = supplied.iter().map(AttributeName::as_str);
                if let Some(near) = suggest::nearest(name.as_str(), known) {
                    finding.hint = Some(format!("did you mean `{near}`?"));
                }
                finding
            })
            .collect()
    }
}

/// Reads a config.
///
/// `file_name` is only repeated in findings. Relative paths in the config are joined to `base_dir` as text.
///
/// # Errors
/// Everything that was found, in the order of the file, warnings included, when at least one is an error.
/// A syntax error of the TOML itself hides the checks of its meaning.
pub fn parse(source: &str, file_name: &str, base_dir: &Path) -> Result<Parsed, Vec<Finding>> {
    let mut reader = Reader { source, findings: finding::Findings::default() };
    if source.len() > SOURCE_LENGTH_MAX {
        reader.findings.error(0..0, format!("the config is longer than {SOURCE_LENGTH_MAX} bytes"));
        return Err(reader.findings.finish(source, file_name));
    }
    let Some(document) = syntax::parse(source, &mut reader.findings) else {
        return Err(reader.findings.finish(source, file_name));
    };
    let root = reader.root(&document);
    let mut session = read::Session::new(reader, base_dir);
    let spec = session.read(root);
    let failed = session.reader.findings.has_errors();
    let warnings = session.reader.findings.finish(source, file_name);
    if failed {
        return Err(warnings);
    }
    let attributes = session.attributes.uses.into_iter().map(|(name, used)| {
        let mut findings = finding::Findings::default();
        findings.warning(used.span, format!("no provider or sensor supplies `node.{name}`")).hint(
            "a rule that uses it holds for no machine; check its spelling, the data files and the sensors",
        );
        let absent = findings.finish(source, file_name).swap_remove(0);
        (name, AttributeUse { kind: used.kind, absent })
    });
    let template = |(component, path, span)| TemplateFile::new(component, path, span, (source, file_name));
    let mut templates = session.templates;
    // Findings are told in the order of the file.
    templates.sort_by_key(|(_, _, span)| span.start);
    let templates = templates.into_iter().map(template).collect();
    Ok(Parsed { spec, warnings, attributes: attributes.collect(), templates })
}
