//! The course of the search: prices and layouts in turn, then hosts, then better layouts.

use super::ascent::{Ascent, Priced};
use super::duals::Duals;
use super::exact;
use super::grid::Grid;
use super::layout::{Layout, Prices, cheapest, may_use};
use super::model::Model;
use super::packing::{Demand, Host, Packer};
use super::purchases::Purchases;
use super::zones::ZoneSet;
use crate::assignment::{Assignment, Place};
use crate::problem::ComponentIndex;
use std::collections::{BTreeMap, BTreeSet};

/// Rounds in which prices follow demand and layouts follow prices.
const PRICE_ROUNDS: u32 = 6;
/// Attempts to pack a zone better, for each of its hosts.
const TRIES_PER_HOST: u32 = 12;

/// The search ends after this many passes over all groups without a gain.
const STALLED_PASSES_MAX: u32 = 4;
/// The most components for which optimality is proven.
pub(super) const PROOF_COMPONENTS_MAX: usize = 60;
/// A gain counts when it is more than this.
const CHEAPER: f64 = 1e-9;

pub(super) struct Planner<'a> {
    model: &'a Model<'a>,
    grid: Grid,
    duals: Vec<Duals>,
    layouts: Vec<Layout>,
    /// For each zone, its components with their numbers of instances.
    lots: Vec<BTreeMap<ComponentIndex, u32>>,
    hosts: Vec<Vec<Host>>,
    /// The most instances of each class on one host of each zone; computed only for few components.
    shares: Option<Vec<Vec<u32>>>,
    bound: f64,
    /// The prices that give the bound.
    bound_prices: Option<Prices>,
    seed: u64,
    evaluated: u64,
}

impl<'a> Planner<'a> {
    pub(super) fn new(model: &'a Model<'a>, seed: u64) -> Self {
        let resources = model.problem.resources.len();
        let largest: Vec<f64> = (0..resources)
            .map(|r| model.zones.iter().flat_map(|z| &z.offers).map(|o| o.capacity[r]).fold(0.0, f64::max))
            .collect();
        let zones = model.zones.len();
        Self {
            grid: Grid::new(&model.classes, &largest),
            model,
            duals: vec![Duals::default(); zones],
            layouts: Vec::new(),
            lots: vec![BTreeMap::new(); zones],
            hosts: vec![Vec::new(); zones],
            shares: (model.problem.components.len() <= PROOF_COMPONENTS_MAX).then(|| shares(model)),
            bound: f64::NEG_INFINITY,
            bound_prices: None,
            seed,
            evaluated: 0,
        }
    }

    /// Lower bound of the cost of every purchase; infinite when none is possible.
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    pub(super) fn evaluated(&self) -> u64 {
        self.evaluated
    }

    /// Runs the search. Returns the best purchase; none when there is none or `stop` said so before the first.
    pub(super) fn run(&mut self, stop: &mut dyn FnMut() -> bool) -> Option<Assignment> {
        let classes = self.model.classes.len();
        let mut wanted = vec![0.0; classes];
        for (component, c) in self.model.problem.components.iter().enumerate() {
            wanted[self.model.class_of[component]] += f64::from(c.replicas_min);
        }
        // Without a demand yet, every zone gets a small demand for every class.
        let mut demand: Vec<Vec<f64>> = vec![wanted; self.model.zones.len()];
        for round in 0..PRICE_ROUNDS {
            if round > 0 && stop() {
                break;
            }
            for (zone, d) in demand.iter().enumerate() {
                let share = self.shares.as_ref().map(|shares| shares[zone].as_slice());
                self.duals[zone].settle(&self.model.zones[zone], &self.grid, &self.model.classes, d, share);
                if stop() && round > 0 {
                    break;
                }
            }
            let prices = Prices::new(self.duals.iter().map(|d| d.prices.clone()).collect(), classes);
            if !self.place(&prices, &mut || round > 0 && stop()) {
                if round == 0 || self.bound == f64::INFINITY {
                    return None;
                }
                break;
            }
            let share = 1.0 / f64::from(round + 1);
            for (zone, d) in demand.iter_mut().enumerate() {
                let mut now = vec![0.0; classes];
                for (component, n) in &self.lots[zone] {
                    now[self.model.class_of[*component]] += f64::from(*n);
                }
                d.iter_mut()
                    .zip(now)
                    .for_each(|(d, n)| *d = if round == 0 { n } else { *d * (1.0 - share) + n * share });
            }
        }
        for zone in 0..self.model.zones.len() {
            self.hosts[zone] = self.pack(zone, None, stop)?;
        }
        self.improve(stop);
        self.raise_bound(stop);
        self.restart_from_best_prices(stop);
        Some(self.assignment())
    }

