//! The result of a solver run: the target, the hosts to buy and release, and the worth.
//!
//! A plan leaves no choice to its executor. It contains no times: the caller measures them.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::Violation;
use crate::engine_name::EngineName;
use crate::evaluate::Score;
use crate::problem::{MachineIndex, Problem, Stock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The best assignment found, with the changes it implies and its proof.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The host of each instance.
    pub assignment: Assignment,
    /// The hosts to buy.
    pub orders: Vec<Order>,
    /// Running hosts that are no longer used and can be released.
    pub released: Vec<MachineIndex>,
    /// Every instance that starts, moves or ends, in ascending order of instance.
    pub changes: Vec<Change>,
    /// The score of the running configuration, without migration cost; none when nothing runs.
    pub before: Option<Score>,
    /// The rules that the running configuration breaks; not empty means that the plan is a repair.
    pub broken_before: Vec<Violation>,
    /// The score of the assignment.
    pub after: Score,
    /// Upper bound of the worth of any assignment; none when the engine has no bound.
    pub bound: Option<f64>,
    /// `bound - after.net`, never negative.
    pub gap: Option<f64>,
    /// Whether it is proven that no assignment is worth more, up to rounding.
    pub proven: bool,
    /// The engine that found the assignment.
    pub engine: EngineName,
    /// Number of candidates or search nodes that were evaluated.
    pub evaluated: u64,
    /// Estimate of the memory of the search, beside the problem; see [`crate::Watch::memory_max_bytes`].
    pub memory_bytes: u64,
}

impl Plan {
    /// The objective of the plan less that of keeping the running configuration; none when nothing runs.
    #[must_use]
    pub fn gain(&self) -> Option<f64> {
        self.before.as_ref().map(|before| self.after.net - before.net)
    }
}

/// A purchase: a number of hosts of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Index of the offer.
    pub machine: MachineIndex,
    /// The number of hosts; copies `0..count` in the assignment.
    pub count: u32,
}

/// The change of one instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The instance.
    pub instance: Instance,
    /// Its host before; none when it starts.
    pub from: Option<MachineIndex>,
    /// Its host in the plan; none when it ends.
    pub to: Option<Place>,
}

/// Derives the hosts to buy, the hosts to release and the changes of instances that an assignment implies.
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
