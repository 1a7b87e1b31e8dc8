//! The text of a file as it is parsed: without a byte order mark, and with single line feeds.
//!
//! Editors on Windows write both. A carriage return that stayed in a multi-line string would become part of a shell
//! script, and a program would fail on it. Lines and columns are the same before and after.

use std::borrow::Cow;

/// The text without a leading byte order mark, and with `\n` for each `\r\n`.
#[must_use]
pub fn plain_text(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_and_carriage_returns_go() {
        assert_eq!(plain_text("\u{feff}a\r\nb\rc\n"), "a\nb\rc\n");
        assert!(matches!(plain_text("a\n"), Cow::Borrowed("a\n")));
    }
}
