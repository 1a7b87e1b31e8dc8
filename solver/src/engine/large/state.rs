//! Where every item is, with everything that makes judging and taking a move cheap.
//!
//! Judging a move costs a few operations per resource; no rule is ever broken by a move that [`State::fits`].

use super::model::{Model, NOWHERE, Wish};

#[derive(Clone)]
pub(super) struct State<'m, 'p> {
    pub(super) model: &'m Model<'p>,
    pub(super) at: Vec<u32>,
    /// Items on each machine, and where in that list each item stands.
    pub(super) on: Vec<Vec<u32>>,
    slot: Vec<u32>,
    load: Vec<f64>,
    /// Transient resources held by items that left.
    held: Vec<f64>,
    /// For each group, items per cell.
    counts: Vec<u16>,
    distinct: Vec<u32>,
    placed: Vec<u32>,
    /// For each dependency, users and providers per class.
    served: Vec<u32>,
    /// Moved items per component, and how many components have so many.
    moved: Vec<u32>,
    with_moved: Vec<u32>,
    moved_max: u32,
    pub(super) cost: f64,
}

impl<'m, 'p> State<'m, 'p> {
    /// Nothing runs; every origin is held.
    pub(super) fn empty(model: &'m Model<'p>) -> Self {
        let items = model.items.len();
        let components = model.problem.components.len();
        let most = model.problem.components.iter().map(|c| c.replicas_max as usize).max().unwrap_or(0);
        let mut with_moved = vec![0; most + 2];
        with_moved[0] = u32::try_from(components).unwrap_or(u32::MAX);
        let mut state = Self {
            model,
            at: vec![NOWHERE; items],
            on: vec![Vec::new(); model.machines],
            slot: vec![0; items],
            load: vec![0.0; model.machines * model.resources],
            held: vec![0.0; model.machines * model.resources],
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
            state.hold(item, 1.0);
        }
        state.cost = (0..model.machines).map(|m| state.machine_cost(m)).sum();
        state
    }

    /// Takes or gives back the transient resources at the origin.
    fn hold(&mut self, item: usize, sign: f64) {
        let origin = self.model.origin[item];
        if origin != NOWHERE {
            for r in (0..self.model.resources).filter(|r| self.model.is_transient[*r]) {
                self.held[origin as usize * self.model.resources + r] +=
                    sign * self.model.need[item * self.model.resources + r];
            }
        }
    }

    fn machine_cost(&self, machine: usize) -> f64 {
        let base = machine * self.model.resources;
        self.cost_with(machine, |r| self.load[base + r])
    }

    fn cost_with(&self, machine: usize, load: impl Fn(usize) -> f64) -> f64 {
        let model = self.model;
        let base = machine * model.resources;
        let mut cost = 0.0;
        for r in 0..model.resources {
            cost += model.overload[r] * (load(r) - model.safety[base + r]).max(0.0);
        }
        for b in &model.balances {
            let free = |r: usize| model.capacity[base + r] - load(r);
            cost += b.weight * (b.target * free(b.first) - free(b.second)).max(0.0);
        }
        cost
    }

    /// How the cost of a machine changes when an item comes (1) or goes (-1).
    fn change(&self, item: usize, machine: usize, sign: f64) -> f64 {
        let (n, base) = (item * self.model.resources, machine * self.model.resources);
        self.cost_with(machine, |r| self.load[base + r] + sign * self.model.need[n + r])
            - self.machine_cost(machine)
    }

    /// What moving there from the origin costs, but for the part that speaks of whole components.
    fn move_cost(&self, item: usize, machine: u32) -> f64 {
        let origin = self.model.origin[item];
        if origin == NOWHERE || origin == machine {
            return 0.0;
        }
        let pair = self.model.problem.machines[origin as usize]
            .move_cost
            .get(machine as usize)
            .copied()
            .unwrap_or(0.0);
        self.model.move_cost[item] + self.model.problem.migration.per_pair * pair
    }

    /// By how much the cost changes when a placed item moves; the largest number of moves of a component is exact.
    pub(super) fn delta(&self, item: usize, to: u32) -> f64 {
        let from = self.at[item];
        let mut delta = self.change(item, from as usize, -1.0) + self.change(item, to as usize, 1.0);
        delta += self.move_cost(item, to) - self.move_cost(item, from);
        let per_service = self.model.problem.migration.per_service;
        let origin = self.model.origin[item];
        if per_service != 0.0 && origin != NOWHERE {
            let moved = self.moved[self.model.items[item].0 as usize];
            if from == origin && moved == self.moved_max {
                delta += per_service;
            } else if to == origin && moved == self.moved_max && self.with_moved[moved as usize] == 1 {
                delta -= per_service;
            }
        }
        delta
    }

    /// Whether an item that is nowhere may come here. Dependencies of others on it are the mover's business.
    pub(super) fn fits(&self, item: usize, machine: usize) -> bool {
        let model = self.model;
        model.may_use(item, machine) && self.has_room(item, machine) && self.groups_allow(item, machine)
    }

    pub(super) fn has_room(&self, item: usize, machine: usize) -> bool {
        let model = self.model;
        let (n, base) = (item * model.resources, machine * model.resources);
        let home = model.origin[item] as usize == machine;
        (0..model.resources).all(|r| {
            // At home, its own transient share is held already.
            let come = if home && model.is_transient[r] { 0.0 } else { model.need[n + r] };
            self.load[base + r] + self.held[base + r] + come <= model.limit[base + r]
        })
    }

