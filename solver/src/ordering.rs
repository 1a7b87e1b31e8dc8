//! The order of a change: from one configuration to another by waves that are safe at every moment.
//!
//! All steps of a wave run at once and in any order. During a wave every instance that moves or starts takes its
//! resources on the new host, and it keeps those on the old host until the wave is over. No subset of the steps breaks
//! a rule that was not broken at either end of the change. When hosts are so full that no step can go first, an
//! instance makes a *stopover*: it runs for a while on a host where it neither was nor will be.
//!
//! [`order`] minimises stopovers first and waves second; [`replay()`] judges a sequence independently. Durations are
//! not considered. Read next: `ordering/task.rs`.

mod exact;
mod greedy;
mod least;
mod replay;
mod sequence;
mod task;

use crate::assignment::Assignment;
use crate::problem::Problem;
use sequence::Least;
use task::Task;

pub use replay::replay;
pub use sequence::{OrderError, Sequence, Step, Wave};

/// Orders the change from one configuration to another.
///
/// Small changes are ordered exactly, large ones by a heuristic with a lower bound. `stop` is polled; when it returns
/// true, the best sequence so far is returned, at least that of the heuristic.
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
        // The same configuration in the caller's form.
        last.target = task.to.clone();
    }
    let extras = found.stopovers + found.extra_hosts;
    // The bound on waves holds for sequences with the fewest extras; with more of them only one wave is certain.
    let waves_min = if extras == least.extras { least.waves } else { waves.len().min(1) };
    Sequence {
        stopovers: found.stopovers,
        extra_hosts: found.extra_hosts,
        extras_min: least.extras,
        waves_min,
        waves,
    }
}
