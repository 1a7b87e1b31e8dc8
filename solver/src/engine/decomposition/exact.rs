//! Proof for few components: enumerates the combinations of layouts that could cost less than the best purchase.
//!
//! Under given prices the *excess* of a layout is its cost beyond the group's cheapest layout, and the *waste* of a
//! zone is its cost beyond what its instances pay. A cheaper purchase has less excess and waste together than the gap,
//! so every group has a list of layouts that can be part of it. The lists are combined group by group. A zone that no
//! later group can use is closed: it is packed exactly, and from then on its waste counts in full.

use super::layout::{Layout, Prices, all_below};
use super::model::Model;
use super::packing::{Host, may_join};
use super::zones::fits;
use crate::problem::ComponentIndex;
use std::collections::BTreeMap;

/// The largest number of layouts of all groups: fifty megabytes, and less than a second to list.
const LAYOUTS_MAX: usize = 200_000;
/// The largest number of ways to pack one zone that are tried.
const PACKINGS_MAX: u64 = 200_000;
/// Differences of cost below this are rounding.
const ROUNDING: f64 = 1e-9;

/// The result of a proof.
pub(super) struct Proof {
    /// Whether no purchase costs less than the best one.
    pub(super) complete: bool,
    /// A cheaper purchase, as layouts and hosts; none when none was found.
    pub(super) better: Option<(Vec<Layout>, Vec<Vec<Host>>)>,
    pub(super) visited: u64,
}

/// The cheapest packing of a zone.
#[derive(Clone)]
struct Packed {
    cost: f64,
    hosts: Vec<Host>,
    exact: bool,
}

struct Search<'a> {
    model: &'a Model<'a>,
    prices: &'a Prices,
    /// The groups in order, each with its layouts and their excess.
    lists: Vec<(usize, Vec<(f64, Layout)>)>,
    /// For each group in order, the zones that no later group can use.
    closing: Vec<Vec<usize>>,
    /// The limit of excess and waste together.
    gap: f64,
    chosen: Vec<usize>,
    lots: Vec<BTreeMap<ComponentIndex, u32>>,
    known: BTreeMap<(usize, Vec<(ComponentIndex, u32)>), Packed>,
    better: Option<Vec<usize>>,
    inexact: bool,
    visited: u64,
    stop: &'a mut dyn FnMut() -> bool,
    stopped: bool,
}

/// Searches for a purchase that costs less than `bound + gap`.
pub(super) fn prove(model: &Model, prices: &Prices, gap: f64, stop: &mut dyn FnMut() -> bool) -> Proof {
    let failed = Proof { complete: false, better: None, visited: 0 };
    let mut lists = Vec::new();
    let mut room = LAYOUTS_MAX;
    for (index, group) in model.groups.iter().enumerate() {
        let least = super::layout::cheapest(model, group, prices).bound;
        let Some(all) = all_below(model, group, prices, least + gap + ROUNDING, room) else {
            return failed;
        };
        room -= all.len();
        if stop() {
            return failed;
        }
        let excess = |(cost, layout): (f64, Layout)| ((cost - least).max(0.0), layout);
        lists.push((index, all.into_iter().map(excess).collect::<Vec<_>>()));
    }
    order(&mut lists);
    let closing = closing(&lists, model.zones.len());
    let mut search = Search {
        model,
        prices,
        closing,
        chosen: Vec::new(),
        lots: vec![BTreeMap::new(); model.zones.len()],
        known: BTreeMap::new(),
        better: None,
        inexact: false,
        visited: 0,
        stopped: false,
        gap,
        lists,
        stop,
    };
    search.descend(0, 0.0);
    let complete = !search.stopped && !search.inexact;
    let visited = search.visited;
    let better = search.better.take().map(|chosen| search.purchase(&chosen));
    Proof { complete, better, visited }
}

