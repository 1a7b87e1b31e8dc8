//! The best set of hosts found so far.

use crate::assignment::{Assignment, Place};
use crate::check::check;
use crate::evaluate::evaluate;
use crate::problem::Problem;

/// Differences of worth below this are rounding: branches that gain less are cut.
///
/// Net worth is about 1, sums have a few dozen terms, so rounding stays below 1e-14.
pub(super) const ROUNDING: f64 = 1e-11;

/// The best set found so far.
#[derive(Default)]
pub(super) struct Incumbent {
    pub(super) assignment: Option<Assignment>,
    pub(super) net: f64,
}

impl Incumbent {
    /// The worth that the bound of a set must exceed.
    pub(super) fn to_beat(&self) -> f64 {
        if self.assignment.is_some() { self.net + ROUNDING } else { f64::NEG_INFINITY }
    }

    /// Judges a set by the checker and the evaluator, and keeps it when it is the best.
    pub(super) fn offer(&mut self, problem: &Problem, places: Vec<Place>) {
        self.offer_assignment(problem, Assignment::from_hosts(problem, &[places]));
    }

    pub(super) fn offer_assignment(&mut self, problem: &Problem, assignment: Assignment) {
        if check(problem, &assignment).is_empty() {
            let net = evaluate(problem, &assignment).net;
            if net > self.to_beat() {
                (self.assignment, self.net) = (Some(assignment), net);
            }
        }
    }
}