    /// Packs the layouts that are cheapest under the best prices, improves them, and keeps the result when it is
    /// cheaper.
    fn restart_from_best_prices(&mut self, stop: &mut dyn FnMut() -> bool) {
        let small = self.model.problem.components.len() <= PROOF_COMPONENTS_MAX;
        let Some(prices) = self.bound_prices.clone().filter(|_| small && !stop()) else { return };
        let cost = self.cost();
        let before = (self.layouts.clone(), self.lots.clone(), self.hosts.clone());
        let mut packed = self.place(&prices, &mut || false);
        for zone in 0..self.model.zones.len() {
            match self.pack(zone, None, stop).filter(|_| packed) {
                Some(hosts) => self.hosts[zone] = hosts,
                None => packed = false,
            }
        }
        if packed {
            self.improve(stop);
        }
        if !packed || self.cost() >= cost {
            (self.layouts, self.lots, self.hosts) = before;
        }
    }

    /// For few components, raises the bound with the prices that are optimal for all zones together.
    fn raise_bound(&mut self, stop: &mut dyn FnMut() -> bool) {
        let small = self.model.problem.components.len() <= PROOF_COMPONENTS_MAX;
        let Some(prices) = self.bound_prices.clone().filter(|_| small) else { return };
        let start = Priced { prices, bound: self.bound };
        let mut ascent = Ascent::new(self.model, &self.grid, self.shares.as_deref());
        let Priced { prices, bound } = ascent.climb(&mut self.duals, start, stop);
        if bound > self.bound {
            (self.bound, self.bound_prices) = (bound, Some(prices));
        }
    }

    /// Moves groups to their cheapest zones at true cost and packs zones again, until several passes gain nothing.
    fn improve(&mut self, stop: &mut dyn FnMut() -> bool) {
        let mut purchases = Purchases::new(self.model, std::mem::take(&mut self.hosts));
        let mut stalled = 0;
        for pass in 0.. {
            let before = purchases.cost();
            for index in 0..self.model.groups.len() {
                if stop() {
                    self.hosts = purchases.hosts;
                    return;
                }
                self.relocate(&mut purchases, index, pass);
            }
            for zone in 0..self.model.zones.len() {
                if stop() {
                    break;
                }
                let lots = self.lots[zone].len();
                if lots > 0
                    && let Some(hosts) = self.pack(zone, Some(u64::from(pass)), stop)
                {
                    let old = (zone, std::mem::replace(&mut purchases.hosts[zone], hosts));
                    let cost = purchases.zone_cost(zone);
                    let new = std::mem::replace(&mut purchases.hosts[zone], old.1);
                    if cost < purchases.zone_cost(zone) - CHEAPER {
                        purchases.hosts[zone] = new;
                    }
                    purchases.refresh(zone);
                }
            }
            self.evaluated += self.model.groups.len() as u64;
            stalled = if purchases.cost() < before - CHEAPER { 0 } else { stalled + 1 };
            if stalled == STALLED_PASSES_MAX {
                break;
            }
        }
        self.hosts = purchases.hosts;
    }

