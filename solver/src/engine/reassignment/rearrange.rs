//! Rearrangement: one item moves to a machine where others make room for it.
//!
//! A large item often has no room on any machine, and no sequence of single moves makes room, because other items take
//! the place of those that leave. So the item moves to the machine where it costs least, as few items as possible make
//! room, and each of them moves to its cheapest machine, or to one where one smaller item makes room in turn. The
//! rearrangement is one step, accepted or undone as a whole.

use super::model::NOWHERE;
use super::moves::Mover;
use super::repair::size;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// The largest number of items that make room for one.
const EVICTED_MAX: usize = 16;
/// Items of a machine among which the one that makes room is chosen.
const CANDIDATES: usize = 16;
/// Machines that are tried for an item.
const PLACES: usize = 128;
/// The costliest of this many items is moved.
const TOURNAMENT: u32 = 16;
/// Removing an item, placing it and undoing that takes about as long as this many judged steps.
const STEPS_PER_MOVE: u64 = 20;
/// Choosing an item that makes room judges each resource by itself and takes about as long as this many judged steps.
const STEPS_PER_CANDIDATE: u64 = 4;

impl Mover<'_, '_> {
    /// Tries one rearrangement. Returns its duration in plain steps.
    pub(super) fn try_rearrangement(&mut self, rng: &mut Xoshiro256PlusPlus) -> u64 {
        if self.rearrange(rng).is_some_and(|price| !self.takes(price, rng)) {
            self.undo();
        }
        self.work
    }

    /// Makes one rearrangement and returns its change of cost; none when it is not possible, and nothing has changed
    /// then.
    fn rearrange(&mut self, rng: &mut Xoshiro256PlusPlus) -> Option<f64> {
        self.work = TOURNAMENT.into();
        let item = self.burden(rng)?;
        let to = rng.random_range(0..self.state.model.machines);
        let from = self.state.at[item] as usize;
        if to == from || !self.could_hold(item, to) {
            return None;
        }
        let before = self.state.cost;
        self.trail.clear();
        self.take_up(item);
        if !self.state.groups_allow(item, to) {
            self.state.insert(item, from);
            return None;
        }
        self.state.insert(item, to);
        if !(self.make_room(to, item, rng) && self.follow(0) && self.house(rng) && self.serves_all()) {
            self.undo();
            return None;
        }
        let left: i32 = self.trail.iter().map(|(i, was)| self.left_home(*i, *was)).sum();
        Some(self.state.cost - before + self.tax * f64::from(left))
    }

    fn take_up(&mut self, item: usize) {
        // The item is removed and placed elsewhere, and both may be undone.
        self.work += STEPS_PER_MOVE;
        self.trail.push((item, self.state.at[item]));
        self.state.remove(item);
    }

    /// Of a few items, the one whose departure saves the most.
    fn burden(&self, rng: &mut Xoshiro256PlusPlus) -> Option<usize> {
        let mut best = None;
        for _ in 0..rng.random_range(1..=TOURNAMENT) {
            let item = rng.random_range(0..self.state.at.len());
            let saving = self.state.departure_saving(item);
            if !self.state.model.pinned[item] && best.is_none_or(|(most, _)| saving > most) {
                best = Some((saving, item));
            }
        }
        best.map(|(_, item)| item)
    }

    /// Whether an item fits on an otherwise empty machine.
    fn could_hold(&self, item: usize, machine: usize) -> bool {
        let model = self.state.model;
        model.may_use(item, machine)
            && (0..model.resources).all(|r| model.need(item, r) <= model.limit[machine * model.resources + r])
    }

    /// Removes items that leave no room for a new one. Returns true when there is room then.
    fn make_room(&mut self, machine: usize, newcomer: usize, rng: &mut Xoshiro256PlusPlus) -> bool {
        while self.state.excess(machine) > 0.0 {
            if self.trail.len() > EVICTED_MAX {
                return false;
            }
            let here = self.state.on[machine].len();
            let start = rng.random_range(0..here);
            let mut best: Option<(f64, f64, usize)> = None;
            self.work += STEPS_PER_CANDIDATE * here.min(CANDIDATES) as u64;
            for k in 0..here.min(CANDIDATES) {
                let item = self.state.on[machine][(start + k) % here] as usize;
                if item != newcomer && !self.state.model.pinned[item] {
                    let key = (self.state.excess_without(machine, item), size(&self.state, item));
                    if best.is_none_or(|(excess, size, _)| key < (excess, size)) {
                        best = Some((key.0, key.1, item));
                    }
                }
            }
            let Some((_, _, item)) = best else { return false };
            self.take_up(item);
        }
        true
    }

