//! The machines that a component may use, judged one at a time and independently of all other placements.
//!
//! A refusal names the first refusing rule in the order of the problem. Rules that depend on other instances are the
//! checker's: see [`mod@crate::check`].

use crate::constraint::Constraint;
use crate::objective::{Measure, Of};
use crate::problem::{ComponentIndex, MachineIndex, Named, Problem};
use crate::rules::table::meaning;
use crate::rules::unknown::is_unknown_at;
use crate::scope::Scope;

/// The first rule that refuses a machine to a component in every placement; none when the machine is eligible.
#[must_use]
pub(crate) fn refused_by(
    problem: &Problem,
    component: ComponentIndex,
    machine: MachineIndex,
) -> Option<&str> {
    let rules: Vec<&Named<Constraint>> = problem.constraints.iter().collect();
    refused_among(problem, &rules, component, machine)
}

/// The machines that no rule refuses to a component in every placement.
#[must_use]
pub fn eligible(problem: &Problem, component: ComponentIndex) -> Vec<MachineIndex> {
    // Most rules of a large problem do not concern a given component.
    let concerned = |named: &&Named<Constraint>| concerns(&named.item, component);
    let rules: Vec<&Named<Constraint>> = problem.constraints.iter().filter(concerned).collect();
    let all = 0..problem.machines.len();
    all.filter(|m| refused_among(problem, &rules, component, *m).is_none()).collect()
}

/// Whether a rule covers a component or all machines, and so can refuse a machine to it or change its capacity.
fn concerns(rule: &Constraint, component: ComponentIndex) -> bool {
    let mut any = false;
    meaning(rule).visit_scopes(&mut |scope| any |= scope.covers(component));
    any
}

fn refused_among<'a>(
    problem: &'a Problem,
    rules: &[&'a Named<Constraint>],
    component: ComponentIndex,
    machine: MachineIndex,
) -> Option<&'a str> {
    if let Some(named) = rules.iter().find(|named| meaning(&named.item).refuses(problem, component, machine))
    {
        return Some(&named.name);
    }
    let is_unknown =
        |measure: &Measure, scope: &Scope| is_unknown_at(problem, component, machine, measure, scope);
    let utility = problem.utilities.iter().find(|named| match &named.item.of {
        Of::Each { component: x, quantity } => {
            *x == component && problem.quantities[*quantity].values[machine].is_none()
        }
        Of::Group { scope, measure } => is_unknown(measure, scope),
    });
    if let Some(named) = utility {
        return Some(&named.name);
    }
    if let Some(named) = problem.costs.iter().find(|named| is_unknown(&named.item.measure, &named.item.scope))
    {
        return Some(&named.name);
    }
    if problem.machines[machine].copies_max() == 0 {
        return Some("[copies]");
    }
    (!holds_any(problem, rules, component, machine)).then_some("[capacity]")
}

/// Whether an otherwise empty machine has room for some instance of a component.
fn holds_any(
    problem: &Problem,
    rules: &[&Named<Constraint>],
    component: ComponentIndex,
    machine: MachineIndex,
) -> bool {
    let c = &problem.components[component];
    let overbooks = rules.iter().any(|named| matches!(named.item, Constraint::Overbook(_)));
    let capacity = |r: usize| match problem.machines[machine].capacity.get(r) {
        Some(own) if !overbooks => *own,
        _ => crate::check::capacity_of(problem, machine, r),
    };
    let fits = |ordinal: usize, r: usize| {
        c.need(ordinal, r) <= capacity(r) * (1.0 + crate::check::CAPACITY_TOLERANCE)
    };
    let fits_whole = |ordinal: usize| (0..problem.resources.len()).all(|r| fits(ordinal, r));
    (0..c.needs_each.len().max(1)).any(fits_whole)
}
