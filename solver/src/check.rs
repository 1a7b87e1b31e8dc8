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
use crate::constraint::Constraint;
use crate::objective::{Cost, Of};
use crate::problem::{ComponentIndex, Problem};
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

/// How far one component is from its replica range, and from what may share a host.
pub(crate) fn counts_broken(problem: &Problem, assignment: &Assignment, component: ComponentIndex) -> f64 {
    let mut found = Vec::new();
    hosts::counts_of(problem, assignment, component, &mut found);
    found.iter().map(|v| v.amount).sum()
}

/// How far one rule is from being kept.
pub(crate) fn rule_broken(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> f64 {
    rules::broken(problem, assignment, rule).map_or(0.0, |(_, amount)| amount)
}

/// For how many instances a utility cannot be worked out.
pub(crate) fn utility_unknown(problem: &Problem, assignment: &Assignment, of: &Of) -> f64 {
    hosts::unknown_of(problem, assignment, of).map_or(0.0, |(_, amount)| amount)
}

/// For how many instances a cost cannot be worked out.
pub(crate) fn cost_unknown(problem: &Problem, assignment: &Assignment, cost: &Cost) -> f64 {
    hosts::unknown(problem, assignment, &cost.scope, &cost.measure).map_or(0.0, |(_, amount)| amount)
}

/// Counts stay far below 2^53, so the conversion is exact.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn float(n: usize) -> f64 {
    n as f64
}
