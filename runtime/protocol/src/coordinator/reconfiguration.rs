//! The order in which the steps from the configuration in force to the plan or the script are tried.
//!
//! `target` computes targets and the commands that follow from reports. `scripts` advances the running script. Every
//! step is a function of the ledger, the reports and the end of the grace period for hosts, so a succeeding
//! coordinator computes the same step.

use super::View;
use super::reports::Reports;
use rhizo_types::ledger::Command;
use rhizo_types::{Revision, Time};

/// The most steps in one entry: the target is reached, the script continues, and the next target is set.
const STEPS_MAX: usize = 3;

/// State that a coordinator keeps about the reconfiguration, beside the ledger.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reconfiguration {
    pub(super) reports: Reports,
    /// The revision of the plan in force, and when this coordinator first saw it.
    plan_seen: (Revision, Time),
    /// Set when the last search found no step.
    rest: Option<Rest>,
}

/// No step follows from the ledger at this index and this number of reports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Rest {
    index: u64,
    reports: u64,
    /// Time at which instances stop waiting for hosts that are still arriving.
    until: Option<Time>,
}

impl Reconfiguration {
    pub(super) fn new(now: Time) -> Self {
        Self { reports: Reports::default(), plan_seen: (Revision::ZERO, now), rest: None }
    }

    /// Drops the reports of nodes that are no longer members, and notes when this coordinator first saw the plan in
    /// force.
    pub(super) fn follow(&mut self, view: View<'_>) {
        self.reports.keep_members(view.ledger);
        if self.plan_seen.0 != view.ledger.plan_revision() {
            self.plan_seen = (view.ledger.plan_revision(), view.now);
        }
    }

    /// Returns the next step towards the plan, combined with the steps that follow from it; none if there is none.
    ///
    /// After a search without a step, further searches are skipped until the ledger or the reports change or the
    /// grace period ends. Otherwise an idle coordinator with thousands of instances would spend its time on a search
    /// every second.
    pub(super) fn advance(&mut self, view: View<'_>) -> Option<Command> {
        let (index, reports) = (view.ledger.index, self.reports.taken());
        let rests = |rest: &Rest| {
            rest.index == index && rest.reports == reports && rest.until.is_none_or(|until| view.now < until)
        };
        if self.rest.as_ref().is_some_and(rests) {
            return None;
        }
        let step = self.next(view);
        self.rest = step.is_none().then(|| Rest { index, reports, until: self.deadline(view) });
        step.map(|step| self.with_what_follows(step, view))
    }

    /// Returns the next step towards the plan or the script on the hosts that have joined. A change of latencies
    /// alone never changes bindings that are in force.
    pub(super) fn next(&self, view: View<'_>) -> Option<Command> {
        let target = self.unwind_command(view).or_else(|| self.target_command(view));
        let target = target.or_else(|| self.settled_command(view)).or_else(|| self.gone_command(view));
        target.or_else(|| self.script_command(view))
    }

    /// Returns the step together with those that follow from it without any event, as one entry.
    ///
    /// Separate entries would delay the end of a script's wait by three commits in sequence: the target is reached,
    /// the script continues, the next target is set. No other command can come between them, because this coordinator
    /// would propose exactly these commands next, and no other node proposes.
    fn with_what_follows(&self, first: Command, view: View<'_>) -> Command {
        let goes_on = |step: &Command| match step {
            Command::Settled { .. } => view.ledger.script_runs(),
            Command::Advance { .. } | Command::Gone { .. } => true,
            _ => false,
        };
        if !goes_on(&first) {
            return first;
        }
        let mut ahead = view.ledger.clone();
        let mut steps = vec![first];
        while steps.len() < STEPS_MAX
            && let Some(last) = steps.last().filter(|step| goes_on(step))
            && ahead.foresee(last).is_ok()
            && let Some(next) = self.next(View { ledger: &ahead, ..view })
        {
            steps.push(next);
        }
        if steps.len() == 1 { steps.remove(0) } else { Command::Batch(steps) }
    }

    /// Returns the time at which instances whose hosts are ready stop waiting for the other hosts of their plan.
    pub(super) fn grace_end(&self, view: View<'_>) -> Time {
        // The revision is not the one seen: a script is about to make this plan, and its grace period begins now.
        let seen = if self.plan_seen.0 == view.ledger.plan_revision() { self.plan_seen.1 } else { view.now };
        seen.after_ms(view.ledger.timers().place_grace_ms)
    }

    /// Returns the end of the grace period, when a step may become possible without an event; none if it has passed.
    pub(super) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let end = self.grace_end(view);
        (end > view.now && view.ledger.plan.is_some()).then_some(end)
    }
}