    /// Moves one group to its cheapest zones at true cost; undoes the move when it is not cheaper.
    fn relocate(&mut self, purchases: &mut Purchases, index: usize, pass: u32) {
        let group = &self.model.groups[index];
        let old = self.layouts[index].clone();
        let zones_cost = |purchases: &Purchases, zones: &BTreeSet<usize>| -> f64 {
            zones.iter().map(|z| purchases.zone_cost(*z)).sum()
        };
        let mut touched: BTreeSet<usize> = old.iter().flatten().copied().collect();
        let mut before = purchases.take_out(group, &old);
        // Room that is free now may be used by other groups later, so later passes trust it less.
        let trust = [1.0, 0.9, 0.75, 0.5][pass as usize % 4];
        let blend = |zone: usize| -> Vec<f64> {
            let settled = &self.duals[zone].prices;
            let mix = |(now, settled): (&f64, &f64)| {
                if now.is_finite() { trust * now + (1.0 - trust) * settled } else { *now }
            };
            purchases.marginal[zone].iter().zip(settled).map(mix).collect()
        };
        let prices = Prices::new((0..self.model.zones.len()).map(blend).collect(), self.model.classes.len());
        let Some(new) = cheapest(self.model, group, &prices).layout else {
            purchases.restore(before);
            return;
        };
        for zone in new.iter().flatten() {
            if touched.insert(*zone) {
                before.push((*zone, purchases.hosts[*zone].clone()));
            }
        }
        let cost_before: f64 = before
            .iter()
            .map(|(zone, hosts)| {
                hosts.iter().map(|h| self.model.zones[*zone].offers[h.offer].cost).sum::<f64>()
            })
            .sum();
        let mut instances: Vec<(ComponentIndex, usize)> =
            group.components.iter().zip(&new).flat_map(|(c, zones)| zones.iter().map(|z| (*c, *z))).collect();
        let weight = |c: ComponentIndex| self.duals[0].prices[self.model.class_of[c]];
        instances.sort_by(|a, b| weight(b.0).total_cmp(&weight(a.0)).then(a.cmp(b)));
        let placed = instances.iter().all(|(component, zone)| purchases.put_in(*component, *zone));
        if placed && zones_cost(purchases, &touched) < cost_before - CHEAPER {
            touched.iter().for_each(|zone| purchases.refresh(*zone));
            self.count(index, &old, false);
            self.count(index, &new, true);
            self.layouts[index] = new;
        } else {
            purchases.restore(before);
        }
    }

    /// Adds the instances of a layout to the lots of the zones, or removes them.
    fn count(&mut self, index: usize, layout: &Layout, add: bool) {
        for (component, zones) in self.model.groups[index].components.iter().zip(layout) {
            for zone in zones {
                let n = self.lots[*zone].entry(*component).or_default();
                *n = if add { *n + 1 } else { n.saturating_sub(1) };
                if *n == 0 {
                    self.lots[*zone].remove(component);
                }
            }
        }
    }

    /// Enumerates the purchases that cost less than `limit`. Returns a cheaper one, if any, and whether the enumeration
    /// was complete.
    pub(super) fn prove(&mut self, limit: f64, stop: &mut dyn FnMut() -> bool) -> (Option<Assignment>, bool) {
        let gap = limit - self.bound;
        let Some(prices) = &self.bound_prices else { return (None, false) };
        let proof = exact::prove(self.model, prices, gap, stop);
        self.evaluated += proof.visited;
        let better = proof.better.map(|(layouts, hosts)| {
            (self.layouts, self.hosts) = (layouts, hosts);
            self.assignment()
        });
        (better, proof.complete)
    }

