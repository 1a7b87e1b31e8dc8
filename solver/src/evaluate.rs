//! The evaluator: the worth of an assignment, every term by name, from the definitions and independent of the engines.
//!
//! It is written to be correct, not fast. Engines have incremental forms of their own, and every result of theirs is
//! evaluated here. Rules are checked in [`mod@crate::check`].

use crate::assignment::{Assignment, Place};
use crate::constraint::Scope;
use crate::objective::{Measure, Of, Utility};
use crate::problem::{MachineIndex, Problem, Stock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The largest difference of two values of the objective that counts as rounding.
pub const WORTH_TOLERANCE: f64 = 1e-9;

/// The worth of one assignment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Score {
    /// Every utility, in the order of the problem.
    pub terms: Vec<Term>,
    /// Weighted mean of the terms, in 0..1; 0 when no weight is positive.
    pub utility: f64,
    /// Every cost, in the order of the problem.
    pub costs: Vec<CostTerm>,
    /// The cost of changing from the running configuration to this one.
    pub migration: MigrationScore,
    /// `utility - costs - migration`, which is maximised.
    pub net: f64,
    /// Price per hour of all used and kept hosts.
    pub price_per_hour: f64,
}

/// One utility of an assignment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Term {
    /// The utility's name.
    pub name: String,
    /// The measured quantity; for a quantity of each host, its mean.
    pub value: f64,
    /// The worth of the quantity, in 0..1.
    pub worth: f64,
    /// Its weight in the mean.
    pub weight: f64,
}

/// One cost of an assignment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CostTerm {
    /// The cost's name.
    pub name: String,
    /// The quantity.
    pub value: f64,
    /// The amount that is subtracted from the utility.
    pub cost: f64,
}

/// The cost of changing from the running configuration to an assignment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MigrationScore {
    /// Number of hosts that are bought.
    pub hosts_added: u32,
    /// Number of running hosts that are released.
    pub hosts_removed: u32,
    /// Number of running instances that move.
    pub moved: u32,
    /// Number of instances that start.
    pub started: u32,
    /// Number of running instances that end.
    pub ended: u32,
    /// The total cost, in the unit of utility.
    pub total: f64,
}

/// Evaluates every term of the objective.
///
/// Expects a problem that [`mod@crate::validate`] accepts and an assignment of its shape.
#[must_use]
pub fn evaluate(problem: &Problem, assignment: &Assignment) -> Score {
    let mut score = Score { migration: migration(problem, assignment), ..Score::default() };
    let (mut weighted, mut weights) = (0.0, 0.0);
    for named in &problem.utilities {
        let utility = &named.item;
        let (value, worth) = self::utility(problem, assignment, utility);
        weighted += utility.weight * worth;
        weights += utility.weight;
        score.terms.push(Term { name: named.name.clone(), value, worth, weight: utility.weight });
    }
    score.utility = if weights > 0.0 { weighted / weights } else { 0.0 };
    for named in &problem.costs {
        let value = measure(problem, assignment, &named.item.scope, &named.item.measure);
        score.costs.push(CostTerm { name: named.name.clone(), value, cost: value * named.item.per_unit });
    }
    score.price_per_hour = measure(problem, assignment, &Scope::All, &Measure::TotalPrice);
    let costs: f64 = score.costs.iter().map(|c| c.cost).sum();
    score.net = score.utility - costs - score.migration.total;
    score
}

