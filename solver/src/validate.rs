//! Whether a problem makes sense at all, before anything is solved.
//!
//! Everything that could make an engine panic or answer nonsense is refused here, by name: NaN, infinities,
//! negative capacities, vectors of a wrong length, indices out of range, contradictory ranges.

use crate::constraint::{Constraint, Limit, Scope};
use crate::objective::{Measure, Of};
use crate::problem::{Component, Machine, Problem};
use std::collections::BTreeSet;
use thiserror::Error;

/// Most machines a problem may have; ten times the largest published benchmark with room.
pub const MACHINES_MAX: usize = 200_000;
/// Most instances a problem may ask for.
pub const INSTANCES_MAX: u64 = 2_000_000;
/// Largest weight of a linear rule; with [`INSTANCES_MAX`] instances, sums stay exact in `f64` and `i64`.
pub const WEIGHT_MAX: u64 = 1 << 30;

/// Largest number of a problem: sums and products of two of them over [`INSTANCES_MAX`] instances stay finite.
pub const NUMBER_MAX: f64 = 1e100;

/// Why a problem cannot be posed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ProblemError {
    /// A number is NaN or infinite.
    #[error("accept {what}: the number is not finite")]
    NotFinite {
        /// Where it stands.
        what: String,
    },
    /// A number is so large that sums of such numbers would not be finite.
    #[error("accept {what}: the number is beyond {NUMBER_MAX}")]
    Huge {
        /// Where it stands.
        what: String,
    },
    /// A number that must not be negative is.
    #[error("accept {what}: the number is negative")]
    Negative {
        /// Where it stands.
        what: String,
    },
    /// A list has not one entry for each machine, resource or site.
    #[error("accept {what}: it has {have} entries, not {want}")]
    Length {
        /// Which list.
        what: String,
        /// Its length.
        have: usize,
        /// The length it must have.
        want: usize,
    },
    /// An index points at nothing.
    #[error("accept {what}: there is no number {index}, only {count} exist")]
    Index {
        /// Where it stands.
        what: String,
        /// The index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A range that no number is in.
    #[error("accept {what}: {min} is more than {max}")]
    EmptyRange {
        /// Where it stands.
        what: String,
        /// Its lower end.
        min: u32,
        /// Its upper end.
        max: u32,
    },
    /// Two things have the same name.
    #[error("accept the name `{name}`: it is used twice")]
    SameName {
        /// The name.
        name: String,
    },
    /// A list of whom a rule or term speaks of has something twice.
    #[error("accept {what}: it speaks of the same instance or component twice")]
    Twice {
        /// Where it stands.
        what: String,
    },
    /// The best value of a utility is also its worst.
    #[error("accept utility `{name}`: its best and worst values are the same")]
    NoScale {
        /// The utility's name.
        name: String,
    },
    /// A rule speaks of a package of which no component is a version.
    #[error("accept {what}: no component is a version of `{package}`")]
    NoPackage {
        /// Where it stands.
        what: String,
        /// The package.
        package: String,
    },
    /// More than the solver takes.
    #[error("accept {have} {what}: at most {max} are")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        have: u64,
        /// The limit.
        max: u64,
    },
}

type Checked = Result<(), ProblemError>;

/// Refuses a problem that makes no sense.
///
/// # Errors
/// The first thing found wrong.
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
        constraint(p, &named.name, &named.item)?;
    }
    let names = p.constraints.iter().map(|n| &n.name);
    unique(names.chain(p.utilities.iter().map(|n| &n.name)).chain(p.costs.iter().map(|n| &n.name)))
}

fn at_most(what: &'static str, have: u64, max: u64) -> Checked {
    if have > max { Err(ProblemError::TooLarge { what, have, max }) } else { Ok(()) }
}

fn finite(what: impl Into<String>, value: f64) -> Checked {
    if !value.is_finite() {
        return Err(ProblemError::NotFinite { what: what.into() });
    }
    if value.abs() > NUMBER_MAX { Err(ProblemError::Huge { what: what.into() }) } else { Ok(()) }
}

