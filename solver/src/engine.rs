//! The engines: ways to find good assignments. None is trusted: [`mod@crate::solve`] checks what they return.
//!
//! `choice` proves optima when one component picks its hosts; `local` takes any problem. Read next: `solve.rs`.

pub(crate) mod choice;
pub(crate) mod local;

use crate::assignment::Assignment;

/// What an engine found.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Found {
    /// The best feasible assignment, if one was found.
    pub(crate) best: Option<Assignment>,
    /// No assignment is worth more; none when unknown.
    pub(crate) bound: Option<f64>,
    /// The search was complete: `best` is optimal, or nothing is feasible.
    pub(crate) complete: bool,
    /// Candidates or search nodes looked at.
    pub(crate) evaluated: u64,
}
