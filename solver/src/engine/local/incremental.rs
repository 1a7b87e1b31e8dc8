//! The incremental score of an assignment: a change re-evaluates only the items that it can affect.
//!
//! The amounts come from the checker and the evaluator, rule by rule and term by term, so that no rule has a second
//! definition here; only the sums over hosts and moves are this module's own. An undo log reverts changes that are
//! tried. `items.rs` has the rules and terms of each component, `penalties.rs` the weight of each broken item.

use super::items::{self, Item};
use super::penalties::Penalties;
use crate::assignment::{Assignment, Instance, Place};
use crate::check::{
    CAPACITY_TOLERANCE, capacity_of, cost_unknown, counts_broken, effective_needs, rule_broken,
    utility_unknown,
};
use crate::constraint::Constraint;
use crate::evaluate::{self, WORTH_TOLERANCE};
use crate::objective::Measure;
use crate::problem::{Problem, Stock};
use crate::rule;
use std::collections::{BTreeMap, BTreeSet};

/// The rank of an assignment: the weighted amount that is broken, then the worth.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rank {
    pub(super) broken: f64,
    pub(super) net: f64,
}

impl Rank {
    pub(super) fn better_than(self, other: Self) -> bool {
        self.broken < other.broken - WORTH_TOLERANCE
            || (self.broken <= other.broken + WORTH_TOLERANCE && self.net > other.net + WORTH_TOLERANCE)
    }
}

/// The contribution of one component: the distance of its counts from their range, and the cost of its moves.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Own {
    broken: f64,
    moved: u32,
    move_cost: f64,
}

/// The sums of a rank. They are updated with each change and recomputed when changes are kept, so that rounding errors
/// do not accumulate.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Sums {
    broken: f64,
    worth: f64,
    move_cost: f64,
    price: f64,
    offers_used: u32,
    running_used: u32,
}

/// An entry of the undo log: a value before a change.
enum Was {
    Place(Instance, Option<Place>),
    Item(usize, (f64, f64)),
    Own(usize, Own),
    Over(Place, Option<f64>),
}

/// An assignment with its score.
pub(super) struct IncrementalScore<'a> {
    problem: &'a Problem,
    assignment: Assignment,
    on: BTreeMap<Place, Vec<Instance>>,
    items: Vec<Item>,
    /// For each component, the items that depend on its instances.
    touched: Vec<Vec<usize>>,
    /// For each item, the broken amount and its contribution to the worth.
    judged: Vec<(f64, f64)>,
    own: Vec<Own>,
    /// For each overloaded host, the need beyond its capacity.
    over: BTreeMap<Place, f64>,
    /// The needs of instances, by component, ordinal and resource.
    needs: Vec<Vec<Vec<f64>>>,
    capacities: Vec<Vec<f64>>,
    /// The instances that run on each machine now; empty without transient resources.
    leaving: BTreeMap<usize, Vec<Instance>>,
    weights: f64,
    kept_price: f64,
    running: u32,
    penalties: Penalties,
    /// `kept` has the sums when changes were last kept, `sums` the current ones, `undo_log` the changes between them.
    sums: Sums,
    kept: Sums,
    undo_log: Vec<Was>,
    pub(super) judgements: u64,
}

