//! In which order a change is made: from one configuration to another by waves that are safe at every moment.
//!
//! All steps of a wave run at once and in any order. While a wave runs, every instance that moves or starts takes its
//! resources where it goes, and what it leaves keeps them until the wave is over; and whatever part of the wave is
//! done, no rule is broken that was not broken at either end of the change. Where hosts are so full that
//! nothing can go first, an instance makes a *stopover*: it runs for a while where it neither was nor will be.
//!
//! [`order`] finds few stopovers first and few waves second; [`replay`] is the independent judge of a sequence.
//! It decides nothing about time: a wave lasts as long as it lasts. Read next: `ordering/task.rs`.

mod exact;
mod greedy;
mod least;
mod replay;
mod task;

use crate::assignment::{Assignment, Instance, Place};
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use task::Task;
use thiserror::Error;

pub use replay::replay;

/// What happens to one instance in a wave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Which instance.
    pub instance: Instance,
    /// Where it runs before; none when it starts.
    pub from: Option<Place>,
    /// Where it runs after; none when it ends.
    pub to: Option<Place>,
}

/// Steps that run at once, and the whole configuration they lead to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wave {
    /// In ascending order of instance.
    pub steps: Vec<Step>,
    /// Complete and explicit: what runs where when the wave is over.
    pub target: Assignment,
}

/// A safe way from one configuration to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sequence {
    /// One after the other; empty when nothing changes.
    pub waves: Vec<Wave>,
    /// Steps that lead to where an instance neither was nor will be.
    pub stopovers: usize,
    /// Hosts that are bought for stopovers alone.
    pub extra_hosts: usize,
    /// No safe sequence has fewer stopovers and hosts bought for them, taken together.
    pub extras_min: usize,
    /// No safe sequence with so few of them has fewer waves.
    pub waves_min: usize,
}

impl Sequence {
    /// Stopovers and the hosts bought for them.
    #[must_use]
    pub fn extras(&self) -> usize {
        self.stopovers + self.extra_hosts
    }

    /// Whether it is proven that no safe sequence has fewer extras, nor as few and fewer waves.
    #[must_use]
    pub fn is_shortest(&self) -> bool {
        self.extras() == self.extras_min && self.waves.len() == self.waves_min
    }
}

/// Why there is no sequence.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum OrderError {
    /// A configuration names machines or instances that the problem does not have.
    #[error("understand the configurations: {what}")]
    Shape {
        /// What is wrong with the first of them.
        what: String,
    },
    /// Every way that was tried breaks a rule or a capacity on the way.
    #[error("order the change safely: {} of its steps have to wait for each other", .stuck.len())]
    Stuck {
        /// The steps that were left.
        stuck: Vec<Step>,
    },
}

/// Orders the change from one configuration to another.
///
/// Small changes are ordered exactly, large ones by a heuristic with a lower bound. `stop` is polled; when it says
/// so, the best sequence so far is returned, which is the heuristic's at least.
///
/// # Errors
/// See [`OrderError`].
pub fn order(
    problem: &Problem,
    from: &Assignment,
    to: &Assignment,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Sequence, OrderError> {
    let task = Task::new(problem, from, to)?;
    let least = least::least(&task);
    let first = greedy::search(&task);
    if let Ok(found) = &first
        && found.extras() == least.extras
        && found.waves.len() == least.waves
    {
        return Ok(sequence(&task, found, least));
    }
    let best_cost = first.as_ref().map_or(usize::MAX, greedy::Found::extras);
    let (exact, least) = exact::search(&task, least, best_cost, stop);
    match (first, exact) {
        (Ok(greedy), Some(exact)) => {
            let better = (exact.extras(), exact.waves.len()) <= (greedy.extras(), greedy.waves.len());
            Ok(sequence(&task, if better { &exact } else { &greedy }, least))
        }
        (Err(_), Some(exact)) => Ok(sequence(&task, &exact, least)),
        (Ok(greedy), None) => Ok(sequence(&task, &greedy, least)),
        (Err(stuck), None) => Err(OrderError::Stuck { stuck }),
    }
}

/// What any safe sequence needs at least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Least {
    extras: usize,
    waves: usize,
}

fn sequence(task: &Task, found: &greedy::Found, least: Least) -> Sequence {
    let mut now = task.from.clone();
    let mut waves = Vec::new();
    for steps in &found.waves {
        let mut steps = steps.clone();
        steps.sort_unstable();
        steps.iter().for_each(|step| task::apply(&mut now, step));
        waves.push(Wave { steps, target: now.clone() });
    }
    if let Some(last) = waves.last_mut() {
        // The same configuration, written as the caller wrote it.
        last.target = task.to.clone();
    }
    let extras = found.stopovers + found.extra_hosts;
    // The bound on waves speaks of sequences with the fewest extras; with more of them one wave is all that is known.
    let waves_min = if extras == least.extras { least.waves } else { waves.len().min(1) };
    Sequence {
        stopovers: found.stopovers,
        extra_hosts: found.extra_hosts,
        extras_min: least.extras,
        waves_min,
        waves,
    }
}
