//! One node's side of a reconfiguration: starts, stops and binds its own instances as the target says.
//!
//! It knows the target, its own instances, and what its peers' agents told it over ordered channels; nothing
//! global. There are no phases: starts and stops interleave, fenced by generations, and a newer target may
//! overtake an unfinished one. Invariants, over what agents have been told (seeds.md 2.5, AI1 to AI4):
//! a started instance has its mandatory imports bound to started instances; nothing started is bound to
//! something not started; nothing is bound to an instance known to have failed; a stopped instance keeps no
//! binding; an export in use is left only when its users have let go.
//!
//! `instance` has the life-cycle of one instance, `importer` and `exporter` the two sides of a binding, `peers`
//! the channels. A richer life-cycle replaces `instance::step` and leaves the bindings alone.

mod exporter;
mod importer;
mod instance;
mod peers;
mod report;
#[cfg(test)]
mod tests;

pub use exporter::{User, UserState};
pub use importer::Use;
pub use instance::{FAILURES_MAX, InstanceView};

use crate::event::Event;
use crate::ledger::Ledger;
use crate::out::{Out, earlier};
use crate::turn::RunId;
use instance::Local;
use peers::Peers;
use report::Reporter;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::message::{AgentMessage, Frame, Report, UseId};
use rhizo_types::wire::Record;
use rhizo_types::{Generation, Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A node's agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Agent {
    me: NodeId,
    /// The newest target this agent was told.
    target: Revision,
    instances: BTreeMap<InstanceId, Local>,
    /// What its instances import, by this agent's own numbers.
    uses: BTreeMap<UseId, Use>,
    uses_issued: u64,
    /// Who imports from its instances, by the importer's node and number.
    users: BTreeMap<(NodeId, UseId), User>,
    /// The same users by exporter.
    users_of: BTreeMap<InstanceId, BTreeSet<(NodeId, UseId)>>,
    /// The highest generation that may have been started here, durable.
    fences: BTreeMap<InstanceId, Generation>,
    peers: Peers,
    reporter: Reporter,
    /// Instances whose situation changed while the event at hand is handled.
    dirty: BTreeSet<InstanceId>,
    /// Messages of this agent to itself.
    own: VecDeque<AgentMessage>,
}

impl Agent {
    /// An agent without instances, with what an earlier process of this node made durable.
    #[must_use]
    pub fn new(me: NodeId, records: &[Record]) -> Self {
        let mut fences: BTreeMap<InstanceId, Generation> = BTreeMap::new();
        let mut session = 0;
        for record in records {
            match record {
                Record::Fence { instance, generation } => {
                    let fence = fences.entry(instance.clone()).or_default();
                    *fence = (*fence).max(*generation);
                }
                Record::Session { session: used } => session = session.max(*used),
            }
        }
        Self {
            me,
            target: Revision::ZERO,
            instances: BTreeMap::new(),
            uses: BTreeMap::new(),
            uses_issued: 0,
            users: BTreeMap::new(),
            users_of: BTreeMap::new(),
            fences,
            peers: Peers::new(session + 1),
            reporter: Reporter::new(session + 1),
            dirty: BTreeSet::new(),
            own: VecDeque::new(),
        }
    }

