//! What a node does in addition while it leads: it derives every step from the ledger and proposes it.
//!
//! Level-triggered: nothing it remembers is needed by a successor, who derives the same from the ledger, the
//! agents' reports and the providers' lists. At most one proposal is outstanding. When the outcome of one is not
//! known, a mark is committed behind it before anything else is proposed.
//!
//! One file per question: `hosts` (intents and provider calls), `listing` (what providers say), `control` (when to
//! solve, what pays), `target` (the next configuration),
//! `headroom` (what has room on the way there), `scripts`, `voters`, `deaths`, `leaving`, `joins`, `requests`.

mod control;
mod deaths;
mod headroom;
mod hosts;
mod joins;
mod leaving;
mod listing;
mod next_step;
mod proposals;
mod requests;
mod scripts;
mod target;
#[cfg(test)]
mod tests;
mod voters;

pub use next_step::next_step;
pub use voters::voters_wanted;

use crate::bindings::Latencies;
use crate::event::{Event, LogStatus};
use crate::ledger::Ledger;
use crate::observer::Observer;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use control::Control;
use hosts::Hosts;
use joins::Joins;
use proposals::Proposals;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::ledger::{Command, Genesis, SetSpec};
use rhizo_types::message::{InstancePhase, InstanceReport, Report};
use rhizo_types::{Revision, Term, Time};
use std::collections::BTreeMap;
use voters::Voters;

/// What the coordinator looks at: the rest of its node, read-only.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) me: NodeId,
    pub(crate) now: Time,
    pub(crate) ledger: &'a Ledger,
    pub(crate) log: &'a LogStatus,
    pub(crate) observer: &'a Observer,
    pub(crate) latencies: &'a Latencies,
    /// When this node first saw each member.
    pub(crate) since: &'a BTreeMap<NodeId, Time>,
    /// What a founder begins with.
    pub(crate) genesis: Option<&'a (Genesis, SetSpec)>,
}

/// The coordinator's part of a node, for one term.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Coordinator {
    term: Term,
    began: Time,
    proposals: Proposals,
    hosts: Hosts,
    joins: Joins,
    control: Control,
    voters: Voters,
    requests: requests::Requests,
    deaths: deaths::Deaths,
    reports: BTreeMap<NodeId, Report>,
    /// How many reports were taken in.
    reports_taken: u64,
    /// When nothing followed for the architecture.
    rest: Option<Rest>,
    /// When nothing was broken.
    sound: Option<control::Sound>,
    /// The plan in force and when this coordinator first saw it.
    plan_seen: (Revision, Time),
    /// Whether something happened since it last derived what can be done.
    touched: bool,
    /// The ledger's index then.
    seen: u64,
    /// When it wants to look again although nothing happened.
    due: Option<Time>,
}

/// Nothing follows for the architecture from this index of the ledger and this many reports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Rest {
    index: u64,
    reports: u64,
    /// When the grace for hosts that are arriving ends.
    until: Option<Time>,
}

impl Coordinator {
    pub(crate) fn new(term: Term, now: Time) -> Self {
        Self {
            term,
            began: now,
            proposals: Proposals::default(),
            hosts: Hosts::default(),
            joins: Joins::default(),
            control: Control::new(now),
            voters: Voters::new(now),
            requests: requests::Requests::default(),
            deaths: deaths::Deaths::default(),
            reports: BTreeMap::new(),
            reports_taken: 0,
            rest: None,
            sound: None,
            plan_seen: (Revision::ZERO, now),
            touched: true,
            seen: 0,
            due: None,
        }
    }

    /// The term this coordinator has.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Takes in an event that only concerns the coordinator.
    pub(crate) fn handle(&mut self, event: Event, view: View<'_>, out: &mut Out) {
        self.touched = true;
        match event {
            Event::Proposed { id, result } => self.proposals.resolved(id, result, view.now, out),
            Event::MembershipChanged { done } => self.voters.changed(done, view.now),
            Event::Acquired { intent, result } => self.hosts.acquired(intent, result, view, out),
            Event::Released { intent, accepted } => self.hosts.released(intent, accepted, view.now),
            Event::Listed { provider, result } => self.hosts.listed(&provider, result, view, out),
            Event::Solved { id, outcome } => self.solved(id, outcome, view, out),
            Event::FactsChanged | Event::OffersChanged => self.control.facts_changed(),
            Event::JoinRequested { request, join } => self.joins.requested(request, join, view, out),
            Event::Request { id, request } => self.requests.push(id, request, out),
            _ => {}
        }
    }

    /// Takes in an agent's report; one that was overtaken by a newer one is ignored.
    pub(crate) fn report(&mut self, from: NodeId, report: Report) {
        if self.reports.get(&from).is_none_or(|last| last.number < report.number) {
            self.reports.insert(from, report);
            self.reports_taken += 1;
            self.touched = true;
        }
    }

    /// Whether there may be something to derive, for an event that concerns the agent alone.
    pub(crate) fn is_touched(&self, ledger: &Ledger, now: Time) -> bool {
        self.touched || self.seen != ledger.index || self.due.is_some_and(|at| at <= now)
    }

    /// Derives whatever can be done now.
    pub(crate) fn advance(&mut self, view: View<'_>, out: &mut Out) {
        self.reports.retain(|node, _| view.ledger.members.contains_key(node));
        if self.plan_seen.0 != view.ledger.plan_revision() {
            self.plan_seen = (view.ledger.plan_revision(), view.now);
        }
        if let Some(request) = self.proposals.settle(view.ledger.index) {
            requests::answer_accepted(request, out);
        }
        self.joins.answer(view, out);
        self.requests.answer(view, out);
        self.hosts.advance(self.began, view, out);
        self.advance_control(view, out);
        self.advance_voters(view, out);
        if self.proposals.is_ready(view.now)
            && let Some((command, request)) = self.next_command(view, out)
        {
            self.proposals.propose(command, request, out);
        }
        (self.touched, self.seen) = (false, view.ledger.index);
        self.due = self.deadline(view);
    }

