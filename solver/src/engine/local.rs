//! Local search over the whole model: start, end, shift, swap, and whole hosts at once.
//!
//! The engine accepts every problem. A descent ends when no change of one instance, no exchange of two and no move of
//! all instances of a host improves the assignment; then a few instances are moved at random and the next descent
//! starts. `incremental.rs` judges each change by the rules and hosts it touches. `start.rs` finds the first feasible
//! assignment where descents do not. The search is deterministic for a problem, a seed and a number of steps. It proves
//! no optimum: its bound ignores all rules (`most` in `exhaustive.rs`). Read next: `search.rs`.

mod incremental;
mod items;
mod penalties;
mod search;
mod start;

use crate::assignment::Assignment;
use crate::check::check;
use crate::engine::exhaustive;
use crate::engine::memory::Sizes;
use crate::engine::{Aim, Engine, Found, Request};
use crate::engine_name::EngineName;
use crate::evaluate::evaluate;
use crate::problem::Problem;
use crate::watch::Watch;
use search::Search;
use start::Start;

/// The most instances for which local search decides whether rules can hold together.
///
/// A conflict asks that question some dozen times, each of which may take as long as a plan.
const DECIDED_INSTANCES_MAX: u64 = 200;

/// Local search over problems of any kind.
pub(crate) struct Local;

impl Engine for Local {
    fn name(&self) -> EngineName {
        EngineName::Local
    }

    fn accepts(&self, _problem: &Problem) -> bool {
        true
    }

    fn is_asked_for(&self, aim: Aim, problem: &Problem) -> bool {
        let instances = || problem.components.iter().map(|c| u64::from(c.replicas_max)).sum::<u64>();
        match aim {
            Aim::Best | Aim::Repair => true,
            Aim::Feasible => instances() <= DECIDED_INSTANCES_MAX,
            Aim::Proof => false,
        }
    }

    fn memory_bytes(&self, _problem: &Problem, sizes: &Sizes) -> u64 {
        sizes.judgements()
    }

    fn search(&self, problem: &Problem, request: &Request, watch: &mut dyn Watch) -> Option<Found> {
        let warm = if request.aim == Aim::Best { watch.exchange(f64::NEG_INFINITY) } else { None };
        Some(search(problem, request, warm, &mut || watch.stop()))
    }
}

/// Searches from the running configuration, or from `warm` when that is better.
///
/// Complete only when nothing is feasible: the exhaustive engine proves that for small problems.
fn search(
    problem: &Problem,
    request: &Request,
    warm: Option<Assignment>,
    stop: &mut dyn FnMut() -> bool,
) -> Found {
    let mut search = Search::new(problem, request, warm, stop);
    let best = search.rounds();
    let (best, start) = match search.start(best.1) {
        Start::NotNeeded => (best, Start::NotNeeded),
        Start::Found => (search.rounds(), Start::Found),
        start => (best, start),
    };
    let (best, rank) = search.without_needless_changes(best);
    let feasible = check(problem, &best).is_empty();
    debug_assert_eq!(feasible, rank.broken <= 0.0, "the score and the checker agree");
    debug_assert!(is_near(rank.net, evaluate(problem, &best).net), "the score and the evaluator agree");
    let bound = exhaustive::most(problem);
    Found {
        best: feasible.then_some(best),
        bound: bound.is_finite().then_some(bound),
        complete: start == Start::Impossible,
        evaluated: search.score.judgements,
    }
}

/// Whether two numbers are equal up to the rounding of sums in different order.
fn is_near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}
