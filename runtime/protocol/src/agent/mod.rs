//! One node's side of a reconfiguration: starts, stops and binds its own instances as the target says.
//!
//! An agent knows the target, its own instances, and what the agents of other nodes told it over ordered channels; it
//! knows nothing global. There are no phases: starts and stops interleave, fenced by generations, and a newer target
//! may overtake an unfinished one. The invariants hold over what agents have been told (AI1 to AI4 of Boyer, Gruber and
//! Pous, ICSE 2013). A started instance has its mandatory imports bound to started instances. No started instance is
//! bound to one that is not started. No instance is bound to one that is known to have failed. A stopped instance keeps
//! no binding. An export in use is left only when its users have released it.
//!
//! In terms of life-cycles, *started* means that an export is active. *About to start* means that the next place or
//! transition uses an import. `local` is the state of one instance, `run` that of its actions, `kind` what instances
//! share. `step` handles one instance after an event, with `play` (upwards), `lower` (downwards), `actions` and
//! `failure`. `importer` and `exporter` are the two sides of a binding, `peers` the channels, `report` what the
//! coordinator is sent. The work of an event grows with what it changes, not with the number of instances.

mod actions;
mod binding;
mod exporter;
mod failure;
mod failures;
mod importer;
mod kind;
mod local;
mod lower;
mod peers;
mod play;
mod react;
mod report;
mod run;
mod step;
#[cfg(test)]
mod tests;
mod view;

pub use binding::Use;
pub use exporter::{User, UserState};
pub use react::{Input, Reaction};
pub use view::InstanceView;

use crate::ledger::Ledger;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use binding::Uses;
use exporter::Users;
use kind::Kinds;
use local::Local;
use peers::Peers;
use report::Reporter;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::message::{AgentMessage, Frame, InstancePhase, Report, UseId};
use rhizo_types::target::Push;
use rhizo_types::wire::Record;
use rhizo_types::{Generation, Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// A node's agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Agent {
    me: NodeId,
    /// The revision of the target that the agent follows.
    target: Revision,
    /// The highest revision of a target that this node ever followed, also before a restart.
    followed: Revision,
    /// How much of `followed` was handed out to be made durable.
    recorded: Revision,
    /// The members, as the ledger last said.
    members: BTreeSet<NodeId>,
    kinds: Kinds,
    instances: BTreeMap<InstanceId, Box<Local>>,
    /// When an instance has to be handled again although nothing happens to it.
    timers: BTreeSet<(Time, InstanceId)>,
    /// The exporters that its instances use or have asked for.
    uses: Uses,
    /// The importers that use its instances or wait for them.
    users: Users,
    /// The highest generation of each instance that may have been started on this node; durable.
    fences: BTreeMap<InstanceId, Generation>,
    peers: Peers,
    reporter: Reporter,
    /// Instances that have to be handled before the event at hand is done.
    dirty: BTreeSet<InstanceId>,
    /// Messages of this agent to itself that are not handled yet.
    own: VecDeque<AgentMessage>,
}

impl Agent {
    /// An agent without instances, with the durable records of earlier processes of this node.
    #[must_use]
    pub fn new(me: NodeId, records: &[Record]) -> Self {
        let mut fences: BTreeMap<InstanceId, Generation> = BTreeMap::new();
        let mut session = 0;
        let mut followed = Revision::ZERO;
        for record in records {
            match record {
                Record::Fence { instance, generation } => {
                    let fence = fences.entry(instance.clone()).or_default();
                    *fence = (*fence).max(*generation);
                }
                Record::Session { session: used } => session = session.max(*used),
                Record::Target { revision } => followed = followed.max(*revision),
            }
        }
        Self {
            me,
            target: Revision::ZERO,
            followed,
            recorded: followed,
            members: BTreeSet::new(),
            kinds: Kinds::default(),
            instances: BTreeMap::new(),
            timers: BTreeSet::new(),
            uses: Uses::default(),
            users: Users::default(),
            fences,
            peers: Peers::new(session + 1),
            reporter: Reporter::new(session + 1),
            dirty: BTreeSet::new(),
            own: VecDeque::new(),
        }
    }

    /// The session of this agent's channels, and that of a peer's (zero while it is not known).
    #[must_use]
    pub fn sessions(&self, peer: NodeId) -> (u64, u64) {
        self.peers.sessions(peer)
    }

    /// Whether the agent has no instance.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Takes over a newer target or a changed roster from the ledger.
    pub(crate) fn follow(&mut self, ledger: &Ledger) {
        let newer = ledger.target.revision > self.target;
        let moved = !self.members.iter().eq(ledger.members.keys());
        if moved {
            self.members = ledger.members.keys().copied().collect();
            for node in self.peers.follow(ledger, self.me) {
                self.forget_peer(node);
            }
        }
        let overtaken = ledger.target.revision > self.target.next();
        if overtaken && sabotage::is(Sabotage::IgnoresOvertaking) {
            return;
        }
        if newer {
            self.target = ledger.target.revision;
            self.followed = self.followed.max(self.target);
            self.reporter.change();
        }
        if newer || moved {
            self.follow_target(ledger);
        }
    }

