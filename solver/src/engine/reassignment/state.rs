//! The machine of every item, with the sums that make judging and making a move cheap.
//!
//! This module makes moves; `judge.rs` computes their cost and whether the rules allow them. Loads are kept as
//! distances to the soft and hard limits, so that a judgement only adds and compares.

use super::model::{GroupRule, LANES, Model, NOWHERE, Quad, to_u32};

#[derive(Clone)]
pub(super) struct State<'m, 'p> {
    pub(super) model: &'m Model<'p>,
    pub(super) at: Vec<u32>,
    /// Items on each machine, and the position of each item in that list.
    pub(super) on: Vec<Vec<u32>>,
    slot: Vec<u32>,
    /// For each machine, the distance of each dimension beyond its soft limit.
    pub(super) over: Vec<Quad>,
    /// For each machine, the room up to the hard limit, less loads and resources held for items that left.
    pub(super) room: Vec<Quad>,
    /// Cost of load of each machine.
    pub(super) load_cost: Vec<f64>,
    /// For each group, items per cell.
    pub(super) counts: Vec<u16>,
    pub(super) distinct: Vec<u32>,
    pub(super) placed: Vec<u32>,
    /// For each dependency, users and providers per class.
    pub(super) served: Vec<u32>,
    /// Moved items per component, and the number of components for each number of moved items.
    pub(super) moved: Vec<u32>,
    pub(super) with_moved: Vec<u32>,
    pub(super) moved_max: u32,
    pub(super) cost: f64,
}

impl<'m, 'p> State<'m, 'p> {
    /// The state in which no item is placed; transient resources are held at every origin.
    pub(super) fn empty(model: &'m Model<'p>) -> Self {
        let items = model.items.len();
        let components = model.problem.components.len();
        let most = model.problem.components.iter().map(|c| c.replicas_max as usize).max().unwrap_or(0);
        let mut with_moved = vec![0; most + 2];
        with_moved[0] = to_u32(components);
        let mut state = Self {
            model,
            at: vec![NOWHERE; items],
            on: vec![Vec::new(); model.machines],
            slot: vec![0; items],
            over: model.over_empty.clone(),
            room: model.room_empty.clone(),
            load_cost: vec![0.0; model.machines],
            counts: vec![0; model.group_counts],
            distinct: vec![0; model.groups.len()],
            placed: vec![0; model.groups.len()],
            served: vec![0; model.dependency_counts],
            moved: vec![0; components],
            with_moved,
            moved_max: 0,
            cost: 0.0,
        };
        for item in 0..items {
            state.hold(item);
        }
        for machine in 0..model.machines {
            state.load_cost[machine] = state.load_cost_of(machine);
            state.cost += state.load_cost[machine];
        }
        state
    }

    /// Places every item on its machine; sums are computed anew, without the rounding drift of many changes.
    pub(super) fn at(model: &'m Model<'p>, at: &[u32]) -> Self {
        let mut state = Self::empty(model);
        for (item, machine) in at.iter().enumerate() {
            if *machine != NOWHERE {
                state.insert(item, *machine as usize);
            }
        }
        state
    }

    /// Subtracts the transient share of an item at its origin, which is held whether or not the item is there.
    fn hold(&mut self, item: usize) {
        let (model, origin) = (self.model, self.model.origin[item]);
        if origin != NOWHERE {
            let room = &mut self.room[origin as usize * model.quads..][..model.quads];
            for ((room, amount), released) in room.iter_mut().zip(model.amount(item)).zip(&model.released) {
                for lane in 0..LANES {
                    room[lane] -= amount[lane] * (1.0 - released[lane]);
                }
            }
        }
    }

    fn load_cost_of(&self, machine: usize) -> f64 {
        let model = self.model;
        let over = &self.over[machine * model.quads..][..model.quads];
        let mut cost = 0.0;
        for (over, weight) in over.iter().zip(&model.weight) {
            for lane in 0..LANES {
                cost += weight[lane] * over[lane].max(0.0);
            }
        }
        cost
    }

    /// Adds an item to the loads of a machine, or removes it with the sign -1.
    fn load(&mut self, item: usize, machine: usize, sign: f64) {
        let model = self.model;
        let base = machine * model.quads;
        let share = model.share(item, machine);
        let over = &mut self.over[base..base + model.quads];
        let room = &mut self.room[base..base + model.quads];
        for (((over, room), amount), share) in over.iter_mut().zip(room).zip(model.amount(item)).zip(share) {
            for lane in 0..LANES {
                over[lane] += sign * amount[lane];
                room[lane] -= sign * amount[lane] * share[lane];
            }
        }
        let cost = self.load_cost_of(machine);
        self.cost += cost - self.load_cost[machine];
        self.load_cost[machine] = cost;
    }

    pub(super) fn remove(&mut self, item: usize) {
        let machine = self.at[item] as usize;
        self.cost -= self.move_cost(item, self.at[item]);
        self.load(item, machine, -1.0);
        self.count(item, machine, false);
        let last = self.on[machine].pop().unwrap_or(NOWHERE);
        let slot = self.slot[item];
        if last as usize != item {
            self.on[machine][slot as usize] = last;
            self.slot[last as usize] = slot;
        }
        let origin = self.model.origin[item];
        if origin != NOWHERE && origin as usize != machine {
            self.count_moved(item, false);
        }
        self.at[item] = NOWHERE;
    }

