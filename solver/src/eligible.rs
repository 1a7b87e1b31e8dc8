//! Whether a rule refuses a machine to a component, whatever else runs where.
//!
//! The first rule in the order of the problem is the one that is named.

use crate::constraint::{Constraint, Scope};
use crate::objective::{Measure, Of};
use crate::problem::{ComponentIndex, MachineIndex, Named, Problem};

/// The first rule that refuses a machine for a component, whatever else runs where; none when it is eligible.
#[must_use]
pub fn refused_by(problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> Option<&str> {
    let rules: Vec<&Named<Constraint>> = problem.constraints.iter().collect();
    refused_among(problem, &rules, component, machine)
}

/// Machines that no rule refuses to a component, whatever else runs where.
#[must_use]
pub fn eligible(problem: &Problem, component: ComponentIndex) -> Vec<MachineIndex> {
    // Most rules of a large problem have nothing to do with one component.
    let concerned = |named: &&Named<Constraint>| concerns(&named.item, component);
    let rules: Vec<&Named<Constraint>> = problem.constraints.iter().filter(concerned).collect();
    let all = 0..problem.machines.len();
    all.filter(|m| refused_among(problem, &rules, component, *m).is_none()).collect()
}

/// Whether a rule can refuse a machine to a component, or change what a machine holds.
fn concerns(rule: &Constraint, component: ComponentIndex) -> bool {
    let covers = |scope: &Scope| covers(scope, component);
    match rule {
        Constraint::Each { scope, .. }
        | Constraint::Ban { scope, .. }
        | Constraint::Spread { scope, .. }
        | Constraint::Survive { scope, .. }
        | Constraint::Reserve { scope, .. }
        | Constraint::Apart { scope, .. }
        | Constraint::Gather { scope, .. } => covers(scope),
        Constraint::Bound { scope, measure, .. } => {
            let other = match measure {
                Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => covers(other),
                _ => false,
            };
            other || covers(scope)
        }
        Constraint::Split { scopes, .. } => scopes.iter().any(covers),
        Constraint::Neighbour { user, .. } => covers(user),
        Constraint::MaxOnline { .. } | Constraint::Quarantine { .. } | Constraint::Overbook { .. } => true,
        _ => false,
    }
}

fn refused_among<'a>(
    problem: &'a Problem,
    rules: &[&'a Named<Constraint>],
    component: ComponentIndex,
    machine: MachineIndex,
) -> Option<&'a str> {
    if let Some(named) = rules.iter().find(|named| refuses(problem, &named.item, component, machine)) {
        return Some(&named.name);
    }
    let blind = |measure: &Measure, scope: &Scope| is_blind(problem, component, machine, measure, scope);
    let utility = problem.utilities.iter().find(|named| match &named.item.of {
        Of::Each { component: x, quantity } => {
            *x == component && problem.quantities[*quantity].values[machine].is_none()
        }
        Of::Group { scope, measure } => blind(measure, scope),
    });
    if let Some(named) = utility {
        return Some(&named.name);
    }
    if let Some(named) = problem.costs.iter().find(|named| blind(&named.item.measure, &named.item.scope)) {
        return Some(&named.name);
    }
    if problem.machines[machine].copies_max() == 0 {
        return Some("[copies]");
    }
    (!holds_any(problem, rules, component, machine)).then_some("[capacity]")
}

/// Whether one rule refuses the machine.
fn refuses(problem: &Problem, rule: &Constraint, component: ComponentIndex, machine: MachineIndex) -> bool {
    let covers = |scope: &Scope| covers(scope, component);
    let unclassed = |scope: &Scope, partition: usize| {
        covers(scope) && problem.partitions[partition].class_of[machine].is_none()
    };
    match rule {
        Constraint::Each { scope, allowed } => covers(scope) && !allowed[machine],
        Constraint::Ban { scope, machines } => covers(scope) && machines.contains(&machine),
        Constraint::Bound { scope, measure, .. } => is_blind(problem, component, machine, measure, scope),
        Constraint::Spread { scope, partition, .. }
        | Constraint::Survive { scope, partition, .. }
        | Constraint::Reserve { scope, partition, .. } => unclassed(scope, *partition),
        Constraint::Apart { scope, partition: Some(p) }
        | Constraint::Gather { scope, partition: Some(p) } => unclassed(scope, *p),
        Constraint::Split { scopes, partition: Some(p) } => scopes.iter().any(|s| unclassed(s, *p)),
        Constraint::Neighbour { user, partition, .. } => unclassed(user, *partition),
        Constraint::MaxOnline { machines, max: 0 } => machines[machine],
        Constraint::Quarantine { machines } => {
            machines[machine] && !problem.components[component].current.contains(&Some(machine))
        }
        _ => false,
    }
}

/// Whether a scope holds every instance of a component; of a few named ones, others may still run there.
fn covers(scope: &Scope, component: ComponentIndex) -> bool {
    match scope {
        Scope::All => true,
        Scope::Component(x) => *x == component,
        Scope::Components(xs) => xs.contains(&component),
        Scope::Instances(_) => false,
    }
}

/// Whether a number of a group cannot be worked out once the component is on this machine.
fn is_blind(
    problem: &Problem,
    component: ComponentIndex,
    machine: MachineIndex,
    measure: &Measure,
    scope: &Scope,
) -> bool {
    let no_site = problem.machines[machine].site.is_none();
    let own = covers(scope, component);
    match measure {
        Measure::DiameterMs | Measure::AnchorLatencyMs => own && no_site,
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => {
            (own || covers(other, component)) && no_site
        }
        Measure::Distinct(p) => own && problem.partitions[*p].class_of[machine].is_none(),
        Measure::Sum(q) | Measure::Average(q) => own && problem.quantities[*q].values[machine].is_none(),
        _ => false,
    }
}

/// Whether a machine with nothing else on it has room for some instance of a component.
fn holds_any(
    problem: &Problem,
    rules: &[&Named<Constraint>],
    component: ComponentIndex,
    machine: MachineIndex,
) -> bool {
    let c = &problem.components[component];
    let overbooks = rules.iter().any(|named| matches!(named.item, Constraint::Overbook { .. }));
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