    fn follow_target(&mut self, ledger: &Ledger) {
        let mut instances = std::mem::take(&mut self.instances);
        for (instance, local) in &mut instances {
            let placed = ledger.target.instances.get(instance).filter(|placed| placed.node == self.me);
            local.wanted = placed.is_some_and(|placed| placed.generation == local.placed.generation)
                && !sabotage::is(Sabotage::RestartsOnEveryTarget);
            local.follow_imports(instance, ledger, &self.uses);
            if local.wanted {
                local.follow_pushes(pushes(ledger, instance));
            }
            self.dirty.insert(instance.clone());
        }
        self.kinds.keep(instances.values().map(|local| &local.kind));
        self.instances = instances;
        let mine = ledger.target.instances.iter().filter(|(_, placed)| placed.node == self.me);
        self.dirty.extend(mine.map(|(instance, _)| instance.clone()));
    }

    /// Drops all uses and users on a node whose agent is gone or has lost its state.
    fn forget_peer(&mut self, node: NodeId) {
        if sabotage::is(Sabotage::RemembersFormerAgents) {
            return;
        }
        let uses = self.uses.iter().filter(|(_, used)| used.node == node);
        for id in uses.map(|(id, _)| id).collect::<Vec<UseId>>() {
            self.drop_use(id, false);
        }
        for key in self.users.of_node(node) {
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

    /// Takes in a frame from a peer's agent.
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
                // The exporter may not be here yet: the importer's agent may follow a newer target than this one.
                self.dirty.insert(exporter.clone());
                let state = UserState::Waiting;
                let user = User { importer, import, exporter, generation, export, state };
                self.users.add((from, id), user);
            }
            AgentMessage::Unbound { id } => self.drop_user((from, id)),
            AgentMessage::Bound { id, served } => self.bound(from, id, served),
            AgentMessage::AskUnbind { id, target } => self.asked_to_unbind(from, id, target),
            AgentMessage::Lost { id, restart } => {
                if self.uses.get(id).is_some_and(|used| used.node == from) {
                    self.drop_use(id, restart);
                } else if sabotage::is(Sabotage::EchoesUnknown) {
                    self.send(from, AgentMessage::Unbound { id });
                }
            }
        }
    }

    /// Handles instances and messages until nothing more is possible.
    pub(crate) fn settle(&mut self, ledger: &Ledger, now: Time, out: &mut Out) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, instance)) = self.timers.pop_first() {
                self.dirty.insert(instance);
            }
        }
        loop {
            if let Some(message) = self.own.pop_front() {
                self.message(self.me, message);
            } else if let Some(instance) = self.dirty.pop_first() {
                self.step(&instance, ledger, now, out);
            } else {
                return;
            }
        }
    }

    /// Sends the messages that wait for peers, and the report if one is due.
    pub(crate) fn flush(&mut self, coordinator: Option<(NodeId, Term)>, now: Time, out: &mut Out) {
        self.record_target(out);
        self.peers.flush(now, out);
        // A coordinator on this node reads the report directly.
        let coordinator = coordinator.filter(|(node, _)| *node != self.me);
        self.reporter.flush(coordinator, self.target, now, out);
    }

    /// The nodes whose instances use instances of this node or are used by them, and those with unacknowledged
    /// messages.
    pub(crate) fn counterparts(&self) -> impl Iterator<Item = NodeId> {
        let uses = self.uses.iter().map(|(_, used)| used.node);
        let users = self.users.iter().map(|(node, ..)| node);
        uses.chain(users).chain(self.peers.spoken_to())
    }

    /// Makes the newest followed target durable, so that nothing of an older one begins after a restart either.
    fn record_target(&mut self, out: &mut Out) {
        if self.recorded < self.followed {
            self.recorded = self.followed;
            out.durable(Record::Target { revision: self.followed });
        }
    }

    /// The coordinator has acknowledged a report.
    pub(crate) fn report_seen(&mut self, from: NodeId, number: u64) {
        self.reporter.seen(from, number);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let due = self.timers.first().map(|(at, _)| *at);
        earlier(earlier(due, self.peers.deadline()), self.reporter.deadline())
    }

    fn send(&mut self, to: NodeId, message: AgentMessage) {
        if to == self.me { self.own.push_back(message) } else { self.peers.push(to, message) }
    }

    /// This agent's report, as it would be sent now.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.reporter.latest()
    }

    /// Returns the node of an exporter that an instance of this node is bound to; none when it is not bound to it.
    #[must_use]
    pub fn exporter_node(
        &self,
        importer: &InstanceId,
        import: &PortName,
        exporter: &InstanceId,
    ) -> Option<NodeId> {
        let binding = self.instances.get(importer)?.imports.get(import)?;
        Some(self.uses.get(*binding.uses.get(exporter)?)?.node)
    }

    /// Returns the address of an export of an instance of this node while the export is active, which is as long as other
    /// instances may use it. With `only_staying`, the address of an instance that is about to leave is not returned: its
    /// users may use it, and new ones may not.
    #[must_use]
    pub fn active_export(
        &self,
        instance: &InstanceId,
        export: &PortName,
        only_staying: bool,
    ) -> Option<SocketAddr> {
        let local = self.instances.get(instance)?;
        let accepts = !only_staying || local.phase() == InstancePhase::Started;
        if accepts && local.is_active(export) { local.outputs.addresses.get(export).copied() } else { None }
    }

    /// Every instance of this node, for checks in tests and the simulator.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        self.instances.iter().map(|(instance, local)| InstanceView::of(instance, local))
    }
}

/// The behaviours that the target in force wants an instance to execute after `deploy`.
fn pushes<'a>(ledger: &'a Ledger, instance: &InstanceId) -> &'a [Push] {
    ledger.target.pushes.get(instance).map_or(&[], Vec::as_slice)
}
