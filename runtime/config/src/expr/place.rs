//! Maps an offset in the text of a TOML string to the bytes of the file.
//!
//! The two differ in a string with escapes, which therefore gets a table with one entry per byte of its text.

use crate::finding::Span;

/// The places of the bytes of one text in the file.
#[derive(Clone, Debug)]
pub(crate) enum Placer {
    /// Every byte has the same place.
    Whole(Span),
    /// The text is in the file unchanged, from this byte.
    Plain { start: usize },
    /// The place of each byte of the text, and of its end.
    Mapped(Vec<usize>),
}

impl Placer {
    /// Finds how `text`, the value of the TOML string at `span` of `source`, is written there.
    pub(crate) fn new(source: &str, span: &Span, text: &str) -> Self {
        let whole = Self::Whole(span.clone());
        let Some(raw) = source.get(span.clone()) else { return whole };
        let quote = match raw.as_bytes().first() {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            _ => return whole,
        };
        let triple: String = [quote; 3].iter().collect();
        let mut begin = 1;
        if raw.len() >= 6 && raw.starts_with(&triple) {
            begin = 3;
            // TOML drops a line break right after the opening quotes.
            for line_break in ["\r\n", "\n"] {
                if raw[begin..].starts_with(line_break) {
                    begin += line_break.len();
                    break;
                }
            }
        }
        if raw[begin..].starts_with(text) {
            return Self::Plain { start: span.start + begin };
        }
        if quote == '\'' {
            return whole;
        }
        match escapes(&raw[begin..], text) {
            Some(map) => Self::Mapped(map.into_iter().map(|at| span.start + begin + at).collect()),
            None => whole,
        }
    }

    /// The bytes of the file that hold a range of the text.
    pub(crate) fn span(&self, inner: &Span) -> Span {
        match self {
            Self::Whole(span) => span.clone(),
            Self::Plain { start } => start + inner.start..start + inner.end,
            Self::Mapped(map) => {
                let at = |index: usize| map.get(index).or(map.last()).copied().unwrap_or(0);
                at(inner.start)..at(inner.end)
            }
        }
    }
}

/// For each byte of `text`, and its end, the byte of `raw` that it was written at.
fn escapes(raw: &str, text: &str) -> Option<Vec<usize>> {
    let mut map = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    for wanted in text.chars() {
        at = skip_line_continuations(raw, at);
        let rest = raw.get(at..)?;
        let length = match rest.strip_prefix('\\') {
            None if rest.starts_with("\r\n") && wanted == '\n' => 2,
            None => rest.chars().next()?.len_utf8(),
            Some(escape) => match escape.chars().next()? {
                'x' => 4,
                'u' => 6,
                'U' => 10,
                other => 1 + other.len_utf8(),
            },
        };
        map.extend(std::iter::repeat_n(at, wanted.len_utf8()));
        at += length;
    }
    map.push(at.min(raw.len()));
    Some(map)
}

/// A backslash at the end of a line swallows white space up to the next character.
fn skip_line_continuations(raw: &str, mut at: usize) -> usize {
    while let Some(rest) = raw.get(at..).and_then(|rest| rest.strip_prefix('\\')) {
        let trimmed = rest.trim_start();
        let swallowed = &rest[..rest.len() - trimmed.len()];
        if !swallowed.contains('\n') {
            break;
        }
        at += 1 + swallowed.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places the second `b` of the value of `x`, which reads `a "b" b`, in this document.
    fn second_b(document: &str) -> String {
        let table = toml::de::DeTable::parse(document).expect("a document").into_inner();
        let (_, value) = table.iter().next().expect("one field");
        let text = value.get_ref().as_str().expect("a text");
        let placer = Placer::new(document, &value.span(), text);
        let at = text.rfind('b').expect("a b");
        document[placer.span(&(at..at + 1))].to_owned() + &document[placer.span(&(at..at + 1)).end..]
    }

    #[test]
    fn a_literal_string_is_placed() {
        assert_eq!(second_b("x = 'a \"b\" b'"), "b'");
    }

    #[test]
    fn escapes_are_counted() {
        assert_eq!(second_b(r#"x = "a \"b\" b""#), "b\"");
        assert_eq!(second_b("x = \"a \\u0022b\\x22 b\""), "b\"");
    }

    #[test]
    fn a_string_of_several_lines_is_placed() {
        assert_eq!(second_b("x = \"\"\"\na \\\n   \"b\" b\"\"\""), "b\"\"\"");
        assert_eq!(second_b("x = '''\na \"b\" b'''"), "b'''");
    }
}
