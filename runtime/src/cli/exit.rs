//! Exit codes, which are stable for scripts, and failures of commands.
//!
//! Each command decides about its exit code. [`super::console`] prints failures.

use rhizo_config::{Finding, Sources};
use std::process::ExitCode;

/// How a command ended. The numbers are documented in `--help` and do not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The config or the arguments are wrong; nothing was started.
    BadConfig = 2,
    /// No node of the application answers.
    NoAnswer = 3,
    /// Too few voters are reached to commit a change.
    NoQuorum = 4,
    /// The application was not stable in time, and goes on by itself.
    NotStable = 5,
    /// The operator did not consent.
    Declined = 6,
    /// A new version kept failing, and its copies went back to the one before.
    Unwound = 7,
    /// A part of what was asked for was done, and stays.
    PartlyDone = 8,
    /// The operator interrupted the command.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Findings of one config or file, with the texts to show them in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Flaws {
    pub(crate) findings: Vec<Finding>,
    pub(crate) sources: Sources,
}

/// A failure as the command line prints it: "error: failed to …", and the remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Completes "failed to …", with the whole chain of causes.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Faults in the files of the user.
    pub(crate) flaws: Vec<Flaws>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, flaws: Vec::new() }
    }

    /// The failure of a command that cannot use files with these findings.
    pub(crate) fn flawed(path: impl std::fmt::Display, flaws: Vec<Flaws>) -> Self {
        let count: usize = flaws.iter().map(|flaws| flaws.findings.len()).sum();
        let noun = if count == 1 { "finding" } else { "findings" };
        Self { flaws, ..Self::new(Exit::BadConfig, format!("use `{path}`: {count} {noun}")) }
    }

    /// The failure of a command that needs a quorum. The sentence names the voters that are not reached.
    pub(crate) fn no_quorum(sentence: &str) -> Self {
        Self::new(Exit::NoQuorum, format!("go on: {sentence}"))
            .hint(rhizo_protocol::survival::NO_QUORUM_REMEDY)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<crate::error::AppDirError> for Failure {
    fn from(error: crate::error::AppDirError) -> Self {
        let failure = Self::new(Exit::Failed, crate::error::chain(&error));
        if error.is_unreadable() {
            return failure.hint("`down` gives back what the application left; it works without this record");
        }
        failure
    }
}
