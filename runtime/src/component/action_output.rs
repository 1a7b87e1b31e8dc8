//! The output of an action's program: copied to the instance's log, parsed for values, its end kept for failures.
//!
//! Its memory is bounded for any amount of output. Read next: [`super::program`].

use super::instance_log::InstanceLog;
use crate::secrets::Opened;
use rhizo_types::ValueName;
use rhizo_types::lifecycle::{OUTPUT_BYTES_MAX, VALUE_BYTES_MAX, Values};
use std::collections::VecDeque;
use std::sync::Arc;

/// Longest name of a value, which is also the config's limit for names.
const KEY_BYTES_MAX: usize = 48;

/// A line is kept up to this length, which the longest value with its name fits. A longer line holds no valid value.
const LINE_BYTES_MAX: usize = KEY_BYTES_MAX + 1 + VALUE_BYTES_MAX + 1;

/// Collects the output of one program.
pub(super) struct ActionOutput {
    log: Arc<InstanceLog>,
    /// Replaced in the reason of a failure.
    secrets: Opened,
    tail: VecDeque<u8>,
    line: Vec<u8>,
    values: Values,
    too_long: Option<ValueName>,
}

impl ActionOutput {
    pub(super) fn new(log: Arc<InstanceLog>, secrets: Opened) -> Self {
        Self { log, secrets, tail: VecDeque::new(), line: Vec::new(), values: Values::new(), too_long: None }
    }

    /// Takes bytes of the standard output. Its lines of the form `KEY=VALUE` are values.
    pub(super) fn take_stdout(&mut self, bytes: &[u8]) {
        self.take_stderr(bytes);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// Takes bytes of the standard error, which are never parsed.
    pub(super) fn take_stderr(&mut self, bytes: &[u8]) {
        self.log.write(bytes);
        let kept = &bytes[bytes.len().saturating_sub(OUTPUT_BYTES_MAX)..];
        self.tail.extend(kept);
        let surplus = self.tail.len().saturating_sub(OUTPUT_BYTES_MAX);
        self.tail.drain(..surplus);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let Some((name, value)) = parse_value(&line) else { return };
        if line.len() >= LINE_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            self.too_long = Some(name);
        } else {
            self.values.insert(name, value);
        }
    }

    /// Returns the values once the program has ended.
    ///
    /// # Errors
    /// When a value is longer than [`VALUE_BYTES_MAX`].
    pub(super) fn values(&mut self) -> Result<Values, String> {
        self.end_line();
        match self.too_long.take() {
            Some(name) => Err(format!("it put out a value `{name}` of more than {VALUE_BYTES_MAX} bytes")),
            None => Ok(std::mem::take(&mut self.values)),
        }
    }

    /// Appends the end of the output to the reason of a failure. The last line comes first, because short reports cut
    /// the rest off. Secrets are replaced here, where the text begins with the rest of one that the bound has cut.
    pub(super) fn explain(&self, reason: &str) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        // The cut may have left a part of a character.
        let text = self.secrets.redact(text.trim_start_matches(char::REPLACEMENT_CHARACTER).to_owned());
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        match lines.as_slice() {
            [] => reason.to_owned(),
            [only] => format!("{reason}: {only}"),
            [.., last] => format!("{reason}: {last}\nits last output was:\n{}", lines.join("\n")),
        }
    }
}

/// Parses `KEY=VALUE`. The key may have any case; the value's name is its lower-case form.
fn parse_value(line: &[u8]) -> Option<(ValueName, String)> {
    let text = String::from_utf8_lossy(line);
    let (key, value) = text.trim_end_matches(['\n', '\r']).split_once('=')?;
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic());
    let named = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let fits = begins && named && key.len() <= KEY_BYTES_MAX;
    fits.then(|| (ValueName(key.to_ascii_lowercase()), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(chunks: &[&[u8]]) -> ActionOutput {
        let mut output = ActionOutput::new(Arc::new(InstanceLog::nowhere()), Opened::default());
        chunks.iter().for_each(|chunk| output.take_stdout(chunk));
        output
    }

    #[test]
    fn values_are_found_across_chunks_and_other_lines_are_not_values() {
        let mut output =
            output(&[b"starting\nPASS", b"WORD=a=b\nno value\n=x\n1a=2\nurl http://h/?a=b\nlast=1"]);
        let values = output.values().expect("short values");
        let expected = [("password", "a=b"), ("last", "1")];
        let expected: Values = expected.map(|(k, v)| (ValueName::from(k), v.to_owned())).into();
        assert_eq!(values, expected);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut output = output(&[]);
        for _ in 0..100 {
            output.take_stdout(&[b'x'; 4096]);
        }
        assert!(output.line.len() <= LINE_BYTES_MAX && output.tail.len() <= OUTPUT_BYTES_MAX);
        assert_eq!(output.values(), Ok(Values::new()));
    }

    #[test]
    fn a_value_that_is_too_long_is_an_error_and_not_a_part_of_it() {
        let long = [b"key=".as_slice(), &[b'x'; VALUE_BYTES_MAX + 1], b"\n"].concat();
        assert!(output(&[&long]).values().is_err_and(|reason| reason.contains("`key`")));
        let fits = [b"key=".as_slice(), &[b'x'; VALUE_BYTES_MAX], b"\n"].concat();
        assert!(output(&[&fits]).values().is_ok());
    }

    #[test]
    fn the_last_line_leads_the_reason() {
        let output = output(&[b"one\ntwo\nno such table\n\n"]);
        let reason = output.explain("`migrate` ended with exit status: 1");
        assert!(reason.starts_with("`migrate` ended with exit status: 1: no such table\n"), "{reason}");
        assert!(reason.ends_with("one\ntwo\nno such table"), "{reason}");
    }

    #[test]
    fn a_secret_that_the_bound_cuts_is_replaced() {
        let (secret, rest) = ("h\u{fc}nter2-and-more", "x".repeat(OUTPUT_BYTES_MAX - " end".len()));
        for cut in 0..=secret.len() - 4 {
            let mut output =
                output(&[b"first\n", secret.as_bytes(), &rest.as_bytes()[secret.len() - cut..], b" end"]);
            output.secrets = Opened::of([("KEY", secret)]);
            let reason = output.explain("it ended");
            assert!(
                reason.starts_with("it ended: [secret KEY]x") && reason.ends_with("x end"),
                "{cut}: {}",
                &reason[..40]
            );
        }
    }
}