    /// Removes users that lost their provider since an entry of the trail. Returns false when there are too many.
    fn follow(&mut self, since: usize) -> bool {
        let mut next = since;
        while let Some((item, was)) = self.trail.get(next).copied() {
            next += 1;
            if self.state.is_served_without(item, was) {
                continue;
            }
            let model = self.state.model;
            let here = self.state.on[was as usize].iter().map(|i| *i as usize);
            let lost = |i: &usize| model.uses.of(*i).iter().any(|d| model.provides.of(item).contains(d));
            let users: Vec<usize> = here.filter(|i| lost(i) && !model.pinned[*i]).collect();
            // An item that this rearrangement has placed must not have to leave again.
            if self.trail.len() + users.len() > EVICTED_MAX
                || users.iter().any(|user| self.is_in_trail(*user))
            {
                return false;
            }
            users.into_iter().for_each(|user| self.take_up(user));
        }
        true
    }

    fn is_in_trail(&self, item: usize) -> bool {
        self.trail.iter().any(|(i, _)| *i == item)
    }

    /// Places the removed items where each costs least, the largest first. Returns true when all found a place.
    fn house(&mut self, rng: &mut Xoshiro256PlusPlus) -> bool {
        let mut homeless: Vec<usize> = self.trail[1..].iter().map(|(item, _)| *item).collect();
        loop {
            homeless.sort_by(|a, b| size(&self.state, *a).total_cmp(&size(&self.state, *b)));
            let Some(item) = homeless.pop() else { return true };
            if let Some(machine) = self.cheapest_place(item, rng) {
                self.state.insert(item, machine);
                continue;
            }
            let known = self.trail.len();
            let Some((machine, other)) = self.cheapest_displacement(item, rng) else { return false };
            self.take_up(other);
            self.state.insert(item, machine);
            if self.trail.len() > EVICTED_MAX || !self.follow(known) {
                return false;
            }
            homeless.extend(self.trail[known..].iter().map(|(item, _)| *item));
        }
    }

