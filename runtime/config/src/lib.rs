//! Parses the text of one `rhizo.toml` into a typed, checked [`Spec`], or into all findings about it.
//!
//! Every finding has a place (line, column) and, where possible, a remedy; one run reports all of them. The crate
//! reads no file, no clock and no environment. It also evaluates and prints the expressions of a spec. Read next:
//! `read` for the tables, `expr` for the language, `docs/config.md` for the user's view.

#![forbid(unsafe_code)]

mod crosscheck;
mod document;
mod expr;
mod finding;
mod gathering;
mod named_file;
mod not_yet;
mod path;
mod plain;
mod provider_kind;
mod read;
mod reader;
mod render;
mod rendering;
mod resolved;
mod script;
mod secret_names;
mod slips;
mod sources;
mod suggest;
mod syntax;
mod target_size;
mod template;
mod template_file;
mod units;
mod written;

pub use document::schema;
pub use expr::attributes::{AttributeKind, WELL_KNOWN, WELL_KNOWN_OF_COPIES, unit_of};
pub use expr::eval::{Environment, EvalError, Evaluated, evaluate, holds, number};
pub use expr::explain::{explain_expr, explain_measure, explain_rule};
pub use finding::{Finding, Label, Severity};
pub use gathering::{ConfigFile, Gathering};
pub use named_file::{FileKind, NamedFile};
pub use plain::plain_text;
pub use provider_kind::ProviderKind;
pub use read::Packing;
pub use render::{render, render_sources};
pub use rendering::{TemplateError, TemplateExporter, TemplateImport, TemplateInputs, render_template};
pub use script::parse_script;
pub use sources::Sources;
pub use target_size::target_bytes_max;
pub use template::fill;
pub use template_file::TemplateFile;
pub use units::{NUMBER_MAX, Quantity};
pub use written::{to_toml, with_weight};

use reader::Reader;
use rhizo_types::ledger::{Command, SetSpec};
use rhizo_types::spec::Spec;
use rhizo_types::wire::{COMMAND_BYTES_MAX, CommandRecord};
use rhizo_types::{AttributeName, ComponentName, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Longest config or script, in bytes: a config is stored in one command of the log, together with its spec, and
/// [`parse`] checks that both fit.
pub const SOURCE_LENGTH_MAX: usize = COMMAND_BYTES_MAX;

/// A config without errors.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The spec.
    pub spec: Spec,
    /// The warnings, in the order of the file.
    pub warnings: Vec<Finding>,
    /// The attributes of nodes that rules and utilities use.
    pub attributes: BTreeMap<AttributeName, AttributeUse>,
    /// The template files of components; this crate has not read them.
    pub templates: Vec<TemplateFile>,
    /// The files that components want to have packed.
    pub packing: BTreeMap<ComponentName, Packing>,
    /// The kinds of the providers, in the order of the file; this crate does not know which kinds there are.
    pub kinds: Vec<ProviderKind>,
    /// Programs and data files that the config names, in the order of the file; this crate does not open them.
    pub files: Vec<NamedFile>,
    /// The text of the config and of the files that it includes.
    pub sources: Sources,
    /// The whole config as one text, as the log keeps it: that of the file, or, for several files, their sum with the
    /// paths that they mean. Parsed in the folder of the config, it gives the same spec.
    pub text: String,
    /// The whole config as one text for people: with the paths that it means and the origin of each line, and without
    /// texts that look like secrets.
    pub shown: String,
}

/// The use of one attribute of nodes in a config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeUse {
    /// The kind that its uses need; none if they fit any kind (`has(node.x)`, `distinct(placement, node.x)`).
    pub kind: Option<AttributeKind>,
    /// The finding, at its first use, that nothing supplies it; see [`Parsed::unknown_attributes`].
    absent: Finding,
}

