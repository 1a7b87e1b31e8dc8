//! The best configuration so far, and the connection to the watch: when to end, and what was found.
//!
//! Copying and reporting a configuration costs time in proportion to its items, so both are done only after a number of
//! steps in the same proportion. Read next: `anneal.rs`.

use super::model::{Model, NOWHERE, to_u32};
use super::state::State;
use crate::assignment::{Assignment, Place};
use crate::engine_name::EngineName;
use crate::watch::{Improvement, Watch};

/// Differences of cost below this, relative to the cost, are rounding.
const ROUNDING: f64 = 1e-12;
/// Steps per item between two copies: a copy of an item takes much less than a step.
const STEPS_PER_COPY: u64 = 1;
/// Steps per item between two reports: judging an item takes about as long as twenty steps.
const STEPS_PER_REPORT: u64 = 400;

pub(super) struct Incumbent<'a, 'm, 'p> {
    model: &'m Model<'p>,
    watch: &'a mut dyn Watch,
    at: Vec<u32>,
    cost: f64,
    least: f64,
    evaluated: u64,
    since_copy: u64,
    since_report: u64,
    reported: f64,
}

impl<'a, 'm, 'p> Incumbent<'a, 'm, 'p> {
    /// Starts with a feasible configuration, none of which costs less than `least`.
    pub(super) fn new(state: &State<'m, 'p>, watch: &'a mut dyn Watch, least: f64, evaluated: u64) -> Self {
        let mut incumbent = Self {
            model: state.model,
            watch,
            at: state.at.clone(),
            cost: state.cost,
            least,
            evaluated,
            since_copy: 0,
            since_report: 0,
            reported: f64::INFINITY,
        };
        incumbent.report();
        incumbent
    }

    pub(super) fn at(&self) -> &[u32] {
        &self.at
    }

    pub(super) fn cost(&self) -> f64 {
        self.cost
    }

    pub(super) fn evaluated(&self) -> u64 {
        self.evaluated
    }

    /// Whether the cost has reached the lower bound.
    pub(super) fn is_least(&self) -> bool {
        self.cost <= self.least + ROUNDING * self.least.abs().max(1.0)
    }

    pub(super) fn stop(&mut self) -> bool {
        self.watch.stop()
    }

    pub(super) fn elapsed_share(&mut self) -> Option<f64> {
        self.watch.elapsed_share()
    }

    /// Counts judged moves.
    pub(super) fn count(&mut self, steps: u64) {
        self.evaluated += steps;
        self.since_copy += steps;
        self.since_report += steps;
    }

    /// Reports the best configuration to the watch, unless it was reported before.
    fn report(&mut self) {
        self.since_report = 0;
        if self.cost < self.reported {
            self.reported = self.cost;
            let assignment = assignment(self.model, &self.at);
            self.watch.improved(&Improvement {
                assignment: &assignment,
                net: -self.cost,
                bound: Some(-self.least),
                engine: EngineName::Reassignment,
            });
        }
    }

    /// Reports the best configuration and adopts a better one of the other thread. Returns true when it adopted one.
    pub(super) fn exchange(&mut self) -> bool {
        self.report();
        let Some(other) = self.watch.exchange(-self.cost) else { return false };
        let Some(at) = positions(self.model, &other) else { return false };
        let cost = State::at(self.model, &at).cost;
        if cost >= self.cost {
            return false;
        }
        (self.at, self.cost) = (at, cost);
        true
    }

    /// Copies a configuration when it is better and enough steps have passed since the last copy; reports when that is
    /// due.
    pub(super) fn offer_when_due(&mut self, state: &State) {
        if self.since_copy >= STEPS_PER_COPY * state.at.len() as u64 {
            self.offer(state);
        }
        if self.since_report >= STEPS_PER_REPORT * state.at.len() as u64 {
            self.report();
        }
    }

    /// Copies a configuration when it is better.
    pub(super) fn offer(&mut self, state: &State) {
        if state.cost < self.cost - ROUNDING * self.cost.abs().max(1.0) {
            self.at.copy_from_slice(&state.at);
            self.cost = state.cost;
            self.since_copy = 0;
        }
    }
}

/// The configuration as an assignment of the problem.
pub(super) fn assignment(model: &Model, at: &[u32]) -> Assignment {
    let mut places = vec![Vec::new(); model.problem.components.len()];
    for ((component, _), machine) in model.items.iter().zip(at) {
        let place = (*machine != NOWHERE).then(|| Place::on(*machine as usize));
        places[*component as usize].push(place);
    }
    Assignment { places }
}

/// The machine of each item; none when an instance does not run or is not one of this engine's items.
fn positions(model: &Model, assignment: &Assignment) -> Option<Vec<u32>> {
    let of = |(component, ordinal): &(u32, u32)| {
        let place = *assignment.places.get(*component as usize)?.get(*ordinal as usize)?;
        place.map(|place| to_u32(place.machine))
    };
    model.items.iter().map(of).collect()
}