/// The quantity of a utility, and its worth.
pub(crate) fn utility(problem: &Problem, assignment: &Assignment, utility: &Utility) -> (f64, f64) {
    match &utility.of {
        Of::Each { component, quantity } => {
            let hosts = assignment.in_scope(&Scope::Component(*component));
            let value_at =
                |p: &Place| problem.quantities[*quantity].values[p.machine].unwrap_or(utility.worst);
            let values: Vec<f64> = hosts.iter().map(|(_, place)| value_at(place)).collect();
            (mean(values.iter().copied()), mean(values.iter().map(|v| utility.worth(*v))))
        }
        Of::Group { scope, measure: of } => {
            let value = measure(problem, assignment, scope, of);
            (value, utility.worth(value))
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values {
        sum += value;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Evaluates one measure of a group.
#[must_use]
pub fn measure(problem: &Problem, assignment: &Assignment, scope: &Scope, measure: &Measure) -> f64 {
    let group = assignment.in_scope(scope);
    let hosts: BTreeSet<Place> = group.iter().map(|(_, place)| *place).collect();
    let each =
        |f: &dyn Fn(MachineIndex) -> f64| -> Vec<f64> { group.iter().map(|(_, p)| f(p.machine)).collect() };
    let value_of = |q: usize| each(&|m| problem.quantities[q].values[m].unwrap_or(0.0));
    let counted = |mask: &Vec<bool>| count(group.iter().filter(|(_, p)| mask[p.machine]).count());
    match measure {
        Measure::Size => count(group.len()),
        Measure::Hosts => count(hosts.len()),
        Measure::DiameterMs => diameter_ms(problem, &hosts),
        Measure::AnchorLatencyMs => anchor_latency_ms(problem, &hosts),
        Measure::PairLatencyMs(other) => {
            pair_latencies(problem, &hosts, &hosts_of(assignment, other)).into_iter().fold(0.0, f64::max)
        }
        Measure::MeanPairLatencyMs(other) => {
            mean(pair_latencies(problem, &hosts, &hosts_of(assignment, other)).into_iter())
        }
        Measure::Price => hosts.iter().map(|p| problem.machines[p.machine].price).sum(),
        Measure::TotalPrice => total_price(problem, assignment),
        Measure::Distinct(partition) => {
            let class = |p: &Place| problem.partitions[*partition].class_of[p.machine];
            count(hosts.iter().filter_map(class).collect::<BTreeSet<usize>>().len())
        }
        Measure::Count(mask) => counted(mask),
        Measure::Share(mask) if group.is_empty() => counted(mask),
        Measure::Share(mask) => counted(mask) / count(group.len()),
        Measure::Sum(quantity) => value_of(*quantity).into_iter().sum(),
        Measure::Average(quantity) => mean(value_of(*quantity).into_iter()),
        Measure::Overload { resource } => {
            let used = usage(problem, assignment, *resource);
            used.iter().map(|(p, u)| (u - problem.machines[p.machine].safety_of(*resource)).max(0.0)).sum()
        }
        Measure::Imbalance { first, second, target } => {
            let (a, b) = (usage(problem, assignment, *first), usage(problem, assignment, *second));
            let free = |used: &BTreeMap<Place, f64>, p: &Place, r: usize| {
                problem.machines[p.machine].capacity[r] - used.get(p).copied().unwrap_or(0.0)
            };
            a.keys().map(|p| (target * free(&a, p, *first) - free(&b, p, *second)).max(0.0)).sum()
        }
    }
}

/// Counts stay far below 2^53, so the conversion is exact.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

fn hosts_of(assignment: &Assignment, scope: &Scope) -> BTreeSet<Place> {
    assignment.in_scope(scope).into_iter().map(|(_, place)| place).collect()
}

/// The round-trip time between two hosts; 0 between a host and itself, and where a machine has no site.
///
/// A machine without a site never gets into a checked assignment where latency matters.
#[must_use]
pub fn latency_ms(problem: &Problem, a: Place, b: Place) -> f64 {
    match (problem.machines[a.machine].site, problem.machines[b.machine].site) {
        (Some(x), Some(y)) if a != b => problem.latency.ms(x, y),
        _ => 0.0,
    }
}

fn diameter_ms(problem: &Problem, hosts: &BTreeSet<Place>) -> f64 {
    let mut largest: f64 = 0.0;
    for a in hosts {
        for b in hosts.range(..a) {
            largest = largest.max(latency_ms(problem, *a, *b));
        }
    }
    largest
}

/// The round-trip times whose maximum a measure is; none for other measures.
pub(crate) fn latencies_ms(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    measure: &Measure,
) -> Vec<f64> {
    let hosts = hosts_of(assignment, scope);
    match measure {
        Measure::DiameterMs => {
            let below =
                |a: &Place| hosts.range(..*a).map(|b| latency_ms(problem, *a, *b)).collect::<Vec<_>>();
            hosts.iter().flat_map(below).collect()
        }
        Measure::PairLatencyMs(other) => pair_latencies(problem, &hosts, &hosts_of(assignment, other)),
        _ => Vec::new(),
    }
}

fn pair_latencies(problem: &Problem, a: &BTreeSet<Place>, b: &BTreeSet<Place>) -> Vec<f64> {
    a.iter().flat_map(|x| b.iter().map(move |y| latency_ms(problem, *x, *y))).collect()
}

fn anchor_latency_ms(problem: &Problem, hosts: &BTreeSet<Place>) -> f64 {
    let sites: Vec<usize> = hosts.iter().filter_map(|p| problem.machines[p.machine].site).collect();
    let nearest = |anchor: &Vec<f64>| sites.iter().map(|s| anchor[*s]).fold(f64::INFINITY, f64::min);
    let largest = problem.anchors.iter().map(nearest).fold(0.0, f64::max);
    // Without a host no anchor is near. A finite number keeps scores printable, and no rule accepts it.
    if largest.is_finite() { largest } else { f64::MAX }
}

fn total_price(problem: &Problem, assignment: &Assignment) -> f64 {
    let used: BTreeSet<Place> = assignment.iter().map(|(_, place)| place).collect();
    let kept = problem.machines.iter().enumerate().filter(|(_, m)| m.stock == Stock::Kept);
    let hosts: BTreeSet<Place> = kept.map(|(m, _)| Place::on(m)).chain(used).collect();
    hosts.iter().map(|p| problem.machines[p.machine].price).sum()
}

/// The need of a resource on every existing or used host.
fn usage(problem: &Problem, assignment: &Assignment, resource: usize) -> BTreeMap<Place, f64> {
    let exists = problem.machines.iter().enumerate().filter(|(_, m)| !m.is_offer());
    let mut used: BTreeMap<Place, f64> = exists.map(|(m, _)| (Place::on(m), 0.0)).collect();
    for (instance, place) in assignment.iter() {
        let need = problem.components[instance.component].need(instance.ordinal, resource);
        *used.entry(place).or_default() += need;
    }
    used
}

fn migration(problem: &Problem, assignment: &Assignment) -> MigrationScore {
    let mut score = MigrationScore::default();
    let used: BTreeSet<Place> = assignment.iter().map(|(_, place)| place).collect();
    score.hosts_added = count_u32(used.iter().filter(|p| problem.machines[p.machine].is_offer()).count());
    let given_back = |(m, machine): &(usize, &crate::problem::Machine)| {
        machine.stock == Stock::Running && !used.contains(&Place::on(*m))
    };
    score.hosts_removed = count_u32(problem.machines.iter().enumerate().filter(given_back).count());
    let weights = &problem.migration;
    let (mut moves, mut pairs, mut service_max) = (0.0, 0.0, 0u32);
    for (component, places) in problem.components.iter().zip(&assignment.places) {
        let mut moved = 0;
        for ordinal in 0..places.len().max(component.current.len()) {
            let (was, is) = (component.current_of(ordinal), places.get(ordinal).copied().flatten());
            match (was, is) {
                (None, None) => {}
                (None, Some(_)) => score.started += 1,
                (Some(_), None) => score.ended += 1,
                (Some(from), Some(to)) if to == Place::on(from) => {}
                (Some(from), Some(to)) => {
                    moved += 1;
                    moves += component.move_cost_of(ordinal);
                    pairs += problem.machines[from].move_cost.get(to.machine).copied().unwrap_or(0.0);
                }
            }
        }
        score.moved += moved;
        service_max = service_max.max(moved);
    }
    score.total = weights.add * f64::from(score.hosts_added)
        + weights.remove * f64::from(score.hosts_removed)
        + weights.per_move * moves
        + weights.per_service * f64::from(service_max)
        + weights.per_pair * pairs;
    score
}

fn count_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
