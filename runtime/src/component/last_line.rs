//! The last line that a program wrote, for the reason of its failure. Bounded for any amount of output.
//!
//! The whole output is in [`super::instance_log`].

use crate::secrets::Opened;

/// Bytes of the line that are kept until the secrets in it are replaced.
const KEPT_BYTES_MAX: usize = 4_096;
/// Characters of the line that are shown. A report has room for 200 bytes, and half of it names the failure.
const SHOWN_CHARS_MAX: usize = 110;
/// Characters that are shown of the beginning of a longer line, which often names the program. The end has the others,
/// because many programs write a path first and the error behind it.
const BEGINNING_CHARS: usize = 30;

/// Takes a program's output and keeps its last line that is not blank.
#[derive(Default)]
pub(super) struct LastLine {
    /// The line that has not ended yet.
    open: Vec<u8>,
    /// The last line that has ended.
    ended: Vec<u8>,
}

impl LastLine {
    /// Takes the next bytes of the output.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = KEPT_BYTES_MAX.saturating_sub(self.open.len());
            self.open.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.open);
                if !line.trim_ascii().is_empty() {
                    self.ended = line;
                }
            }
        }
    }

    /// Appends the line to the reason of a failure. Secrets are replaced, and control characters are dropped, because
    /// the reason is shown on terminals.
    pub(super) fn explain(&self, reason: &str, secrets: &Opened) -> String {
        let bytes = if self.open.trim_ascii().is_empty() { &self.ended } else { &self.open };
        let text = String::from_utf8_lossy(bytes);
        // The cut may have left a part of a character.
        let text = text.trim().trim_end_matches(char::REPLACEMENT_CHARACTER);
        // A secret may contain control characters, and control characters may be within a secret.
        let line = secrets.redact(text.to_owned()).chars().filter(|c| !c.is_control()).collect();
        let line = secrets.redact(line);
        if line.is_empty() {
            return reason.to_owned();
        }
        // The end of a longer line was not kept.
        let mark = if bytes.len() >= KEPT_BYTES_MAX { "…" } else { "" };
        format!("{reason}; its last output: {}{mark}", in_short(&line))
    }
}

/// The beginning and the end of a line.
fn in_short(line: &str) -> String {
    let count = line.chars().count();
    if count <= SHOWN_CHARS_MAX {
        return line.to_owned();
    }
    let beginning: String = line.chars().take(BEGINNING_CHARS).collect();
    let end: String = line.chars().skip(count - (SHOWN_CHARS_MAX - BEGINNING_CHARS)).collect();
    format!("{beginning}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(chunks: &[&[u8]]) -> String {
        let mut last = LastLine::default();
        chunks.iter().for_each(|chunk| last.take(chunk));
        last.explain("exit 3", &Opened::default())
    }

    #[test]
    fn the_last_line_with_content_explains_a_failure() {
        assert_eq!(said(&[]), "exit 3");
        assert_eq!(said(&[b"one\nno such", b" table\n\n  \n"]), "exit 3; its last output: no such table");
        assert_eq!(said(&[b"one\nwithout an end"]), "exit 3; its last output: without an end");
        assert_eq!(said(&[b"\x1b[31mred\x1b[0m\n"]), "exit 3; its last output: [31mred[0m");
    }

    #[test]
    fn secrets_are_replaced_with_control_characters_within_them_and_around_them_and_if_they_are_cut() {
        let secrets = Opened::of([("KEY", "one\ttwo"), ("WORD", "hunter2"), ("ODD", "h\u{fc}nter-\u{fc}")]);
        let said = |line: &str| {
            let mut last = LastLine::default();
            last.take(line.as_bytes());
            last.explain("", &secrets)
        };
        assert_eq!(said("key one\ttwo!\n"), "; its last output: key [secret KEY]!");
        assert_eq!(said("hun\x1b[0mter2 h\x07unter2!\n"), "; its last output: hun[0mter2 [secret WORD]!");
        let kept = "x".repeat(KEPT_BYTES_MAX - "h\u{fc}nter-\u{fc}".len() + 1);
        let cut = said(&format!("{kept}h\u{fc}nter-\u{fc}"));
        assert!(cut.ends_with("x[secret ODD]…"), "{cut}");
    }

    #[test]
    fn a_long_line_is_cut_and_marked() {
        let mut last = LastLine::default();
        for _ in 0..100 {
            last.take(&[b'x'; 4_096]);
        }
        assert!(last.open.len() <= KEPT_BYTES_MAX);
        let shown = format!("; its last output: {}…{}…", "x".repeat(BEGINNING_CHARS), "x".repeat(80));
        assert_eq!(last.explain("", &Opened::default()), shown);
    }

    #[test]
    fn the_end_of_a_long_line_is_shown_too() {
        let path = "/srv/application/hosts/one/node/instances/".repeat(3);
        let said =
            said(&[format!("python3: can't open file '{path}api.py': [Errno 2] No such file\n").as_bytes()]);
        assert!(said.contains("output: python3: can't open file '/srv"), "{said}");
        assert!(said.ends_with("/api.py': [Errno 2] No such file"), "{said}");
        assert!(said.chars().count() <= "exit 3; its last output: ".len() + SHOWN_CHARS_MAX + 1, "{said}");
    }
}
