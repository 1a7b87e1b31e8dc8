//! Placeholders in texts: `--listen {export.xmpp.addr}`.
//!
//! A string of the config is strict: `{name}` is a placeholder, `{{` and `}}` are literal braces, `${…}` is left to the
//! program (a shell's variable), and every other brace is an error, so that no text is filled in by half. A template
//! file is lenient, because its format may need many braces: only `{dotted.lower-case.name}` is a placeholder,
//! `{{name}}` is the literal `{name}`, and every other brace stays. Nothing is run here.

use std::ops::Range;

/// The fields of a port in a placeholder, beside its values; only an import has `addrs`.
pub(crate) const PORT_FIELDS: [&str; 4] = ["addr", "host", "port", "addrs"];

/// The rules for braces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Braces {
    /// Those of a string of the config.
    Strict,
    /// Only `{dotted.lower-case.name}` is a placeholder, and every other brace stays: for a text of another format.
    Lenient,
}

/// A part of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part<'t> {
    /// Text that stays as it is.
    Literal(&'t str),
    /// A placeholder: its name, and its bytes in the text with the braces.
    Placeholder(&'t str, Range<usize>),
    /// Braces of a strict text that are no placeholder.
    Stray(Range<usize>),
}

/// Splits a text into its parts.
pub(crate) fn parts(text: &str, braces: Braces) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut at, mut literal) = (0, 0);
    while let Some(next) = text[at..].find(['{', '}', '$']).map(|offset| at + offset) {
        let (part, end) = match braces {
            Braces::Strict => strict(text, next),
            Braces::Lenient => lenient(text, next),
        };
        at = end;
        if let Some(part) = part {
            if literal < next {
                parts.push(Part::Literal(&text[literal..next]));
            }
            parts.push(part);
            literal = end;
        }
    }
    if literal < text.len() {
        parts.push(Part::Literal(&text[literal..]));
    }
    parts
}

/// Whether a string of the config has a placeholder.
pub(crate) fn has_placeholder(text: &str) -> bool {
    parts(text, Braces::Strict).iter().any(|part| matches!(part, Part::Placeholder(..)))
}

/// The part that begins with the sign at `at`, and its end; none if the text up to there is literal.
fn strict(text: &str, at: usize) -> (Option<Part<'_>>, usize) {
    let rest = &text[at..];
    if rest.starts_with("{{") || rest.starts_with("}}") {
        return (Some(Part::Literal(&rest[..1])), at + 2);
    }
    if let Some(after) = rest.strip_prefix('$') {
        // `${{` is a dollar sign and a literal brace.
        let is_variable = after.starts_with('{') && !after.starts_with("{{");
        let length = if is_variable { closing(after).map_or(2, |end| end + 2) } else { 1 };
        return (None, at + length);
    }
    if let Some((name, length)) = name_in_braces(rest) {
        return (Some(Part::Placeholder(name, at..at + length)), at + length);
    }
    let length = if rest.starts_with('{') { closing(rest).map_or(1, |end| end + 1) } else { 1 };
    (Some(Part::Stray(at..at + length)), at + length)
}

fn lenient(text: &str, at: usize) -> (Option<Part<'_>>, usize) {
    let rest = &text[at..];
    if rest.starts_with("{{")
        && let Some((name, length)) = name_in_braces(&rest[1..])
        && is_lower(name)
        && rest[1 + length..].starts_with('}')
    {
        return (Some(Part::Literal(&rest[1..1 + length])), at + length + 2);
    }
    if let Some(after) = rest.strip_prefix('$') {
        let length = name_in_braces(after).map_or(1, |(_, length)| 1 + length);
        return (None, at + length);
    }
    match name_in_braces(rest).filter(|(name, _)| is_lower(name)) {
        Some((name, length)) => (Some(Part::Placeholder(name, at..at + length)), at + length),
        None => (None, at + 1),
    }
}

