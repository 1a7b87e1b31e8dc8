//! Templates in commands and environment variables: `--listen {export.xmpp.addr}`.
//!
//! A placeholder is a dotted lower-case name in braces; other braces stay as they are, so that JSON or shell
//! text in an argument needs no escaping. Nothing is run here.

/// The fields of a port in a placeholder, beside its values; only an import has `addrs`.
pub(crate) const PORT_FIELDS: [&str; 4] = ["addr", "host", "port", "addrs"];

/// A placeholder in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placeholder<'t> {
    /// The name between the braces.
    pub name: &'t str,
    /// The bytes of the text it stands in, braces included.
    pub span: std::ops::Range<usize>,
}

/// All placeholders of a text, in their order.
#[must_use]
pub fn placeholders(text: &str) -> Vec<Placeholder<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let inside = &text[open + 1..];
        let length = inside.find(|c: char| !is_name_character(c)).unwrap_or(inside.len());
        let name = &inside[..length];
        if inside[length..].starts_with('}') && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            let end = open + 1 + length + 1;
            found.push(Placeholder { name, span: open..end });
            from = end;
        } else {
            from = open + 1;
        }
    }
    found
}

/// Replaces every placeholder by what `value` gives for its name.
///
/// # Errors
/// The name of the first placeholder that `value` does not know.
pub fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut from = 0;
    for placeholder in placeholders(text) {
        filled.push_str(&text[from..placeholder.span.start]);
        filled.push_str(&value(placeholder.name).ok_or_else(|| placeholder.name.to_owned())?);
        from = placeholder.span.end;
    }
    filled.push_str(&text[from..]);
    Ok(filled)
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let value = |name: &str| (name == "export.a.addr").then(|| "127.0.0.1:1".to_owned());
        assert_eq!(fill("x={export.a.addr} {\"k\":{}}", &value), Ok("x=127.0.0.1:1 {\"k\":{}}".to_owned()));
        assert_eq!(fill("{import.b.addr}", &value), Err("import.b.addr".to_owned()));
    }
}
