//! The error of the embedding API: a failure of a command, with its remedy and the findings about a config.

use crate::cli::exit::{Exit, Failure};
use std::fmt;

/// A call of the embedding API that failed, with its causes and, where there is one, the remedy.
///
/// Its text begins with "failed to …". `{:?}` adds the remedy and the findings about a config, each with its place, so
/// that a `main` that returns it shows everything that is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

impl Error {
    /// `message` completes "failed to …".
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Failure::new(Exit::Failed, message)))
    }

    /// The remedy, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The findings about a config as text, each with its place and remedy; empty when the config is not the reason.
    #[must_use]
    pub fn findings(&self) -> String {
        let flaws = self.0.flaws.iter();
        flaws.map(|flaws| rhizo_config::render_sources(&flaws.findings, &flaws.sources, false)).collect()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if let Some(hint) = self.hint() {
            write!(f, "\n  hint: {hint}")?;
        }
        match self.findings() {
            findings if findings.is_empty() => Ok(()),
            findings => write!(f, "\n{findings}"),
        }
    }
}

impl std::error::Error for Error {}