/// The name and the length of `{name}` at the start of a text.
fn name_in_braces(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix('{')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
    let name = &inside[..length];
    (inside[length..].starts_with('}') && name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .then_some((name, length + 2))
}

fn is_lower(name: &str) -> bool {
    !name.contains(|c: char| c.is_ascii_uppercase())
}

/// The offset of the brace that closes the one at the start of a text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Replaces every placeholder of a string of the config by what `value` returns for its name.
///
/// # Errors
/// The name of the first placeholder for which `value` returns `None`.
pub fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text, Braces::Strict) {
        match part {
            Part::Literal(literal) => filled.push_str(literal),
            Part::Placeholder(name, _) => filled.push_str(&value(name).ok_or_else(|| name.to_owned())?),
            // A checked config has none.
            Part::Stray(span) => filled.push_str(&text[span]),
        }
    }
    Ok(filled)
}

/// The text that [`fill`] turns into `literal`.
pub(crate) fn escaped(literal: &str) -> String {
    literal.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(name: &str) -> Option<String> {
        (name == "export.a.addr").then(|| "127.0.0.1:1".to_owned())
    }

    fn strict(text: &str) -> Result<String, String> {
        fill(text, &value)
    }

    fn strays(text: &str) -> Vec<&str> {
        let strays = parts(text, Braces::Strict).into_iter();
        strays
            .filter_map(|part| if let Part::Stray(span) = part { Some(&text[span]) } else { None })
            .collect()
    }

    #[test]
    fn a_placeholder_is_filled_and_doubled_braces_are_single_ones() {
        assert_eq!(strict("x={export.a.addr}!"), Ok("x=127.0.0.1:1!".to_owned()));
        assert_eq!(strict("awk '{{print}}'"), Ok("awk '{print}'".to_owned()));
        assert_eq!(strict("{{{export.a.addr}}}"), Ok("{127.0.0.1:1}".to_owned()));
        assert_eq!(strict("{import.b.addr}"), Err("import.b.addr".to_owned()));
        assert_eq!(strict("{HOME}"), Err("HOME".to_owned()));
    }

    #[test]
    fn a_variable_of_the_shell_is_left_alone() {
        for text in ["${HOME}", "${a:-${export.a.addr}}", "$HOME $ ${", "${export.a.addr}"] {
            assert_eq!(strict(text).as_deref(), Ok(text));
            assert_eq!(strays(text), [""; 0]);
        }
        assert_eq!(strict("${{x}}"), Ok("${x}".to_owned()));
    }

    #[test]
    fn every_other_brace_of_a_strict_text_is_a_stray() {
        assert_eq!(strays("{ print }"), ["{ print }"]);
        assert_eq!(strays("{\"k\": {\"l\": 1}}"), ["{\"k\": {\"l\": 1}}"]);
        assert_eq!(strays("a { b"), ["{"]);
        assert_eq!(strays("a } b"), ["}"]);
        assert_eq!(strays("{}"), ["{}"]);
        assert_eq!(strays("%{{http_code}} {{}}"), [""; 0]);
    }

    #[test]
    fn braces_of_a_file_stay_unless_they_hold_a_lower_case_name() {
        let found = |text: &str| {
            let parts = parts(text, Braces::Lenient).into_iter();
            let names = parts.filter_map(|part| match part {
                Part::Placeholder(name, _) => Some(name.to_owned()),
                _ => None,
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(found("json = {\"a\": {}} ${export.a.addr} {NAME} { x } {0} }} {{name}}"), [""; 0]);
        assert_eq!(found("a {export.a.addr} {name}"), ["export.a.addr", "name"]);
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_filled_to_itself(text in "[a${}.b ]{0,12}") {
            prop_assert_eq!(strict(&escaped(&text)), Ok(text.clone()));
            let escaped = escaped(&text);
            prop_assert_eq!(strays(&escaped), [""; 0]);
        }

        #[test]
        fn parts_cover_the_text(text in "[a${}.b ]{0,12}") {
            for braces in [Braces::Strict, Braces::Lenient] {
                for part in parts(&text, braces) {
                    if let Part::Placeholder(name, span) = part {
                        let whole = format!("{{{name}}}");
                        prop_assert_eq!(&text[span], whole.as_str());
                    }
                }
            }
        }
    }
}
