//! The coordinator: the part of a node that, while it leads the log, derives each step from the ledger and proposes it.
//!
//! It is level-triggered. A successor needs nothing that it remembers, and derives the same steps from the ledger, the
//! agents' reports and the providers' lists. At most one proposal is outstanding. When its outcome is unknown, a mark
//! is committed before anything else is proposed.
//!
//! Owners of state: `hosts` (intents and provider calls) with `listing` (what the providers' lists prove), `control`
//! (when to solve, and what is committed of the answer), `reconfiguration` (the next target or step of a script, with
//! `target`, `headroom`, `scripts` and the agents' `reports`), `voters`, `deaths`, `joins`, `requests`, `proposals`.
//! `question` (what planning is asked), `leaving`, `next_step` and `decision` are functions of what the owners hold.

mod asked;
mod control;
mod deaths;
mod decision;
mod failures;
mod headroom;
mod hosts;
mod joins;
mod leaving;
mod listing;
mod next_step;
mod obstacles;
mod pace;
mod proposals;
mod question;
mod reconfiguration;
mod reports;
mod requests;
mod scripts;
mod target;
#[cfg(test)]
mod tests;
mod voters;
mod watch;

pub(crate) use asked::asked;
pub use decision::next_decision;
pub(crate) use failures::COUNTED_MAX;
pub use failures::names_host;
pub use next_step::next_step;
pub use question::first_question;
pub use voters::voters_wanted;

use crate::bindings::Latencies;
use crate::event::{Event, LogStatus};
use crate::ledger::Ledger;
use crate::observer::Observer;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use control::Control;
use failures::FailureWatch;
use hosts::Hosts;
use joins::Joins;
use proposals::Proposals;
use reconfiguration::Reconfiguration;
use rhizo_types::id::{ComponentName, NodeId};
use rhizo_types::ledger::{Command, Genesis, SetSpec};
use rhizo_types::message::Report;
use rhizo_types::{Revision, Term, Time};
use std::collections::BTreeMap;
use voters::Voters;

/// The rest of the coordinator's node, read-only.
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
    /// On a founder, the lineage and spec that the ledger begins with.
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
    reconfiguration: Reconfiguration,
    failures: FailureWatch,
    /// Set when the last look found nothing missing or broken.
    sound: Option<control::Sound>,
    /// Whether an event arrived since the last call of `advance`.
    touched: bool,
    /// The ledger's index at the last call of `advance`.
    seen: u64,
    /// When `advance` has to be called again without an event.
    due: Option<Time>,
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
            reconfiguration: Reconfiguration::new(now),
            failures: FailureWatch::default(),
            sound: None,
            touched: true,
            seen: 0,
            due: None,
        }
    }

    /// The term that this node leads.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Takes in an event that concerns the coordinator alone.
    pub(crate) fn handle(&mut self, event: Event, view: View<'_>, out: &mut Out) {
        self.touched = true;
        match event {
            Event::Proposed { id, result } => self.proposals.resolved(id, result, view.now, out),
            Event::MembershipChanged { done } => self.voters.changed(done, view.now),
            Event::Acquired { intent, result } => self.hosts.acquired(intent, result, view, out),
            Event::Released { intent, accepted } => self.hosts.released(intent, accepted, view.now),
            Event::Listed { provider, result } => self.hosts.listed(&provider, result, view, out),
            Event::Solved { id, outcome } => self.solved(id, outcome, view, out),
            // The founder hosts no copy, so that its readings cannot make another configuration better.
            Event::FactsChanged { by } if !view.ledger.has_host(by) => {}
            Event::FactsChanged { .. } | Event::OffersChanged => self.control.facts_changed(),
            Event::JoinRequested { request, join } => self.joins.requested(request, join, view, out),
            Event::Request { id, request } => self.requests.push(id, request, out),
            _ => {}
        }
    }

    /// Takes in an agent's report, unless a newer one has arrived before it.
    pub(crate) fn report(&mut self, from: NodeId, report: Report) {
        self.touched |= self.reconfiguration.reports.take(from, report);
    }

    /// Whether `advance` may find a step, although the event at hand concerns the agent alone.
    pub(crate) fn is_touched(&self, ledger: &Ledger, now: Time) -> bool {
        self.touched || self.seen != ledger.index || self.due.is_some_and(|at| at <= now)
    }

    /// Derives and starts every step that is possible now.
    pub(crate) fn advance(&mut self, view: View<'_>, out: &mut Out) {
        self.reconfiguration.follow(view);
        self.failures.follow(&self.reconfiguration.reports, view);
        if let Some(request) = self.proposals.settle(view.ledger.index) {
            requests::answer_accepted(request, out);
        }
        self.joins.answer(view, out);
        self.requests.answer(view, out);
        self.hosts.advance(self.began, view, out);
        self.control.ask_offers(view, out);
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

    /// Returns the most urgent command to propose, with the operator's request that it carries out.
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
        if let Some(command) = self.failures.command(&self.reconfiguration.reports, view) {
            return Some(bare(command));
        }
        let step = self.reconfiguration.advance(view);
        if sabotage::is(Sabotage::SpendsEarly) {
            self.spend_early(view, out);
        }
        step.or_else(|| self.plan_command(view)).or_else(|| self.leave_command(view)).map(bare)
    }

    /// Orders the hosts of the plan that is about to be proposed; a fault for tests.
    fn spend_early(&self, view: View<'_>, out: &mut Out) {
        let orders = self.control.decided_orders().iter().zip(view.ledger.intents_issued + 1..);
        for (order, number) in orders {
            hosts::order_early(order, rhizo_types::IntentId(number), view, out);
        }
    }

    /// The last report of each node.
    #[must_use]
    pub fn reports(&self) -> &BTreeMap<NodeId, Report> {
        self.reconfiguration.reports.by_node()
    }

    /// The reason for which there is no plan that repairs the application, if that is so.
    #[must_use]
    pub fn problem(&self) -> Option<&String> {
        self.control.problem.as_ref()
    }

    /// When a failing component is tried again; none when no copy of it waits.
    pub(crate) fn next_try(&self, component: &ComponentName) -> Option<Time> {
        self.failures.next_try(component)
    }

    /// The most failures in a row that a copy of a component which waits has reported.
    pub(crate) fn reported_failures(&self, component: &ComponentName) -> Option<u32> {
        self.failures.reported_failures(component)
    }

    /// Answers everything that waits, because this node no longer leads.
    pub(crate) fn resign(self, out: &mut Out) {
        self.joins.resign(out);
        self.requests.resign(out);
        self.proposals.resign(out);
    }

    pub(crate) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let parts = [
            self.proposals.deadline(view.now),
            self.hosts.deadline(view),
            self.control.deadline(&self.hosts, view),
            self.voters.deadline(view),
            self.deaths.deadline(),
            self.reconfiguration.deadline(view),
            self.failures.deadline(view),
        ];
        parts.into_iter().fold(None, earlier).filter(|at| *at > view.now).or_else(|| {
            // A deadline has passed that only another event can resolve: look again soon, not at once.
            parts.into_iter().fold(None, earlier).map(|_| view.now.after_ms(LOOK_AGAIN_MS))
        })
    }
}

/// How soon the coordinator looks again at a deadline that has passed without a possible step.
const LOOK_AGAIN_MS: u64 = 100;