    /// The cheapest machine with room for an unplaced item: its home, or one of some machines.
    fn cheapest_place(&mut self, item: usize, rng: &mut Xoshiro256PlusPlus) -> Option<usize> {
        let machines = self.state.model.machines;
        let start = rng.random_range(0..machines);
        let origin = self.state.model.origin[item];
        let first = Some(origin as usize).filter(|_| origin != NOWHERE);
        let some = (0..machines.min(PLACES)).map(|k| (start + k) % machines);
        self.work += machines.min(PLACES) as u64;
        let mut best: Option<(f64, usize)> = None;
        for machine in first.into_iter().chain(some) {
            if self.state.fits(item, machine) {
                let away =
                    if Some(machine) == first || !self.state.model.holds[item] { 0.0 } else { self.tax };
                let cost = self.state.arrival_cost(item, machine) + away;
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, machine));
                }
            }
        }
        best.map(|(_, machine)| machine)
    }

    /// The cheapest machine for an unplaced item when one smaller item makes room for it.
    fn cheapest_displacement(&mut self, item: usize, rng: &mut Xoshiro256PlusPlus) -> Option<(usize, usize)> {
        let (state, model) = (&self.state, self.state.model);
        let start = rng.random_range(0..model.machines);
        let most = size(state, item);
        let mut best: Option<(f64, usize, usize)> = None;
        for machine in (0..model.machines.min(PLACES)).map(|k| (start + k) % model.machines) {
            if !self.could_hold(item, machine) || !state.groups_allow(item, machine) {
                continue;
            }
            self.work += state.on[machine].len().min(CANDIDATES) as u64;
            let arrival = state.arrival_cost(item, machine);
            for other in state.on[machine].iter().take(CANDIDATES).map(|i| *i as usize) {
                let cost = arrival - state.departure_saving(other);
                if best.is_none_or(|(least, _, _)| cost < least)
                    && !model.pinned[other]
                    && state.replacement_has_room(machine, item, other)
                    && size(state, other) < most
                    && !self.is_in_trail(other)
                {
                    best = Some((cost, machine, other));
                }
            }
        }
        best.map(|(_, machine, other)| (machine, other))
    }

    /// Whether every user still has a provider after the removals.
    pub(super) fn serves_all(&self) -> bool {
        self.trail.iter().all(|(item, was)| self.state.is_served_without(*item, *was))
    }

    /// 1 when an item has left its home, -1 when it has returned.
    fn left_home(&self, item: usize, was: u32) -> i32 {
        let origin = self.state.model.origin[item];
        if !self.state.model.holds[item] {
            return 0;
        }
        i32::from(was == origin) - i32::from(self.state.at[item] == origin)
    }

    pub(super) fn undo(&mut self) {
        for (item, _) in &self.trail {
            if self.state.at[*item] != NOWHERE {
                self.state.remove(*item);
            }
        }
        for (item, was) in &self.trail {
            self.state.insert(*item, *was as usize);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::check::check;
    use crate::constraint::{Constraint, Scope};
    use crate::engine::reassignment::incumbent::assignment;
    use crate::engine::reassignment::model::Model;
    use crate::engine::reassignment::state::State;
    use crate::objective::{Cost, Measure};
    use crate::problem::{Component, Machine, Named, Partition, Problem, Resource, Stock};
    use crate::rule;
    use rand::SeedableRng;

    /// Machines with a hard and a soft limit each, one to a rack.
    pub(in crate::engine::reassignment) fn hall(limits: &[(f64, f64)]) -> Problem {
        let resources = vec![Resource { name: "cpu".into(), transient: false }];
        let mut problem = Problem { resources, ..Problem::default() };
        for (m, (capacity, safety)) in limits.iter().enumerate() {
            problem.machines.push(Machine {
                name: format!("m{m}"),
                provider: String::new(),
                region: String::new(),
                stock: Stock::Kept,
                site: None,
                capacity: vec![*capacity],
                safety: vec![*safety],
                price: 0.0,
                move_cost: Vec::new(),
            });
        }
        problem.partitions.push(Partition {
            name: "rack".into(),
            classes: (0..limits.len()).map(|m| m.to_string()).collect(),
            class_of: (0..limits.len()).map(Some).collect(),
        });
        let cost = Cost { scope: Scope::All, measure: Measure::Overload { resource: 0 }, per_unit: 1.0 };
        problem.costs.push(Named::new("load", cost));
        problem.migration.per_move = 0.01;
        problem
    }

    pub(in crate::engine::reassignment) fn component(name: &str, need: f64, current: &[usize]) -> Component {
        let count = u32::try_from(current.len()).expect("few instances");
        let mut component = Component::new(name, count, count);
        component.per_host_max = 0;
        component.needs_each = vec![vec![need]; current.len()];
        component.move_cost_each = vec![1.0; current.len()];
        component.current = current.iter().map(|m| Some(*m)).collect();
        component
    }

    #[test]
    fn many_small_items_make_way_for_a_large_one() {
        // Load on the first machine always costs; small steps that pay off do not lead away from it.
        let mut problem = hall(&[(10.0, 0.0), (10.0, 10.0), (4.0, 4.0), (4.0, 4.0)]);
        problem.components.push(component("large", 8.0, &[0]));
        problem.components.push(component("small", 1.0, &[1; 8]));
        let model = Model::new(&problem);
        let mut mover = Mover::new(State::at(&model, &model.origin));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        mover.steps(20_000, &mut rng, &mut || false);
        assert_eq!(mover.state.at[0], 1, "{:?}", mover.state.at);
        assert!(mover.state.cost < 0.1, "only moves cost: {}", mover.state.cost);
    }

    #[test]
    fn what_makes_way_and_finds_no_room_pushes_something_smaller_away() {
        let mut problem = hall(&[(10.0, 0.0), (10.0, 10.0), (6.0, 6.0), (3.0, 3.0)]);
        problem.components.push(component("large", 8.0, &[0]));
        problem.components.push(component("medium", 6.0, &[1]));
        problem.components.push(component("small", 3.0, &[2]));
        let ban = Constraint::Ban(rule::Ban { scope: Scope::Components(vec![1, 2]), machines: vec![0] });
        problem.constraints.push(Named::new("not there", ban));
        let model = Model::new(&problem);
        let mut mover = Mover::new(State::at(&model, &model.origin));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        // Without heat no step is taken that does not pay off by itself.
        mover.steps(20_000, &mut rng, &mut || false);
        assert_eq!(mover.state.at, [1, 2, 3]);
    }

    #[test]
    fn rearrangements_keep_to_the_rules_and_leave_no_trace_when_undone() {
        let mut problem = hall(&[(10.0, 0.0), (10.0, 8.0), (6.0, 3.0), (6.0, 5.0), (7.0, 3.0)]);
        problem.components.push(component("large", 5.0, &[0, 1]));
        problem.components.push(component("small", 1.0, &[0, 1, 2, 2, 3, 4]));
        problem.components.push(component("user", 1.0, &[0, 1, 2]));
        problem.components[0].per_host_max = 1;
        let needs = Constraint::Neighbour(rule::Neighbour {
            user: Scope::Component(2),
            provider: Scope::Component(1),
            partition: 0,
        });
        problem.constraints.push(Named::new("near", needs));
        let model = Model::new(&problem);
        let mut mover = Mover::new(State::at(&model, &model.origin));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let (mut taken, mut undone) = (0, 0);
        for _ in 0..20_000 {
            mover.set_temperature(3.0);
            let before = mover.state.at.clone();
            mover.try_rearrangement(&mut rng);
            if mover.state.at == before {
                undone += 1
            } else {
                taken += 1
            }
            let anew = State::at(&model, &mover.state.at);
            assert!((anew.cost - mover.state.cost).abs() < 1e-6, "{} {}", anew.cost, mover.state.cost);
            assert_eq!((&anew.counts, &anew.served), (&mover.state.counts, &mover.state.served));
            assert_eq!(check(&problem, &assignment(&model, &mover.state.at)), []);
        }
        assert!(taken > 500 && undone > 500, "{taken} taken, {undone} undone");
    }
}
