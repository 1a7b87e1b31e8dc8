//! Zones: sets of machines that no rule about places distinguishes.

use crate::check::{CAPACITY_TOLERANCE, capacity_of};
use crate::constraint::{Constraint, Scope};
use crate::objective::Measure;
use crate::problem::{MachineIndex, Problem, Stock};
use crate::rule;
use std::collections::BTreeMap;

/// Zones that a [`ZoneSet`] can hold; four times the regions of the three large clouds.
pub(super) const ZONES_MAX: usize = 256;

/// Whether needs fit a capacity, as the checker sees it.
pub(super) fn fits(needs: &[f64], capacity: &[f64]) -> bool {
    needs.iter().zip(capacity).all(|(need, c)| *need <= c + CAPACITY_TOLERANCE * c.abs() / 2.0)
}

/// A set of zones, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ZoneSet([u64; ZONES_MAX / 64]);

impl ZoneSet {
    pub(super) fn insert(&mut self, zone: usize) {
        self.0[zone / 64] |= 1 << (zone % 64);
    }

    pub(super) fn remove(&mut self, zone: usize) {
        self.0[zone / 64] &= !(1 << (zone % 64));
    }

    pub(super) fn holds(&self, zone: usize) -> bool {
        self.0[zone / 64] >> (zone % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; ZONES_MAX / 64]
    }

    pub(super) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, o)| *word &= o);
    }
}

/// A machine type that can be bought in a zone.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Offer {
    pub(super) machine: MachineIndex,
    pub(super) capacity: Vec<f64>,
    /// The cost of one host.
    pub(super) cost: f64,
    pub(super) count_max: u32,
}

/// Machines that no rule about places distinguishes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Zone {
    /// One of its machines, which stands for all of them in rules about places.
    pub(super) machine: MachineIndex,
    /// The useful offers, cheapest first; offers that are dominated by another are left out.
    pub(super) offers: Vec<Offer>,
}

/// All zones; none when there are too many.
pub(super) fn zones(problem: &Problem, instances: u64) -> Option<Vec<Zone>> {
    let mut known: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
    let mut zones: Vec<Zone> = Vec::new();
    let per_price: f64 =
        problem.costs.iter().filter(|c| c.item.measure == Measure::TotalPrice).map(|c| c.item.per_unit).sum();
    for (machine, m) in problem.machines.iter().enumerate() {
        let Stock::Offer { count_max } = m.stock else { return None };
        let next = zones.len();
        let zone = *known.entry(signature(problem, machine)).or_insert(next);
        if zone == next {
            zones.push(Zone { machine, offers: Vec::new() });
        }
        let capacity = (0..problem.resources.len()).map(|r| capacity_of(problem, machine, r)).collect();
        let cost = per_price * m.price + problem.migration.add;
        if count_max > 0 {
            zones[zone].offers.push(Offer { machine, capacity, cost, count_max });
        }
    }
    zones.retain(|zone| !zone.offers.is_empty());
    zones.iter_mut().for_each(|zone| prune(&mut zone.offers, instances));
    (!zones.is_empty() && zones.len() <= ZONES_MAX).then_some(zones)
}

/// Removes offers that are dominated: another one with enough hosts has at least the capacity for at most the price.
fn prune(offers: &mut Vec<Offer>, instances: u64) {
    offers.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.machine.cmp(&b.machine)));
    let mut kept: Vec<Offer> = Vec::new();
    for offer in offers.drain(..) {
        let beaten = |k: &Offer| {
            u64::from(k.count_max) >= instances && k.capacity.iter().zip(&offer.capacity).all(|(a, b)| a >= b)
        };
        if !kept.iter().any(beaten) {
            kept.push(offer);
        }
    }
    *offers = kept;
}

/// The properties of a machine that rules can distinguish, without its capacity and price.
fn signature(problem: &Problem, machine: MachineIndex) -> Vec<u64> {
    let class = |c: &Option<usize>| c.map_or(0, |c| c as u64 + 1);
    let mut key: Vec<u64> = vec![class(&problem.machines[machine].site)];
    key.extend(problem.partitions.iter().map(|p| class(&p.class_of[machine])));
    let (mut bits, mut count) = (0u64, 0);
    for named in &problem.constraints {
        let bit = match &named.item {
            Constraint::Each(rule::Each { allowed, .. }) => allowed[machine],
            Constraint::Ban(rule::Ban { machines, .. }) => machines.contains(&machine),
            _ => continue,
        };
        bits = bits << 1 | u64::from(bit);
        count += 1;
        if count % 64 == 0 {
            key.push(bits);
            bits = 0;
        }
    }
    key.push(bits);
    key
}

/// The components of a scope; none when it names single instances.
pub(super) fn members(problem: &Problem, scope: &Scope) -> Option<Vec<usize>> {
    match scope {
        Scope::All => Some((0..problem.components.len()).collect()),
        Scope::Component(c) => Some(vec![*c]),
        Scope::Components(cs) => Some(cs.clone()),
        Scope::Instances(_) => None,
    }
}
