//! The change of cost of a move and whether the rules allow it, without making the move.
//!
//! A judgement takes a few operations per resource and none per item or machine. Costs are exact. An exchange of two
//! items that depend on each other's presence is refused, although some such exchanges keep the rules.

use super::model::{GroupRule, LANES, NOWHERE, Quad};
use super::state::State;

/// The cost of load on a machine when one amount is added to it and another one is removed.
#[inline]
fn cost_with(over: &[Quad], weight: &[Quad], add: &[Quad], take: Option<&[Quad]>) -> f64 {
    let mut sums = [0.0; LANES];
    for (q, ((over, weight), add)) in over.iter().zip(weight).zip(add).enumerate() {
        let take = take.map_or([0.0; LANES], |take| take[q]);
        for lane in 0..LANES {
            let value = over[lane] + add[lane] - take[lane];
            // A plain comparison is one instruction, where `f64::max` also looks for NaN.
            sums[lane] += weight[lane] * if value > 0.0 { value } else { 0.0 };
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[inline]
fn cost_without(over: &[Quad], weight: &[Quad], take: &[Quad]) -> f64 {
    let mut sums = [0.0; LANES];
    for ((over, weight), take) in over.iter().zip(weight).zip(take) {
        for lane in 0..LANES {
            let value = over[lane] - take[lane];
            sums[lane] += weight[lane] * if value > 0.0 { value } else { 0.0 };
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

impl State<'_, '_> {
    #[inline]
    fn over_of(&self, machine: usize) -> &[Quad] {
        &self.over[machine * self.model.quads..(machine + 1) * self.model.quads]
    }

    /// The cost of moving an item from its origin to a machine, without the cost of the most moved component.
    #[inline]
    pub(super) fn move_cost(&self, item: usize, machine: u32) -> f64 {
        let origin = self.model.origin[item];
        if origin == NOWHERE || origin == machine {
            return 0.0;
        }
        let pair = self.model.pair[origin as usize].get(machine as usize).copied().unwrap_or(0.0);
        self.model.move_cost[item] + self.model.per_pair * pair
    }

    /// The change of cost when a placed item moves.
    #[inline]
    pub(super) fn shift_delta(&self, item: usize, to: usize) -> f64 {
        let model = self.model;
        let (from, amount) = (self.at[item] as usize, model.amount(item));
        let arrival = cost_with(self.over_of(to), &model.weight, amount, None) - self.load_cost[to];
        let departure = cost_without(self.over_of(from), &model.weight, amount) - self.load_cost[from];
        let way = self.move_cost(item, super::model::to_u32(to)) - self.move_cost(item, self.at[item]);
        arrival + departure + way + self.moved_delta(&[(item, to)])
    }

    /// The change of cost when two items exchange places.
    #[inline]
    pub(super) fn exchange_delta(&self, a: usize, b: usize) -> f64 {
        let model = self.model;
        let (m, n) = (self.at[a] as usize, self.at[b] as usize);
        let (x, y) = (model.amount(a), model.amount(b));
        let here = cost_with(self.over_of(m), &model.weight, y, Some(x)) - self.load_cost[m];
        let there = cost_with(self.over_of(n), &model.weight, x, Some(y)) - self.load_cost[n];
        let way = self.move_cost(a, self.at[b]) - self.move_cost(a, self.at[a])
            + self.move_cost(b, self.at[a])
            - self.move_cost(b, self.at[b]);
        here + there + way + self.moved_delta(&[(a, n), (b, m)])
    }

    /// The change of the cost of the most moved component.
    #[inline]
    fn moved_delta(&self, moves: &[(usize, usize)]) -> f64 {
        let per_service = self.model.problem.migration.per_service;
        if per_service == 0.0 {
            return 0.0;
        }
        let change = |(item, to): (usize, usize)| {
            let origin = self.model.origin[item];
            if origin == NOWHERE {
                return 0;
            }
            i32::from(origin as usize != to) - i32::from(origin != self.at[item])
        };
        let component = |item: usize| self.model.items[item].0 as usize;
        let mut changes = [(usize::MAX, 0); 2];
        for (slot, of) in changes.iter_mut().zip(moves) {
            *slot = (component(of.0), change(*of));
        }
        if changes[0].0 == changes[1].0 {
            changes = [(changes[0].0, changes[0].1 + changes[1].1), (usize::MAX, 0)];
        }
        if changes.iter().all(|(_, by)| *by == 0) {
            return 0.0;
        }
        let most = i64::from(self.moved_max);
        let (mut at_most, mut next) = (i64::from(self.with_moved[self.moved_max as usize]), 0);
        for (component, by) in changes.into_iter().filter(|(_, by)| *by != 0) {
            let (was, is) =
                (i64::from(self.moved[component]), i64::from(self.moved[component]) + i64::from(by));
            at_most += i64::from(is >= most) - i64::from(was == most);
            next = next.max(is);
        }
        let after = if next > most {
            next
        } else if at_most > 0 {
            most
        } else {
            // Only this component had the most moved items; its remaining number, or that of another component, is the
            // largest now.
            let others = (0..self.moved_max).rev().find(|k| self.with_moved[*k as usize] > 0).unwrap_or(0);
            next.max(i64::from(others).min(most - 1))
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of items")]
        let difference = (after - most) as f64;
        per_service * difference
    }

    /// The cost of load that an item's machine saves when the item leaves.
    pub(super) fn departure_saving(&self, item: usize) -> f64 {
        let from = self.at[item] as usize;
        self.load_cost[from] - cost_without(self.over_of(from), &self.model.weight, self.model.amount(item))
    }

    /// The change of cost when an unplaced item is put on a machine.
    pub(super) fn arrival_cost(&self, item: usize, machine: usize) -> f64 {
        let over = self.over_of(machine);
        cost_with(over, &self.model.weight, self.model.amount(item), None) - self.load_cost[machine]
            + self.move_cost(item, super::model::to_u32(machine))
    }

    /// Whether an item of another machine has room on a machine.
    #[inline]
    pub(super) fn has_room(&self, item: usize, machine: usize) -> bool {
        let model = self.model;
        let room = &self.room[machine * model.quads..(machine + 1) * model.quads];
        let mut fits = true;
        for ((room, amount), share) in room.iter().zip(model.amount(item)).zip(model.share(item, machine)) {
            for lane in 0..LANES {
                fits &= room[lane] >= amount[lane] * share[lane];
            }
        }
        fits
    }

    /// Whether two items have room on each other's machine.
    #[inline]
    pub(super) fn exchange_has_room(&self, a: usize, b: usize) -> bool {
        let (m, n) = (self.at[a] as usize, self.at[b] as usize);
        self.replacement_has_room(m, b, a) && self.replacement_has_room(n, a, b)
    }

    #[inline]
    pub(super) fn replacement_has_room(&self, machine: usize, comes: usize, goes: usize) -> bool {
        let model = self.model;
        let room = &self.room[machine * model.quads..(machine + 1) * model.quads];
        let (x, y) = (model.amount(comes), model.amount(goes));
        let (x_share, y_share) = (model.share(comes, machine), model.share(goes, machine));
        let mut fits = true;
        for (q, room) in room.iter().enumerate() {
            for lane in 0..LANES {
                fits &= room[lane] + y[q][lane] * y_share[q][lane] >= x[q][lane] * x_share[q][lane];
            }
        }
        fits
    }

    /// Whether the rules allow an unplaced item on a machine. The caller checks the dependencies of other items on it.
    pub(super) fn fits(&self, item: usize, machine: usize) -> bool {
        self.model.may_use(item, machine) && self.has_room(item, machine) && self.groups_allow(item, machine)
    }

    /// Whether the rules allow a placed item on another machine; `partner` is an item that moves in the opposite
    /// direction.
    pub(super) fn rules_allow(&self, item: usize, to: usize, partner: Option<usize>) -> bool {
        let (model, from) = (self.model, self.at[item] as usize);
        model.may_use(item, to)
            && model.groups_of.of(item).iter().all(|g| self.group_allows(*g, from, to, partner))
            && self.may_arrive(item, to, partner)
            && self.may_leave(item, to, partner)
    }

    fn group_allows(&self, g: u32, from: usize, to: usize, partner: Option<usize>) -> bool {
        let group = &self.model.groups[g as usize];
        let cells = &self.model.cells[group.cell_of];
        let (was, is) = (cells[from], cells[to]);
        if is == NOWHERE {
            return false;
        }
        // A move within a cell or an exchange with another member does not change the group.
        if was == is || partner.is_some_and(|b| self.model.groups_of.of(b).contains(&g)) {
            return true;
        }
        let here = self.counts[group.start + is as usize];
        match group.rule {
            GroupRule::Apart => here == 0,
            GroupRule::Gather => self.placed[g as usize] == 1,
            GroupRule::Distinct(min) => {
                let lost = was != NOWHERE && self.counts[group.start + was as usize] == 1;
                self.distinct[g as usize] + u32::from(here == 0) >= min + u32::from(lost)
            }
        }
    }

    /// Whether the item still has a provider there after its partner has left.
    fn may_arrive(&self, item: usize, to: usize, partner: Option<usize>) -> bool {
        let (model, from) = (self.model, self.at[item] as usize);
        model.uses.of(item).iter().all(|d| {
            let dependency = &model.dependencies[*d as usize];
            let cells = &model.cells[dependency.cell_of];
            let class = cells[to];
            if class == NOWHERE {
                return false;
            }
            if class == cells[from] || model.provides.of(item).contains(d) {
                return true;
            }
            let leaves = partner.is_some_and(|b| model.provides.of(b).contains(d));
            self.served[dependency.start + 2 * class as usize + 1] > u32::from(leaves)
        })
    }

    /// Whether every user in the class of a machine has a provider after an item has left.
    pub(super) fn is_served_without(&self, item: usize, was: u32) -> bool {
        let model = self.model;
        model.provides.of(item).iter().all(|d| {
            let dependency = &model.dependencies[*d as usize];
            let class = model.cells[dependency.cell_of][was as usize];
            let at = dependency.start + 2 * class as usize;
            class == NOWHERE || self.served[at + 1] > 0 || self.served[at] == 0
        })
    }

    /// Whether every user keeps a provider when this item moves to another machine.
    fn may_leave(&self, item: usize, to: usize, partner: Option<usize>) -> bool {
        let (model, from) = (self.model, self.at[item] as usize);
        model.provides.of(item).iter().all(|d| {
            let dependency = &model.dependencies[*d as usize];
            let cells = &model.cells[dependency.cell_of];
            let class = cells[from];
            let is_replaced = partner.is_some_and(|b| model.provides.of(b).contains(d));
            if class == NOWHERE || class == cells[to] || is_replaced {
                return true;
            }
            let at = dependency.start + 2 * class as usize;
            let users = self.served[at] - u32::from(model.uses.of(item).contains(d));
            self.served[at + 1] > 1 || users == 0
        })
    }
}
