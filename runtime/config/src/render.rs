//! Findings as text for people: `file:line:column` first, the line with a caret, then the hint.
//!
//! The snippet is miette's; it works without colour and asks nothing of the terminal.

use crate::finding::{Finding, Lines, Severity};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use std::fmt;

/// All findings as text, each followed by an empty line.
///
/// `source` is the text the findings were made from. `color` switches terminal escapes on.
#[must_use]
pub fn render(findings: &[Finding], source: &str, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_wrap_lines(false);
    let lines = Lines::new(source);
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        text.push_str(&format!(
            "{}:{}:{}: {severity}: {}\n",
            finding.file, finding.line, finding.column, finding.message
        ));
        let shown = Shown::new(finding, &lines, source);
        let mut snippet = String::new();
        // Writing to a String cannot fail; a failure inside miette leaves the headline above, which suffices.
        if handler.render_report(&mut snippet, &shown).is_ok() {
            // The first line repeats the message, which the headline has already said with its place.
            for line in snippet.lines().skip(1) {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text.push('\n');
    }
    text
}

/// One finding in the form miette draws.
#[derive(Debug)]
struct Shown<'f> {
    finding: &'f Finding,
    source: NamedSource<String>,
    labels: Vec<LabeledSpan>,
}

impl<'f> Shown<'f> {
    fn new(finding: &'f Finding, lines: &Lines<'_>, source: &str) -> Self {
        let span = lines.span(finding.line, finding.column, finding.length);
        let mut labels = vec![LabeledSpan::new_primary_with_span(None, span)];
        for label in &finding.labels {
            let span = lines.span(label.line, label.column, label.length);
            labels.push(LabeledSpan::new_with_span(Some(label.text.clone()), span));
        }
        Self { finding, source: NamedSource::new(&finding.file, source.to_owned()), labels }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding.message.replace('\n', " "))
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
