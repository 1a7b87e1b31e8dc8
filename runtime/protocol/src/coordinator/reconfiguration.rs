//! The steps from the configuration in force to the plan or the script: the order in which they are looked for.
//!
//! `target` finds targets and what follows from reports, `scripts` advances the running script. Every step is a
//! function of the ledger, the reports and the end of the grace for hosts, so a successor finds the same.

use super::View;
use super::reports::Reports;
use rhizo_types::ledger::Command;
use rhizo_types::{Revision, Time};

/// The most steps in one entry: a target is reached, the script continues, and there is the next target.
const STEPS_MAX: usize = 3;

/// What one coordinator knows about the reconfiguration.
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
    /// When instances stop waiting for hosts that are still arriving.
    until: Option<Time>,
}

impl Reconfiguration {
    pub(super) fn new(now: Time) -> Self {
        Self { reports: Reports::default(), plan_seen: (Revision::ZERO, now), rest: None }
    }

    /// Takes over the roster and the plan in force.
    pub(super) fn follow(&mut self, view: View<'_>) {
        self.reports.keep_members(view.ledger);
        if self.plan_seen.0 != view.ledger.plan_revision() {
            self.plan_seen = (view.ledger.plan_revision(), view.now);
        }
    }

    /// Returns the next step towards the plan, with those that follow from it. Skips the search while nothing has
    /// changed since the last one found none: with thousands of instances a search every second is all that an idle
    /// node would do.
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

    /// Returns the next step towards the plan or the script on the hosts that have joined. Bindings in force do not
    /// change with latencies.
    pub(super) fn next(&self, view: View<'_>) -> Option<Command> {
        let target = self.unwind_command(view).or_else(|| self.target_command(view));
        let target = target.or_else(|| self.settled_command(view)).or_else(|| self.gone_command(view));
        target.or_else(|| self.script_command(view))
    }

    /// Returns the step together with those that follow from it without any event, as one entry.
    ///
    /// The end of a script's wait would otherwise cost three entries in sequence: the target is reached, the script
    /// continues, there is another target. No other command can come between them, because each is what this
    /// coordinator would propose next, and no other node proposes.
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

    /// When instances whose hosts are ready stop waiting for the other hosts of their plan.
    pub(super) fn grace_end(&self, view: View<'_>) -> Time {
        // The plan that a script is about to make begins now.
        let seen = if self.plan_seen.0 == view.ledger.plan_revision() { self.plan_seen.1 } else { view.now };
        seen.after_ms(view.ledger.timers().place_grace_ms)
    }

    /// When there may be another step without an event.
    pub(super) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let end = self.grace_end(view);
        (end > view.now && view.ledger.plan.is_some()).then_some(end)
    }
}
