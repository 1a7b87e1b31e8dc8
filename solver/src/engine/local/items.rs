//! The rules and terms that can change when an instance of a component changes.
//!
//! When in doubt an item is included: an item that is evaluated needlessly costs time, an item that is missed makes the
//! score wrong.

use crate::constraint::Constraint;
use crate::objective::{Measure, Of};
use crate::problem::Problem;
use crate::rules::table::meaning;
use crate::scope::Scope;
use std::collections::BTreeSet;

/// A rule, a utility or a cost, by its number in the problem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    Rule(usize),
    Utility(usize),
    Cost(usize),
}

/// All items of a problem.
pub(super) fn all(problem: &Problem) -> Vec<Item> {
    let rules = (0..problem.constraints.len()).map(Item::Rule);
    let utilities = (0..problem.utilities.len()).map(Item::Utility);
    rules.chain(utilities).chain((0..problem.costs.len()).map(Item::Cost)).collect()
}

/// For each component, the items that depend on its instances.
pub(super) fn by_component(problem: &Problem, items: &[Item]) -> Vec<Vec<usize>> {
    let mut touched = vec![Vec::new(); problem.components.len()];
    for (index, item) in items.iter().enumerate() {
        let components = match item {
            Item::Rule(rule) => of_rule(problem, &problem.constraints[*rule].item),
            Item::Utility(utility) => match &problem.utilities[*utility].item.of {
                Of::Each { component, .. } => [*component].into(),
                Of::Group { scope, measure } => of_measure(problem, scope, measure),
            },
            Item::Cost(cost) => {
                let cost = &problem.costs[*cost].item;
                of_measure(problem, &cost.scope, &cost.measure)
            }
        };
        components.into_iter().for_each(|component| touched[component].push(index));
    }
    touched
}

fn of_rule(problem: &Problem, rule: &Constraint) -> BTreeSet<usize> {
    let mut components = BTreeSet::new();
    meaning(rule).visit_dependencies(&mut |scope| components.extend(of_scope(problem, scope)));
    components
}

fn of_measure(problem: &Problem, scope: &Scope, measure: &Measure) -> BTreeSet<usize> {
    match measure {
        Measure::TotalPrice | Measure::Overload { .. } | Measure::Imbalance { .. } => {
            (0..problem.components.len()).collect()
        }
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => {
            of_scope(problem, scope).into_iter().chain(of_scope(problem, other)).collect()
        }
        _ => of_scope(problem, scope),
    }
}

fn of_scope(problem: &Problem, scope: &Scope) -> BTreeSet<usize> {
    match scope {
        Scope::All => (0..problem.components.len()).collect(),
        Scope::Component(component) => [*component].into(),
        Scope::Components(components) => components.iter().copied().collect(),
        Scope::Instances(instances) => instances.iter().map(|(component, _)| *component).collect(),
    }
}
