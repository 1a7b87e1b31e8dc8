//! One node's core: the ledger, the agent, the observer, the catch-up and, while the node leads, the coordinator.
//!
//! It passes each event to the part that it concerns, then lets every part derive its next steps. The decisions are in
//! the parts.

mod expulsion;
mod links;
mod question;
mod succession;

use crate::agent::Agent;
use crate::bindings::Latencies;
use crate::catch_up::CatchUp;
use crate::coordinator::{Coordinator, View};
use crate::event::{Event, LogStatus};
use crate::leadership::Leadership;
use crate::ledger::{Applied, Ledger};
use crate::notice::{HaltReason, Notice};
use crate::observer::Observer;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use crate::status::{self, Status};
use crate::turn::{Answer, Effect, Turn};
use crate::{codec, notices};
use expulsion::Expulsion;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::{Command, Genesis, SetSpec};
use rhizo_types::message::{CommittedEntry, Control, Heartbeat, LogEntry, Message};
use rhizo_types::wire::{JoinAnswer, Record};
use rhizo_types::{Epoch, Term, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The input from which a core is made.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeConfig {
    /// This node's id.
    pub me: NodeId,
    /// The ledger that the node has: from the answer to its join, or from its own log. Default on the founder.
    pub ledger: Ledger,
    /// The node's own durable records, in the order they were written; empty on a new node.
    pub records: Vec<Record>,
    /// On the founder of a new lineage, its first two commands.
    pub genesis: Option<Box<(Genesis, SetSpec)>>,
}

/// A node's core.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    me: NodeId,
    genesis: Option<Box<(Genesis, SetSpec)>>,
    ledger: Ledger,
    log: LogStatus,
    agent: Agent,
    observer: Observer,
    catch_up: CatchUp,
    leadership: Leadership,
    coordinator: Option<Coordinator>,
    latencies: Latencies,
    /// When this node first saw each member.
    since: BTreeMap<NodeId, Time>,
    /// The epoch and the links of the last `Effect::Links`.
    followed: (Epoch, BTreeSet<NodeId>),
    /// The links that follow from the roster.
    roster_links: BTreeSet<NodeId>,
    expulsion: Expulsion,
    /// The deadline after the last event.
    expected: Option<Time>,
    began: bool,
    halted: bool,
}

/// Whether an event concerns the agent alone, so that a coordinator sees its effect only in reports.
fn concerns_agent_only(event: &Event) -> bool {
    match event {
        Event::Started { .. }
        | Event::NotReady { .. }
        | Event::StartFailed { .. }
        | Event::Exited { .. }
        | Event::Stopped { .. }
        | Event::Unhealthy { .. }
        | Event::Acted { .. }
        | Event::Published { .. } => true,
        Event::Received { message, .. } => matches!(message, Message::Channel(_)),
        _ => false,
    }
}

impl Node {
    /// A core that has seen no event yet.
    #[must_use]
    pub fn new(config: NodeConfig) -> Self {
        Self {
            me: config.me,
            genesis: config.genesis,
            ledger: config.ledger,
            log: LogStatus::default(),
            agent: Agent::new(config.me, &config.records),
            observer: Observer::new(config.me),
            catch_up: CatchUp::default(),
            leadership: Leadership::default(),
            coordinator: None,
            latencies: Latencies::new(),
            since: BTreeMap::new(),
            followed: (Epoch::ZERO, BTreeSet::new()),
            roster_links: BTreeSet::new(),
            expulsion: Expulsion::default(),
            expected: None,
            began: false,
            halted: false,
        }
    }

    /// Handles one event. Each call returns the whole [`Turn`]; no output is kept for a later one.
    pub fn handle(&mut self, now: Time, event: Event) -> Turn {
        let mut out = Out::default();
        if self.halted {
            return out.into_turn();
        }
        if !self.began {
            self.began = true;
            self.leadership.begin(now);
            self.follow_ledger(true, now, &mut out);
        }
        if let Some(expected) = self.expected.filter(|expected| *expected <= now) {
            self.observer.woken(now.ms_since(expected), &self.ledger.timers(), now);
        }
        let concerns_agent = concerns_agent_only(&event);
        self.route(event, now, &mut out);
        self.follow_log(now, &mut out);
        self.agent.settle(&self.ledger, now, &mut out);
        let heartbeat = self.heartbeat(now);
        self.observer.tick(&self.ledger, heartbeat, now, &mut out);
        let leadership = self.leadership.coordinator().map(|node| (node, self.leadership.term()));
        self.agent.flush(leadership, now, &mut out);
        if !self.halted {
            self.follow_links(&mut out);
        }
        self.loop_report();
        self.coordinate(concerns_agent, now, &mut out);
        self.check_orphaned(now, &mut out);
        self.expected = self.deadline();
        out.into_turn()
    }

