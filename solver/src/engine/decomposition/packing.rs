//! Packs the instances of one zone into hosts: by value at the prices of `duals.rs`, then by ruin and repair.
//!
//! Loads are found for classes of needs. Slots are assigned to components afterwards, so that no component exceeds its
//! limit per host. An instance without a slot gets a host of its own.

use super::duals::Duals;
use super::grid::{Cells, Grid, Table};
use super::knapsack::Bounded;
use super::model::Model;
use super::zones::{Zone, fits};
use crate::problem::ComponentIndex;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A packing is better when it is cheaper by more than this.
const CHEAPER: f64 = 1e-9;

/// A host with a number of instances of each class.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Bin {
    /// Index into the offers of the zone.
    pub(super) offer: usize,
    pub(super) load: Vec<u32>,
}

/// A host with its instances.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Host {
    pub(super) offer: usize,
    pub(super) components: Vec<ComponentIndex>,
}

/// The instances to be packed in a zone.
#[derive(Clone, Default, Debug)]
pub(super) struct Demand {
    /// Instances of each class.
    pub(super) count: Vec<u32>,
    /// The most instances of each class on one host.
    pub(super) share: Vec<u32>,
}

impl Demand {
    /// The demand of components with their numbers of instances.
    pub(super) fn of(model: &Model, lots: &[(ComponentIndex, u32)]) -> Self {
        let classes = model.classes.len();
        let mut demand = Self { count: vec![0; classes], share: vec![0; classes] };
        for (component, n) in lots {
            let class = model.class_of[*component];
            demand.count[class] += n;
            let shared = (*n).min(model.per_host[*component]);
            demand.share[class] = demand.share[class].saturating_add(shared);
        }
        demand
    }
}

/// Packs one zone.
pub(super) struct Packer<'a> {
    pub(super) zone: &'a Zone,
    pub(super) classes: &'a [Vec<f64>],
    pub(super) grid: &'a Grid,
    sizes: Vec<Cells>,
    largest: Cells,
}

impl<'a> Packer<'a> {
    pub(super) fn new(zone: &'a Zone, classes: &'a [Vec<f64>], grid: &'a Grid) -> Self {
        let sizes: Vec<Cells> = zone.offers.iter().map(|o| grid.cells_of(&o.capacity)).collect();
        let largest = [0, 1].map(|axis| sizes.iter().map(|s| s[axis]).max().unwrap_or(0));
        Self { zone, classes, grid, sizes, largest }
    }

    pub(super) fn cost(&self, bins: &[Bin]) -> f64 {
        bins.iter().map(|bin| self.zone.offers[bin.offer].cost).sum()
    }

