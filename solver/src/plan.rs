//! What a solver run answers: the target, what has to be bought and given back, and how good that is.
//!
//! A plan leaves no choice to whoever carries it out. It holds no times: the caller measures them.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::Violation;
use crate::engine_name::EngineName;
use crate::evaluate::Score;
use crate::problem::{MachineIndex, Problem, Stock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The best assignment found, with its consequences and its proof.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where each instance is to run.
    pub assignment: Assignment,
    /// What has to be bought.
    pub orders: Vec<Order>,
    /// Running hosts that nothing is left to run on.
    pub released: Vec<MachineIndex>,
    /// Each instance that starts, moves or ends; in ascending order of instance.
    pub changes: Vec<Change>,
    /// What runs now and its worth, without migration cost; none when nothing runs.
    pub before: Option<Score>,
    /// What is wrong with what runs now; not empty means that the change is a repair.
    pub broken_before: Vec<Violation>,
    /// The worth of the assignment.
    pub after: Score,
    /// No assignment is worth more than this; none when the engine knows no bound.
    pub bound: Option<f64>,
    /// `bound - after.net`, never negative.
    pub gap: Option<f64>,
    /// Nothing better exists (beyond rounding).
    pub proven: bool,
    /// Which engine found it.
    pub engine: EngineName,
    /// How many candidates or search nodes were looked at.
    pub evaluated: u64,
    /// What the search took of memory, about, beside the problem; see [`crate::Watch::memory_max_bytes`].
    pub memory_bytes: u64,
}

impl Plan {
    /// By how much the objective is better than that of staying; none when nothing runs.
    #[must_use]
    pub fn gain(&self) -> Option<f64> {
        self.before.as_ref().map(|before| self.after.net - before.net)
    }
}

impl Plan {
    /// Whether the change should be made at all: it repairs something, or gains more than the least gain.
    #[must_use]
    pub fn is_worth_it(&self, problem: &Problem) -> bool {
        !self.broken_before.is_empty() || self.gain().is_none_or(|gain| gain > problem.migration.min_gain)
    }
}

/// So many hosts of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Which offer.
    pub machine: MachineIndex,
    /// How many; copies `0..count` in the assignment.
    pub count: u32,
}

/// What happens to one instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Which instance.
    pub instance: Instance,
    /// Where it ran; none when it starts.
    pub from: Option<MachineIndex>,
    /// Where it will run; none when it ends.
    pub to: Option<Place>,
}

/// Derives what an assignment means for hosts: which to buy, which to give back.
#[must_use]
pub fn consequences(
    problem: &Problem,
    assignment: &Assignment,
) -> (Vec<Order>, Vec<MachineIndex>, Vec<Change>) {
    let used: BTreeSet<Place> = assignment.iter().map(|(_, place)| place).collect();
    let mut bought: BTreeMap<MachineIndex, u32> = BTreeMap::new();
    for place in used.iter().filter(|p| problem.machines[p.machine].is_offer()) {
        *bought.entry(place.machine).or_default() += 1;
    }
    let orders = bought.into_iter().map(|(machine, count)| Order { machine, count }).collect();
    let is_idle =
        |m: &MachineIndex| problem.machines[*m].stock == Stock::Running && !used.contains(&Place::on(*m));
    let released = (0..problem.machines.len()).filter(is_idle).collect();
    let mut changes = Vec::new();
    for (component, c) in problem.components.iter().enumerate() {
        let planned = assignment.places.get(component).map_or(0, Vec::len);
        for ordinal in 0..planned.max(c.current.len()) {
            let instance = Instance { component, ordinal };
            let (from, to) = (c.current_of(ordinal), assignment.place(instance));
            if from.map(Place::on) != to {
                changes.push(Change { instance, from, to });
            }
        }
    }
    (orders, released, changes)
}
