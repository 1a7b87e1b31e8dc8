//! Errors of the runtime as an embedding program and the command line see them, and how a chain is printed.
//!
//! Variants name the step that failed; messages complete "failed to …". The whole chain is printed once, at
//! the edge, by [`chain`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the runtime failed to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The home directory.
    #[error("use the application's directory")]
    Home(#[from] HomeError),
    /// The node could not be set up.
    #[error("start the node: {0}")]
    Node(String),
    /// A command for an application failed.
    #[error("{0}")]
    Command(String),
}

/// A [`Result`] of the runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was being done with a home directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Its place was looked for.
    Find,
    /// A record was read.
    Read,
    /// A record was written.
    Write,
    /// It was removed.
    Remove,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Find => "find",
            Self::Read => "read",
            Self::Write => "write",
            Self::Remove => "remove",
        })
    }
}

/// A home directory or one of its records could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{step} `{}`", path.display())]
pub struct HomeError {
    step: Step,
    path: PathBuf,
    source: std::io::Error,
}

impl HomeError {
    pub(crate) fn new(step: Step, path: &Path, source: std::io::Error) -> Self {
        Self { step, path: path.to_owned(), source }
    }
}

/// The message of an error and of everything that caused it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _infallible = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