    pub(super) fn insert(&mut self, item: usize, machine: usize) {
        let to = to_u32(machine);
        self.cost += self.move_cost(item, to);
        self.load(item, machine, 1.0);
        self.at[item] = to;
        self.count(item, machine, true);
        self.slot[item] = to_u32(self.on[machine].len());
        self.on[machine].push(to_u32(item));
        let origin = self.model.origin[item];
        if origin != NOWHERE && origin != to {
            self.count_moved(item, true);
        }
    }

    /// Moves an item to another machine.
    pub(super) fn shift(&mut self, item: usize, machine: usize) {
        self.remove(item);
        self.insert(item, machine);
    }

    /// Exchanges the machines of two items.
    pub(super) fn exchange(&mut self, a: usize, b: usize) {
        let (m, n) = (self.at[a] as usize, self.at[b] as usize);
        self.remove(a);
        self.remove(b);
        self.insert(a, n);
        self.insert(b, m);
    }

    fn count_moved(&mut self, item: usize, more: bool) {
        let component = self.model.items[item].0 as usize;
        let was = self.moved[component];
        let is = if more { was + 1 } else { was - 1 };
        self.moved[component] = is;
        self.with_moved[was as usize] -= 1;
        self.with_moved[is as usize] += 1;
        let before = self.moved_max;
        let was_the_only_most = was == before && self.with_moved[was as usize] == 0;
        if is > before || was_the_only_most {
            self.moved_max = is;
        }
        self.cost +=
            self.model.problem.migration.per_service * (f64::from(self.moved_max) - f64::from(before));
    }

    fn count(&mut self, item: usize, machine: usize, more: bool) {
        let model = self.model;
        for g in model.groups_of.of(item) {
            let group = &model.groups[*g as usize];
            let cell = model.cells[group.cell_of][machine];
            if cell == NOWHERE {
                continue;
            }
            let count = &mut self.counts[group.start + cell as usize];
            if more {
                self.distinct[*g as usize] += u32::from(*count == 0);
                *count += 1;
                self.placed[*g as usize] += 1;
            } else {
                *count -= 1;
                self.distinct[*g as usize] -= u32::from(*count == 0);
                self.placed[*g as usize] -= 1;
            }
        }
        for (of, side) in [(model.uses.of(item), 0), (model.provides.of(item), 1)] {
            for d in of {
                let dependency = &model.dependencies[*d as usize];
                let class = model.cells[dependency.cell_of][machine];
                if class != NOWHERE {
                    let count = &mut self.served[dependency.start + 2 * class as usize + side];
                    *count = if more { *count + 1 } else { *count - 1 };
                }
            }
        }
    }

    /// The excess of a machine over its hard limits, relative to its capacity.
    pub(super) fn excess(&self, machine: usize) -> f64 {
        let over = |r: usize| {
            let limit = self.model.limit[machine * self.model.resources + r];
            let beyond = -self.room_of(machine, r);
            beyond.max(0.0) / limit.max((limit + beyond) / 2.0).max(1e-300)
        };
        (0..self.model.resources).map(over).sum()
    }

    /// The excess of a machine over its hard limits after an item has left it.
    pub(super) fn excess_without(&self, machine: usize, item: usize) -> f64 {
        let model = self.model;
        let share = model.share(item, machine);
        let over = |r: usize| {
            let limit = model.limit[machine * model.resources + r];
            let goes = model.need(item, r) * share[r / LANES][r % LANES];
            let beyond = -self.room_of(machine, r) - goes;
            beyond.max(0.0) / limit.max((limit + beyond) / 2.0).max(1e-300)
        };
        (0..model.resources).map(over).sum()
    }

    fn room_of(&self, machine: usize, resource: usize) -> f64 {
        self.room[machine * self.model.quads + resource / LANES][resource % LANES]
    }

    /// The free share of the resource that is scarcest for an item.
    pub(super) fn tightness(&self, item: usize, machine: usize) -> f64 {
        let left = |r: usize| {
            let limit = self.model.limit[machine * self.model.resources + r].max(1e-300);
            (self.room_of(machine, r) - self.model.need(item, r)) / limit
        };
        (0..self.model.resources).map(left).fold(f64::INFINITY, f64::min)
    }

    /// Whether the group rules allow an unplaced item on a machine.
    pub(super) fn groups_allow(&self, item: usize, machine: usize) -> bool {
        let model = self.model;
        let groups = model.groups_of.of(item).iter().all(|g| {
            let group = &model.groups[*g as usize];
            let cell = model.cells[group.cell_of][machine];
            if cell == NOWHERE {
                return false;
            }
            let here = self.counts[group.start + cell as usize];
            match group.rule {
                GroupRule::Apart => here == 0,
                GroupRule::Gather => u32::from(here) == self.placed[*g as usize],
                // Items that are still unplaced may go to other cells.
                GroupRule::Distinct(min) => {
                    let left = group.members - self.placed[*g as usize] - 1;
                    self.distinct[*g as usize] + u32::from(here == 0) + left >= min
                }
            }
        });
        groups
            && model.uses.of(item).iter().all(|d| {
                let dependency = &model.dependencies[*d as usize];
                let class = model.cells[dependency.cell_of][machine];
                let own = model.provides.of(item).contains(d);
                class != NOWHERE && (own || self.served[dependency.start + 2 * class as usize + 1] > 0)
            })
    }
}