    /// When the shell must call [`Node::handle`] with [`Event::Tick`], unless another event comes first.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        if self.halted {
            return None;
        }
        let parts = [
            self.agent.deadline(),
            self.observer.deadline(&self.ledger.timers()),
            self.coordinator
                .as_ref()
                .and_then(|coordinator| coordinator.deadline(self.view(self.leadership.now()))),
            self.leadership.orphan_deadline(&self.ledger),
        ];
        parts.into_iter().fold(None, earlier)
    }

    /// This node's id.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The ledger as far as this node knows it.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// This node's agent, for checks in tests and the simulator.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The coordinator, while this node leads.
    #[must_use]
    pub fn coordinator(&self) -> Option<&Coordinator> {
        self.coordinator.as_ref()
    }

    /// Whether this node has halted and ignores every event.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// This node's view of the overlay.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        status::compose(self.view(now), &self.leadership, self.coordinator.as_ref(), &self.agent)
    }

    fn view(&self, now: Time) -> View<'_> {
        View {
            me: self.me,
            now,
            ledger: &self.ledger,
            log: &self.log,
            observer: &self.observer,
            latencies: &self.latencies,
            since: &self.since,
            genesis: self.genesis.as_deref(),
        }
    }

    fn route(&mut self, event: Event, now: Time, out: &mut Out) {
        self.leadership.tick(now);
        match event {
            Event::Tick => {}
            Event::LogStatus(status) => self.log_status(status, now, out),
            Event::Committed { index, term, entry } => {
                self.apply(CommittedEntry { index, term, entry }, now, out);
            }
            Event::Restored(ledger) => self.restore(*ledger, now, out),
            Event::LinkUp { peer } => {
                self.expulsion.clear();
                self.observer.link_up(peer);
                self.observer.heard(peer, &self.ledger, now, out);
                self.agent.link_up(peer);
            }
            Event::LinkDown { peer } => {
                self.observer.link_down(peer);
                self.agent.link_down(peer);
            }
            Event::Unreachable { peer } => self.observer.unreachable(peer, &self.ledger, now, out),
            Event::Expelled { by } => self.expelled(by, now, out),
            Event::Superseded { former, lineage, is_member } => {
                self.superseded(former, lineage, is_member, now, out);
            }
            Event::Received { from, message } => self.received(from, message, now, out),
            Event::Latencies(latencies) => self.latencies = latencies,
            event @ (Event::Started { .. }
            | Event::NotReady { .. }
            | Event::StartFailed { .. }
            | Event::Exited { .. }
            | Event::Stopped { .. }
            | Event::Unhealthy { .. }
            | Event::Acted { .. }
            | Event::Published { .. }) => self.agent.action(event, now, &self.ledger, out),
            event => self.for_coordinator(event, now, out),
        }
    }

    fn received(&mut self, from: NodeId, message: Message, now: Time, out: &mut Out) {
        if !self.ledger.members.contains_key(&from) {
            if self.ledger.departed.contains_key(&from) {
                // It does not know yet that it was removed. The heartbeat shows it that there are newer entries.
                out.control(from, Control::Heartbeat(self.heartbeat(now)));
            }
            // Or it joined after the entries that this node has; its heartbeat shows that there are newer ones.
            if let Message::Control(Control::Heartbeat(heartbeat)) = message {
                self.catch_up.peer_is_at(from, heartbeat.applied, &self.ledger, now, out);
            } else if let Message::Control(Control::Pull { after }) = message {
                self.catch_up.answer_pull(from, after, &self.ledger, out);
            }
            return;
        }
        self.observer.heard(from, &self.ledger, now, out);
        match message {
            Message::Channel(frame) => self.agent.frame(from, frame, now),
            Message::Control(Control::Heartbeat(heartbeat)) => {
                self.leadership.heard(&heartbeat, now);
                self.catch_up.peer_is_at(from, heartbeat.applied, &self.ledger, now, out);
            }
            Message::Control(Control::Check { subject }) => {
                self.observer.check(from, subject, &self.ledger, now, out);
            }
            Message::Control(Control::Heard { subject, heard_ms_ago }) => {
                self.observer.answer(from, subject, heard_ms_ago, &self.ledger.timers(), now);
            }
            Message::Control(Control::Alert { subject }) => self.observer.alert(from, subject, now),
            Message::Control(Control::Relief { subject }) => self.observer.relief(from, subject),
            Message::Control(Control::Pull { after }) => {
                self.catch_up.answer_pull(from, after, &self.ledger, out)
            }
            Message::Control(Control::Entries(entries)) => self.entries(from, entries, now, out),
            Message::Control(Control::Snapshot(bytes)) => {
                self.catch_up.answered(from);
                if let Ok(ledger) = codec::decode_ledger(&bytes) {
                    self.restore(ledger, now, out);
                }
            }
            Message::Control(Control::Report(report)) => {
                if let Some(coordinator) = &mut self.coordinator {
                    out.control(from, Control::ReportSeen { number: report.number });
                    coordinator.report(from, report);
                }
            }
            Message::Control(Control::ReportSeen { number }) => self.agent.report_seen(from, number),
        }
    }

    fn entries(&mut self, from: NodeId, entries: Vec<CommittedEntry>, now: Time, out: &mut Out) {
        self.catch_up.answered(from);
        let last = entries.last().map_or(0, |entry| entry.index);
        for entry in entries {
            self.apply(entry, now, out);
        }
        // After a gap or a full batch the peer has more.
        self.catch_up.peer_is_at(from, last, &self.ledger, now, out);
    }

    fn for_coordinator(&mut self, event: Event, now: Time, out: &mut Out) {
        if let Some(mut coordinator) = self.coordinator.take() {
            coordinator.handle(event, self.view(now), out);
            self.coordinator = Some(coordinator);
            return;
        }
        match event {
            Event::JoinRequested { request, .. } => {
                let answer = self.redirect();
                out.effect(Effect::ReplyJoin { request, answer });
            }
            Event::Request { id, .. } => {
                out.effect(Effect::Answer { request: id, answer: Answer::Later });
            }
            // Results of calls that this node made while it led: its successor finds out by itself.
            _ => {}
        }
    }

    fn redirect(&self) -> JoinAnswer {
        let coordinator = self.leadership.coordinator().filter(|node| *node != self.me);
        let member = coordinator.and_then(|node| Some((node, self.ledger.members.get(&node)?)));
        member.map_or(JoinAnswer::Later, |(node, member)| JoinAnswer::Redirect {
            node,
            member: member.record.clone(),
        })
    }

    fn log_status(&mut self, status: LogStatus, now: Time, out: &mut Out) {
        if status.voters != self.log.voters && !status.changing {
            out.notice(Notice::VotersChanged(status.voters.clone()));
        }
        self.log = status;
        self.leadership.log_status(&self.log, now);
    }

    fn apply(&mut self, entry: CommittedEntry, now: Time, out: &mut Out) {
        let skips = sabotage::is(Sabotage::SkipsEntries)
            && self.me != rhizo_types::ledger::FOUNDER
            && matches!(entry.entry, LogEntry::Command(Command::Settled { .. }));
        let content = if skips { &LogEntry::Blank } else { &entry.entry };
        let (term, epoch) = (self.ledger.term, self.ledger.epoch);
        let applied = self.ledger.apply(entry.index, entry.term, content);
        notices::of_entry(term, &entry, &applied, &self.ledger, out);
        match (&applied, &entry.entry) {
            (Applied::Ignored, _) => return,
            (Applied::Done, LogEntry::Command(command)) => self.after_command(command, out),
            (Applied::Done | Applied::Refused(_), _) => {}
        }
        let changes_roster = epoch != self.ledger.epoch || matches!(entry.entry, LogEntry::Membership { .. });
        self.catch_up.keep(entry);
        self.follow_ledger(changes_roster, now, out);
    }

    /// The last member releases its own host when it leaves, because no other member is left to do it.
    fn after_command(&mut self, command: &Command, out: &mut Out) {
        let last =
            matches!(command, Command::Leave { node } if *node == self.me) && self.ledger.members.is_empty();
        if !last || self.coordinator.is_none() {
            return;
        }
        let intent = self.ledger.departed.get(&self.me).and_then(|departed| departed.intent);
        let intent = intent.and_then(|id| self.ledger.intents.get(&id));
        if let Some((intent, host)) = intent.and_then(|intent| Some((intent, intent.host.clone()?))) {
            let provider = intent.order.provider.clone();
            out.effect(Effect::Release { intent: intent.id, provider, host: host.host });
        }
    }

    fn restore(&mut self, ledger: Ledger, now: Time, out: &mut Out) {
        if ledger.index <= self.ledger.index {
            return;
        }
        let is_next_lineage = ledger.lineage() != self.ledger.lineage() && self.ledger.genesis.is_some();
        self.ledger = ledger;
        self.catch_up.clear();
        if is_next_lineage {
            self.begin_lineage(now, out);
        }
        self.follow_ledger(true, now, out);
    }

    /// Passes a changed ledger to the parts, or halts if this node was removed. `changes_roster` is true if the members
    /// or the holders of the log may have changed: links and observers depend on nothing else.
    fn follow_ledger(&mut self, changes_roster: bool, now: Time, out: &mut Out) {
        if self.ledger.departed.contains_key(&self.me) && !self.ledger.members.contains_key(&self.me) {
            let dead = self.ledger.departed.get(&self.me).is_some_and(|departed| departed.dead);
            return self.halt(if dead { HaltReason::Dead } else { HaltReason::Left }, out);
        }
        self.agent.follow(&self.ledger);
        if !changes_roster {
            return;
        }
        let members = &self.ledger.members;
        self.since.retain(|node, _| members.contains_key(node));
        for node in members.keys() {
            self.since.entry(*node).or_insert(now);
        }
        self.roster_links = self.observer.follow(&self.ledger, now);
    }

    /// Creates or drops the coordinator, as the log says whether this node leads.
    fn follow_log(&mut self, now: Time, out: &mut Out) {
        let leader = self.log.leader == Some(self.me)
            || (sabotage::is(Sabotage::EveryoneCoordinates) && self.log.leader.is_some());
        let leads = leader && self.ledger.term == self.log.term && !self.halted;
        let current = self.coordinator.as_ref().map(Coordinator::term);
        // A leader whose lease ran out is still the only one of its term: it waits until it has a quorum again.
        let waits = self.log.leader.is_none() && current == Some(self.log.term);
        if let Some(term) = current
            && (term != self.log.term || !(leads || waits))
        {
            out.notice(Notice::CoordinatorEnded(term));
            if let Some(coordinator) = self.coordinator.take() {
                coordinator.resign(out);
            }
        }
        if leads && self.coordinator.is_none() && self.log.term > Term::ZERO {
            out.notice(Notice::CoordinatorBegan(self.log.term));
            self.coordinator = Some(Coordinator::new(self.log.term, now));
        }
    }

    fn coordinate(&mut self, concerns_agent: bool, now: Time, out: &mut Out) {
        if self.log.leader.is_none() {
            return;
        }
        let Some(mut coordinator) = self.coordinator.take_if(|coordinator| {
            // Its steps depend on the whole configuration, and on agents only through their reports: thousands of
            // actions that end one after the other must not each cause a look at thousands of instances.
            !concerns_agent || coordinator.is_touched(&self.ledger, now)
        }) else {
            return;
        };
        coordinator.advance(self.view(now), out);
        self.catch_up.push_new(self.me, &self.ledger, out);
        self.coordinator = Some(coordinator);
    }

    /// Passes the report of the coordinator's own agent to it without a message.
    fn loop_report(&mut self) {
        if let Some(coordinator) = &mut self.coordinator
            && !self.halted
        {
            let report = self.agent.report();
            if coordinator.reports().get(&self.me).is_none_or(|last| last.number < report.number) {
                coordinator.report(self.me, report.clone());
            }
        }
    }

    fn heartbeat(&self, now: Time) -> Heartbeat {
        Heartbeat {
            term: self.leadership.term(),
            coordinator: self.leadership.coordinator(),
            coordinator_age_ms: self.leadership.age_ms(now),
            applied: self.ledger.index,
        }
    }

    /// Halts if another member's refusal means that this node was removed.
    fn expelled(&mut self, by: NodeId, now: Time, out: &mut Out) {
        let has_link = self.ledger.members.keys().any(|node| self.observer.is_linked(*node));
        if self.expulsion.refused(by, has_link, &self.ledger, now) {
            self.halt(HaltReason::Dead, out);
        }
    }

    fn check_orphaned(&mut self, now: Time, out: &mut Out) {
        if !self.halted && self.leadership.orphan_deadline(&self.ledger).is_some_and(|at| at <= now) {
            self.halt(HaltReason::Orphaned, out);
        }
    }

    fn halt(&mut self, reason: HaltReason, out: &mut Out) {
        if !self.halted {
            self.halted = true;
            if let Some(coordinator) = self.coordinator.take() {
                coordinator.resign(out);
            }
            out.notice(Notice::Halting(reason));
            out.effect(Effect::Halt { reason });
        }
    }
}
