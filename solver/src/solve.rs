//! The entry: picks the engines that fit a problem, judges what they return, and writes the plan.
//!
//! It knows no algorithm. Read next: [`crate::engine`].

use crate::assignment::Assignment;
use crate::check::{Violation, check};
use crate::engine::exhaustive::Exhaustive;
use crate::engine::registry::{self, Refused};
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::evaluate::{WORTH_TOLERANCE, evaluate};
use crate::infeasibility;
use crate::plan::{Plan, consequences};
use crate::problem::Problem;
use crate::undo::undo_unprofitable_moves;
use crate::validate::{ProblemError, validate};
use crate::versions::lowered;
use crate::watch::{Improvement, Watch};
use thiserror::Error;

/// How to solve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Seeds every random choice; the same problem, seed and number of steps give the same plan.
    pub seed: u64,
    /// Only this engine; none picks by the problem.
    pub engine: Option<EngineName>,
}

/// Why there is no plan.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum SolveError {
    /// The problem makes no sense.
    #[error("pose the problem")]
    Problem(#[source] ProblemError),
    /// No assignment keeps to all rules; proven.
    #[error("satisfy all rules at once: {}", .conflict.join(", "))]
    Infeasible {
        /// Names of rules that cannot hold together; none of them can be left out. Empty when counts and
        /// capacities alone cannot hold, or when the search for the names was stopped.
        conflict: Vec<String>,
    },
    /// No assignment that keeps to all rules was found before the search was stopped.
    #[error("find an assignment that keeps to all rules in time")]
    NotFound {
        /// What is wrong with the nearest one.
        nearest: Vec<Violation>,
    },
    /// An engine returned an assignment that breaks rules. A bug in the engine; the checker caught it.
    #[error("accept what engine `{engine}` returned")]
    Rejected {
        /// Which engine.
        engine: EngineName,
        /// The rules it breaks.
        violations: Vec<Violation>,
    },
    /// Every engine that takes the problem would need more memory than it may have.
    #[error("solve within {max_bytes} bytes of memory: {needed_bytes} would be needed")]
    TooLarge {
        /// What the most modest engine would need, about.
        needed_bytes: u64,
        /// What it may have.
        max_bytes: u64,
    },
    /// The engine asked for cannot take the problem.
    #[error("use engine `{engine}` for this problem")]
    Unsuited {
        /// Which engine.
        engine: EngineName,
    },
}

/// Finds the best assignment it can until `stop` says so or it is proven.
///
/// `stop` is polled every few thousand steps at most; a closure over a deadline makes the search anytime.
/// Without a proof the search also ends by itself, after a number of rounds without progress.
///
/// # Errors
/// See [`SolveError`].
pub fn solve(
    problem: &Problem,
    options: &Options,
    mut stop: &mut dyn FnMut() -> bool,
) -> Result<Plan, SolveError> {
    solve_watched(problem, options, &mut stop)
}

/// As [`solve`], and tells the watch what it finds on the way; see there what else a watch can say.
///
/// # Errors
/// See [`SolveError`].
pub fn solve_watched(
    problem: &Problem,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<Plan, SolveError> {
    answered(problem, watch, |lowered, watch| search(lowered, options, watch))
}

/// Mends what runs now: only what is in trouble moves, and what stands in its way.
///
/// Ends as soon as nothing is broken, which takes little time even among thousands of hosts; what is worth more is
/// left to [`solve`]. Nothing changes where nothing is broken. It buys hosts where that is what mends, and proves
/// nothing but that.
///
/// # Errors
/// See [`SolveError`].
pub fn repair(problem: &Problem, seed: u64, watch: &mut dyn Watch) -> Result<Plan, SolveError> {
    answered(problem, watch, |lowered, watch| {
        registry::first_answer(lowered, &Request::new(Aim::Repair, seed), watch).map_err(refused)
    })
}

/// Checks the problem, lets engines search, checks what they found, and writes the plan.
fn answered(
    problem: &Problem,
    watch: &mut dyn Watch,
    search: impl FnOnce(&Problem, &mut dyn Watch) -> Result<(EngineName, Found), SolveError>,
) -> Result<Plan, SolveError> {
    validate(problem).map_err(SolveError::Problem)?;
    let watch = &mut Judge { problem, watch, told: None };
    let (engine, found) = search(&lowered(problem), watch)?;
    let Some(best) = found.best.clone() else {
        return Err(unsolved(problem, &found, &mut || watch.stop()));
    };
    let violations = check(problem, &best);
    if !violations.is_empty() {
        return Err(SolveError::Rejected { engine, violations });
    }
    let best = undo_unprofitable_moves(problem, best);
    watch.improved(&Improvement { assignment: &best, net: 0.0, bound: found.bound, engine });
    Ok(plan(problem, best, engine, &found))
}

/// Stands between engines and the caller's watch: only what passed the checker goes either way, and only better
/// news than before goes out. Worth is what the evaluator says, not what an engine believes.
struct Judge<'a> {
    problem: &'a Problem,
    watch: &'a mut dyn Watch,
    told: Option<f64>,
}

