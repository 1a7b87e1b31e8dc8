//! Runs planning with a time limit, on threads, and sets the time in its record.
//!
//! It makes no judgement: the request comes from the core, the answer from [`rhizo_planning::plan()`].

use rhizo_knowledge::Snapshot;
use rhizo_planning::{Budget, Catalogue, Explanation, Outcome, Record, Request};
use rhizo_protocol::SolveId;
use rhizo_protocol::event::SolveOutcome;
use rhizo_solver::{Options, Problem};
use rhizo_solver_threads::{Time, solve_within};
use std::num::NonZero;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the causes of an infeasible request are searched. Small problems take milliseconds; an operator who waits
/// for an answer waits for this too.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(2);

/// The result of a run.
pub(crate) struct Solution {
    pub(crate) id: SolveId,
    pub(crate) outcome: SolveOutcome,
    pub(crate) record: Record,
}

/// The input of a run that is ready for a thread.
pub(crate) struct Run {
    pub(crate) request: Request,
    pub(crate) snapshot: Snapshot,
    pub(crate) catalogue: Catalogue,
}

/// Milliseconds of Unix time.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

impl Run {
    /// Plans. Blocks for up to twice the deadline of the spec: the second search finds the gain of a better
    /// configuration.
    pub(crate) fn solve(self) -> Solution {
        let Self { request, snapshot, catalogue } = self;
        let begun = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        // A search that has found nothing better for long ends early, because the application waits for its answer.
        let limit = Duration::from_millis(request.spec.optimise.deadline_ms);
        let time = Time { limit, use_all: false, threads };
        let mut search = |problem: &Problem, options: &Options| solve_within(problem, options, time);
        let mut explained_until = None;
        let mut stop = || {
            let until = *explained_until.get_or_insert_with(|| Instant::now() + limit.min(EXPLAINED_WITHIN));
            Instant::now() >= until
        };
        let explanation = Explanation { stop: &mut stop, at_unix_ms: Some(unix_ms()) };
        let mut budget = Budget { search: &mut search, explains: true, explanation };
        let Outcome { outcome, mut record } =
            rhizo_planning::plan(&request, &snapshot, &catalogue, &mut budget);
        record.at_unix_ms = unix_ms();
        if let Some(search) = &mut record.search {
            search.solver_seconds = begun.elapsed().as_secs_f64();
        }
        Solution { id: request.id, outcome, record }
    }
}