    /// This agent's report, as it would be sent now.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.reporter.latest()
    }

    /// This agent's channel session, and what it knows of a peer's (zero: nothing yet).
    #[must_use]
    pub fn sessions(&self, peer: NodeId) -> (u64, u64) {
        self.peers.sessions(peer)
    }

    /// Whether no instance runs or is on its way here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Follows the ledger: a newer target, a changed roster.
    pub(crate) fn follow(&mut self, ledger: &Ledger) {
        let gone = self.peers.follow(ledger, self.me);
        for node in gone {
            self.forget_peer(node);
        }
        if ledger.target.revision > self.target {
            self.target = ledger.target.revision;
            self.reporter.change();
            self.follow_target(ledger);
        }
    }

    fn follow_target(&mut self, ledger: &Ledger) {
        for (instance, local) in &mut self.instances {
            local.wanted = ledger.target.instances.get(instance) == Some(&local.placed);
            self.dirty.insert(instance.clone());
        }
        let mine = ledger.target.instances.iter().filter(|(_, placed)| placed.node == self.me);
        for (instance, _) in mine {
            self.dirty.insert(instance.clone());
        }
    }

    /// A peer's agent is gone or has lost its state: whatever was agreed with it is void.
    fn forget_peer(&mut self, node: NodeId) {
        let uses: Vec<UseId> = self.uses.iter().filter(|(_, u)| u.node == node).map(|(id, _)| *id).collect();
        for id in uses {
            self.drop_use(id);
        }
        let from = (node, UseId(0));
        let to = (node, UseId(u64::MAX));
        let users: Vec<(NodeId, UseId)> = self.users.range(from..=to).map(|(key, _)| *key).collect();
        for key in users {
            self.drop_user(key);
        }
    }

    pub(crate) fn link_up(&mut self, peer: NodeId) {
        self.peers.link_up(peer);
        self.reporter.link_up();
    }

    pub(crate) fn link_down(&mut self, peer: NodeId) {
        self.peers.link_down(peer);
    }

    /// Takes in a frame of a peer's agent.
    pub(crate) fn frame(&mut self, from: NodeId, frame: Frame, now: Time) {
        let Some(arrival) = self.peers.receive(from, frame, now) else { return };
        if arrival.reset {
            self.forget_peer(from);
        }
        for message in arrival.messages {
            self.message(from, message);
        }
    }

    fn message(&mut self, from: NodeId, message: AgentMessage) {
        match message {
            AgentMessage::Bind { id, importer, import, exporter, generation, export } => {
                self.users_add((from, id), User::new(importer, import, exporter, generation, export));
            }
            AgentMessage::Unbound { id } => self.drop_user((from, id)),
            AgentMessage::Bound { id, served } => self.bound(from, id, served),
            AgentMessage::AskUnbind { id } => self.asked_to_unbind(from, id),
            AgentMessage::Lost { id, .. } => {
                if self.uses.get(&id).is_some_and(|used| used.node == from) {
                    self.drop_use(id);
                }
            }
        }
    }

    /// Takes in what came of an action.
    pub(crate) fn action(&mut self, event: Event, now: Time, ledger: &Ledger, out: &mut Out) {
        let timers = ledger.timers();
        match event {
            Event::Started { run, exports } => self.started(&run, exports, now, out),
            Event::StartFailed { run, reason } => self.ended(&run, Some(reason), now, &timers, out),
            Event::Exited { run, reason } => self.ended(&run, Some(reason), now, &timers, out),
            Event::Stopped { run } => self.ended(&run, None, now, &timers, out),
            Event::Unhealthy { run, reason } => self.unhealthy(&run, reason, now, &timers, out),
            _ => {}
        }
    }

    fn run_of(&self, run: &RunId) -> Option<&Local> {
        let local = self.instances.get(&run.instance)?;
        (local.placed.generation == run.generation && local.attempt == run.attempt).then_some(local)
    }

    /// Does whatever has become possible, until nothing more is.
    pub(crate) fn settle(&mut self, ledger: &Ledger, now: Time, out: &mut Out) {
        let due = self.instances.iter().filter(|(_, local)| local.retry_at.is_some_and(|at| at <= now));
        let due: Vec<InstanceId> = due.map(|(instance, _)| instance.clone()).collect();
        self.dirty.extend(due);
        loop {
            if let Some(message) = self.own.pop_front() {
                self.message(self.me, message);
            } else if let Some(instance) = self.dirty.pop_first() {
                self.reporter.change();
                self.step(&instance, ledger, now, out);
            } else {
                return;
            }
        }
    }

    /// Sends what waits for the peers and the coordinator.
    pub(crate) fn flush(
        &mut self,
        coordinator: Option<(NodeId, Term)>,
        ledger: &Ledger,
        now: Time,
        out: &mut Out,
    ) {
        self.peers.flush(now, out);
        let (target, uses, instances) = (self.target, &self.uses, &self.instances);
        self.reporter.flush(coordinator, now, out, || report::compose(target, instances, uses, ledger));
    }

    /// The coordinator has a report.
    pub(crate) fn report_seen(&mut self, from: NodeId, number: u64) {
        self.reporter.seen(from, number);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let waiting = self.instances.values();
        let retry = waiting.filter_map(|local| local.retry_at).min();
        earlier(earlier(retry, self.peers.deadline()), self.reporter.deadline())
    }

    fn send(&mut self, to: NodeId, message: AgentMessage) {
        if to == self.me { self.own.push_back(message) } else { self.peers.push(to, message) }
    }
}