    /// Packs by value, then removes a few hosts and packs their instances again, `tries` times.
    pub(super) fn pack(
        &self,
        demand: &Demand,
        duals: &Duals,
        tries: u32,
        seed: u64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Option<Vec<Bin>> {
        let mut bins = self.fill(&demand.count, &demand.share, &duals.prices)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for _ in 0..tries {
            if bins.len() < 2 || stop() {
                break;
            }
            self.again(&mut bins, demand, &duals.prices, &mut rng);
        }
        Some(bins)
    }

    /// Removes the least efficient host and some others, packs their instances again, and keeps the result when it is
    /// cheaper.
    fn again(&self, bins: &mut Vec<Bin>, demand: &Demand, prices: &[f64], rng: &mut Xoshiro256PlusPlus) {
        let waste = |bin: &Bin| self.zone.offers[bin.offer].cost - worth(&bin.load, prices);
        bins.sort_by(|a, b| waste(b).total_cmp(&waste(a)));
        let mut taken = Vec::new();
        for _ in 0..rng.random_range(2..=5usize).min(bins.len()) {
            let at = if rng.random_range(0..2) == 0 { 0 } else { rng.random_range(0..bins.len()) };
            taken.push(bins.remove(at));
        }
        let mut count = vec![0; self.classes.len()];
        for bin in &taken {
            count.iter_mut().zip(&bin.load).for_each(|(sum, n)| *sum += n);
        }
        let other: Vec<f64> = prices.iter().map(|p| p * rng.random_range(0.8..1.2)).collect();
        match self.fill(&count, &demand.share, &other) {
            Some(better) if self.cost(&better) <= self.cost(&taken) + CHEAPER => bins.extend(better),
            _ => bins.extend(taken),
        }
    }

    /// Buys the host whose best load is worth most relative to its cost, until no instance is left.
    fn fill(&self, count: &[u32], share: &[u32], prices: &[f64]) -> Option<Vec<Bin>> {
        let prices: Vec<f64> = prices.iter().map(|p| if p.is_finite() { *p } else { 0.0 }).collect();
        let mut left = count.to_vec();
        let mut bins = Vec::new();
        self.bulk(&mut left, share, &prices, &mut bins);
        while left.iter().any(|n| *n > 0) {
            let bin = self.most_worth(&left, share, &prices).or_else(|| self.any(&left, share))?;
            left.iter_mut().zip(&bin.load).for_each(|(l, n)| *l -= n);
            bins.push(bin);
        }
        Some(bins)
    }

    /// Uses the best load of all repeatedly while enough instances of every class are left.
    fn bulk(&self, left: &mut [u32], share: &[u32], prices: &[f64], bins: &mut Vec<Bin>) {
        // With fewer instances there are too few for complete loads.
        if left.iter().sum::<u32>() < 24 {
            return;
        }
        let table = Table::new(self.grid, prices, self.largest);
        let ratio = |offer: usize| table.value(self.sizes[offer]) / self.zone.offers[offer].cost.max(1e-12);
        let mut offers: Vec<usize> = (0..self.zone.offers.len()).collect();
        offers.sort_by(|a, b| ratio(*b).total_cmp(&ratio(*a)).then(a.cmp(b)));
        for offer in offers.into_iter().filter(|o| ratio(*o) > 0.999) {
            let load = table.load(self.grid, self.sizes[offer]);
            let shared = load.iter().zip(share).all(|(n, max)| n <= max);
            let full = load.iter().any(|n| *n > 0) && self.holds(offer, &load);
            while shared && full && load.iter().zip(&*left).all(|(n, l)| n <= l) {
                left.iter_mut().zip(&load).for_each(|(l, n)| *l -= n);
                bins.push(Bin { offer, load: load.clone() });
            }
        }
    }

    fn holds(&self, offer: usize, load: &[u32]) -> bool {
        let capacity = &self.zone.offers[offer].capacity;
        let need = |r: usize| self.classes.iter().zip(load).map(|(c, n)| c[r] * f64::from(*n)).sum::<f64>();
        let needs: Vec<f64> = (0..capacity.len()).map(need).collect();
        fits(&needs, capacity)
    }

    /// The host with the best load of the remaining instances; none when all prices are zero.
    fn most_worth(&self, left: &[u32], share: &[u32], prices: &[f64]) -> Option<Bin> {
        let bounded: Vec<u32> = left.iter().zip(share).map(|(l, s)| (*l).min(*s)).collect();
        let mut size = [0; super::grid::AXES];
        for (need, n) in self.grid.needs.iter().zip(&bounded) {
            size.iter_mut().zip(need).for_each(|(s, need)| *s += need * *n as usize);
        }
        size.iter_mut().zip(self.largest).for_each(|(s, max)| *s = (*s).min(max));
        let table = Bounded::new(self.grid, prices, &bounded, size);
        let worth_of =
            |offer: &usize| table.value(self.sizes[*offer]) / self.zone.offers[*offer].cost.max(1e-12);
        // Offers come by rising cost: of two that are equally good, the smaller one wastes less.
        let offer = (0..self.zone.offers.len()).rev().max_by(|a, b| worth_of(a).total_cmp(&worth_of(b)))?;
        let mut load = table.load(self.grid, self.sizes[offer]);
        // A load of rounded needs may not fit in fact.
        while !self.holds(offer, &load) {
            let last = load.iter().rposition(|n| *n > 0)?;
            load[last] -= 1;
        }
        let load = self.with_further_instances(offer, load, left, share);
        load.iter().any(|n| *n > 0).then_some(Bin { offer, load })
    }

    /// Adds further instances that fit.
    fn with_further_instances(
        &self,
        offer: usize,
        mut load: Vec<u32>,
        left: &[u32],
        share: &[u32],
    ) -> Vec<u32> {
        for class in 0..load.len() {
            while load[class] < left[class].min(share[class]) {
                load[class] += 1;
                if !self.holds(offer, &load) {
                    load[class] -= 1;
                    break;
                }
            }
        }
        load
    }

    /// The cheapest host for a remaining class, with further instances that fit.
    fn any(&self, left: &[u32], share: &[u32]) -> Option<Bin> {
        let class = left.iter().position(|n| *n > 0)?;
        let mut load = vec![0; left.len()];
        load[class] = 1;
        let offer = (0..self.zone.offers.len()).find(|offer| self.holds(*offer, &load))?;
        Some(Bin { offer, load: self.with_further_instances(offer, load, left, share) })
    }

    /// Assigns slots to components; an instance without a slot gets a host of its own. Every host becomes the cheapest
    /// offer that holds its load.
    pub(super) fn seat(
        &self,
        model: &Model,
        bins: &[Bin],
        lots: &[(ComponentIndex, u32)],
    ) -> Option<Vec<Host>> {
        let mut hosts: Vec<Host> =
            bins.iter().map(|bin| Host { offer: bin.offer, components: Vec::new() }).collect();
        let mut slots: Vec<Vec<u32>> = bins.iter().map(|bin| bin.load.clone()).collect();
        let mut order: Vec<(ComponentIndex, u32)> = lots.to_vec();
        order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        for (component, n) in order {
            let class = model.class_of[component];
            for _ in 0..n {
                let takes = |at: &usize| slots[*at][class] > 0 && may_join(model, &hosts[*at], component);
                // The host with most slots left for the class is used, which keeps slots on the others.
                match (0..hosts.len()).filter(takes).max_by_key(|at| (slots[*at][class], usize::MAX - *at)) {
                    Some(at) => {
                        slots[at][class] -= 1;
                        hosts[at].components.push(component);
                    }
                    None => {
                        hosts.push(Host { offer: 0, components: vec![component] });
                        slots.push(vec![0; model.classes.len()]);
                    }
                }
            }
        }
        hosts.retain(|host| !host.components.is_empty());
        for host in &mut hosts {
            let mut load = vec![0; model.classes.len()];
            host.components.iter().for_each(|c| load[model.class_of[*c]] += 1);
            host.offer = (0..self.zone.offers.len()).find(|offer| self.holds(*offer, &load))?;
        }
        Some(hosts)
    }
}

fn worth(load: &[u32], prices: &[f64]) -> f64 {
    load.iter().zip(prices).filter(|(n, _)| **n > 0).map(|(n, p)| f64::from(*n) * p).sum()
}

/// Whether a component may have one more instance on a host.
pub(super) fn may_join(model: &Model, host: &Host, component: ComponentIndex) -> bool {
    let same = host.components.iter().filter(|c| **c == component).count();
    let apart = model.apart.get(&component);
    same < model.per_host[component] as usize
        && apart.is_none_or(|others| !host.components.iter().any(|c| others.contains(c)))
}
