//! Planning: makes a proposal from the decisions and facts, and a record of its reasons.
//!
//! [`plan()`] is the only function that makes a proposal from a ledger. The coordinator, `plan`, `why`, the question
//! that `up` puts to the operator and the simulator all call it. They differ in the origin of the [`Request`] and in
//! the time that the search may take. It is a pure function without clock, thread or file. It does not decide whether
//! a change is made: the core does (`rhizo_protocol::judgement`), and the record contains the core's decision.
//!
//! Read next: [`catalogue`] (the offers), [`problem`] (the solver's input), [`outcome`] (the conversion of its plan
//! into an answer), [`record`] (the form that people see).

#![forbid(unsafe_code)]

mod affordable;
pub mod catalogue;
mod difference;
mod explain;
mod hosts;
mod log_size;
pub mod outcome;
mod posed;
pub mod problem;
pub mod record;
mod rules;
mod state;

pub use catalogue::{Answer, Buyable, Catalogue, Offering, PathTime};
pub use explain::Explanation;
pub use outcome::Outcome;
pub use posed::{Posed, Refusal};
pub use problem::pose;
pub use record::{Action, Change, Decision, HostName, PlacedCopy, Record, Search};
pub use rhizo_protocol::SolveRequest as Request;

use rhizo_knowledge::Snapshot;
use rhizo_protocol::SolveOutcome;
use rhizo_solver::{Migration, Options, Plan, Problem, SolveError};

/// Searches for the best assignment of a problem, within a limit of time or steps that the caller has set.
pub type SearchFn<'a> = dyn FnMut(&Problem, &Options) -> Result<Plan, SolveError> + 'a;

/// The search function and its effort.
pub struct Budget<'a> {
    /// Runs the solver. The shell's reads a clock and uses threads; the simulator's counts steps.
    pub search: &'a mut SearchFn<'a>,
    /// True if a second search is made when nothing changes, to find the gain of a better configuration.
    pub explains: bool,
    /// The limits within which the causes are searched when no placement satisfies the request.
    pub explanation: Explanation<'a>,
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
    let mut is_held = false;
    let mut answer = (budget.search)(&posed.problem, &options);
    if let Ok(plan) = &answer
        && affordable::exceeds(request, &posed, plan)
    {
        affordable::hold(request, &mut posed);
        is_held = true;
        answer = (budget.search)(&posed.problem, &options);
    }
    match answer {
        Ok(plan) if plan.changes.is_empty() && plan.orders.is_empty() && !request.terms.forced => {
            let better = budget.explains.then(|| unhindered(&posed.problem, &options, budget.search));
            outcome::stays(request, &posed, catalogue, &plan, better.flatten().as_ref())
        }
        Ok(plan) => outcome::proposes(request, &posed, catalogue, &plan),
        Err(SolveError::Infeasible { .. }) => {
            let explained = explain::explain(request, snapshot, catalogue, is_held, &mut budget.explanation);
            outcome::infeasible(request, &posed, catalogue, explained)
        }
        Err(error) => outcome::failed(request, chain(&error)),
    }
}

/// Returns the best assignment under the assumption that changes cost nothing.
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

/// Returns the outcome of a request that cannot be planned, for callers that detect this before they call [`plan()`].
#[must_use]
pub fn failed(request: &Request, reason: String) -> Outcome {
    outcome::failed(request, reason)
}

/// Returns true if an outcome proposes a placement.
#[must_use]
pub fn is_proposal(outcome: &SolveOutcome) -> bool {
    matches!(outcome, SolveOutcome::Proposal(_))
}
