//! Planning: from what is decided and believed to what is proposed, and the record of why.
//!
//! [`plan()`] is the only way from a ledger to a proposal. The coordinator, `plan`, `why`, the question of `up` and the
//! simulator all call it; they differ in who makes the [`Request`] and in how long the search may take. It is a pure
//! function: no clock, no thread, no file. It does not decide whether a change is made: the core does
//! (`rhizo_protocol::judgement`), and the record says what the core will say.
//!
//! Read next: [`catalogue`] (what can be bought), [`problem`] (what the solver reads), [`outcome`] (what becomes of its
//! plan), [`record`] (what people are shown).

#![forbid(unsafe_code)]

mod affordable;
pub mod catalogue;
mod difference;
mod hosts;
pub mod outcome;
mod posed;
pub mod problem;
pub mod record;
mod rules;

pub use catalogue::{Answer, Buyable, Catalogue, Offering, PathTime};
pub use outcome::Outcome;
pub use posed::{Posed, Refusal};
pub use problem::pose;
pub use record::{Action, Change, Decision, HostName, PlacedCopy, Record, Search};
pub use rhizo_protocol::SolveRequest as Request;

use rhizo_knowledge::Snapshot;
use rhizo_protocol::SolveOutcome;
use rhizo_solver::{Migration, Options, Plan, Problem, SolveError};

/// Searches for the best assignment of a problem within whatever limit the caller set.
pub type SearchFn<'a> = dyn FnMut(&Problem, &Options) -> Result<Plan, SolveError> + 'a;

/// How a search is made.
pub struct Budget<'a> {
    /// Runs the solver. The shell's reads a clock and uses threads; the simulator's counts steps.
    pub search: &'a mut SearchFn<'a>,
    /// Whether a second search says what a better configuration would gain when nothing changes.
    pub explains: bool,
}

/// Answers a request.
///
/// Equal arguments give equal outcomes when the search is deterministic: the request's number seeds it.
#[must_use]
pub fn plan(
    request: &Request,
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    budget: &mut Budget<'_>,
) -> Outcome {
    let unasked: Vec<&str> = catalogue.unasked(&request.spec).map(|provider| provider.as_str()).collect();
    if !unasked.is_empty() {
        return outcome::failed(request, format!("the offers of {} are not known yet", unasked.join(", ")));
    }
    let mut posed = pose(request, snapshot, catalogue);
    let options = Options { seed: request.id.0, ..Options::default() };
    let mut answer = (budget.search)(&posed.problem, &options);
    if let Ok(plan) = &answer
        && affordable::exceeds(request, &posed, plan)
    {
        affordable::hold(request, &mut posed);
        answer = (budget.search)(&posed.problem, &options);
    }
    match answer {
        Ok(plan) if plan.changes.is_empty() && plan.orders.is_empty() && !request.terms.forced => {
            let better = budget.explains.then(|| unhindered(&posed.problem, &options, budget.search));
            outcome::stays(request, &posed, catalogue, &plan, better.flatten().as_ref())
        }
        Ok(plan) => outcome::proposes(request, &posed, catalogue, &plan),
        Err(SolveError::Infeasible { conflict }) => outcome::infeasible(request, &posed, catalogue, conflict),
        Err(error) => outcome::failed(request, chain(&error)),
    }
}

/// The best assignment if changes cost nothing.
fn unhindered(problem: &Problem, options: &Options, search: &mut SearchFn<'_>) -> Option<Plan> {
    let mut free = problem.clone();
    free.migration = Migration::default();
    search(&free, options).ok()
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The outcome of a request that cannot be planned, for callers that find out before [`plan()`].
#[must_use]
pub fn failed(request: &Request, reason: String) -> Outcome {
    outcome::failed(request, reason)
}

/// Whether an outcome proposes something.
#[must_use]
pub fn is_proposal(outcome: &SolveOutcome) -> bool {
    matches!(outcome, SolveOutcome::Proposal(_))
}
