//! Exact subproblems: the best assignment of the items of a few machines to those machines.
//!
//! When annealing is over, the remaining improvements need several items to change places together. A mixed-integer
//! program over two or three machines covers all such changes (as in the large neighbourhoods of Jaskowski, Szubert and
//! Gawron, Annals of Operations Research, 2015). Group rules over machines become rows; items under other rules keep
//! their class. The cost of moving whole components is left out of the program and judged afterwards with everything
//! else, so that no result depends on the program being right.

use super::model::{GroupRule, LANES, NOWHERE};
use super::moves::Mover;
use crate::engine::branch::{self, Program, Variable};
use crate::engine::linear::Row;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use std::collections::BTreeMap;

/// Largest number of machines of one program.
const MACHINES_MAX: usize = 3;
/// Largest number of items of one program; with more, one relaxation takes milliseconds.
const ITEMS_MAX: usize = 40;
/// Relaxations after which a program is given up.
const NODES_MAX: u64 = 60;
/// Duration of a relaxation for each product of a row and a variable, in judged steps: 0.3 microseconds of 30
/// nanoseconds each, measured on four public instances.
const STEPS_PER_ENTRY: f64 = 5.0;
/// A configuration is better when its cost is lower by more than this share; smaller differences are rounding.
const BETTER: f64 = 1e-10;

/// The program of a few machines and their items.
struct Part {
    machines: Vec<usize>,
    items: Vec<usize>,
    program: Program,
    /// The variable of each item on each machine that it may use.
    at: Vec<(usize, usize, usize)>,
}

/// The members of a group that may move to a cell, as terms of a row, and the number of members already in it.
type Members = (Vec<(usize, f64)>, u16);