    /// The most urgent command that is not in the ledger yet.
    fn next_command(
        &mut self,
        view: View<'_>,
        out: &mut Out,
    ) -> Option<(Command, Option<crate::turn::RequestId>)> {
        let ledger = view.ledger;
        if ledger.genesis.is_none() {
            return Some((Command::Genesis(Box::new(view.genesis?.0.clone())), None));
        }
        if self.proposals.take_unsure() {
            return Some((Command::Mark, None));
        }
        if let (Revision::ZERO, Some((_, spec))) = (ledger.spec_revision(), view.genesis) {
            return Some((Command::SetSpec(Box::new(spec.clone())), None));
        }
        let bare = |command: Command| (command, None);
        if let Some(command) = self.deaths.command(view) {
            return Some(bare(command));
        }
        let mut batch = self.hosts.commands(view, out);
        batch.extend(self.joins.command());
        match batch.len() {
            0 => {}
            1 => return batch.pop().map(bare),
            _ => return Some(bare(Command::Batch(batch))),
        }
        if let Some((command, request)) = self.requests.command(view) {
            return Some((command, Some(request)));
        }
        let target = self.reconfigure(view);
        if sabotage::is(Sabotage::SpendsEarly) {
            self.spend_early(view, out);
        }
        if let Some(step) = target {
            return Some(bare(self.with_what_follows(step, view)));
        }
        self.plan_command(view).or_else(|| self.leave_command(view)).map(bare)
    }

    /// The step together with those that follow from it alone, in one entry.
    ///
    /// A wait of a script that is over would cost three entries one after the other otherwise: the target is reached,
    /// the script goes on, there is another target. Nothing can come between them: each is what this coordinator would
    /// propose next, and only it proposes.
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
            && let Some(next) = self.reconfigure_command(View { ledger: &ahead, ..view })
        {
            steps.push(next);
        }
        if steps.len() == 1 { steps.remove(0) } else { Command::Batch(steps) }
    }

    /// The next step, unless it is known that there is none: at rest a look at thousands of instances every second
    /// would be all that a node does.
    fn reconfigure(&mut self, view: View<'_>) -> Option<Command> {
        let (index, reports) = (view.ledger.index, self.reports_taken);
        let rests = |rest: &Rest| {
            rest.index == index && rest.reports == reports && rest.until.is_none_or(|until| view.now < until)
        };
        if self.rest.as_ref().is_some_and(rests) {
            return None;
        }
        let step = self.reconfigure_command(view);
        self.rest = step.is_none().then(|| Rest { index, reports, until: self.place_deadline(view) });
        step
    }

    /// The next step towards what is planned, or scripted, on the hosts that are there: it follows from the ledger, the
    /// reports and the end of the grace for hosts. What is bound already does not follow latencies.
    fn reconfigure_command(&self, view: View<'_>) -> Option<Command> {
        let target = self.unwind_command(view).or_else(|| self.target_command(view));
        let target = target.or_else(|| self.settled_command(view)).or_else(|| self.gone_command(view));
        target.or_else(|| self.script_command(view))
    }

    /// Orders the hosts of the plan that is about to be proposed: only under sabotage.
    fn spend_early(&self, view: View<'_>, out: &mut Out) {
        let orders = self.control.decided_orders().iter().zip(view.ledger.intents_issued + 1..);
        for (order, number) in orders {
            hosts::order_early(order, rhizo_types::IntentId(number), view, out);
        }
    }

    /// What is reported of an instance, by the node it is placed on.
    pub(crate) fn report_of(&self, instance: &InstanceId, ledger: &Ledger) -> Option<&InstanceReport> {
        let placed = ledger.target.instances.get(instance)?;
        let report = self.reports.get(&placed.node)?.instances.get(instance)?;
        (report.generation == placed.generation).then_some(report)
    }

    /// Whether an instance of the target is reported started, or to rest where a pushed behaviour took it.
    pub(crate) fn is_started(&self, instance: &InstanceId, ledger: &Ledger) -> bool {
        self.report_of(instance, ledger).is_some_and(|report| match report.phase {
            InstancePhase::Started => true,
            InstancePhase::Resting => ledger.target.pushes.contains_key(instance),
            _ => false,
        })
    }

    /// Every report, by node.
    #[must_use]
    pub fn reports(&self) -> &BTreeMap<NodeId, Report> {
        &self.reports
    }

    /// Why there is no plan for what is wrong, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&String> {
        self.control.problem.as_ref()
    }

    /// Gives back what waits for an answer that this node can no longer give.
    pub(crate) fn resign(self, out: &mut Out) {
        self.joins.resign(out);
        self.requests.resign(out);
        self.proposals.resign(out);
    }

    pub(crate) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let parts = [
            self.proposals.deadline(view.now),
            self.hosts.deadline(view),
            self.control.deadline(view),
            self.voters.deadline(view),
            self.deaths.deadline(),
            self.place_deadline(view),
        ];
        parts.into_iter().fold(None, earlier).filter(|at| *at > view.now).or_else(|| {
            // Something is overdue that another event has to resolve; look again soon instead of at once.
            parts.into_iter().fold(None, earlier).map(|_| view.now.after_ms(LOOK_AGAIN_MS))
        })
    }
}

/// A stretch of a script is at most this: a target is reached, the script goes on, and there is the next target.
const STEPS_MAX: usize = 3;

/// How soon the coordinator looks again at something overdue that it could not do yet.
const LOOK_AGAIN_MS: u64 = 100;