impl<'a> IncrementalScore<'a> {
    pub(super) fn new(problem: &'a Problem, assignment: Assignment) -> Self {
        let resources = problem.resources.len();
        let mut needs: Vec<Vec<Vec<f64>>> = Vec::new();
        for (component, c) in problem.components.iter().enumerate() {
            let count =
                (c.replicas_max as usize).max(c.current.len()).max(assignment.places[component].len());
            needs.push(vec![vec![0.0; resources]; count]);
        }
        for resource in 0..resources {
            let of = effective_needs(problem, resource);
            for (component, instances) in needs.iter_mut().enumerate() {
                for (ordinal, needs) in instances.iter_mut().enumerate() {
                    needs[resource] = of(Instance { component, ordinal });
                }
            }
        }
        let overbooks = problem.constraints.iter().any(|n| matches!(n.item, Constraint::Overbook(_)));
        let of_machine = |m: usize| {
            if overbooks {
                (0..resources).map(|r| capacity_of(problem, m, r)).collect()
            } else {
                problem.machines[m].capacity.clone()
            }
        };
        let capacities = (0..problem.machines.len()).map(of_machine).collect();
        let items = items::all(problem);
        let touched = items::by_component(problem, &items);
        let price = |stock: Stock| problem.machines.iter().filter(move |m| m.stock == stock);
        let mut score = Self {
            problem,
            on: BTreeMap::new(),
            judged: vec![(0.0, 0.0); items.len()],
            own: vec![Own::default(); problem.components.len()],
            over: BTreeMap::new(),
            leaving: leaving(problem),
            weights: problem.utilities.iter().map(|u| u.item.weight).sum(),
            sums: Sums::default(),
            kept: Sums::default(),
            kept_price: price(Stock::Kept).map(|m| m.price).sum(),
            penalties: Penalties::even(problem.components.len(), items.len()),
            running: u32::try_from(price(Stock::Running).count()).unwrap_or(u32::MAX),
            items,
            touched,
            needs,
            capacities,
            undo_log: Vec::new(),
            judgements: 0,
            assignment,
        };
        score.judge_all();
        score
    }

    pub(super) fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The used hosts with their instances.
    pub(super) fn hosts(&self) -> &BTreeMap<Place, Vec<Instance>> {
        &self.on
    }

    /// Replaces the assignment.
    pub(super) fn reset(&mut self, assignment: Assignment) {
        self.assignment = assignment;
        self.judge_all();
    }

    fn judge_all(&mut self) {
        self.on = self.assignment.by_host();
        // Some items depend on the price.
        self.sums = self.counted();
        for component in 0..self.own.len() {
            self.judge_own(component);
        }
        for item in 0..self.items.len() {
            self.judge_item(item);
        }
        let left = self.leaving.keys().map(|m| Place::on(*m));
        let places: Vec<Place> = self.on.keys().copied().chain(left).collect();
        self.over.clear();
        for place in places {
            self.judge_host(place);
        }
        self.keep();
    }

    /// The sums over used hosts.
    fn counted(&self) -> Sums {
        let mut sums = Sums { price: self.kept_price, ..Sums::default() };
        self.on.keys().for_each(|place| self.count_host(&mut sums, *place, true));
        sums
    }

    /// Counts a host that becomes used or unused.
    fn count_host(&self, sums: &mut Sums, place: Place, used: bool) {
        let machine = &self.problem.machines[place.machine];
        let count = match machine.stock {
            Stock::Kept => return,
            Stock::Running => &mut sums.running_used,
            Stock::Offer { .. } => &mut sums.offers_used,
        };
        *count = if used { *count + 1 } else { count.saturating_sub(1) };
        sums.price += if used { machine.price } else { -machine.price };
    }

    /// Applies changes and returns the new rank; [`Self::undo`] reverts them.
    pub(super) fn change(&mut self, changes: &[(Instance, Option<Place>)]) -> Rank {
        self.judgements += 1;
        let mut places = Vec::new();
        for (instance, place) in changes {
            self.put(*instance, *place, &mut places);
        }
        let mut components: Vec<usize> = changes.iter().map(|(i, _)| i.component).collect();
        components.sort_unstable();
        components.dedup();
        for component in &components {
            self.judge_own(*component);
        }
        places.sort_unstable();
        places.dedup();
        for place in places {
            self.judge_host(place);
        }
        match components[..] {
            [component] => {
                for at in 0..self.touched[component].len() {
                    self.judge_item(self.touched[component][at]);
                }
            }
            _ => {
                let mut items: Vec<usize> =
                    components.iter().flat_map(|c| self.touched[*c].iter().copied()).collect();
                items.sort_unstable();
                items.dedup();
                items.into_iter().for_each(|item| self.judge_item(item));
            }
        }
        self.rank()
    }

    /// Keeps the changes since the last call and returns the rank.
    pub(super) fn keep(&mut self) -> Rank {
        self.undo_log.clear();
        let mut sums = self.counted();
        let Penalties { components, items, room } = &self.penalties;
        let own = self.own.iter().zip(components).map(|(own, weight)| weight * own.broken).sum::<f64>();
        let judged = self.judged.iter().zip(items).map(|((broken, _), weight)| weight * broken).sum::<f64>();
        sums.broken = own + room * self.over.values().sum::<f64>() + judged;
        sums.move_cost = self.own.iter().map(|own| own.move_cost).sum();
        sums.worth = self.judged.iter().map(|(_, worth)| worth).sum();
        (self.sums, self.kept) = (sums, sums);
        self.rank()
    }

