//! The entry points: select an engine for a problem, check what it returns, and write the plan.
//!
//! This module has no search algorithm of its own. Read next: `engine.rs`.

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

/// Options of a solver run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Seed of every random choice; the same problem, seed and number of steps give the same plan.
    pub seed: u64,
    /// Uses only this engine; none selects an engine by the problem.
    pub engine: Option<EngineName>,
}

/// Why there is no plan.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum SolveError {
    /// The problem is not valid.
    #[error("pose the problem")]
    Problem(#[source] ProblemError),
    /// Proven: no assignment keeps every rule.
    #[error("satisfy {}", demands(.conflict))]
    Infeasible {
        /// Names of rules that cannot hold together, none of which can be left out. Empty when counts and capacities
        /// alone cannot hold, or when the search for the names was stopped.
        conflict: Vec<String>,
    },
    /// The search was stopped before it found an assignment that keeps every rule.
    #[error("find an assignment that keeps to all rules in time")]
    NotFound {
        /// The rules that the running configuration breaks.
        nearest: Vec<Violation>,
    },
    /// An engine returned an assignment that breaks rules: a bug in the engine, found by the checker.
    #[error("accept what engine `{engine}` returned")]
    Rejected {
        /// The engine.
        engine: EngineName,
        /// The rules it breaks.
        violations: Vec<Violation>,
    },
    /// Every engine that accepts the problem would need more memory than the watch allows.
    #[error("solve within {max_bytes} bytes of memory: {needed_bytes} would be needed")]
    TooLarge {
        /// Estimate for the last engine that was asked.
        needed_bytes: u64,
        /// The limit of the watch.
        max_bytes: u64,
    },
    /// The requested engine does not accept the problem.
    #[error("use engine `{engine}` for this problem")]
    Unsuited {
        /// The engine.
        engine: EngineName,
    },
}

/// The demands that cannot be satisfied, in words.
fn demands(conflict: &[String]) -> String {
    if conflict.is_empty() {
        "the counts and capacities of the problem".to_owned()
    } else {
        format!("all rules at once: {}", conflict.join(", "))
    }
}

/// Searches for the best assignment until it is proven or `stop` returns true.
///
/// `stop` is polled at least every few thousand steps; a closure over a deadline makes the search anytime. Without a
/// proof the search also ends by itself, after a number of rounds without progress.
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

/// As [`solve`], and reports improvements to the watch while it searches. See [`Watch`] for what else a watch decides.
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

/// Repairs the running configuration: moves only instances that break a rule, and instances that make room for them.
///
/// Ends as soon as no rule is broken, which takes little time even with thousands of hosts; [`solve`] searches for a
/// better plan. A configuration that breaks no rule is left unchanged. Hosts are bought where that repairs. The only
/// proof it can give is that no assignment is feasible.
///
/// # Errors
/// See [`SolveError`].
pub fn repair(problem: &Problem, seed: u64, watch: &mut dyn Watch) -> Result<Plan, SolveError> {
    answered(problem, watch, |lowered, watch| {
        registry::first_answer(lowered, &Request::new(Aim::Repair, seed), watch).map_err(refused)
    })
}

/// Validates the problem, runs the search, checks its result, and writes the plan.
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

/// Stands between engines and the caller's watch. Only assignments that pass the checker go either way, and only
/// improvements go out. Their worth is computed by the evaluator, not by the engine.
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
    // A bound that is reached is a proof, whichever engine found the assignment.
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