/// Orders groups so that those with common zones are adjacent and zones are closed early.
fn order(lists: &mut Vec<(usize, Vec<(f64, Layout)>)>) {
    let zones_of = |list: &[(f64, Layout)]| {
        let mut zones: Vec<usize> = list.iter().flat_map(|(_, l)| l.iter().flatten().copied()).collect();
        zones.sort_unstable();
        zones.dedup();
        zones
    };
    let mut left: Vec<_> = lists.drain(..).map(|list| (zones_of(&list.1), list)).collect();
    let mut seen: Vec<usize> = Vec::new();
    while !left.is_empty() {
        let fresh = |zones: &Vec<usize>| zones.iter().filter(|z| !seen.contains(z)).count();
        let next =
            (0..left.len()).min_by_key(|at| (fresh(&left[*at].0), left[*at].1.1.len(), *at)).unwrap_or(0);
        let (zones, list) = left.swap_remove(next);
        seen.extend(zones);
        lists.push(list);
    }
}

fn closing(lists: &[(usize, Vec<(f64, Layout)>)], zones: usize) -> Vec<Vec<usize>> {
    let mut last = vec![None; zones];
    for (at, (_, list)) in lists.iter().enumerate() {
        list.iter().flat_map(|(_, l)| l.iter().flatten()).for_each(|zone| last[*zone] = Some(at));
    }
    (0..lists.len()).map(|at| (0..zones).filter(|z| last[*z] == Some(at)).collect()).collect()
}

impl Search<'_> {
    fn descend(&mut self, at: usize, spent: f64) {
        self.visited += 1;
        self.stopped |= self.visited.is_multiple_of(64) && (self.stop)();
        if at == self.lists.len() {
            // The purchase is cheaper by the rest of the gap, which becomes the new limit.
            self.gap = spent;
            self.better = Some(self.chosen.clone());
            return;
        }
        for index in 0..self.lists[at].1.len() {
            let excess = self.lists[at].1[index].0;
            if self.stopped || spent + excess >= self.gap - ROUNDING {
                return;
            }
            self.change(at, index, true);
            let mut total = spent + excess;
            for zone in self.closing[at].clone() {
                total += self.waste(zone);
                if total >= self.gap - ROUNDING {
                    break;
                }
            }
            if total < self.gap - ROUNDING {
                self.chosen.push(index);
                self.descend(at + 1, total);
                self.chosen.pop();
            }
            self.change(at, index, false);
        }
    }

    /// Adds the instances of a layout to the lots of the zones, or removes them.
    fn change(&mut self, at: usize, index: usize, add: bool) {
        let (group, list) = &self.lists[at];
        for (component, zones) in self.model.groups[*group].components.iter().zip(&list[index].1) {
            for zone in zones {
                let n = self.lots[*zone].entry(*component).or_default();
                *n = if add { *n + 1 } else { n.saturating_sub(1) };
                if *n == 0 {
                    self.lots[*zone].remove(component);
                }
            }
        }
    }

    /// The waste of a zone.
    fn waste(&mut self, zone: usize) -> f64 {
        let lots: Vec<(ComponentIndex, u32)> = self.lots[zone].iter().map(|(c, n)| (*c, *n)).collect();
        let paid: f64 =
            lots.iter().map(|(c, n)| f64::from(*n) * self.prices.of[zone][self.model.class_of[*c]]).sum();
        let packed = self.packed(zone, lots);
        if !packed.exact {
            // The waste is unknown but not negative.
            self.inexact = true;
            return 0.0;
        }
        (packed.cost - paid).max(0.0)
    }

    fn packed(&mut self, zone: usize, lots: Vec<(ComponentIndex, u32)>) -> Packed {
        let key = (zone, lots);
        if let Some(packed) = self.known.get(&key) {
            return packed.clone();
        }
        let packed = pack(self.model, zone, &key.1, &self.prices.of[zone]);
        self.known.insert(key, packed.clone());
        packed
    }

    fn purchase(&mut self, chosen: &[usize]) -> (Vec<Layout>, Vec<Vec<Host>>) {
        let mut layouts = vec![Layout::new(); self.model.groups.len()];
        for (at, index) in chosen.iter().enumerate() {
            self.change(at, *index, true);
            let (group, list) = &self.lists[at];
            layouts[*group].clone_from(&list[*index].1);
        }
        let hosts = (0..self.lots.len())
            .map(|zone| {
                let lots = self.lots[zone].iter().map(|(c, n)| (*c, *n)).collect();
                self.packed(zone, lots).hosts
            })
            .collect();
        (layouts, hosts)
    }
}

