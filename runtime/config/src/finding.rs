//! Findings: errors and warnings about a config, each with its place and, where possible, a remedy.
//!
//! A [`Finding`] is public and its place is a line and a column. Inside the crate, [`Findings`] collects them with byte
//! ranges, which are converted once, at the end. Read next: `render`.

use crate::sources::Sources;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A range of bytes of the config's text.
pub(crate) type Span = Range<usize>;

/// Most findings that are kept. The rest of a longer list would not help to repair the file.
const FINDINGS_MAX: usize = 200;

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The config is refused.
    Error,
    /// The config is accepted, but is probably not what the user meant.
    Warning,
}

/// One error or warning about a config, with its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// The message: one lower-case sentence without a full stop.
    pub message: String,
    /// The file, as the user named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Number of characters that it covers on that line; at least 1.
    pub length: usize,
    /// The remedy.
    pub hint: Option<String>,
    /// Other places that explain it.
    pub labels: Vec<Label>,
}

/// Another place that explains a finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Label {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Number of characters that it covers on that line; at least 1.
    pub length: usize,
    /// The explanation.
    pub text: String,
    /// The file, if it is another one than that of the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A finding under construction, placed by a range of bytes.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    severity: Severity,
    message: String,
    span: Span,
    hint: Option<String>,
    labels: Vec<(Span, String)>,
}

impl Draft {
    /// Adds the remedy.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the remedy, if there is one.
    pub(crate) fn maybe_hint(&mut self, hint: Option<String>) -> &mut Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }

    /// Adds another place that explains it.
    pub(crate) fn label(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        self.labels.push((span, text.into()));
        self
    }
}

/// The findings so far in one config.
#[derive(Default, Debug)]
pub(crate) struct Findings {
    drafts: Vec<Draft>,
    /// The last draft beyond the limit. It lets callers continue as usual.
    overflow: Option<Draft>,
}

impl Findings {
    /// Adds an error at `span`.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.push(Severity::Error, span, message.into())
    }

    /// Adds a warning at `span`.
    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.push(Severity::Warning, span, message.into())
    }

    fn push(&mut self, severity: Severity, span: Span, message: String) -> &mut Draft {
        let draft = Draft { severity, message, span, hint: None, labels: Vec::new() };
        if self.drafts.len() < FINDINGS_MAX {
            self.drafts.push(draft);
            let last = self.drafts.len() - 1;
            &mut self.drafts[last]
        } else {
            // An error beyond the limit must not be covered by a later warning.
            let severity = self.overflow.as_ref().map_or(severity, |last| last.severity.min(severity));
            self.overflow.insert(Draft { severity, ..draft })
        }
    }

    /// The number of errors so far. A caller compares two counts to learn whether a step added one.
    pub(crate) fn errors(&self) -> usize {
        let all = self.drafts.iter().chain(&self.overflow);
        all.filter(|draft| draft.severity == Severity::Error).count()
    }

    /// Whether at least one finding is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.drafts.iter().chain(&self.overflow).any(|draft| draft.severity == Severity::Error)
    }

    /// The findings in the order of the text, with their places.
    pub(crate) fn finish(self, sources: &Sources) -> Vec<Finding> {
        let lines = Lines::new(sources.joined());
        let mut drafts = self.drafts;
        drafts.sort_by_key(|draft| (draft.span.start, draft.span.end, draft.severity));
        let mut findings: Vec<Finding> =
            drafts.into_iter().map(|draft| place(&lines, sources, draft)).collect();
        // Two checks may report the same mistake.
        findings.dedup();
        if let Some(draft) = self.overflow {
            let mut last = place(&lines, sources, draft);
            last.message = format!("{}; more findings are not shown", last.message);
            findings.push(last);
        }
        findings
    }
}

fn place(lines: &Lines<'_>, sources: &Sources, draft: Draft) -> Finding {
    let (file, line, column, length) = lines.place_in(sources, &draft.span);
    let labels = draft
        .labels
        .into_iter()
        .map(|(span, text)| {
            let (other, line, column, length) = lines.place_in(sources, &span);
            let other = (other != file).then(|| other.to_owned());
            Label { line, column, length, text, file: other }
        })
        .collect();
    let Draft { severity, message, hint, .. } = draft;
    Finding { severity, message, file: file.to_owned(), line, column, length, hint, labels }
}