impl Mover<'_, '_> {
    /// Assigns the items of a few machines at the least joint cost. Returns its duration in plain steps.
    ///
    /// `stop` is polled after each relaxation, because all relaxations of a program may take a second.
    pub(super) fn try_few_machines(
        &mut self,
        rng: &mut Xoshiro256PlusPlus,
        stop: &mut dyn FnMut() -> bool,
    ) -> u64 {
        let machines = self.pick_machines(rng);
        let Some(part) = self.part(machines) else { return 1 };
        let now = self.part_cost(&part);
        let mut visited = 0;
        let outcome = branch::solve(&part.program, now * (1.0 - BETTER), &mut || {
            visited += 1;
            visited > NODES_MAX || stop()
        });
        if let Some(values) = outcome.best {
            self.take_answer(&part, &values);
        }
        let entries = part.program.rows.len() as f64 * part.program.variables.len() as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the sizes above"
        )]
        let steps = (outcome.visited.max(1) as f64 * entries * STEPS_PER_ENTRY) as u64;
        steps
    }

    /// The costliest of a few machines and others at random, as long as their items are not too many.
    fn pick_machines(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
        let state = &self.state;
        let any = |rng: &mut Xoshiro256PlusPlus| rng.random_range(0..state.model.machines);
        let mut first = any(rng);
        for _ in 0..rng.random_range(0..4) {
            let other = any(rng);
            if state.load_cost[other] > state.load_cost[first] {
                first = other;
            }
        }
        let mut machines = vec![first];
        let mut items = state.on[first].len();
        for _ in 0..2 * MACHINES_MAX {
            let other = any(rng);
            let more = state.on[other].len();
            if machines.len() < MACHINES_MAX && !machines.contains(&other) && items + more <= ITEMS_MAX {
                machines.push(other);
                items += more;
            }
        }
        machines
    }

    fn part(&self, machines: Vec<usize>) -> Option<Part> {
        let model = self.state.model;
        let here = machines.iter().flat_map(|m| self.state.on[*m].iter().map(|i| *i as usize));
        let items: Vec<usize> = here.filter(|i| !model.pinned[*i]).collect();
        if machines.len() < 2 || items.is_empty() || items.len() > ITEMS_MAX {
            return None;
        }
        let mut part = Part { machines, items, program: Program::default(), at: Vec::new() };
        for item in part.items.clone() {
            let mut terms = Vec::new();
            for machine in part.machines.clone() {
                if self.may_change(item, machine) {
                    let variable = part.program.variables.len();
                    let cost = self.state.move_cost(item, super::model::to_u32(machine));
                    part.program.variables.push(Variable { cost, max: 1.0, whole: true });
                    part.at.push((item, machine, variable));
                    terms.push((variable, 1.0));
                }
            }
            part.program.rows.push(Row { terms, low: 1.0, high: 1.0 });
        }
        self.add_loads(&mut part);
        self.add_groups(&mut part);
        Some(part)
    }

    /// Whether the rules over single machines and over classes allow an item on a machine.
    fn may_change(&self, item: usize, to: usize) -> bool {
        let model = self.state.model;
        let from = self.state.at[item] as usize;
        let keeps = |cell_of: usize| model.cells[cell_of][from] == model.cells[cell_of][to];
        let grouped = |g: &u32| {
            let group = &model.groups[*g as usize];
            group.rule == GroupRule::Apart || keeps(group.cell_of)
        };
        let tied = |d: &u32| keeps(model.dependencies[*d as usize].cell_of);
        from == to
            || (model.may_use(item, to)
                && model.groups_of.of(item).iter().all(grouped)
                && model.uses.of(item).iter().chain(model.provides.of(item)).all(tied))
    }

    /// Adds rows for the hard limits, and a variable and row for each costly excess over a soft limit.
    fn add_loads(&self, part: &mut Part) {
        let (state, model) = (&self.state, self.state.model);
        for machine in part.machines.clone() {
            let coming: Vec<(usize, usize)> =
                part.at.iter().filter(|(_, m, _)| *m == machine).map(|(i, _, v)| (*i, *v)).collect();
            let leaving: Vec<usize> =
                part.items.iter().copied().filter(|i| state.at[*i] as usize == machine).collect();
            for dimension in 0..model.quads * LANES {
                let (quad, lane) = (dimension / LANES, dimension % LANES);
                let base = machine * model.quads + quad;
                let amount = |item: usize| model.amount(item)[quad][lane];
                if dimension < model.resources {
                    let taken = |item: usize| amount(item) * model.share(item, machine)[quad][lane];
                    let terms = coming.iter().map(|(i, v)| (*v, taken(*i))).filter(|(_, a)| *a != 0.0);
                    let high = state.room[base][lane] + leaving.iter().map(|i| taken(*i)).sum::<f64>();
                    part.program.rows.push(Row { terms: terms.collect(), low: f64::NEG_INFINITY, high });
                }
                let weight = model.weight[quad][lane];
                if weight > 0.0 {
                    let beyond = part.program.variables.len();
                    part.program.variables.push(Variable { cost: weight, max: f64::INFINITY, whole: false });
                    let low = state.over[base][lane] - leaving.iter().map(|i| amount(*i)).sum::<f64>();
                    let terms = coming.iter().map(|(i, v)| (*v, -amount(*i))).filter(|(_, a)| *a != 0.0);
                    let terms = std::iter::once((beyond, 1.0)).chain(terms).collect();
                    part.program.rows.push(Row { terms, low, high: f64::INFINITY });
                }
            }
        }
    }

    /// Adds rows that keep members of a group in different cells, members on other machines included.
    fn add_groups(&self, part: &mut Part) {
        let model = self.state.model;
        let mut members: BTreeMap<(u32, u32), Members> = BTreeMap::new();
        for (item, machine, variable) in &part.at {
            for g in model.groups_of.of(*item) {
                let group = &model.groups[*g as usize];
                let cell = model.cells[group.cell_of][*machine];
                if group.rule == GroupRule::Apart && cell != NOWHERE {
                    let entry = members.entry((*g, cell)).or_default();
                    entry.0.push((*variable, 1.0));
                    entry.1 += u16::from(self.state.at[*item] as usize == *machine);
                }
            }
        }
        for ((g, cell), (terms, inside)) in members {
            let group = &model.groups[g as usize];
            let outside = self.state.counts[group.start + cell as usize].saturating_sub(inside);
            let high = 1.0 - f64::from(outside);
            // A row with a single variable matters only when a member on another machine holds the cell.
            if terms.len() > 1 || high < 1.0 {
                part.program.rows.push(Row { terms, low: f64::NEG_INFINITY, high: high.max(0.0) });
            }
        }
    }

    /// The current value of the program's costs.
    fn part_cost(&self, part: &Part) -> f64 {
        let loads: f64 = part.machines.iter().map(|m| self.state.load_cost[*m]).sum();
        loads + part.items.iter().map(|i| self.state.move_cost(*i, self.state.at[*i])).sum::<f64>()
    }

    /// Applies the program's answer when it costs less, as judged, and keeps every rule.
    fn take_answer(&mut self, part: &Part, values: &[f64]) {
        let before = self.state.cost;
        self.trail.clear();
        let mut goes: Vec<(usize, usize)> = Vec::new();
        for (item, machine, variable) in &part.at {
            if values[*variable] > 0.5 && self.state.at[*item] as usize != *machine {
                goes.push((*item, *machine));
            }
        }
        for (item, _) in &goes {
            self.trail.push((*item, self.state.at[*item]));
            self.state.remove(*item);
        }
        let fits = goes.into_iter().all(|(item, machine)| {
            let fits = self.state.fits(item, machine);
            if fits {
                self.state.insert(item, machine);
            }
            fits
        });
        let is_better = self.state.cost < before - BETTER * before.abs();
        if !(fits && is_better && self.serves_all()) {
            self.undo();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::constraint::{Constraint, Scope};
    use crate::engine::reassignment::incumbent::assignment;
    use crate::engine::reassignment::model::Model;
    use crate::engine::reassignment::rearrange::tests::{component, hall};
    use crate::engine::reassignment::state::State;
    use crate::problem::Named;
    use crate::rule;
    use rand::SeedableRng;

    /// The cost of the cheapest configuration, by enumeration.
    fn least(model: &Model) -> f64 {
        let mut at = vec![0u32; model.items.len()];
        let mut least = f64::INFINITY;
        loop {
            if check(model.problem, &assignment(model, &at)).is_empty() {
                least = least.min(State::at(model, &at).cost);
            }
            let Some(digit) = at.iter().position(|m| *m as usize + 1 < model.machines) else { return least };
            at[digit] += 1;
            at[..digit].fill(0);
        }
    }

    #[test]
    fn a_program_over_all_machines_finds_the_cheapest_configuration() {
        let (mut bettered, mut rng) = (0, Xoshiro256PlusPlus::seed_from_u64(5));
        for round in 0..40 {
            let mut some = |max: f64| rng.random_range(0.0..max).round() / 2.0;
            let limits: Vec<(f64, f64)> = (0..3).map(|_| (14.0, some(16.0))).collect();
            let mut problem = hall(&limits);
            problem.components.push(component("a", 1.0 + some(6.0), &[0, 1]));
            problem.components.push(component("b", 1.0 + some(4.0), &[0, 1, 2]));
            problem.components.push(component("c", 1.0 + some(4.0), &[0, 0]));
            problem.components[0].per_host_max = 1;
            let needs = Constraint::Neighbour(rule::Neighbour {
                user: Scope::Component(2),
                provider: Scope::Component(1),
                partition: 0,
            });
            if round % 2 == 0 {
                problem.constraints.push(Named::new("near", needs));
            }
            let model = Model::new(&problem);
            let mut mover = Mover::new(State::at(&model, &model.origin));
            let before = mover.state.cost;
            for _ in 0..20 {
                let cost = mover.state.cost;
                mover.try_few_machines(&mut rng, &mut || false);
                assert!(mover.state.cost <= cost, "{} after {cost}", mover.state.cost);
                assert_eq!(check(&problem, &assignment(&model, &mover.state.at)), []);
            }
            let (cost, least) = (mover.state.cost, least(&model));
            let anew = State::at(&model, &mover.state.at);
            assert!((anew.cost - cost).abs() < 1e-6, "{} {cost}", anew.cost);
            bettered += u32::from(cost < before);
            // With rules of classes the program may not see every change.
            assert!(cost >= least - 1e-6 && (round % 2 == 0 || cost <= least + 1e-6), "{cost} {least}");
        }
        assert!(bettered > 20, "{bettered}");
    }

    #[test]
    fn a_program_is_given_up_when_the_time_is_over() {
        let mut problem = hall(&[(14.0, 3.0), (14.0, 5.0), (14.0, 4.0)]);
        problem.components.push(component("a", 2.5, &[0, 1, 2]));
        let model = Model::new(&problem);
        let mut mover = Mover::new(State::at(&model, &model.origin));
        let mut asked = 0;
        mover.try_few_machines(&mut Xoshiro256PlusPlus::seed_from_u64(1), &mut || {
            asked += 1;
            true
        });
        assert_eq!(asked, 1);
    }
}