impl Parsed {
    /// A warning for each attribute that a rule uses and that `supplied` does not contain, with its place.
    ///
    /// `supplied` holds the attributes of offers, data files, sensors and the application, which the caller knows.
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

/// Reads a config of one file. A config that includes others is read with [`Gathering`].
///
/// `file_name` is only repeated in findings. Relative paths in the config are joined to `base_dir` as text.
///
/// # Errors
/// All findings in the order of the file, including warnings, if at least one is an error. After a syntax error in the
/// TOML, no other check is made.
pub fn parse(source: &str, file_name: &str, base_dir: &Path) -> Result<Parsed, Vec<Finding>> {
    let file = ConfigFile {
        text: source.to_owned(),
        folder: base_dir.to_owned(),
        identity: base_dir.join(file_name),
    };
    Gathering::new(file_name, file).parse().map_err(|(findings, _)| findings)
}

/// Reads the config whose files are complete; `findings` has what was found while they were gathered.
fn parse_sources(
    sources: Sources,
    mut findings: finding::Findings,
) -> Result<Parsed, (Vec<Finding>, Sources)> {
    if sources.base_at(0).to_str().is_none() {
        let message = "the path of the config's folder is not UTF-8 text";
        findings.error(0..0, message).hint("rename the folder, or move the config");
    }
    if findings.has_errors() {
        return Err((findings.finish(&sources), sources));
    }
    let parsed = read_sources(&sources, findings);
    parsed.map(|parsed| Parsed { sources: sources.clone(), ..parsed }).map_err(|findings| (findings, sources))
}

fn read_sources(sources: &Sources, mut findings: finding::Findings) -> Result<Parsed, Vec<Finding>> {
    let joined = sources.joined();
    let mut documents = Vec::new();
    for span in sources.spans() {
        let document = syntax::parse(&joined[span.clone()], span.start, &mut findings);
        documents.extend(document.map(|document| (span.start, document)));
    }
    if findings.has_errors() {
        return Err(findings.finish(sources));
    }
    let mut reader = Reader { sources, findings };
    let root = reader.root(&documents);
    let mut session = read::Session::new(reader);
    let spec = session.read(root);
    let (mut text, mut shown) = (String::new(), String::new());
    if !session.reader.findings.has_errors() {
        let replacements = std::mem::take(&mut session.resolved);
        shown = resolved::text(&mut session.reader, &documents, &replacements, true);
        // A config of one file is kept as it was written.
        text = match documents.as_slice() {
            [_] => joined.strip_suffix('\n').unwrap_or(joined).to_owned(),
            _ => resolved::text(&mut session.reader, &documents, &replacements, false),
        };
        check_size(&spec, &text, &mut session.reader.findings);
        check_copies(&spec, &session.places, &mut session.reader.findings);
    }
    let failed = session.reader.findings.has_errors();
    let warnings = session.reader.findings.finish(sources);
    if failed {
        return Err(warnings);
    }
    let attributes =
        session.attributes.uses.into_iter().map(|(name, used)| attribute_use(name, used, sources));
    let template = |(component, path, span)| TemplateFile::new(component, path, span, sources);
    let mut templates = session.templates;
    // Findings are reported in the order of the file.
    templates.sort_by_key(|(_, _, span)| span.start);
    let templates = templates.into_iter().map(template).collect();
    let kind = |(kind, span)| ProviderKind::new(kind, span, sources);
    let kinds = session.kinds.into_iter().map(kind).collect();
    let mut files = session.files;
    files.sort_by_key(|(_, _, span)| span.start);
    let files =
        files.into_iter().map(|(kind, path, span)| NamedFile::new(kind, path, span, sources)).collect();
    let attributes = attributes.collect();
    Ok(Parsed {
        spec,
        warnings,
        attributes,
        templates,
        packing: session.packing,
        kinds,
        files,
        sources: Sources::default(),
        text,
        shown,
    })
}

/// An attribute and its use, with the finding that nothing supplies it.
fn attribute_use(
    name: AttributeName,
    used: expr::attributes::Use,
    sources: &Sources,
) -> (AttributeName, AttributeUse) {
    let mut findings = finding::Findings::default();
    findings
        .warning(used.span, format!("no provider or sensor supplies `node.{name}`"))
        .hint("a rule that uses it holds for no machine; check its spelling, the data files and the sensors");
    let absent = findings.finish(sources).swap_remove(0);
    (name, AttributeUse { kind: used.kind, absent })
}

/// The remedy for a config that is too long.
const SIZE_HINT: &str = "move long texts and large numbers of variables into files that the programs read";

/// Returns the most bytes that a spec takes in the log with the text of its config.
///
/// At most [`COMMAND_BYTES_MAX`] fit. [`parse`] checks this for the spec that it returns, in which secrets are only
/// sources. A caller that replaces the sources by sealed values checks it again.
#[must_use]
pub fn spec_bytes(spec: &Spec, source: &str) -> usize {
    // The largest revision: its encoding has the most bytes.
    let set = SetSpec { revision: Revision(u64::MAX), spec: spec.clone(), source: source.to_owned() };
    let record = CommandRecord::V1(Command::SetSpec(Box::new(set)));
    // Encoding into memory cannot fail; a spec that could not be encoded would not fit either.
    postcard::to_stdvec(&record).map_or(usize::MAX, |bytes| bytes.len())
}

/// Adds an error if the command that puts the spec in force would not fit into the log.
fn check_size(spec: &Spec, source: &str, findings: &mut finding::Findings) {
    let bytes = spec_bytes(spec, source);
    if bytes > COMMAND_BYTES_MAX {
        let message = format!(
            "the config and its spec take {bytes} bytes in the log, and at most {COMMAND_BYTES_MAX} fit"
        );
        findings.error(0..0, message).hint(SIZE_HINT);
    }
}

/// Adds an error if the target of the least numbers of copies would not fit into the log.
fn check_copies(spec: &Spec, places: &crosscheck::Places, findings: &mut finding::Findings) {
    let copies: BTreeMap<ComponentName, u64> = spec
        .components
        .iter()
        .map(|(name, component)| (name.clone(), u64::from(component.replicas.min)))
        .collect();
    let bytes = target_bytes_max(spec, &copies);
    if usize::try_from(bytes).is_ok_and(|bytes| bytes <= COMMAND_BYTES_MAX) {
        return;
    }
    // The place of the component whose copies take the most.
    let alone = |name: &ComponentName| {
        let without = copies.iter().filter(|(other, _)| *other != name);
        let without = without.map(|(name, count)| (name.clone(), *count)).collect();
        bytes.saturating_sub(target_bytes_max(spec, &without))
    };
    let largest = copies.keys().max_by_key(|name| alone(name));
    let span = largest.and_then(|name| places.components.get(name)).cloned().unwrap_or(0..0);
    let message = format!(
        "the copies and their bindings take up to {bytes} bytes in the log, and at most {COMMAND_BYTES_MAX} fit"
    );
    findings.error(span, message).hint(
        "lower `replicas`, write `pick = 3` for an import that is bound to all exporters, or divide the application",
    );
}