    /// Reverts the changes since the last [`Self::keep`].
    pub(super) fn undo(&mut self) {
        while let Some(was) = self.undo_log.pop() {
            match was {
                Was::Place(instance, place) => {
                    self.set(instance, place);
                }
                Was::Item(item, judged) => self.judged[item] = judged,
                Was::Own(component, own) => self.own[component] = own,
                Was::Over(place, Some(over)) => {
                    self.over.insert(place, over);
                }
                Was::Over(place, None) => {
                    self.over.remove(&place);
                }
            }
        }
        self.sums = self.kept;
    }

    pub(super) fn rank(&self) -> Rank {
        Rank { broken: self.sums.broken, net: self.sums.worth - self.migration() }
    }

    /// Raises the weights of broken items and returns the new rank; none once a weight exceeds its limit.
    pub(super) fn raise_penalties(&mut self) -> Option<Rank> {
        let own = self.own.iter().map(|own| own.broken > 0.0);
        let items = self.judged.iter().map(|(broken, _)| *broken > 0.0);
        let more = self.penalties.raise(own, items, !self.over.is_empty());
        more.then(|| self.keep())
    }

    /// Resets all weights and returns the new rank.
    pub(super) fn reset_penalties(&mut self) -> Rank {
        self.penalties = Penalties::even(self.own.len(), self.items.len());
        self.keep()
    }

    /// The components that broken items depend on.
    pub(super) fn broken_components(&self) -> BTreeSet<usize> {
        let on_full = self.over.keys().filter_map(|place| self.on.get(place)).flatten().map(|i| i.component);
        let own = self.own.iter().enumerate().filter(|(_, own)| own.broken > 0.0).map(|(c, _)| c);
        let by_item =
            (0..self.own.len()).filter(|c| self.touched[*c].iter().any(|item| self.judged[*item].0 > 0.0));
        on_full.chain(own).chain(by_item).collect()
    }

    fn put(&mut self, instance: Instance, place: Option<Place>, places: &mut Vec<Place>) {
        let was = self.set(instance, place);
        self.undo_log.push(Was::Place(instance, was));
        places.extend(was.into_iter().chain(place));
        if !self.leaving.is_empty() {
            let from = self.problem.components[instance.component].current_of(instance.ordinal);
            places.extend(from.map(Place::on));
        }
    }

    /// Moves an instance and returns its previous host.
    fn set(&mut self, instance: Instance, place: Option<Place>) -> Option<Place> {
        let places = &mut self.assignment.places[instance.component];
        if places.len() <= instance.ordinal {
            places.resize(instance.ordinal + 1, None);
        }
        let was = std::mem::replace(&mut places[instance.ordinal], place);
        if let Some(from) = was
            && let Some(here) = self.on.get_mut(&from)
        {
            here.retain(|i| *i != instance);
            if here.is_empty() {
                self.on.remove(&from);
                let mut sums = self.sums;
                self.count_host(&mut sums, from, false);
                self.sums = sums;
            }
        }
        if let Some(to) = place {
            let here = self.on.entry(to).or_default();
            here.push(instance);
            if here.len() == 1 {
                let mut sums = self.sums;
                self.count_host(&mut sums, to, true);
                self.sums = sums;
            }
        }
        was
    }

    fn judge_own(&mut self, component: usize) {
        let c = &self.problem.components[component];
        let places = &self.assignment.places[component];
        let mut own =
            Own { broken: counts_broken(self.problem, &self.assignment, component), ..Own::default() };
        let weights = &self.problem.migration;
        for (ordinal, place) in places.iter().enumerate() {
            let (Some(from), Some(to)) = (c.current_of(ordinal), place) else { continue };
            if *to != Place::on(from) {
                own.moved += 1;
                let pair = self.problem.machines[from].move_cost.get(to.machine).copied().unwrap_or(0.0);
                own.move_cost += weights.per_move * c.move_cost_of(ordinal) + weights.per_pair * pair;
            }
        }
        let was = std::mem::replace(&mut self.own[component], own);
        self.sums.broken += self.penalties.components[component] * (own.broken - was.broken);
        self.sums.move_cost += own.move_cost - was.move_cost;
        self.undo_log.push(Was::Own(component, was));
    }