fn amount(what: impl Into<String>, value: f64) -> Checked {
    let what = what.into();
    finite(what.clone(), value)?;
    if value < 0.0 { Err(ProblemError::Negative { what }) } else { Ok(()) }
}

fn length(what: impl Into<String>, have: usize, want: usize) -> Checked {
    if have == want { Ok(()) } else { Err(ProblemError::Length { what: what.into(), have, want }) }
}

fn length_or_empty(what: impl Into<String>, have: usize, want: usize) -> Checked {
    if have == 0 { Ok(()) } else { length(what, have, want) }
}

fn index(what: impl Into<String>, index: usize, count: usize) -> Checked {
    if index < count { Ok(()) } else { Err(ProblemError::Index { what: what.into(), index, count }) }
}

fn range(what: impl Into<String>, min: u32, max: u32) -> Checked {
    if min <= max { Ok(()) } else { Err(ProblemError::EmptyRange { what: what.into(), min, max }) }
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
            // Nothing can run on what was not bought yet.
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
    let weights = [m.add, m.remove, m.per_move, m.per_service, m.per_pair, m.min_gain];
    weights.iter().try_for_each(|v| amount("the migration costs", *v))
}

fn scope_of(p: &Problem, what: &str, scope: &Scope) -> Checked {
    match scope {
        Scope::All => Ok(()),
        Scope::Component(c) => index(what, *c, p.components.len()),
        Scope::Components(cs) => {
            cs.iter().try_for_each(|c| index(what, *c, p.components.len()))?;
            once(what, cs)
        }
        Scope::Instances(instances) => {
            instances.iter().try_for_each(|(c, ordinal)| {
                index(what, *c, p.components.len())?;
                let component = &p.components[*c];
                index(what, *ordinal, component.current.len().max(component.replicas_max as usize))
            })?;
            once(what, instances)
        }
    }
}

fn once<T: Ord>(what: &str, list: &[T]) -> Checked {
    let distinct: BTreeSet<&T> = list.iter().collect();
    if distinct.len() == list.len() { Ok(()) } else { Err(ProblemError::Twice { what: what.to_owned() }) }
}

fn measure_of(p: &Problem, what: &str, measure: &Measure) -> Checked {
    match measure {
        Measure::Size
        | Measure::Hosts
        | Measure::DiameterMs
        | Measure::AnchorLatencyMs
        | Measure::Price
        | Measure::TotalPrice => Ok(()),
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => scope_of(p, what, other),
        Measure::Distinct(partition) => index(what, *partition, p.partitions.len()),
        Measure::Count(mask) | Measure::Share(mask) => length(what, mask.len(), p.machines.len()),
        Measure::Sum(quantity) | Measure::Average(quantity) => index(what, *quantity, p.quantities.len()),
        Measure::Overload { resource } => index(what, *resource, p.resources.len()),
        Measure::Imbalance { first, second, target } => {
            index(what, *first, p.resources.len())?;
            index(what, *second, p.resources.len())?;
            amount(what, *target)
        }
    }
}

fn limit_of(what: &str, limit: &Limit) -> Checked {
    match limit {
        Limit::Constant(value) => finite(what, *value),
        Limit::BySize(values) if values.is_empty() => length(what, 0, 1),
        Limit::BySize(values) => values.iter().try_for_each(|v| finite(what, *v)),
    }
}

