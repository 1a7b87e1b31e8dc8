//! The error of the application directory, and how an error is printed with its causes.
//!
//! Errors of a node are in `node`, those of the command line in `cli::exit`. Every message completes "failed to …" and
//! leaves its cause out; [`chain`] prints the causes once, where the error is handled.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The step in which the application directory could not be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Determining the directory's absolute path.
    Find,
    /// Reading a record.
    Read,
    /// Writing a record.
    Write,
    /// Removing a record or the directory.
    Remove,
    /// Waiting for the lock of the directory.
    Lock,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Find => "find",
            Self::Read => "read",
            Self::Write => "write",
            Self::Remove => "remove",
            Self::Lock => "lock",
        })
    }
}

/// The application directory or one of its records could not be used. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("{step} `{}`", path.display())]
pub(crate) struct AppDirError {
    step: Step,
    path: PathBuf,
    source: std::io::Error,
}

impl AppDirError {
    pub(crate) fn new(step: Step, path: &Path, source: std::io::Error) -> Self {
        Self { step, path: path.to_owned(), source }
    }

    /// Whether a record exists and cannot be read.
    #[must_use]
    pub(crate) fn is_unreadable(&self) -> bool {
        self.step == Step::Read
    }
}

/// The error's message followed by the messages of its causes, separated by `: `, in one line.
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _infallible = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
