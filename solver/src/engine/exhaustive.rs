//! Exact engine for small problems of any kind: enumerates every assignment by depth-first search.
//!
//! It decides slot by slot (one slot per instance that may run). It prunes branches that break a rule which further
//! instances cannot repair, and branches whose optimistic worth is not better than the best found; checker and
//! evaluator judge every complete assignment. It gives up after a fixed number of search nodes, so that it always ends
//! soon. It proves that a small plan is optimal and that a set of rules conflicts.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::{CAPACITY_TOLERANCE, capacity_of, check};
use crate::constraint::{Comparison, Constraint, Scope};
use crate::eligible::eligible;
use crate::engine::memory::Sizes;
use crate::engine::symmetry::tells_instances_apart;
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::evaluate::{evaluate, latency_ms};
use crate::objective::{Measure, Of};
use crate::problem::{Component, Problem, Stock};
use crate::rule;
use crate::watch::Watch;
use std::collections::{BTreeMap, BTreeSet};

/// Search nodes before the search gives up: about a second.
const NODES_MAX: u64 = 400_000;
/// Problems with more slots are not accepted: [`NODES_MAX`] nodes are never enough for them.
const SLOTS_MAX: usize = 40;
/// Differences of worth below this are rounding.
const ROUNDING: f64 = 1e-11;

/// Complete enumeration of small problems.
pub(crate) struct Exhaustive;

impl Engine for Exhaustive {
    fn name(&self) -> EngineName {
        EngineName::Exhaustive
    }

    fn accepts(&self, problem: &Problem) -> bool {
        let slots = |c: &Component| (c.replicas_max as usize).max(c.current.len());
        problem.components.iter().map(slots).sum::<usize>() <= SLOTS_MAX
    }

    /// For a good plan, local search comes first, and this engine proves what it found ([`mod@crate::solve`]).
    fn is_asked_for(&self, aim: Aim, _problem: &Problem) -> bool {
        matches!(aim, Aim::Proof | Aim::Feasible)
    }

    fn memory_bytes(&self, _problem: &Problem, sizes: &Sizes) -> u64 {
        sizes.judgements()
    }

    fn search(&self, problem: &Problem, request: &Request, watch: &mut dyn Watch) -> Option<Found> {
        Some(search(problem, request, &mut || watch.stop()))
    }
}

struct Search<'a> {
    problem: &'a Problem,
    /// Every instance that may run, in order.
    slots: Vec<Instance>,
    /// Per component: whether its instances are interchangeable, so that hosts are tried in ascending order only.
    alike: Vec<bool>,
    eligible: Vec<Vec<usize>>,
    /// No assignment is worth more than this, before prices.
    ceiling: f64,
    /// The least cost of one unit of the total price.
    per_price: f64,
    kept_price: f64,
    best: Option<(f64, Assignment)>,
    /// Whether the search stops at the first feasible assignment.
    any: bool,
    nodes: u64,
    stop: &'a mut dyn FnMut() -> bool,
    stopped: bool,
}

/// The decisions from the root of the search to the current node.
#[derive(Clone, Default)]
struct Partial {
    places: Vec<Option<Place>>,
    used: BTreeMap<Place, Vec<Instance>>,
    price: f64,
}

/// Searches for the best assignment, or for the first one that keeps every rule when that is the aim.
pub(crate) fn search(problem: &Problem, request: &Request, stop: &mut dyn FnMut() -> bool) -> Found {
    let mut slots = Vec::new();
    for (component, c) in problem.components.iter().enumerate() {
        let count = (c.replicas_max as usize).max(c.current.len());
        slots.extend((0..count).map(|ordinal| Instance { component, ordinal }));
    }
    let apart = tells_instances_apart(problem);
    let mut search = Search {
        problem,
        slots,
        alike: problem.components.iter().map(|c| c.is_exchangeable() && !apart).collect(),
        eligible: (0..problem.components.len()).map(|c| eligible(problem, c)).collect(),
        ceiling: ceiling(problem),
        per_price: per_price(problem),
        kept_price: kept_price(problem),
        best: request.start.clone().map(|a| (evaluate(problem, &a).net, a)),
        any: request.aim == Aim::Feasible,
        nodes: 0,
        stop,
        stopped: false,
    };
    search.descend(&mut Partial { price: search.kept_price, ..Partial::default() });
    let complete = !search.stopped;
    let net = search.best.as_ref().map(|(net, _)| *net);
    Found {
        bound: if complete { net } else { None },
        best: search.best.map(|(_, assignment)| assignment),
        complete,
        evaluated: search.nodes,
    }
}