    pub(super) fn groups_allow(&self, item: usize, machine: usize) -> bool {
        let model = self.model;
        let groups = model.groups_of[item].iter().all(|g| {
            let group = &model.groups[*g as usize];
            let cell = model.cells[group.cell_of][machine];
            if cell == NOWHERE {
                return false;
            }
            let here = self.counts[group.start + cell as usize];
            match group.wish {
                Wish::Apart => here == 0,
                Wish::Gather => u32::from(here) == self.placed[*g as usize],
                // While others are still nowhere, they may yet come to other cells.
                Wish::Distinct(min) => {
                    let left = group.members - self.placed[*g as usize] - 1;
                    self.distinct[*g as usize] + u32::from(here == 0) + left >= min
                }
            }
        });
        groups
            && model.uses[item].iter().all(|d| {
                let dependency = &model.dependencies[*d as usize];
                let class = model.cells[dependency.cell_of][machine];
                let own = model.provides[item].contains(d);
                class != NOWHERE && (own || self.served[dependency.start + 2 * class as usize + 1] > 0)
            })
    }

    /// Whether nobody is left without a provider when this item goes from its machine to another.
    pub(super) fn may_leave(&self, item: usize, to: usize) -> bool {
        let (model, from) = (self.model, self.at[item] as usize);
        model.provides[item].iter().all(|d| {
            let dependency = &model.dependencies[*d as usize];
            let cells = &model.cells[dependency.cell_of];
            let class = cells[from];
            if class == NOWHERE || class == cells[to] {
                return true;
            }
            let at = dependency.start + 2 * class as usize;
            let users = self.served[at] - u32::from(model.uses[item].contains(d));
            self.served[at + 1] > 1 || users == 0
        })
    }

    pub(super) fn remove(&mut self, item: usize) {
        let model = self.model;
        let machine = self.at[item] as usize;
        self.cost += self.change(item, machine, -1.0) - self.move_cost(item, self.at[item]);
        self.count(item, machine, false);
        let last = self.on[machine].pop().unwrap_or(NOWHERE);
        let slot = self.slot[item];
        if last as usize != item {
            self.on[machine][slot as usize] = last;
            self.slot[last as usize] = slot;
        }
        for r in 0..model.resources {
            self.load[machine * model.resources + r] -= model.need[item * model.resources + r];
        }
        if model.origin[item] as usize == machine {
            self.hold(item, 1.0);
        } else if model.origin[item] != NOWHERE {
            self.count_moved(item, false);
        }
        self.at[item] = NOWHERE;
    }

    pub(super) fn insert(&mut self, item: usize, machine: usize) {
        let model = self.model;
        let to = super::model::to_u32(machine);
        self.cost += self.change(item, machine, 1.0) + self.move_cost(item, to);
        self.at[item] = to;
        self.count(item, machine, true);
        self.slot[item] = super::model::to_u32(self.on[machine].len());
        self.on[machine].push(super::model::to_u32(item));
        for r in 0..model.resources {
            self.load[machine * model.resources + r] += model.need[item * model.resources + r];
        }
        if model.origin[item] as usize == machine {
            self.hold(item, -1.0);
        } else if model.origin[item] != NOWHERE {
            self.count_moved(item, true);
        }
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
        for g in &model.groups_of[item] {
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
        for (of, side) in [(&model.uses[item], 0), (&model.provides[item], 1)] {
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

    /// What putting a homeless item there costs.
    pub(super) fn arrival_cost(&self, item: usize, machine: usize) -> f64 {
        self.change(item, machine, 1.0) + self.move_cost(item, super::model::to_u32(machine))
    }

    /// Whether two items could change places as far as room goes; a cheap look before the real one.
    pub(super) fn exchange_has_room(&self, a: usize, b: usize) -> bool {
        let model = self.model;
        let (m, n) = (self.at[a] as usize * model.resources, self.at[b] as usize * model.resources);
        (0..model.resources).all(|r| {
            let more = model.need[b * model.resources + r] - model.need[a * model.resources + r];
            self.load[m + r] + more <= model.limit[m + r] && self.load[n + r] - more <= model.limit[n + r]
        })
    }

    /// How far a machine is over its hard limits, in parts of its capacity.
    pub(super) fn excess(&self, machine: usize) -> f64 {
        let base = machine * self.model.resources;
        let over = |r: usize| {
            let (have, limit) = (self.load[base + r] + self.held[base + r], self.model.limit[base + r]);
            (have - limit).max(0.0) / limit.max(have / 2.0).max(1e-300)
        };
        (0..self.model.resources).map(over).sum()
    }

    /// What is free of the resource that is scarcest for this item, as a share of the capacity.
    pub(super) fn tightness(&self, item: usize, machine: usize) -> f64 {
        let (n, base) = (item * self.model.resources, machine * self.model.resources);
        let left = |r: usize| {
            let limit = self.model.limit[base + r].max(1e-300);
            (limit - self.load[base + r] - self.held[base + r] - self.model.need[n + r]) / limit
        };
        (0..self.model.resources).map(left).fold(f64::INFINITY, f64::min)
    }
}
