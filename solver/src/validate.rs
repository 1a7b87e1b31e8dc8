//! Validation of a problem before it is solved.
//!
//! Input that could make an engine panic or return nonsense is refused here, by name: NaN, infinities, negative
//! capacities, vectors of a wrong length, indices out of range, contradictory ranges. Each rule validates its own
//! fields (`rules/`).

use crate::objective::Of;
use crate::problem::{Component, Machine, Problem};
use crate::problem_error::{
    Checked, amount, at_most, finite, index, length, length_or_empty, measure_of, range, scope_of,
};
pub use crate::problem_error::{INSTANCES_MAX, MACHINES_MAX, NUMBER_MAX, ProblemError, WEIGHT_MAX};
use crate::rules::table::meaning;
use std::collections::BTreeSet;

/// Refuses an invalid problem.
///
/// # Errors
/// The first fault found.
pub fn validate(problem: &Problem) -> Checked {
    let p = problem;
    at_most("machines", p.machines.len() as u64, MACHINES_MAX as u64)?;
    let fixed = p.components.iter().map(|c| u64::from(c.replicas_max).max(c.current.len() as u64)).sum();
    at_most("instances", fixed, INSTANCES_MAX)?;
    length("the latency matrix", p.latency.ms.len(), p.latency.sites.saturating_mul(p.latency.sites))?;
    p.latency.ms.iter().try_for_each(|v| amount("the latency matrix", *v))?;
    for (index, anchor) in p.anchors.iter().enumerate() {
        let what = || format!("anchor {index}");
        length(what(), anchor.len(), p.latency.sites)?;
        anchor.iter().try_for_each(|v| amount(what(), *v))?;
    }
    p.machines.iter().try_for_each(|m| machine(p, m))?;
    p.components.iter().try_for_each(|c| component(p, c))?;
    unique(p.machines.iter().map(|m| &m.name))?;
    unique(p.components.iter().map(|c| &c.name))?;
    let releases = p.components.iter().filter_map(|c| c.release.as_ref());
    let versions: Vec<String> = releases.map(|r| format!("{} {}", r.package, r.version)).collect();
    unique(versions.iter())?;
    for partition in &p.partitions {
        let what = || format!("partition `{}`", partition.name);
        length(what(), partition.class_of.len(), p.machines.len())?;
        partition.class_of.iter().flatten().try_for_each(|c| index(what(), *c, partition.classes.len()))?;
    }
    for quantity in &p.quantities {
        let what = || format!("quantity `{}`", quantity.name);
        length(what(), quantity.values.len(), p.machines.len())?;
        quantity.values.iter().flatten().try_for_each(|v| finite(what(), *v))?;
    }
    objective(p)?;
    for named in &p.constraints {
        meaning(&named.item).validate(p, &format!("rule `{}`", named.name))?;
    }
    let names = p.constraints.iter().map(|n| &n.name);
    unique(names.chain(p.utilities.iter().map(|n| &n.name)).chain(p.costs.iter().map(|n| &n.name)))
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Checked {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ProblemError::SameName { name: name.clone() });
        }
    }
    Ok(())
}

fn machine(p: &Problem, m: &Machine) -> Checked {
    let what = || format!("machine `{}`", m.name);
    length(what(), m.capacity.len(), p.resources.len())?;
    length_or_empty(what(), m.safety.len(), p.resources.len())?;
    length_or_empty(what(), m.move_cost.len(), p.machines.len())?;
    m.capacity.iter().chain(&m.safety).chain(&m.move_cost).try_for_each(|v| amount(what(), *v))?;
    amount(what(), m.price)?;
    m.site.map_or(Ok(()), |site| index(what(), site, p.latency.sites))
}

fn component(p: &Problem, c: &Component) -> Checked {
    let what = || format!("component `{}`", c.name);
    range(what(), c.replicas_min, c.replicas_max)?;
    length_or_empty(what(), c.needs.len(), p.resources.len())?;
    c.needs.iter().try_for_each(|v| amount(what(), *v))?;
    finite(what(), c.move_cost)?;
    amount(what(), c.move_cost)?;
    if !c.needs_each.is_empty() {
        length(what(), c.needs_each.len(), c.replicas_max as usize)?;
        length(what(), c.replicas_min as usize, c.needs_each.len())?;
    }
    for needs in &c.needs_each {
        length(what(), needs.len(), p.resources.len())?;
        needs.iter().try_for_each(|v| amount(what(), *v))?;
    }
    if !c.move_cost_each.is_empty() {
        length(what(), c.move_cost_each.len(), (c.replicas_max as usize).max(c.current.len()))?;
    }
    c.move_cost_each.iter().try_for_each(|v| amount(what(), *v))?;
    if !c.needs_each.is_empty() && c.current.len() > c.needs_each.len() {
        return length(what(), c.current.len(), c.needs_each.len());
    }
    for machine in c.current.iter().flatten() {
        index(what(), *machine, p.machines.len())?;
        if p.machines[*machine].is_offer() {
            // No instance can run on an offer that was not bought yet.
            return Err(ProblemError::Index { what: what(), index: *machine, count: p.machines.len() });
        }
    }
    Ok(())
}

fn objective(p: &Problem) -> Checked {
    for named in &p.utilities {
        let (name, utility) = (&named.name, &named.item);
        let what = || format!("utility `{name}`");
        finite(what(), utility.best)?;
        finite(what(), utility.worst)?;
        amount(what(), utility.weight)?;
        if utility.best == utility.worst {
            return Err(ProblemError::NoScale { name: name.clone() });
        }
        match &utility.of {
            Of::Each { component, quantity } => {
                index(what(), *component, p.components.len())?;
                index(what(), *quantity, p.quantities.len())?;
            }
            Of::Group { scope, measure } => {
                scope_of(p, &what(), scope)?;
                measure_of(p, &what(), measure)?;
            }
        }
    }
    for named in &p.costs {
        let what = format!("cost `{}`", named.name);
        finite(what.clone(), named.item.per_unit)?;
        scope_of(p, &what, &named.item.scope)?;
        measure_of(p, &what, &named.item.measure)?;
    }
    let m = &p.migration;
    let weights = [m.add, m.remove, m.per_move, m.per_service, m.per_pair];
    weights.iter().try_for_each(|v| amount("the migration costs", *v))
}
