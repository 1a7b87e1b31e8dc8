//! Plain words: comments, Markdown and names avoid the wording listed in `words.txt`.
//!
//! The list holds riddles, paragraphs without a subject, and words that gave way to the standard term, each with
//! its remedy. Comments and Markdown are read as paragraphs, so a phrase is found across a line end. Code spans,
//! fenced blocks and literals are not prose and are skipped. The pages that record a rename or quote old wording
//! ([`QUOTES`]) are skipped as well. This module does not judge whether a sentence is good.

use crate::Finding;
use crate::source::Source;
use crate::tree::File;

/// The reviewed list, relative to the root.
pub(crate) const WORDS: &str = "tests/tidy/words.txt";

/// Files that quote the old wording in order to explain it.
const QUOTES: [&str; 2] = ["CHANGELOG.md", "CONTRIBUTING.md"];

/// Where a pattern applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Anywhere in prose.
    Phrase,
    /// At the beginning of a paragraph of a doc comment.
    Head,
    /// In prose, and as a part of an identifier.
    Name,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    kind: Kind,
    /// Lower case, single spaces.
    text: String,
    remedy: String,
}

/// The list of banned wording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words {
    patterns: Vec<Pattern>,
}

impl Words {
    /// Reads the list; its own head explains the notation.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = Self::default();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (number, line) in lines {
            let pattern = pattern(line);
            words
                .patterns
                .push(pattern.ok_or_else(|| format!("{WORDS}:{}: not a pattern: {line}", number + 1))?);
        }
        Ok(words)
    }
}

fn pattern(line: &str) -> Option<Pattern> {
    let (head, remedy) = line.split_once(" => ")?;
    let mut words = head.split_whitespace();
    let kind = match words.next()? {
        "phrase" => Kind::Phrase,
        "head" => Kind::Head,
        "name" => Kind::Name,
        _ => return None,
    };
    let text = words.collect::<Vec<_>>().join(" ").to_lowercase();
    (!text.is_empty()).then(|| Pattern { kind, text, remedy: remedy.trim().to_owned() })
}

/// Looks for banned wording in all Rust files and Markdown pages.
pub(crate) fn check(files: &[File], sources: &[Source], words: &Words) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md") && !QUOTES.contains(&&*file.path)) {
        for paragraph in markdown(&file.text) {
            findings.extend(in_paragraph(&file.path, &paragraph, words));
        }
    }
    for source in sources {
        for paragraph in comments(&source.comments) {
            findings.extend(in_paragraph(&source.path, &paragraph, words));
        }
        findings.extend(in_names(source, words));
    }
    findings
}

/// Consecutive lines of prose, joined by single spaces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Paragraph {
    /// Lower case.
    text: String,
    /// Where each line begins in `text`, and its number in the file.
    lines: Vec<(usize, usize)>,
    /// Whether it is the text of `///` or `//!`.
    doc: bool,
}

impl Paragraph {
    fn push(&mut self, number: usize, line: &str) {
        let prose = line.split('`').enumerate().map(|(i, part)| if i % 2 == 0 { part } else { "`" });
        let prose = prose.collect::<String>().to_lowercase();
        for word in prose.split_whitespace() {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            if self.lines.last().is_none_or(|(_, last)| *last != number) {
                self.lines.push((self.text.len(), number));
            }
            self.text.push_str(word);
        }
    }

    /// The number of the line at this offset.
    fn line(&self, at: usize) -> usize {
        let line = self.lines.iter().rev().find(|(begin, _)| *begin <= at);
        line.map_or(0, |(_, number)| *number)
    }
}

/// The paragraphs of comments: a change of the marker, an empty line and code end one.
fn comments(comments: &str) -> Vec<Paragraph> {
    let mut paragraphs = vec![Paragraph::default()];
    let (mut last, mut fenced) = ("", false);
    for (index, line) in comments.lines().enumerate() {
        let line = line.trim();
        let marker = ["//!", "///", "//", "/*"].into_iter().find(|marker| line.starts_with(marker));
        let text = marker.map_or(line, |marker| &line[marker.len()..]).trim();
        let fence = text.starts_with("```");
        fenced ^= fence;
        // A list item and a heading stand for themselves.
        let begins = marker.unwrap_or("") != last || text.is_empty() || text.starts_with(['-', '#', '|']);
        if begins || fence || fenced {
            paragraphs.push(Paragraph { doc: matches!(marker, Some("//!" | "///")), ..Paragraph::default() });
        }
        if !fence
            && !fenced
            && let Some(paragraph) = paragraphs.last_mut()
        {
            paragraph.push(index + 1, text);
        }
        last = marker.unwrap_or("");
    }
    paragraphs.retain(|paragraph| !paragraph.text.is_empty());
    paragraphs
}

