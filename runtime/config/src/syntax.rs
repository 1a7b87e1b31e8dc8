//! Parses TOML, and turns the parser's errors into findings.

use crate::finding::Findings;
use toml::de::DeTable;

/// Parses the document that begins at this byte of the joined text; `None` when findings were added.
pub(crate) fn parse<'s>(source: &'s str, offset: usize, findings: &mut Findings) -> Option<DeTable<'s>> {
    let (document, errors) = DeTable::parse_recoverable(source);
    if errors.is_empty() {
        return Some(document.into_inner());
    }
    // The errors after the first often follow from it.
    if let Some(error) = errors.into_iter().next() {
        let span = error.span().unwrap_or(source.len()..source.len());
        let message = error.message().lines().next().unwrap_or("invalid TOML");
        let before = source.get(..span.start).unwrap_or(source).trim_end_matches([' ', '\t']);
        let rest = source.get(span.start..).unwrap_or("");
        let at_end_of_line = rest.is_empty() || rest.starts_with(['\n', '\r', '#']);
        let span = span.start + offset..span.end + offset;
        if let Some(hint) = remedy(before, rest, message) {
            findings.error(span, format!("invalid TOML: {message}")).hint(hint);
        } else if before.ends_with('=') && at_end_of_line {
            findings.error(span, "the value is missing").hint("write a value after `=`; texts in quotes");
        } else if before.ends_with('=') && rest.starts_with(char::is_alphabetic) {
            findings
                .error(span, format!("invalid TOML: {message}"))
                .hint("texts are written in quotes: \"text\"");
        } else {
            findings
                .error(span, format!("invalid TOML: {message}"))
                .hint("the syntax is that of TOML: `key = value` lines below `[table]` headers");
        }
    }
    None
}

/// The remedy for the usual mistakes in TOML.
fn remedy(before: &str, rest: &str, message: &str) -> Option<String> {
    let line = before.rsplit('\n').next().unwrap_or(before);
    if message.contains("duplicate key") {
        return Some("a key or table is written once: merge the two, or rename one".to_owned());
    }
    if line.ends_with("= $") || (line.ends_with('=') && rest.starts_with('$')) {
        return Some("no variable is inserted here: write the value itself".to_owned());
    }
    if message.contains("inline table") || (line.contains('{') && !line.contains('}')) {
        return Some("separate the fields of `{ … }` by commas, and close it with `}`".to_owned());
    }
    if line.contains('[') && !line.contains(']') {
        return Some("separate the elements of `[ … ]` by commas, and close it with `]`".to_owned());
    }
    if line.trim_start().split_once(':').is_some_and(|(key, _)| !key.contains(['=', '"']))
        || rest.starts_with(':')
    {
        return Some("write `key = value`: this is TOML, not YAML".to_owned());
    }
    None
}
