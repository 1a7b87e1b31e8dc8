//! Findings as text for people: `file:line:column` first, the line with a caret, then the hint.
//!
//! The snippet is drawn by the library that draws rustc's; it works without colour and asks nothing of the
//! terminal.

use crate::finding::{Finding, Lines, Severity};
use crate::plain_text;
use crate::sources::Sources;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// All findings about one text, each followed by an empty line.
///
/// `source` is the text the findings were made from. `color` switches terminal escapes on.
#[must_use]
pub fn render(findings: &[Finding], source: &str, color: bool) -> String {
    let plain = plain_text(source);
    rendered(findings, &|_| Some(plain.as_ref()), color)
}

/// All findings about a config, each followed by an empty line.
///
/// `sources` are the files the findings were made from. `color` switches terminal escapes on.
#[must_use]
pub fn render_sources(findings: &[Finding], sources: &Sources, color: bool) -> String {
    rendered(findings, &|file| sources.text_of(file), color)
}

fn rendered<'t>(findings: &[Finding], text_of: &dyn Fn(&str) -> Option<&'t str>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for finding in findings {
        let (severity, level) = match finding.severity {
            Severity::Error => ("error", Level::ERROR),
            Severity::Warning => ("warning", Level::WARNING),
        };
        text.push_str(&format!(
            "{}:{}:{}: {severity}: {}\n",
            finding.file, finding.line, finding.column, finding.message
        ));
        let source = text_of(&finding.file).unwrap_or("");
        let lines = Lines::new(source);
        let span = lines.span(finding.line, finding.column, finding.length);
        let mut snippet = Snippet::source(source).annotation(AnnotationKind::Primary.span(span));
        for label in finding.labels.iter().filter(|label| label.file.is_none()) {
            let span = lines.span(label.line, label.column, label.length);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(&label.text));
        }
        // The headline above stands for the title: it can be clicked and searched for.
        let mut group = Group::with_level(level).element(snippet);
        for label in &finding.labels {
            let Some(file) = &label.file else { continue };
            let source = text_of(file).unwrap_or("");
            let span = Lines::new(source).span(label.line, label.column, label.length);
            let annotation = AnnotationKind::Context.span(span).label(&label.text);
            group = group.element(Snippet::source(source).path(file).annotation(annotation));
        }
        if let Some(hint) = &finding.hint {
            group = group.element(Level::HELP.message(hint));
        }
        for line in renderer.render(&[group]).lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    text
}