/// The paragraphs of a page, without fenced blocks.
fn markdown(text: &str) -> Vec<Paragraph> {
    let mut paragraphs = vec![Paragraph::default()];
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let fence = line.starts_with("```");
        fenced ^= fence;
        if fence || fenced || line.is_empty() || line.starts_with(['-', '*', '#', '|', '>']) {
            paragraphs.push(Paragraph::default());
        }
        if !fence
            && !fenced
            && let Some(paragraph) = paragraphs.last_mut()
        {
            paragraph.push(index + 1, line);
        }
    }
    paragraphs.retain(|paragraph| !paragraph.text.is_empty());
    paragraphs
}

fn in_paragraph(path: &str, paragraph: &Paragraph, words: &Words) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pattern in &words.patterns {
        if pattern.kind == Kind::Head {
            let rest = paragraph.text.strip_prefix(pattern.text.as_str());
            if paragraph.doc && rest.is_some_and(|rest| !rest.starts_with(is_word)) {
                findings.push(finding(path, paragraph.line(0), pattern));
            }
            continue;
        }
        for (at, found) in paragraph.text.match_indices(&pattern.text) {
            let before = paragraph.text[..at].chars().next_back();
            let after = paragraph.text[at + found.len()..].chars().next();
            if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
                findings.push(finding(path, paragraph.line(at), pattern));
            }
        }
    }
    findings
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Identifiers, cut where a word ends in `snake_case` and `CamelCase`.
fn in_names(source: &Source, words: &Words) -> Vec<Finding> {
    let patterns: Vec<&Pattern> =
        words.patterns.iter().filter(|pattern| pattern.kind == Kind::Name).collect();
    let mut findings = Vec::new();
    for (index, line) in source.code.lines().enumerate() {
        let parts: Vec<String> = line.split(|c| !is_word(c)).flat_map(parts).collect();
        let found = patterns.iter().filter(|pattern| parts.contains(&pattern.text));
        findings.extend(found.map(|pattern| finding(&source.path, index + 1, pattern)));
    }
    findings
}

fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && lower) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    parts
}

fn finding(path: &str, line: usize, pattern: &Pattern) -> Finding {
    Finding::new(path, line, format!("\"{}\": {}", pattern.text, pattern.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# a list\nphrase is told => say who sends it\nhead what => name the subject\n\
                        name barren => stalled\n";

    fn found(path: &str, text: &str) -> Vec<usize> {
        let words = Words::parse(LIST).unwrap();
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let sources = if path.ends_with(".rs") { vec![Source::scan(&file)] } else { Vec::new() };
        check(&[file], &sources, &words).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_banned_phrase_is_found_in_comments_and_pages_and_across_lines() {
        assert_eq!(found("a.rs", "//! A.\n// The node is told.\nfn a() {} // It IS TOLD.\n"), [2, 3]);
        assert_eq!(found("a.rs", "//! A.\n/// The node is\n/// told.\nfn a() {}\n"), [2]);
        assert_eq!(found("a.md", "# A\n\nThe node is\ntold.\n"), [3]);
    }

    #[test]
    fn literals_code_spans_fences_and_longer_words_are_not_prose() {
        assert_eq!(found("a.rs", "//! A.\nlet a = \"is told\";\n// `is told`, this told.\n"), [0usize; 0]);
        assert_eq!(found("a.md", "# A\n```\nis told\n```\n`is told`\n"), [0usize; 0]);
        assert_eq!(found("CHANGELOG.md", "# A\nis told\n"), [0usize; 0]);
    }

    #[test]
    fn a_doc_paragraph_does_not_open_without_a_subject() {
        assert_eq!(found("a.rs", "//! A.\n//!\n//! What follows.\n/// What\nfn a() {}\n"), [3, 4]);
        assert_eq!(found("a.rs", "//! A says\n//! what follows.\n/// Whatever\n// What now.\n"), [0usize; 0]);
    }

    #[test]
    fn a_renamed_word_is_found_in_identifiers() {
        assert_eq!(
            found("a.rs", "//! A.\nfn is_barren() {}\nstruct BarrenMove;\nlet barrens = 1;\n"),
            [2, 3]
        );
    }

    #[test]
    fn a_line_that_is_no_pattern_is_refused() {
        assert!(Words::parse("phrase x").is_err());
        assert!(Words::parse("word x => y").is_err());
        assert!(Words::parse("phrase => y").is_err());
    }
}
