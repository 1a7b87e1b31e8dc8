//! The independent judge: whether an assignment keeps to every rule, from the rules' definitions alone.
//!
//! Engines never call each other's shortcuts here, and no result leaves the crate unchecked. Built-in rules
//! (counts, capacity, instances per host, copies of an offer) have names of their own, in square brackets.

mod groups;
mod hosts;
mod reserve;
mod rules;
mod versions;

use crate::assignment::Assignment;
use crate::problem::Problem;
pub(crate) use groups::kept_apart;
pub(crate) use hosts::{capacity_of, effective_needs, in_scope};
pub(crate) use rules::broken as broken_rule;
use serde::{Deserialize, Serialize};

/// How far a sum of needs may pass a capacity by rounding, relative to the capacity.
///
/// Sums of a few thousand `f64` differ by about 1e-13 with their order; this is far above and far below any unit.
pub(crate) const CAPACITY_TOLERANCE: f64 = 1e-9;

/// Why a rule is broken, and by how much.
type Broken = (String, f64);

/// A rule that an assignment breaks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's name; built-in ones are in square brackets.
    pub rule: String,
    /// What is wrong, as a sentence fragment with names and numbers.
    pub what: String,
    /// How far it is from being kept: above zero, about 1 for each instance that would have to change.
    pub amount: f64,
}

impl Violation {
    fn new(rule: &str, (what, amount): Broken) -> Self {
        Self { rule: rule.to_owned(), what, amount }
    }
}

/// Finds every rule that an assignment breaks; empty means feasible.
///
/// Expects a problem that [`mod@crate::validate`] accepts; any assignment, also of a wrong shape, is judged.
#[must_use]
pub fn check(problem: &Problem, assignment: &Assignment) -> Vec<Violation> {
    let mut found = Vec::new();
    hosts::shape(problem, assignment, &mut found);
    if !found.is_empty() {
        return found;
    }
    hosts::counts(problem, assignment, &mut found);
    hosts::capacity(problem, assignment, &mut found);
    hosts::known_values(problem, assignment, &mut found);
    for named in &problem.constraints {
        if let Some(broken) = rules::broken(problem, assignment, &named.item) {
            found.push(Violation::new(&named.name, broken));
        }
    }
    found
}

/// Finds what is wrong with counts alone: replica ranges, ordinals, instances per host.
pub(crate) fn check_counts(problem: &Problem, assignment: &Assignment) -> Vec<Violation> {
    let mut found = Vec::new();
    hosts::counts(problem, assignment, &mut found);
    found
}

/// Counts stay far below 2^53, so the conversion is exact.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn float(n: usize) -> f64 {
    n as f64
}