/// The offsets at which the lines of a text begin.
pub(crate) struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, starts }
    }

    /// The file of a range of bytes of the joined text, with its line, column and length (all from one) in that file.
    pub(crate) fn place_in<'f>(&self, sources: &'f Sources, span: &Span) -> (&'f str, usize, usize, usize) {
        let (name, file) = sources.name_at(span.start);
        let (line, column, length) = self.place(&(span.start.min(file.end)..span.end.min(file.end)));
        let before = self.starts.partition_point(|&start| start <= file.start);
        (name, line + 1 - before, column, length)
    }

    /// Line, column and length (all from one) of a range of bytes; the length ends with the line.
    fn place(&self, span: &Span) -> (usize, usize, usize) {
        let start = floor_char(self.source, span.start);
        let line = self.starts.partition_point(|&begin| begin <= start).max(1);
        let begin = self.starts[line - 1];
        let end_of_line = self.end_of_line(line);
        let start = start.min(end_of_line);
        let end = floor_char(self.source, span.end).clamp(start, end_of_line);
        let column = self.source[begin..start].chars().count() + 1;
        let length = self.source[start..end].chars().count().max(1);
        (line, column, length)
    }

    /// The offset after the last character of a line, before its line break.
    fn end_of_line(&self, line: usize) -> usize {
        let end = self.starts.get(line).map_or(self.source.len(), |&next| next - 1);
        let begin = self.starts[line - 1];
        if end > begin && self.source.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
    }

    /// The range of bytes at a line and column, for the renderer. Out of range gives the end.
    pub(crate) fn span(&self, line: usize, column: usize, length: usize) -> Span {
        let Some(&begin) = line.checked_sub(1).and_then(|index| self.starts.get(index)) else {
            return self.source.len()..self.source.len();
        };
        let text = &self.source[begin..self.end_of_line(line)];
        let byte = |characters: usize| {
            text.char_indices().nth(characters).map_or(begin + text.len(), |(at, _)| begin + at)
        };
        let first = column.saturating_sub(1);
        byte(first)..byte(first.saturating_add(length))
    }
}

/// The start of the character that holds this byte.
fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_not_bytes() {
        let mut findings = Findings::default();
        findings.error(8..11, "here");
        let found = findings.finish(&Sources::one("f", "a = \"é\" bcd\n"));
        assert_eq!((found[0].line, found[0].column, found[0].length), (1, 8, 3));
    }

    #[test]
    fn places_are_counted_in_their_own_file() {
        let mut sources = Sources::one("a", "one\ntwo");
        let second = sources.add("b", std::path::Path::new(""), "three\nfour\n");
        let mut findings = Findings::default();
        findings.error(second.start + 6..second.start + 8, "here").label(4..7, "there").label(second, "near");
        let found = findings.finish(&sources).swap_remove(0);
        assert_eq!((found.file.as_str(), found.line, found.column, found.length), ("b", 2, 1, 2));
        let labels: Vec<_> =
            found.labels.iter().map(|label| (label.file.as_deref(), label.line, label.column)).collect();
        assert_eq!(labels, [(Some("a"), 2, 1), (None, 1, 1)]);
    }

    #[test]
    fn a_span_beyond_the_text_is_placed_at_its_end() {
        let mut findings = Findings::default();
        findings.error(90..99, "here");
        let found = findings.finish(&Sources::one("f", "one\ntwo"));
        assert_eq!((found[0].line, found[0].column, found[0].length), (2, 4, 1));
    }

    #[test]
    fn a_span_over_several_lines_ends_with_the_first() {
        let mut findings = Findings::default();
        findings.error(1..6, "here");
        let found = findings.finish(&Sources::one("f", "one\r\ntwo"));
        assert_eq!((found[0].line, found[0].column, found[0].length), (1, 2, 2));
    }

    #[test]
    fn no_more_findings_are_kept_than_the_limit() {
        let mut findings = Findings::default();
        for at in 0..FINDINGS_MAX + 50 {
            findings.error(at..at + 1, "here").hint("there");
        }
        let found = findings.finish(&Sources::one("f", &"x".repeat(500)));
        assert_eq!(found.len(), FINDINGS_MAX + 1);
    }
}