    /// Gives every group its cheapest layout and raises the bound. Returns false when stopped or when a group has no
    /// layout.
    fn place(&mut self, prices: &Prices, stop: &mut dyn FnMut() -> bool) -> bool {
        let mut bound = 0.0;
        let mut layouts = Vec::new();
        for group in &self.model.groups {
            let placed = cheapest(self.model, group, prices);
            self.evaluated += 1;
            bound += placed.bound;
            match placed.layout {
                Some(layout) => layouts.push(layout),
                None if placed.bound == f64::INFINITY => {
                    self.bound = f64::INFINITY;
                    return false;
                }
                None => return false,
            }
            if stop() {
                return false;
            }
        }
        if bound > self.bound {
            (self.bound, self.bound_prices) = (bound, Some(prices.clone()));
        }
        self.layouts = layouts;
        self.lots.iter_mut().for_each(BTreeMap::clear);
        for (group, layout) in self.model.groups.iter().zip(&self.layouts) {
            for (component, zones) in group.components.iter().zip(layout) {
                for zone in zones {
                    *self.lots[*zone].entry(*component).or_default() += 1;
                }
            }
        }
        true
    }

    /// Packs a zone: once by value, or with many attempts that differ by round.
    fn pack(&mut self, zone: usize, round: Option<u64>, stop: &mut dyn FnMut() -> bool) -> Option<Vec<Host>> {
        let lots: Vec<(ComponentIndex, u32)> = self.lots[zone].iter().map(|(c, n)| (*c, *n)).collect();
        let packer = Packer::new(&self.model.zones[zone], &self.model.classes, &self.grid);
        let demand = Demand::of(self.model, &lots);
        let instances: u32 = demand.count.iter().sum();
        let tries = if round.is_some() { instances.min(60) * TRIES_PER_HOST } else { 0 };
        let seed = self.seed.wrapping_add(round.unwrap_or(0));
        let bins = packer.pack(&demand, &self.duals[zone], tries, seed, stop)?;
        self.evaluated += u64::from(instances);
        packer.seat(self.model, &bins, &lots)
    }

    /// The cost of the best purchase.
    pub(super) fn cost(&self) -> f64 {
        Purchases::new(self.model, self.hosts.clone()).cost()
    }

    /// For each component, the zones that it can use in a purchase that costs less than `limit`.
    pub(super) fn narrowed(&self, limit: f64, stop: &mut dyn FnMut() -> bool) -> Option<Vec<ZoneSet>> {
        let prices = self.bound_prices.as_ref()?;
        let mut narrowed = self.model.allowed.clone();
        for group in &self.model.groups {
            let least = cheapest(self.model, group, prices).bound;
            let most = least + (limit - self.bound) + CHEAPER;
            for (position, component) in group.components.iter().enumerate() {
                for zone in (0..self.model.zones.len()).filter(|z| self.model.allowed[*component].holds(*z)) {
                    if stop() {
                        return None;
                    }
                    if !may_use(self.model, group, prices, most, (position, zone)) {
                        narrowed[*component].remove(zone);
                    }
                }
            }
        }
        Some(narrowed)
    }

    fn assignment(&self) -> Assignment {
        let mut places = vec![Vec::new(); self.model.problem.components.len()];
        for (zone, hosts) in self.hosts.iter().enumerate() {
            let mut copies: BTreeMap<usize, u32> = BTreeMap::new();
            for host in hosts {
                let machine = self.model.zones[zone].offers[host.offer].machine;
                let copy = copies.entry(machine).or_default();
                let place = Place { machine, copy: *copy };
                *copy += 1;
                host.components.iter().for_each(|c| places[*c].push(Some(place)));
            }
        }
        Assignment { places }
    }
}

/// The most instances of each class on one host of each zone.
fn shares(model: &Model) -> Vec<Vec<u32>> {
    let of_zone = |zone: usize| {
        let mut shares = vec![0u32; model.classes.len()];
        for (component, c) in model.problem.components.iter().enumerate() {
            if model.allowed[component].holds(zone) {
                let share = &mut shares[model.class_of[component]];
                *share = share.saturating_add(c.replicas_max.min(model.per_host[component]));
            }
        }
        shares
    };
    (0..model.zones.len()).map(of_zone).collect()
}
