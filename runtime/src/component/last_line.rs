//! The last line that a program wrote, for the reason of its failure. Bounded for any amount of output.
//!
//! The whole output is in [`super::instance_log`].

/// Bytes of the line that are kept. A report has room for 200 bytes, and half of it names the failure.
const LINE_BYTES_MAX: usize = 110;

/// Takes a program's output and keeps the beginning of its last line that is not blank.
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
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.open.len());
            self.open.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.open);
                if !line.trim_ascii().is_empty() {
                    self.ended = line;
                }
            }
        }
    }

    /// Appends the line to the reason of a failure. Control characters are dropped, because the reason is shown on
    /// terminals.
    pub(super) fn explain(&self, reason: &str) -> String {
        let bytes = if self.open.trim_ascii().is_empty() { &self.ended } else { &self.open };
        let is_cut = bytes.trim_ascii_end().len() > LINE_BYTES_MAX;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_BYTES_MAX)]);
        let line: String = text.trim().chars().filter(|c| !c.is_control()).collect();
        let mark = if is_cut { "…" } else { "" };
        if line.is_empty() { reason.to_owned() } else { format!("{reason}; its last output: {line}{mark}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(chunks: &[&[u8]]) -> String {
        let mut last = LastLine::default();
        chunks.iter().for_each(|chunk| last.take(chunk));
        last.explain("exit 3")
    }

    #[test]
    fn the_last_line_with_content_explains_a_failure() {
        assert_eq!(said(&[]), "exit 3");
        assert_eq!(said(&[b"one\nno such", b" table\n\n  \n"]), "exit 3; its last output: no such table");
        assert_eq!(said(&[b"one\nwithout an end"]), "exit 3; its last output: without an end");
        assert_eq!(said(&[b"\x1b[31mred\x1b[0m\n"]), "exit 3; its last output: [31mred[0m");
    }

    #[test]
    fn a_long_line_is_cut_and_marked() {
        let mut last = LastLine::default();
        for _ in 0..100 {
            last.take(&[b'x'; 4_096]);
        }
        assert!(last.open.len() <= LINE_BYTES_MAX + 1);
        assert_eq!(last.explain(""), format!("; its last output: {}…", "x".repeat(LINE_BYTES_MAX)));
    }
}
