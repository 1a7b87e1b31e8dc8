//! The tokens of the expression language: words, numbers and signs.

use crate::finding::Span;
use crate::units::{self, Measured};

/// A mistake in an expression, placed by a range of its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mistake {
    /// The message.
    pub(crate) message: String,
    /// The remedy.
    pub(crate) hint: Option<String>,
    /// The place.
    pub(crate) span: Span,
}

impl Mistake {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, span }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A token and its place.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum TokenKind {
    /// A number with its unit.
    Number(Measured),
    /// A quoted text, escapes resolved.
    Text(String),
    /// A name or keyword.
    Word(String),
    /// An operator, bracket or comma.
    Sign(&'static str),
    /// The end of the expression.
    End,
}

/// Longest first, so that `<=` is not read as `<` and `=`.
const SIGNS: &[&str] = &[
    "&&", "||", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%", "!", "(", ")", "[", "]", ",", ".",
    "?", ":",
];

/// Signs of other languages, and the sign to write instead.
const FOREIGN: &[(&str, &str)] = &[
    ("->", "write the property directly, such as `distinct(placement, node.provider)`"),
    ("=>", "write `>=` for \"at least\""),
    ("=<", "write `<=` for \"at most\""),
    ("//", "write `/`: it rounds down between whole numbers and size(placement)"),
    ("**", "write a product"),
    ("=", "write `==` to compare"),
    ("&", "write `&&`"),
    ("|", "write `||`"),
    ("~", "write `!`"),
    ("`", "quote a text with ' or \""),
    (";", "write `&&` between two conditions"),
];

/// Splits an expression into tokens; the last is the end.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Mistake> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            found.push(Token { kind: TokenKind::End, span: at..at });
            return Ok(found);
        };
        let (kind, length) = if let Some(number) = units::measured(rest) {
            match number {
                Ok(number) => (TokenKind::Number(number), number.length),
                Err(wrong) => {
                    return Err(Mistake {
                        message: wrong.message,
                        hint: wrong.hint,
                        span: at..at + wrong.length,
                    });
                }
            }
        } else if first == '"' || first == '\'' {
            quoted(rest, at)?
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (TokenKind::Word(rest[..length].to_owned()), length)
        } else {
            sign(rest, first, at)?
        };
        found.push(Token { kind, span: at..at + length });
        at += length;
    }
}

fn sign(rest: &str, first: char, at: usize) -> Result<(TokenKind, usize), Mistake> {
    // `//` and `->` begin with known signs, so foreign signs are tried first.
    let foreign = FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign));
    let known = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    match (foreign, known) {
        (foreign, Some(known)) if foreign.is_none_or(|(sign, _)| sign.len() <= known.len()) => {
            Ok((TokenKind::Sign(known), known.len()))
        }
        (Some((sign, hint)), _) => {
            Err(Mistake::new(at..at + sign.len(), format!("`{sign}` is not an operator")).hint(*hint))
        }
        _ => Err(Mistake::new(
            at..at + first.len_utf8(),
            format!("unexpected character `{}`", first.escape_debug()),
        )),
    }
}

fn quoted(rest: &str, at: usize) -> Result<(TokenKind, usize), Mistake> {
    let mut characters = rest.char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    let mut text = String::new();
    while let Some((index, c)) = characters.next() {
        if Some(c) == quote {
            return Ok((TokenKind::Text(text), index + c.len_utf8()));
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        match characters.next() {
            Some((_, 'n')) => text.push('\n'),
            Some((_, 't')) => text.push('\t'),
            Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
            Some((end, c)) => {
                let span = at + index..at + end + c.len_utf8();
                return Err(Mistake::new(span, format!("unknown escape `\\{}`", c.escape_debug()))
                    .hint("known escapes: \\n \\t \\\\ \\\" \\'"));
            }
            None => break,
        }
    }
    Err(Mistake::new(at..at + rest.len(), "the text is not closed").hint("add the closing quote"))
}
