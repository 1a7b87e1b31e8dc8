//! Parses TOML, and turns the parser's errors into findings.

use crate::finding::Findings;
use toml::de::DeTable;

/// Parses a document; `None` when findings were added.
pub(crate) fn parse<'s>(source: &'s str, findings: &mut Findings) -> Option<DeTable<'s>> {
    let (document, errors) = DeTable::parse_recoverable(source);
    if errors.is_empty() {
        return Some(document.into_inner());
    }
    for error in errors {
        let span = error.span().unwrap_or(source.len()..source.len());
        let message = error.message().lines().next().unwrap_or("invalid TOML");
        let before = source.get(..span.start).unwrap_or(source).trim_end_matches([' ', '\t']);
        let rest = source.get(span.start..).unwrap_or("");
        let at_end_of_line = rest.is_empty() || rest.starts_with(['\n', '\r', '#']);
        if before.ends_with('=') && at_end_of_line {
            findings.error(span, "the value is missing").hint("write a value after `=`; texts in quotes");
        } else if before.ends_with('=') && rest.starts_with(char::is_alphabetic) {
            findings
                .error(span, format!("invalid TOML: {message}"))
                .hint("texts are written in quotes: \"text\"");
        } else {
            findings.error(span, format!("invalid TOML: {message}"));
        }
    }
    None
}