    fn judge_host(&mut self, place: Place) {
        let mut over = 0.0;
        let here = self.on.get(&place).map_or(&[][..], Vec::as_slice);
        let none = Vec::new();
        let leaving = if place.copy == 0 { self.leaving.get(&place.machine).unwrap_or(&none) } else { &none };
        for (resource, r) in self.problem.resources.iter().enumerate() {
            let need = |i: &Instance| self.needs[i.component][i.ordinal][resource];
            let mut amount: f64 = here.iter().map(need).sum();
            if r.transient {
                let is_gone = |i: &&Instance| self.assignment.place(**i).is_some_and(|to| to != place);
                amount += leaving.iter().filter(is_gone).map(need).sum::<f64>();
            }
            let capacity = self.capacities[place.machine][resource];
            if amount > capacity + CAPACITY_TOLERANCE * capacity.abs() {
                over += (amount - capacity) / capacity.max(amount / 2.0);
            }
        }
        let was = if over > 0.0 { self.over.insert(place, over) } else { self.over.remove(&place) };
        self.sums.broken += self.penalties.room * (over - was.unwrap_or(0.0));
        if was.is_some() || over > 0.0 {
            self.undo_log.push(Was::Over(place, was));
        }
    }

    fn judge_item(&mut self, item: usize) {
        let judged = self.judgement(self.items[item]);
        let was = std::mem::replace(&mut self.judged[item], judged);
        self.sums.broken += self.penalties.items[item] * (judged.0 - was.0);
        self.sums.worth += judged.1 - was.1;
        self.undo_log.push(Was::Item(item, was));
    }

    fn judgement(&self, item: Item) -> (f64, f64) {
        let (problem, assignment) = (self.problem, &self.assignment);
        match item {
            Item::Rule(rule) => match &problem.constraints[rule].item {
                Constraint::Budget(rule::Budget { max_per_hour }) => {
                    let (price, tolerance) = (self.sums.price, CAPACITY_TOLERANCE * max_per_hour.abs());
                    let over = (price - max_per_hour) / max_per_hour.max(price / 2.0);
                    (if price > max_per_hour + tolerance { over } else { 0.0 }, 0.0)
                }
                rule => (rule_broken(problem, assignment, rule), 0.0),
            },
            Item::Utility(utility) => {
                let utility = &problem.utilities[utility].item;
                let worth = evaluate::utility(problem, assignment, utility).1;
                let share = if self.weights > 0.0 { utility.weight / self.weights } else { 0.0 };
                (utility_unknown(problem, assignment, &utility.of), share * worth)
            }
            Item::Cost(cost) => {
                let cost = &problem.costs[cost].item;
                if cost.measure == Measure::TotalPrice {
                    return (0.0, -cost.per_unit * self.sums.price);
                }
                let value = evaluate::measure(problem, assignment, &cost.scope, &cost.measure);
                (cost_unknown(problem, assignment, cost), -cost.per_unit * value)
            }
        }
    }

    fn migration(&self) -> f64 {
        let weights = &self.problem.migration;
        let moved = if weights.per_service > 0.0 {
            self.own.iter().map(|own| own.moved).max().unwrap_or(0)
        } else {
            0
        };
        weights.add * f64::from(self.sums.offers_used)
            + weights.remove * f64::from(self.running.saturating_sub(self.sums.running_used))
            + weights.per_service * f64::from(moved)
            + self.sums.move_cost
    }
}

/// The running instances by machine when some resource is transient; else empty.
fn leaving(problem: &Problem) -> BTreeMap<usize, Vec<Instance>> {
    let mut leaving: BTreeMap<usize, Vec<Instance>> = BTreeMap::new();
    if problem.resources.iter().any(|r| r.transient) {
        for (component, c) in problem.components.iter().enumerate() {
            for (ordinal, machine) in c.current.iter().enumerate() {
                if let Some(machine) = machine {
                    leaving.entry(*machine).or_default().push(Instance { component, ordinal });
                }
            }
        }
    }
    leaving
}
