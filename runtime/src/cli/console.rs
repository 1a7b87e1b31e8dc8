//! The terminal as a command sees it: documents on the standard output, messages on the standard error, questions.
//!
//! Output that cannot be written never ends a process: node 0 in the foreground must continue, or end in order, when
//! its terminal is gone. The first failure is kept and decides the exit code. The commands decide about the output;
//! [`super::render`] has the texts.

use super::exit::{Exit, Failure};
use rhizo_config::Finding;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// The output of one command.
pub(crate) struct Console {
    /// Whether documents are JSON.
    json: bool,
    /// Whether the standard streams belong to an embedding program.
    is_of_program: bool,
    /// The first error of writing to the standard output.
    broken: Mutex<Option<io::Error>>,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, is_of_program: false, broken: Mutex::new(None) }
    }

    /// The output of a step that an embedding program takes: messages are `tracing` events.
    pub(crate) fn of_program() -> Self {
        Self { json: false, is_of_program: true, broken: Mutex::new(None) }
    }

    /// Whether documents are JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Prints a document: one line of JSON, or its text.
    pub(crate) fn print(&self, record: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            // Records have text keys and finite numbers, so they always serialize.
            let line = serde_json::to_string(record).unwrap_or_default();
            self.out(&(line + "\n"));
        } else {
            self.out(&text());
        }
    }

    /// Prints text on the standard output.
    pub(crate) fn out(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// Returns true if the standard output has lost its reader, so that a command that only prints may end.
    pub(crate) fn is_closed(&self) -> bool {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns the exit code of a command that ended with this one, and reports output that was lost.
    ///
    /// A reader that closes its pipe early has all the output that it needs (`events | head -1`), so that is no
    /// failure.
    pub(crate) fn ended(&self, exit: Exit) -> Exit {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        match broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.note(&format!("error: failed to write the output: {error}\n"));
                if exit == Exit::Done { Exit::Failed } else { exit }
            }
            _ => exit,
        }
    }

    /// Prints a message on the standard error; a message that cannot be written is dropped.
    pub(crate) fn note(&self, text: &str) {
        if self.is_of_program {
            return tracing::info!(text = text.trim(), "note for the operator");
        }
        let mut stderr = io::stderr().lock();
        let _no_reader = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// Prints a failure: as the command's one JSON document, or as text on the standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            let exit = failure.exit as u8;
            let mut record =
                serde_json::json!({ "error": failure.message, "hint": failure.hint, "exit": exit });
            if !failure.flaws.is_empty() {
                let findings: Vec<&Finding> =
                    failure.flaws.iter().flat_map(|flaws| &flaws.findings).collect();
                record["findings"] = serde_json::json!(findings);
            }
            return self.print(&record, String::new);
        }
        for flaws in &failure.flaws {
            self.note(&rhizo_config::render_sources(&flaws.findings, &flaws.sources, self.is_fancy()));
        }
        self.note(&format!("error: failed to {}\n", failure.message));
        if let Some(hint) = &failure.hint {
            self.note(&format!("  hint: {hint}\n"));
        }
    }

    /// Whether messages on the standard error may have colours and move the cursor.
    pub(crate) fn is_fancy(&self) -> bool {
        !self.is_of_program && is_fancy(io::stderr().is_terminal(), |name| std::env::var(name).ok())
    }

    /// Asks the operator for consent. Any answer but a yes is a no.
    ///
    /// # Errors
    /// When the standard input is no terminal: an operator cannot answer there, and a pipe that stays open would
    /// block without end.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Failure> {
        let declined = || Failure::new(Exit::Declined, "go on without consent");
        if !io::stdin().is_terminal() {
            let hint = "the standard input is no terminal, so the question cannot be answered; `--yes` consents beforehand";
            return Err(declined().hint(hint));
        }
        self.note(&format!("{question} [y/N] "));
        let mut line = String::new();
        let answered = io::stdin().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes");
        if answered { Ok(()) } else { Err(declined().hint("`--yes` consents beforehand")) }
    }
}

/// Whether colours are wanted: on a terminal that is not dumb, unless `NO_COLOR` is set or `CLICOLOR` is 0; always when
/// `CLICOLOR_FORCE` is set and not 0. The rules are those of no-color.org and bixense.com/clicolors.
fn is_fancy(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") {
        return true;
    }
    let is_dumb = variable("TERM").as_deref() == Some("dumb");
    is_terminal && !is_dumb && variable("CLICOLOR").as_deref() != Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fancy(is_terminal: bool, variables: &[(&str, &str)]) -> bool {
        is_fancy(is_terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_follow_the_terminal_and_its_conventions() {
        assert!(fancy(true, &[]) && fancy(true, &[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!fancy(false, &[]));
        assert!(!fancy(true, &[("NO_COLOR", "1")]));
        assert!(!fancy(true, &[("TERM", "dumb")]));
        assert!(!fancy(true, &[("CLICOLOR", "0")]));
        assert!(fancy(false, &[("CLICOLOR_FORCE", "1")]) && !fancy(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!fancy(true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    }

    #[test]
    fn lost_output_is_a_failure_and_a_reader_that_left_is_none() {
        let ended = |kind: Option<io::ErrorKind>, exit| {
            let console = Console { broken: Mutex::new(kind.map(io::Error::from)), ..Console::new(false) };
            console.ended(exit)
        };
        assert_eq!(ended(None, Exit::Done), Exit::Done);
        assert_eq!(ended(Some(io::ErrorKind::BrokenPipe), Exit::Done), Exit::Done);
        assert_eq!(ended(Some(io::ErrorKind::StorageFull), Exit::Done), Exit::Failed);
        assert_eq!(ended(Some(io::ErrorKind::StorageFull), Exit::NotStable), Exit::NotStable);
    }
}
