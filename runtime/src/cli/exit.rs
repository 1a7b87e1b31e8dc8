//! Exit codes, stable for scripts, and the printing of a failure with its hint.

use std::process::ExitCode;

/// How a command ended. The numbers are documented in `--help` and do not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    BadConfig = 2,
    NoAnswer = 3,
    NoQuorum = 4,
    NotStable = 5,
    Declined = 6,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A failure as the command line prints it: "error: failed to …", and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Completes "failed to …", with the whole chain of causes.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            let text =
                serde_json::json!({ "error": self.message, "hint": self.hint, "exit": self.exit as u8 });
            println!("{text}");
            return;
        }
        eprintln!("error: failed to {}", self.message);
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {hint}");
        }
    }
}

impl From<crate::error::AppDirError> for Failure {
    fn from(error: crate::error::AppDirError) -> Self {
        Self::new(Exit::Failed, crate::error::chain(&error))
    }
}
