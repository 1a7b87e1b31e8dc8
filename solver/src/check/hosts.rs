//! Built-in rules: shape, counts, instances per host, capacity, values that utilities need.
//!
//! The rules of the problem are in `rules.rs`.

use super::{Broken, CAPACITY_TOLERANCE, Violation, float};
use crate::assignment::{Assignment, Instance, Place};
use crate::constraint::{Constraint, Scope};
use crate::objective::{Measure, Of};
use crate::problem::{Component, ComponentIndex, Problem};
use std::collections::BTreeMap;

/// Whether every index exists at all; nothing else can be judged before.
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

/// Replica ranges and instances per host.
pub(super) fn counts(problem: &Problem, assignment: &Assignment, found: &mut Vec<Violation>) {
    for component in 0..problem.components.len() {
        counts_of(problem, assignment, component, found);
    }
}

/// The same of one component.
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

/// An instance that ends while another one starts: moves must not be hidden, for they cost.
fn ordinals(component: &Component, places: &[Option<Place>]) -> Option<(usize, usize)> {
    let running = |ordinal: &usize| component.current_of(*ordinal).is_some();
    let planned = |ordinal: &usize| places.get(*ordinal).copied().flatten().is_some();
    let count = places.len().max(component.current.len());
    let ended = (0..count).find(|o| running(o) && !planned(o))?;
    let started = (0..count).find(|o| !running(o) && planned(o))?;
    Some((ended, started))
}

/// Whether a scope holds an instance.
pub(crate) fn in_scope(scope: &Scope, instance: Instance) -> bool {
    match scope {
        Scope::All => true,
        Scope::Component(component) => *component == instance.component,
        Scope::Components(components) => components.contains(&instance.component),
        Scope::Instances(instances) => instances.contains(&(instance.component, instance.ordinal)),
    }
}

/// The capacity of a machine, changed by overbook rules.
pub(crate) fn capacity_of(problem: &Problem, machine: usize, resource: usize) -> f64 {
    let mut capacity = problem.machines[machine].capacity.get(resource).copied().unwrap_or(0.0);
    for named in &problem.constraints {
        if let Constraint::Overbook { machines, resource: r, ratio } = &named.item
            && *r == resource
            && machines[machine]
        {
            capacity = problem.machines[machine].capacity.get(resource).copied().unwrap_or(0.0) * ratio;
        }
    }
    capacity
}

/// Hard capacity, transient resources counted on both sides of a move.
pub(super) fn capacity(problem: &Problem, assignment: &Assignment, found: &mut Vec<Violation>) {
    let overbooks = problem.constraints.iter().any(|n| matches!(n.item, Constraint::Overbook { .. }));
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

/// The needs of one resource; looked up once when preserve rules name single instances of large problems.
pub(crate) fn effective_needs(problem: &Problem, resource: usize) -> impl Fn(Instance) -> f64 + '_ {
    let mut least_of: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut wide = Vec::new();
    for named in &problem.constraints {
        if let Constraint::Preserve { scope, resource: r, amount } = &named.item
            && *r == resource
        {
            if let Scope::Instances(instances) = scope {
                for key in instances {
                    let least = least_of.entry(*key).or_insert(*amount);
                    *least = least.max(*amount);
                }
            } else {
                wide.push((scope, *amount));
            }
        }
    }
    move |instance| {
        let own = problem.components[instance.component].need(instance.ordinal, resource);
        let least = least_of.get(&(instance.component, instance.ordinal)).copied().unwrap_or(0.0);
        let wide = wide.iter().filter(|(scope, _)| in_scope(scope, instance)).map(|(_, amount)| *amount);
        wide.fold(own.max(least), f64::max)
    }
}

/// A machine whose site or number is unknown is refused by what needs it.
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

/// The first machine at which the quantity of a utility cannot be worked out.
pub(super) fn unknown_of(problem: &Problem, assignment: &Assignment, of: &Of) -> Option<Broken> {
    match of {
        Of::Each { component, quantity } => {
            unknown_quantity(problem, assignment, &Scope::Component(*component), *quantity)
        }
        Of::Group { scope, measure } => unknown(problem, assignment, scope, measure),
    }
}

/// The first machine at which a measure cannot be worked out.
pub(super) fn unknown(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    measure: &Measure,
) -> Option<Broken> {
    let no_site = |scope: &Scope| {
        let hosts = assignment.in_scope(scope);
        refused(problem, &hosts, &|m| problem.machines[m].site.is_none(), "the latency")
    };
    match measure {
        Measure::DiameterMs | Measure::AnchorLatencyMs => no_site(scope),
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => {
            no_site(scope).or_else(|| no_site(other))
        }
        Measure::Sum(quantity) | Measure::Average(quantity) => {
            unknown_quantity(problem, assignment, scope, *quantity)
        }
        Measure::Distinct(partition) => {
            let hosts = assignment.in_scope(scope);
            let partition = &problem.partitions[*partition];
            refused(problem, &hosts, &|m| partition.class_of[m].is_none(), &partition.name)
        }
        _ => None,
    }
}

fn unknown_quantity(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    quantity: usize,
) -> Option<Broken> {
    let quantity = &problem.quantities[quantity];
    refused(problem, &assignment.in_scope(scope), &|m| quantity.values[m].is_none(), &quantity.name)
}

fn refused(
    problem: &Problem,
    hosts: &[(Instance, Place)],
    is_unknown: &dyn Fn(usize) -> bool,
    what: &str,
) -> Option<Broken> {
    let mut lost = hosts.iter().filter(|(_, p)| is_unknown(p.machine));
    let first = lost.next()?;
    let host = &problem.machines[first.1.machine].name;
    Some((format!("{what} of {host} is unknown"), float(1 + lost.count())))
}
