//! The independent checker: judges an assignment by the definitions of the rules alone.
//!
//! It shares no shortcut with an engine, and every result passes it before it leaves the crate. Built-in rules (counts,
//! capacity, instances per host, copies of an offer) have names in square brackets. It decides nothing about worth: see
//! [`mod@crate::evaluate`]. Read next: [`mod@crate::rules`].

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

/// Returns every rule that an assignment breaks; an empty list means that it is feasible.
///
/// Expects a problem that [`mod@crate::validate`] accepts. The assignment may have any shape.
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

/// Returns the broken built-in rules about counts: replica ranges, ordinals, instances per host.
pub(crate) fn check_counts(problem: &Problem, assignment: &Assignment) -> Vec<Violation> {
    let mut found = Vec::new();
    hosts::counts(problem, assignment, &mut found);
    found
}

/// The distance of a component from its replica range and from its limit of instances per host.
pub(crate) fn counts_broken(problem: &Problem, assignment: &Assignment, component: ComponentIndex) -> f64 {
    let mut found = Vec::new();
    hosts::counts_of(problem, assignment, component, &mut found);
    found.iter().map(|v| v.amount).sum()
}

/// The distance of an assignment from keeping one rule; 0 when it is kept.
pub(crate) fn rule_broken(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> f64 {
    broken_rule(problem, assignment, rule).map_or(0.0, |(_, amount)| amount)
}

/// The number of instances on machines without the value that a utility needs.
pub(crate) fn utility_unknown(problem: &Problem, assignment: &Assignment, of: &Of) -> f64 {
    unknown::unknown_of(problem, assignment, of).map_or(0.0, |(_, amount)| amount)
}

/// The number of instances on machines without the value that a cost needs.
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