fn constraint(p: &Problem, name: &str, rule: &Constraint) -> Checked {
    let what = format!("rule `{name}`");
    let what = what.as_str();
    let mask = |mask: &Vec<bool>| length(what, mask.len(), p.machines.len());
    let by = |partition: &Option<usize>| partition.map_or(Ok(()), |i| index(what, i, p.partitions.len()));
    match rule {
        Constraint::Each { scope, allowed } => mask(allowed).and(scope_of(p, what, scope)),
        Constraint::Ban { scope, machines } => {
            scope_of(p, what, scope)?;
            machines.iter().try_for_each(|m| index(what, *m, p.machines.len()))
        }
        Constraint::Bound { scope, measure, limit, .. } => {
            scope_of(p, what, scope)?;
            measure_of(p, what, measure)?;
            limit_of(what, limit)
        }
        Constraint::Spread { scope, partition, max_in_class, min_distinct } => {
            scope_of(p, what, scope)?;
            by(&Some(*partition))?;
            max_in_class.iter().chain(min_distinct).try_for_each(|l| limit_of(what, l))
        }
        Constraint::Apart { scope, partition } | Constraint::Gather { scope, partition } => {
            scope_of(p, what, scope).and(by(partition))
        }
        Constraint::Split { scopes, partition } => {
            by(partition)?;
            scopes.iter().try_for_each(|s| scope_of(p, what, s))
        }
        Constraint::Lonely { scope } | Constraint::Root { scope } | Constraint::Moves { scope, .. } => {
            scope_of(p, what, scope)
        }
        Constraint::Together { .. }
        | Constraint::Alternatives { .. }
        | Constraint::Count { .. }
        | Constraint::Everywhere { .. }
        | Constraint::Require { .. }
        | Constraint::Linear { .. }
        | Constraint::DependsOn { .. }
        | Constraint::Conflict { .. }
        | Constraint::Needs { .. }
        | Constraint::Breaks { .. } => counted(p, what, rule),
        Constraint::Quarantine { machines } | Constraint::MaxOnline { machines, .. } => mask(machines),
        Constraint::Overbook { .. } | Constraint::Preserve { .. } | Constraint::Reserve { .. } => {
            capacities(p, what, rule)
        }
        Constraint::Neighbour { user, provider, partition } => {
            scope_of(p, what, user)?;
            scope_of(p, what, provider)?;
            by(&Some(*partition))
        }
        Constraint::Budget { max_per_hour } => amount(what, *max_per_hour),
        Constraint::Versions { package, .. } => released(p, what, package),
        Constraint::Survive { scope, partition, min_left } => {
            scope_of(p, what, scope)?;
            by(&Some(*partition))?;
            limit_of(what, min_left)
        }
    }
}

fn released(p: &Problem, what: &str, package: &str) -> Checked {
    if crate::versions::of_package(p, package).is_empty() {
        return Err(ProblemError::NoPackage { what: what.to_owned(), package: package.to_owned() });
    }
    Ok(())
}

/// Rules about whole components; nothing is wrong with others.
fn counted(p: &Problem, what: &str, rule: &Constraint) -> Checked {
    let one = |c: &usize| index(what, *c, p.components.len());
    let many = |cs: &Vec<usize>| cs.iter().try_for_each(one);
    match rule {
        Constraint::Together { components } => many(components),
        Constraint::Alternatives { components, min, max } | Constraint::Count { components, min, max } => {
            many(components).and(range(what, *min, *max))
        }
        Constraint::Everywhere { component } => one(component),
        Constraint::Require { user, provider, .. } => one(user).and(one(provider)),
        Constraint::Linear { terms, max } => {
            for (component, weight) in terms {
                one(component)?;
                at_most("of a weight", weight.unsigned_abs(), WEIGHT_MAX)?;
            }
            at_most("of a bound", max.unsigned_abs(), WEIGHT_MAX)
        }
        Constraint::DependsOn { component, any_of } => one(component).and(many(any_of)),
        Constraint::Conflict { first, second } => one(first).and(one(second)),
        // A range that nothing is in is no mistake: the component then cannot run, and the rule is named.
        Constraint::Needs { component, .. } | Constraint::Breaks { component, .. } => one(component),
        _ => Ok(()),
    }
}

/// Rules about needs and capacities; nothing is wrong with others.
fn capacities(p: &Problem, what: &str, rule: &Constraint) -> Checked {
    match rule {
        Constraint::Overbook { machines, resource, ratio } => {
            length(what, machines.len(), p.machines.len())?;
            index(what, *resource, p.resources.len())?;
            amount(what, *ratio)
        }
        Constraint::Preserve { scope, resource, amount: least } => {
            scope_of(p, what, scope)?;
            index(what, *resource, p.resources.len())?;
            amount(what, *least)
        }
        Constraint::Reserve { scope, partition, resource, share } => {
            scope_of(p, what, scope)?;
            index(what, *partition, p.partitions.len())?;
            index(what, *resource, p.resources.len())?;
            amount(what, *share)
        }
        _ => Ok(()),
    }
}
