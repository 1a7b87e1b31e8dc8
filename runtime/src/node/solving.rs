//! One solver run of the coordinator: posing it on the loop, solving it on a thread of its own, telling the core.
//!
//! When the best is to stay although something else has more utility, a second run without migration cost
//! says what that would be worth, so that `why` can print both numbers.

use crate::admin::{DecisionRecord, PlanReport};
use crate::pose::{Posed, answer};
use rhizo_protocol::event::SolveOutcome;
use rhizo_protocol::turn::{SolveId, SolveRequest};
use rhizo_solver::{Migration, Options, Plan, Problem, SolveError};
use rhizo_solver_threads::{Time, solve_within};
use rhizo_types::target::Cause;
use rhizo_types::{Number, RuleName};
use std::num::NonZero;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Sentences of one outcome: it goes to the operator, and with a plan through the log.
const REASONS_MAX: usize = 16;

/// The result of a run.
pub(crate) struct Solution {
    pub(crate) id: SolveId,
    pub(crate) outcome: SolveOutcome,
    pub(crate) decision: DecisionRecord,
}

/// A run that is ready to go to a thread.
pub(crate) struct Run {
    pub(crate) request: SolveRequest,
    pub(crate) posed: Posed,
    pub(crate) deadline_ms: u64,
}

/// Milliseconds of Unix time.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

impl Run {
    /// Solves. Blocks for as long as the deadline says at most.
    pub(crate) fn solve(self) -> Solution {
        let id = self.request.id;
        let (outcome, decision) = match run(&self.posed.problem, id.0, self.deadline_ms) {
            Ok(plan) if plan.changes.is_empty() && plan.orders.is_empty() && !self.request.forced => {
                self.stay(&plan)
            }
            Ok(plan) => self.propose(&plan),
            Err(SolveError::Infeasible { conflict }) => self.infeasible(conflict),
            Err(error) => {
                let reason = crate::error::chain(&error);
                let decision = self.decision("failed", None, reason.clone());
                (SolveOutcome::Failed { reason }, decision)
            }
        };
        Solution { id, outcome, decision }
    }

    fn propose(&self, plan: &Plan) -> (SolveOutcome, DecisionRecord) {
        let proposal = answer::proposal(&self.posed, plan);
        let text = match plan.gain() {
            Some(gain) if plan.broken_before.is_empty() => format!(
                "found a change that gains {:.4} in utility for a migration cost of {:.4}: {gain:.4} in all",
                gain + plan.after.migration.total,
                plan.after.migration.total
            ),
            _ => format!("found a placement of utility {:.4}", plan.after.utility),
        };
        let decision = self.decision("planned", Some(plan), text);
        (SolveOutcome::Proposal(Box::new(proposal)), decision)
    }

    fn stay(&self, plan: &Plan) -> (SolveOutcome, DecisionRecord) {
        let mut free = self.posed.problem.clone();
        free.migration = Migration::default();
        let better = run(&free, self.request.id.0, self.deadline_ms).ok();
        let utility = plan.after.utility;
        let (text, shown) = match better.filter(|better| better.after.utility > utility + 1e-9) {
            Some(better) => {
                let cost = rhizo_solver::evaluate(&self.posed.problem, &better.assignment).migration.total;
                let gain = better.after.utility - utility;
                let text = format!(
                    "kept what runs: the best other placement gains {gain:.4} in utility, which does not beat its migration cost of {cost:.4}"
                );
                let shown = DecisionRecord {
                    utility_after: Some(better.after.utility),
                    migration_cost: Some(cost),
                    gain: Some(gain),
                    ..self.decision("kept", Some(plan), text.clone())
                };
                (text, shown)
            }
            None => {
                let text = format!("kept what runs: nothing has more utility than its {utility:.4}");
                let shown = self.decision("kept", Some(plan), text.clone());
                (text, shown)
            }
        };
        let outcome = SolveOutcome::NothingBetter { utility: Number::try_from(utility).ok(), reason: text };
        (outcome, shown)
    }

    fn infeasible(&self, conflict: Vec<String>) -> (SolveOutcome, DecisionRecord) {
        let mut reasons = Vec::new();
        for component in &self.posed.components {
            let refused = self.posed.refusals.iter().filter(|((name, _), _)| name == component);
            for ((_, machine), refusal) in refused.take(REASONS_MAX) {
                let machine = &self.posed.problem.machines[*machine].name;
                reasons.push(format!("{component} not on {machine}: `{}`, {}", refusal.rule, refusal.reason));
            }
        }
        reasons.truncate(REASONS_MAX);
        let text = format!("no placement satisfies {} together", conflict.join(", "));
        let decision = self.decision("infeasible", None, text);
        (SolveOutcome::Infeasible { rules: conflict.into_iter().map(RuleName).collect(), reasons }, decision)
    }

    fn decision(&self, verdict: &str, plan: Option<&Plan>, text: String) -> DecisionRecord {
        let before = plan.and_then(|plan| plan.before.as_ref().filter(|_| plan.broken_before.is_empty()));
        DecisionRecord {
            at_unix_ms: unix_ms(),
            cause: cause(&self.request.cause).to_owned(),
            verdict: verdict.to_owned(),
            utility_before: before.map(|score| score.utility),
            utility_after: plan.map(|plan| plan.after.utility),
            migration_cost: plan.map(|plan| plan.after.migration.total),
            gain: plan.zip(before).map(|(plan, before)| plan.after.utility - before.utility),
            text,
        }
    }
}

fn run(problem: &Problem, seed: u64, deadline_ms: u64) -> Result<Plan, SolveError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    // A search that finds nothing better ends early: what is found late helps nobody who waits for it.
    let time = Time { limit: Duration::from_millis(deadline_ms), use_all: false, threads };
    solve_within(problem, &Options { seed, ..Options::default() }, time)
}

/// Solves for a report only.
pub(crate) fn report(posed: &Posed, deadline_ms: u64, currency: &str) -> Result<PlanReport, SolveError> {
    let begun = Instant::now();
    let plan = run(&posed.problem, 1, deadline_ms)?;
    Ok(answer::report(posed, &plan, currency, begun.elapsed().as_secs_f64()))
}

fn cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::SpecChanged => "the spec changed",
        Cause::NodeLost(_) => "nodes were lost",
        Cause::OrderFailed(_) => "orders came to nothing",
        Cause::InstanceFailed(_) => "instances kept failing",
        Cause::Draining(_) => "nodes are being drained",
        Cause::Better => "facts or offers changed",
        Cause::TakeDown => "the application is taken down",
        Cause::Script(_) => "a script changed the placement",
        Cause::CopiesMissing(_) => "there were too few copies",
    }
}
