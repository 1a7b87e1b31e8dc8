//! The result of a check that failed. The checks are in [`crate::check`] and [`crate::failure_policy`].

/// A check that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The name of the check.
    pub check: &'static str,
    /// The observation that violates the check.
    pub detail: String,
}

impl Violation {
    /// A failure of `check`.
    #[must_use]
    pub fn new(check: &'static str, detail: String) -> Self {
        Self { check, detail }
    }
}