impl Search<'_> {
    fn descend(&mut self, partial: &mut Partial) {
        self.nodes += 1;
        self.stopped |= self.nodes > NODES_MAX || (self.nodes.is_multiple_of(64) && (self.stop)());
        if self.stopped || (self.any && self.best.is_some()) {
            return;
        }
        let to_beat = self.best.as_ref().map_or(f64::NEG_INFINITY, |(net, _)| net + ROUNDING);
        if self.ceiling - self.per_price * partial.price <= to_beat {
            return;
        }
        let Some(slot) = self.slots.get(partial.places.len()).copied() else {
            return self.judge(partial);
        };
        let component = &self.problem.components[slot.component];
        let before = if slot.ordinal > 0 { partial.places.last().copied() } else { None };
        let started = partial.places.len() - slot.ordinal;
        let count = partial.places[started..].iter().flatten().count();
        let slots_left = self.slots.iter().filter(|s| s.component == slot.component).count() - slot.ordinal;
        let alike = self.alike[slot.component];
        // Of interchangeable instances, those that do not run come last.
        let closed = alike && before == Some(None);
        if !closed && count < component.replicas_max as usize {
            for place in self.places(partial, slot) {
                if alike && before.flatten().is_some_and(|b| place < b) {
                    continue;
                }
                if self.may_take(partial, slot, place) {
                    let price = partial.price;
                    if !partial.used.contains_key(&place)
                        && self.problem.machines[place.machine].stock != Stock::Kept
                    {
                        partial.price += self.problem.machines[place.machine].price;
                    }
                    partial.used.entry(place).or_default().push(slot);
                    partial.places.push(Some(place));
                    self.descend(partial);
                    partial.places.pop();
                    partial.price = price;
                    if let Some(instances) = partial.used.get_mut(&place) {
                        instances.pop();
                        if instances.is_empty() {
                            partial.used.remove(&place);
                        }
                    }
                }
            }
        }
        if count + slots_left > component.replicas_min as usize {
            partial.places.push(None);
            self.descend(partial);
            partial.places.pop();
        }
    }

    /// Hosts that a slot may use: of each offer, the used ones and the next unused one.
    fn places(&self, partial: &Partial, slot: Instance) -> Vec<Place> {
        let mut places = Vec::new();
        for machine in &self.eligible[slot.component] {
            for copy in 0..self.problem.machines[*machine].copies_max() {
                let place = Place { machine: *machine, copy };
                places.push(place);
                if !partial.used.contains_key(&place) {
                    break;
                }
            }
        }
        places
    }

    /// Whether no rule is broken that further instances cannot repair.
    fn may_take(&self, partial: &Partial, slot: Instance, place: Place) -> bool {
        let problem = self.problem;
        let here = partial.used.get(&place).map_or(&[][..], Vec::as_slice);
        let per_host = problem.components[slot.component].per_host_max;
        let same = here.iter().filter(|i| i.component == slot.component).count();
        if per_host > 0 && same >= per_host as usize {
            return false;
        }
        for resource in 0..problem.resources.len() {
            let need = |i: &Instance| problem.components[i.component].need(i.ordinal, resource);
            let sum = here.iter().map(need).sum::<f64>() + need(&slot);
            let capacity = capacity_of(problem, place.machine, resource);
            if sum > capacity + CAPACITY_TOLERANCE * capacity.abs() {
                return false;
            }
        }
        problem.constraints.iter().all(|named| self.rule_allows(partial, slot, place, here, &named.item))
    }

    fn rule_allows(
        &self,
        partial: &Partial,
        slot: Instance,
        place: Place,
        here: &[Instance],
        rule: &Constraint,
    ) -> bool {
        let problem = self.problem;
        match rule {
            Constraint::Each(rule::Each { scope, allowed }) => !covers(scope, slot) || allowed[place.machine],
            Constraint::Ban(rule::Ban { scope, machines }) => {
                !covers(scope, slot) || !machines.contains(&place.machine)
            }
            Constraint::Apart(rule::Apart { scope, partition: None }) => {
                !covers(scope, slot) || !here.iter().any(|i| covers(scope, *i))
            }
            Constraint::Split(rule::Split { scopes, partition: None }) => {
                let side = |i: Instance| scopes.iter().position(|s| covers(s, i));
                let own = side(slot);
                own.is_none() || here.iter().all(|i| side(*i).is_none_or(|other| Some(other) == own))
            }
            Constraint::Gather(rule::Gather { scope, partition: None }) => {
                let elsewhere =
                    |(p, is): (&Place, &Vec<Instance>)| *p != place && is.iter().any(|i| covers(scope, *i));
                !covers(scope, slot) || !partial.used.iter().any(elsewhere)
            }
            Constraint::Lonely(rule::Lonely { scope }) => {
                here.iter().all(|i| covers(scope, *i) == covers(scope, slot))
            }
            Constraint::Conflict(rule::Conflict { first, second }) => {
                let other = if slot.component == *first { second } else { first };
                (slot.component != *first && slot.component != *second)
                    || !partial.used.values().flatten().any(|i| i.component == *other)
            }
            Constraint::MaxOnline(rule::MaxOnline { machines, max }) => {
                let mut on: BTreeSet<Place> = partial.used.keys().copied().collect();
                on.insert(place);
                on.iter().filter(|p| machines[p.machine]).count() <= *max as usize
            }
            Constraint::Budget(rule::Budget { max_per_hour }) => partial.price <= max_per_hour * (1.0 + 1e-8),
            Constraint::Bound(rule::Bound { scope, measure: Measure::DiameterMs, comparison, limit }) => {
                let crate::constraint::Limit::Constant(limit) = limit else { return true };
                let upper = matches!(comparison, Comparison::Less | Comparison::LessOrEqual);
                let far = |(p, is): (&Place, &Vec<Instance>)| {
                    is.iter().any(|i| covers(scope, *i))
                        && !comparison.holds(latency_ms(problem, *p, place), *limit)
                };
                !upper || !covers(scope, slot) || !partial.used.iter().any(far)
            }
            _ => true,
        }
    }

    fn judge(&mut self, partial: &Partial) {
        let mut places = vec![Vec::new(); self.problem.components.len()];
        for (slot, place) in self.slots.iter().zip(&partial.places) {
            places[slot.component].push(*place);
        }
        for (component, places) in places.iter_mut().enumerate() {
            if self.alike[component] {
                let hosts: Vec<Place> = places.iter().flatten().copied().collect();
                *places = crate::assignment::align(&self.problem.components[component], &hosts);
            }
        }
        let assignment = Assignment { places };
        if check(self.problem, &assignment).is_empty() {
            let net = evaluate(self.problem, &assignment).net;
            if self.best.as_ref().is_none_or(|(best, _)| net > best + ROUNDING) {
                self.best = Some((net, assignment));
            }
        }
    }
}