impl Watch for Judge<'_> {
    fn stop(&mut self) -> bool {
        self.watch.stop()
    }

    fn elapsed_share(&mut self) -> Option<f64> {
        self.watch.elapsed_share()
    }

    fn memory_max_bytes(&self) -> u64 {
        self.watch.memory_max_bytes()
    }

    fn improved(&mut self, news: &Improvement) {
        let net = evaluate(self.problem, news.assignment).net;
        if self.told.is_none_or(|told| net > told) && check(self.problem, news.assignment).is_empty() {
            self.told = Some(net);
            self.watch.improved(&Improvement { net, ..*news });
        }
    }

    fn exchange(&mut self, net: f64) -> Option<Assignment> {
        let other = self.watch.exchange(net)?;
        (check(self.problem, &other).is_empty() && evaluate(self.problem, &other).net > net).then_some(other)
    }
}

/// Asks the engine that the options name, or else the engines in order of preference.
fn search(
    problem: &Problem,
    options: &Options,
    watch: &mut dyn Watch,
) -> Result<(EngineName, Found), SolveError> {
    let request = Request::new(Aim::Best, options.seed);
    if let Some(engine) = options.engine {
        return match registry::ask(registry::named(engine), problem, &request, watch) {
            Ok(found) => Ok((engine, found)),
            Err(Refused::Unsuited) => Err(SolveError::Unsuited { engine }),
            Err(reason) => Err(refused(reason)),
        };
    }
    let (engine, found) = registry::first_answer(problem, &request, watch).map_err(refused)?;
    // Local search proves nothing but that nothing is feasible.
    if engine != EngineName::Local || found.complete || !Exhaustive.accepts(problem) {
        return Ok((engine, found));
    }
    Ok(proven(problem, request, found, watch))
}

/// Continues from the answer of local search until it is improved or proven.
fn proven(
    problem: &Problem,
    mut request: Request,
    found: Found,
    watch: &mut dyn Watch,
) -> (EngineName, Found) {
    request.start.clone_from(&found.best);
    let Some(mut proof) = Exhaustive.search(problem, &request, watch) else {
        return (EngineName::Local, found);
    };
    proof.evaluated += found.evaluated;
    proof.bound = proof.bound.or(found.bound);
    let engine = if proof.best == found.best { EngineName::Local } else { EngineName::Exhaustive };
    (engine, proof)
}

fn refused(reason: Refused) -> SolveError {
    match reason {
        // Local search accepts every problem.
        Refused::Unsuited => SolveError::Unsuited { engine: EngineName::Local },
        Refused::TooLarge { needed_bytes, max_bytes } => SolveError::TooLarge { needed_bytes, max_bytes },
    }
}

fn unsolved(problem: &Problem, found: &Found, stop: &mut dyn FnMut() -> bool) -> SolveError {
    if found.complete {
        return SolveError::Infeasible {
            conflict: infeasibility::conflict(problem, stop).unwrap_or_default(),
        };
    }
    SolveError::NotFound { nearest: check(problem, &Assignment::current(problem)) }
}

fn plan(problem: &Problem, assignment: Assignment, engine: EngineName, found: &Found) -> Plan {
    let (orders, released, changes) = consequences(problem, &assignment);
    let current = Assignment::current(problem);
    let runs = current.iter().next().is_some();
    let after = evaluate(problem, &assignment);
    let bound = found.bound.map(|b| b.max(after.net));
    // A bound that is reached is a proof, whoever found the assignment.
    let reached = bound.is_some_and(|b| b - after.net <= WORTH_TOLERANCE);
    Plan {
        orders,
        released,
        changes,
        before: runs.then(|| evaluate(problem, &current)),
        broken_before: if runs { check(problem, &current) } else { Vec::new() },
        gap: bound.map(|b| b - after.net),
        bound,
        proven: found.complete || reached,
        engine,
        evaluated: found.evaluated,
        memory_bytes: registry::memory_bytes(problem, registry::named(engine)),
        after,
        assignment,
    }
}