/// The search for the cheapest packing of one zone: instances from the largest, each on an open or a new host.
fn pack(model: &Model, zone: usize, lots: &[(ComponentIndex, u32)], prices: &[f64]) -> Packed {
    let mut items: Vec<ComponentIndex> =
        lots.iter().flat_map(|(c, n)| std::iter::repeat_n(*c, *n as usize)).collect();
    let price = |c: &ComponentIndex| prices[model.class_of[*c]];
    items.sort_by(|a, b| price(b).total_cmp(&price(a)).then(a.cmp(b)));
    let paid: f64 = items.iter().map(price).sum();
    let mut packing = Packing {
        model,
        zone,
        items,
        paid,
        hosts: Vec::new(),
        loads: Vec::new(),
        best: Packed { cost: f64::INFINITY, hosts: Vec::new(), exact: true },
        visited: 0,
    };
    packing.descend(0, 0.0);
    packing.best.exact = packing.visited <= PACKINGS_MAX;
    packing.best
}

struct Packing<'a> {
    model: &'a Model<'a>,
    zone: usize,
    items: Vec<ComponentIndex>,
    paid: f64,
    hosts: Vec<Host>,
    loads: Vec<Vec<f64>>,
    best: Packed,
    visited: u64,
}

impl Packing<'_> {
    fn descend(&mut self, at: usize, cost: f64) {
        self.visited += 1;
        // No packing costs less than the instances pay, so the search ends when it reaches that cost.
        if self.visited > PACKINGS_MAX || cost.max(self.paid) >= self.best.cost - ROUNDING {
            return;
        }
        let Some(component) = self.items.get(at).copied() else {
            (self.best.cost, self.best.hosts) = (cost, self.hosts.clone());
            return;
        };
        let needs = &self.model.classes[self.model.class_of[component]];
        let offers = &self.model.zones[self.zone].offers;
        for index in 0..self.hosts.len() {
            if !may_join(self.model, &self.hosts[index], component)
                || self.hosts[..index].iter().any(|h| is_same(h, &self.hosts[index]))
            {
                continue;
            }
            let load: Vec<f64> = self.loads[index].iter().zip(needs).map(|(a, b)| a + b).collect();
            let Some(offer) = offers.iter().position(|o| fits(&load, &o.capacity)) else { continue };
            let before = (self.hosts[index].offer, std::mem::replace(&mut self.loads[index], load));
            let more = offers[offer].cost - offers[before.0].cost;
            self.hosts[index].offer = offer;
            self.hosts[index].components.push(component);
            self.descend(at + 1, cost + more);
            self.hosts[index].components.pop();
            (self.hosts[index].offer, self.loads[index]) = before;
        }
        if let Some(offer) = offers.iter().position(|o| fits(needs, &o.capacity)) {
            self.hosts.push(Host { offer, components: vec![component] });
            self.loads.push(needs.clone());
            self.descend(at + 1, cost + offers[offer].cost);
            self.hosts.pop();
            self.loads.pop();
        }
    }
}

/// Whether two hosts are interchangeable for the remaining instances: they hold the same components.
fn is_same(a: &Host, b: &Host) -> bool {
    // Instances are placed in one order, so that equal sets are equal lists.
    a.components == b.components
}