fn covers(scope: &Scope, instance: Instance) -> bool {
    crate::check::in_scope(scope, instance)
}

/// Upper bound of the worth of any assignment, with all rules ignored; infinite when nothing is known.
pub(crate) fn most(problem: &Problem) -> f64 {
    ceiling(problem) - per_price(problem) * kept_price(problem)
}

fn kept_price(problem: &Problem) -> f64 {
    problem.machines.iter().filter(|m| m.stock == Stock::Kept).map(|m| m.price).sum()
}

/// Upper bound of the worth of any assignment, before the price of its hosts.
fn ceiling(problem: &Problem) -> f64 {
    let total: f64 = problem.utilities.iter().map(|u| u.item.weight).sum();
    let mut worth = 0.0;
    for utility in problem.utilities.iter().map(|u| &u.item) {
        let most = match &utility.of {
            Of::Each { component, quantity } => {
                let at = |m: usize| problem.quantities[*quantity].values[m].map_or(0.0, |v| utility.worth(v));
                eligible(problem, *component).into_iter().map(at).fold(0.0, f64::max)
            }
            Of::Group { .. } => 1.0,
        };
        worth += if total > 0.0 { utility.weight * most / total } else { 0.0 };
    }
    let is_free = |cost: &crate::objective::Cost| {
        let may_be_negative = matches!(cost.measure, Measure::Sum(_) | Measure::Average(_));
        cost.per_unit == 0.0 || (cost.per_unit > 0.0 && !may_be_negative)
    };
    if problem.costs.iter().all(|c| is_free(&c.item)) { worth } else { f64::INFINITY }
}

fn per_price(problem: &Problem) -> f64 {
    let of_price =
        |c: &&crate::problem::Named<crate::objective::Cost>| matches!(c.item.measure, Measure::TotalPrice);
    problem.costs.iter().filter(of_price).map(|c| c.item.per_unit).sum::<f64>().max(0.0)
}
