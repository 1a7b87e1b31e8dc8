//! Diagnosis: the demands of a problem that conflict, also those that are no rule: needs, numbers of copies, stock.
//!
//! Each [`Demand`] can be given up by itself. A diagnosis is a list of conflicts without a common demand, each of them
//! minimal, found by QuickXplain (see `infeasibility.rs`). It changes no problem and words nothing: the caller knows
//! what an operator calls the demands.

use crate::eligible::eligible;
use crate::infeasibility::{self, minimal, satisfiable};
use crate::objective::Migration;
use crate::problem::{ComponentIndex, MachineIndex, Problem, Stock};

/// The largest number of conflicts of one diagnosis: an operator mends one after the other.
const CONFLICTS_MAX: usize = 4;

/// A part of a problem that can be given up, so that the rest may be satisfiable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Demand {
    /// A hard rule, by its position.
    Rule(usize),
    /// The values that a utility reads of every machine that it rates, by its position.
    Values(usize),
    /// The least number of copies of a component. Given up, one copy is enough.
    Copies(ComponentIndex),
    /// The need of each copy of a component of a resource. Given up, it needs nothing.
    Need {
        /// Whose need.
        component: ComponentIndex,
        /// Position of the resource.
        resource: usize,
    },
    /// The numbers of hosts that these offers have. Given up, each has the number beside it.
    Stock(Vec<(MachineIndex, u32)>),
}

/// The demands that make a problem infeasible.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnosis {
    /// Positions of demands: the demands of one conflict cannot hold together, and without any one of them the others
    /// can. No demand is in two conflicts.
    pub conflicts: Vec<Vec<usize>>,
    /// Whether everything else can hold when all these demands are given up. False also when the search was stopped.
    pub complete: bool,
}

/// Finds the demands that cannot hold together.
///
/// The parts of the problem that are no demand are taken as given. `stop` is polled as by [`mod@crate::solve`].
#[must_use]
pub fn diagnose(problem: &Problem, demands: &[Demand], stop: &mut dyn FnMut() -> bool) -> Diagnosis {
    let mut feasible = |kept: &[usize]| decided(&part(problem, demands, kept), stop);
    let mut open: Vec<usize> = (0..demands.len()).collect();
    let mut diagnosis = Diagnosis::default();
    loop {
        match feasible(&open) {
            Some(true) => diagnosis.complete = true,
            Some(false) if diagnosis.conflicts.len() < CONFLICTS_MAX && feasible(&[]) == Some(true) => {
                if let Some(mut conflict) = minimal(&[], false, &open, &mut feasible) {
                    conflict.sort_unstable();
                    open.retain(|demand| !conflict.contains(demand));
                    diagnosis.conflicts.push(conflict);
                    continue;
                }
            }
            Some(false) | None => {}
        }
        return diagnosis;
    }
}

/// The problem without some of its demands, and without weights: only feasibility matters.
#[must_use]
pub fn without(problem: &Problem, demands: &[Demand], given_up: &[usize]) -> Problem {
    let kept: Vec<usize> = (0..demands.len()).filter(|demand| !given_up.contains(demand)).collect();
    part(problem, demands, &kept)
}

/// Whether a problem has a feasible assignment; none when that could not be decided in time.
pub fn decided(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<bool> {
    // Two tests that need no search decide most problems of any size.
    let too_few = |component: ComponentIndex| {
        let c = &problem.components[component];
        let per_host = if c.per_host_max == 0 { u64::MAX } else { u64::from(c.per_host_max) };
        let hosts =
            eligible(problem, component).into_iter().map(|m| u64::from(problem.machines[m].copies_max()));
        hosts.sum::<u64>().saturating_mul(per_host) < u64::from(c.replicas_min)
    };
    if (0..problem.components.len()).any(too_few) { Some(false) } else { satisfiable(problem, stop) }
}

/// The largest number of copies of a component that can be demanded beside everything else; none when there is none,
/// or when that could not be decided in time.
pub fn most_copies(
    problem: &Problem,
    component: ComponentIndex,
    stop: &mut dyn FnMut() -> bool,
) -> Option<u32> {
    let mut part = problem.clone();
    let mut holds = |count: u32| {
        part.components[component].replicas_min = count;
        decided(&part, stop)
    };
    // A smaller least number is never harder, so that the numbers which can be demanded are all up to the largest.
    let (mut low, mut high) = (0, problem.components[component].replicas_min);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle)? { low = middle } else { high = middle }
    }
    (low > 0).then_some(low)
}

/// The nearest limit of a rule that can be met beside everything else; none when the rule has no such limit, or when
/// it could not be found in time.
pub fn nearest_limit(problem: &Problem, rule: usize, stop: &mut dyn FnMut() -> bool) -> Option<f64> {
    let mut others = problem.clone();
    let named = others.constraints.remove(rule);
    infeasibility::nearest(&others, &named.item, stop)
}

fn part(problem: &Problem, demands: &[Demand], kept: &[usize]) -> Problem {
    let mut part = problem.clone();
    part.migration = Migration::default();
    part.utilities.iter_mut().for_each(|utility| utility.item.weight = 0.0);
    part.costs.iter_mut().for_each(|cost| cost.item.per_unit = 0.0);
    let (mut rules, mut utilities) = (vec![true; part.constraints.len()], vec![true; part.utilities.len()]);
    for (at, demand) in demands.iter().enumerate() {
        if kept.contains(&at) {
            continue;
        }
        match demand {
            Demand::Rule(rule) => rules[*rule] = false,
            Demand::Values(utility) => utilities[*utility] = false,
            Demand::Copies(component) => {
                let least = &mut part.components[*component].replicas_min;
                *least = (*least).min(1);
            }
            Demand::Need { component, resource } => {
                let component = &mut part.components[*component];
                let vectors = component.needs_each.iter_mut().chain([&mut component.needs]);
                vectors.filter_map(|needs| needs.get_mut(*resource)).for_each(|need| *need = 0.0);
            }
            Demand::Stock(offers) => {
                for (machine, count_max) in offers {
                    part.machines[*machine].stock = Stock::Offer { count_max: *count_max };
                }
            }
        }
    }
    retain(&mut part.constraints, &rules);
    retain(&mut part.utilities, &utilities);
    part
}

fn retain<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    list.retain(|_| kept.next() == Some(&true));
}
