//! Built-in rules: shape, counts, instances per host, capacity, values that utilities need.
//!
//! The rules of the problem are in [`mod@crate::rules`].

use super::violation::Violation;
use crate::assignment::{Assignment, Instance, Place};
use crate::constraint::Constraint;
use crate::problem::{Component, ComponentIndex, Problem};
use crate::rules::overbook::capacity_of;
use crate::rules::preserve::effective_needs;
use crate::rules::unknown::{unknown, unknown_of};
use crate::rules::{CAPACITY_TOLERANCE, float};
use crate::scope::Scope;
use std::collections::BTreeMap;

/// Checks that every index exists. The other checks expect that.
pub(super) fn shape(problem: &Problem, assignment: &Assignment, found: &mut Vec<Violation>) {
    if assignment.places.len() != problem.components.len() {
        let (have, want) = (assignment.places.len(), problem.components.len());
        found.push(Violation::new("[shape]", (format!("it has {have} components, the problem {want}"), 1.0)));
    }
    for (instance, place) in assignment.iter() {
        match problem.machines.get(place.machine) {
            None => found
                .push(Violation::new("[shape]", (format!("machine {} does not exist", place.machine), 1.0))),
            Some(machine) if place.copy >= machine.copies_max() => {
                let (name, max) = (&machine.name, machine.copies_max());
                let what = format!("{name} can be used {max} times, copy {} does not exist", place.copy);
                found.push(Violation::new("[copies]", (what, 1.0)));
            }
            Some(_) => {}
        }
        if let Some(component) = problem.components.get(instance.component) {
            let fixed = !component.needs_each.is_empty();
            if fixed && instance.ordinal >= component.needs_each.len() {
                let what = format!("{}.{} is not an instance", component.name, instance.ordinal);
                found.push(Violation::new("[shape]", (what, 1.0)));
            }
        }
    }
}

/// Checks replica ranges and instances per host of all components.
pub(super) fn counts(problem: &Problem, assignment: &Assignment, found: &mut Vec<Violation>) {
    for component in 0..problem.components.len() {
        counts_of(problem, assignment, component, found);
    }
}

/// Checks replica range, ordinals and instances per host of one component.
pub(super) fn counts_of(
    problem: &Problem,
    assignment: &Assignment,
    index: ComponentIndex,
    found: &mut Vec<Violation>,
) {
    let component = &problem.components[index];
    let count = assignment.count(index);
    let range = component.replicas_min as usize..=component.replicas_max as usize;
    if !range.contains(&count) {
        let what =
            format!("{} has {count} instances, not {}..{}", component.name, range.start(), range.end());
        let amount = float(range.start().saturating_sub(count) + count.saturating_sub(*range.end()));
        found.push(Violation::new("[replicas]", (what, amount)));
    }
    if component.is_exchangeable() {
        let both = ordinals(component, &assignment.places[index]);
        if let Some((ended, started)) = both {
            let what = format!("{0}.{ended} ends while {0}.{started} starts; that is a move", component.name);
            found.push(Violation::new("[ordinals]", (what, 1.0)));
        }
    }
    let mut on: BTreeMap<Place, u32> = BTreeMap::new();
    for (_, place) in assignment.in_scope(&Scope::Component(index)) {
        *on.entry(place).or_default() += 1;
    }
    for (place, n) in on {
        if component.per_host_max > 0 && n > component.per_host_max {
            let host = &problem.machines[place.machine].name;
            let what = format!(
                "{host} runs {n} of {}, at most {} share a host",
                component.name, component.per_host_max
            );
            found.push(Violation::new("[per-host]", (what, f64::from(n - component.per_host_max))));
        }
    }
}

/// The ordinals of an instance that ends while another one starts: a move disguised to avoid its cost.
fn ordinals(component: &Component, places: &[Option<Place>]) -> Option<(usize, usize)> {
    let running = |ordinal: &usize| component.current_of(*ordinal).is_some();
    let planned = |ordinal: &usize| places.get(*ordinal).copied().flatten().is_some();
    let count = places.len().max(component.current.len());
    let ended = (0..count).find(|o| running(o) && !planned(o))?;
    let started = (0..count).find(|o| !running(o) && planned(o))?;
    Some((ended, started))
}

/// Checks hard capacities. A moving instance holds transient resources on both hosts.
pub(super) fn capacity(problem: &Problem, assignment: &Assignment, found: &mut Vec<Violation>) {
    let overbooks = problem.constraints.iter().any(|n| matches!(n.item, Constraint::Overbook(_)));
    for (resource, r) in problem.resources.iter().enumerate() {
        let needs = effective_needs(problem, resource);
        let mut used: BTreeMap<Place, f64> = BTreeMap::new();
        for (component, places) in assignment.places.iter().enumerate() {
            for (ordinal, place) in places.iter().enumerate() {
                let amount = needs(Instance { component, ordinal });
                if let Some(place) = place {
                    *used.entry(*place).or_default() += amount;
                    let from = problem.components[component].current_of(ordinal).map(Place::on);
                    if r.transient && from.is_some_and(|from| from != *place) {
                        *used.entry(from.unwrap_or(*place)).or_default() += amount;
                    }
                }
            }
        }
        for (place, amount) in used {
            let own = problem.machines[place.machine].capacity[resource];
            let capacity = if overbooks { capacity_of(problem, place.machine, resource) } else { own };
            if amount > capacity + CAPACITY_TOLERANCE * capacity.abs() {
                let host = &problem.machines[place.machine].name;
                let what = format!("{host} has {capacity} of {}, {amount} is needed", r.name);
                let excess = (amount - capacity) / capacity.max(amount / 2.0);
                found.push(Violation::new("[capacity]", (what, excess)));
            }
        }
    }
}

/// Checks that no instance runs on a machine without a value that a utility or cost needs.
pub(super) fn known_values(problem: &Problem, assignment: &Assignment, found: &mut Vec<Violation>) {
    for named in &problem.utilities {
        if let Some(what) = unknown_of(problem, assignment, &named.item.of) {
            found.push(Violation::new(&named.name, what));
        }
    }
    for named in &problem.costs {
        if let Some(what) = unknown(problem, assignment, &named.item.scope, &named.item.measure) {
            found.push(Violation::new(&named.name, what));
        }
    }
}
