//! Why an instance does not run on a machine: the best plan that uses the machine. Also plans under other weights.

use crate::constraint::{Comparison, Constraint, Limit, Scope};
use crate::eligible::refused_by;
use crate::evaluate::Score;
use crate::infeasibility::conflict;
use crate::objective::Measure;
use crate::plan::Plan;
use crate::problem::{ComponentIndex, MachineIndex, Named, Problem};
use crate::rule;
use crate::solve::{Options, SolveError, solve};

/// Name of the rule that requires the machine in question.
const WANTED: &str = "[wanted]";

/// Why a component does not run on a machine.
#[derive(Clone, PartialEq, Debug)]
pub enum WhyNot {
    /// It runs there.
    Chosen,
    /// A rule refuses the machine in every placement.
    Refused {
        /// Name of the first such rule.
        rule: String,
    },
    /// No assignment that uses the machine keeps these rules together.
    Conflict {
        /// Names of rules; empty when that could not be decided.
        rules: Vec<String>,
    },
    /// The best plan that uses it is worth less.
    Worse {
        /// The loss of worth; never negative for a plan that was proven.
        by: f64,
        /// The worth of the best plan that uses it.
        score: Score,
        /// Whether it is proven that no better plan uses the machine.
        proven: bool,
    },
    /// Stopped before an answer was found.
    Unknown,
}

/// Explains why a plan does not run a component on a machine.
pub fn why_not(
    problem: &Problem,
    plan: &Plan,
    component: ComponentIndex,
    machine: MachineIndex,
    stop: &mut dyn FnMut() -> bool,
) -> WhyNot {
    let scope = Scope::Component(component);
    if plan.assignment.in_scope(&scope).iter().any(|(_, place)| place.machine == machine) {
        return WhyNot::Chosen;
    }
    if let Some(rule) = refused_by(problem, component, machine) {
        return WhyNot::Refused { rule: rule.to_owned() };
    }
    let mut wanted = problem.clone();
    let mask = (0..problem.machines.len()).map(|m| m == machine).collect();
    let rule = Constraint::Bound(rule::Bound {
        scope,
        measure: Measure::Count(mask),
        comparison: Comparison::GreaterOrEqual,
        limit: Limit::Constant(1.0),
    });
    wanted.constraints.push(Named::new(WANTED, rule));
    match solve(&wanted, &Options::default(), stop) {
        Ok(other) => {
            WhyNot::Worse { by: plan.after.net - other.after.net, proven: other.proven, score: other.after }
        }
        Err(SolveError::Infeasible { .. }) => {
            let mut rules = conflict(&wanted, stop).unwrap_or_default();
            rules.retain(|rule| rule != WANTED);
            WhyNot::Conflict { rules }
        }
        Err(_) => WhyNot::Unknown,
    }
}

/// Returns the problem with other weights of its utilities, to answer questions such as "what if `load` counted
/// twice?".
///
/// The second list has the names that no utility has.
#[must_use]
pub fn reweighted(problem: &Problem, weights: &[(&str, f64)]) -> (Problem, Vec<String>) {
    let mut other = problem.clone();
    let mut unknown = Vec::new();
    for (name, weight) in weights {
        match other.utilities.iter_mut().find(|u| u.name == *name) {
            Some(utility) => utility.item.weight = *weight,
            None => unknown.push((*name).to_owned()),
        }
    }
    (other, unknown)
}
