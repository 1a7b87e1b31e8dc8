//! The independent judge: whether an assignment keeps to every rule, from the rules' definitions alone.
//!
//! Engines never call each other's shortcuts here, and no result leaves the crate unchecked. Built-in rules
//! (counts, capacity, instances per host, copies of an offer) have names of their own, in square brackets.

mod hosts;
mod violation;

use crate::assignment::{Assignment, Instance};
use crate::constraint::Constraint;
use crate::objective::{Cost, Of};
use crate::problem::{ComponentIndex, Problem};
use crate::rules::table::meaning;
use crate::rules::{Broken, unknown};
pub(crate) use crate::rules::{
    CAPACITY_TOLERANCE, overbook::capacity_of, preserve::effective_needs, split::kept_apart,
};
use crate::scope::Scope;
pub use violation::Violation;

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
        if let Some(broken) = broken_rule(problem, assignment, &named.item) {
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
    broken_rule(problem, assignment, rule).map_or(0.0, |(_, amount)| amount)
}

/// For how many instances a utility cannot be worked out.
pub(crate) fn utility_unknown(problem: &Problem, assignment: &Assignment, of: &Of) -> f64 {
    unknown::unknown_of(problem, assignment, of).map_or(0.0, |(_, amount)| amount)
}

/// For how many instances a cost cannot be worked out.
pub(crate) fn cost_unknown(problem: &Problem, assignment: &Assignment, cost: &Cost) -> f64 {
    unknown::unknown(problem, assignment, &cost.scope, &cost.measure).map_or(0.0, |(_, amount)| amount)
}

/// Why an assignment breaks a rule; none when the rule is kept.
pub(crate) fn broken_rule(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> Option<Broken> {
    meaning(rule).broken(problem, assignment)
}

/// Whether a scope holds an instance.
pub(crate) fn in_scope(scope: &Scope, instance: Instance) -> bool {
    scope.contains(instance.component, instance.ordinal)
}
