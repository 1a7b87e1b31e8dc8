//! One node's side of a reconfiguration: starts, stops and binds its own instances as the target says.
//!
//! It knows the target, its own instances, and what its peers' agents told it over ordered channels; nothing
//! global. There are no phases: starts and stops interleave, fenced by generations, and a newer target may
//! overtake an unfinished one. Invariants, over what agents have been told (Durán and Salaün):
//! a started instance has its mandatory imports bound to started instances; nothing started is bound to
//! something not started; nothing is bound to an instance known to have failed; a stopped instance keeps no
//! binding; an export in use is left only when its users have let go.
//!
//! In terms of life-cycles: *started* is an export that is active, and *to be started* is a place or transition that
//! uses an import. `kind` is what instances share, `local` the state of one, `play` the interpreter of life-cycles,
//! `lower` the way down, `actions` what runs, `failure` what follows a failure; `importer` and `exporter` are the two
//! sides of a binding, `peers` the channels. The work of an event grows with what it changes, not with how many
//! instances there are.

mod actions;
mod exporter;
mod failure;
mod importer;
mod kind;
mod local;
mod lower;
mod peers;
mod play;
mod react;
mod report;
#[cfg(test)]
mod tests;

pub use exporter::{User, UserState};
pub use failure::FAILURES_MAX;
pub use importer::Use;
pub use local::InstanceView;
pub use react::{Input, Reaction};

use crate::ledger::Ledger;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use crate::turn::Effect;
use exporter::{UserKey, Users};
use kind::Kinds;
use local::{Local, Mode};
use peers::Peers;
use report::Reporter;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::message::{AgentMessage, Frame, InstancePhase, UseId};
use rhizo_types::target::Push;
use rhizo_types::wire::Record;
use rhizo_types::{Generation, Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An exporter that wants to leave is kept so long for the sake of another one that is bound already and not active
/// yet: most are within this. Without an end, both could wait for what the one that leaves has to make room for.
const KEEP_MS: u64 = 3_000;

/// A node's agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Agent {
    me: NodeId,
    /// The newest target this agent was told.
    target: Revision,
    /// The newest target that this node ever followed.
    followed: Revision,
    /// The newest that is durable, or handed out to be.
    recorded: Revision,
    /// The roster it was told.
    members: BTreeSet<NodeId>,
    kinds: Kinds,
    instances: BTreeMap<InstanceId, Box<Local>>,
    /// When something of an instance is due.
    timers: BTreeSet<(Time, InstanceId)>,
    /// What its instances import, by this agent's own numbers.
    uses: BTreeMap<UseId, Use>,
    uses_issued: u64,
    /// Who imports from its instances, by the importer's node and number.
    users: BTreeMap<UserKey, User>,
    /// The same users by exporter.
    users_of: BTreeMap<InstanceId, Users>,
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
            self.follow_imports(instance, local, ledger);
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

    /// A peer's agent is gone or has lost its state: whatever was agreed with it is void.
    fn forget_peer(&mut self, node: NodeId) {
        if sabotage::is(Sabotage::RemembersFormerAgents) {
            return;
        }
        let uses: Vec<UseId> = self.uses.iter().filter(|(_, u)| u.node == node).map(|(id, _)| *id).collect();
        for id in uses {
            self.drop_use(id, false);
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
            AgentMessage::AskUnbind { id, target } => self.asked_to_unbind(from, id, target),
            AgentMessage::Lost { id, restart } => {
                if self.uses.get(&id).is_some_and(|used| used.node == from) {
                    self.drop_use(id, restart);
                } else if sabotage::is(Sabotage::EchoesUnknown) {
                    self.send(from, AgentMessage::Unbound { id });
                }
            }
        }
    }

    /// Does whatever has become possible, until nothing more is.
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

    /// Does what has become possible for one instance.
    fn step(&mut self, instance: &InstanceId, ledger: &Ledger, now: Time, out: &mut Out) {
        let known = self.instances.remove(instance);
        let Some(mut local) = known.or_else(|| self.create(instance, ledger, out)) else { return };
        self.follow_version(instance, &mut local, ledger, out);
        self.step_timers(instance, &mut local, now, out);
        // It kept an exporter for as long as it may: zero says so to what looks at the imports.
        let over = local.keeps_until.is_some_and(|at| at <= now);
        local.keeps_until = if over { Some(Time::ZERO) } else { local.keeps_until };
        local.keeps = false;
        loop {
            self.step_imports(instance, &mut local, out);
            let mode = local.mode;
            let moved = match mode {
                Mode::Up => self.play(instance, &mut local, now, out),
                _ => {
                    let marking = local.marking.clone();
                    if self.descend(instance, &mut local, now, out) {
                        self.set_timer(instance, &mut local, None);
                        return self.retire(instance, &mut local, ledger);
                    }
                    // What a lower place does not need any more is let go at once, not at the end.
                    local.marking != marking
                }
            };
            if !moved && local.mode == mode {
                break;
            }
        }
        let until = local.keeps_until.filter(|_| !over).unwrap_or(now.after_ms(KEEP_MS));
        local.keeps_until = local.keeps.then_some(until);
        if local.phase() == InstancePhase::Stopping && sabotage::is(Sabotage::StopsTwice) {
            out.effect(Effect::Stop { run: local.run(instance) });
        }
        self.serve(instance, &mut local);
        self.describe(instance, &local);
        let due = local.due_at();
        self.set_timer(instance, &mut local, due);
        self.instances.insert(instance.clone(), local);
    }

    fn set_timer(&mut self, instance: &InstanceId, local: &mut Local, due: Option<Time>) {
        if let Some(at) = std::mem::replace(&mut local.timer, due) {
            self.timers.remove(&(at, instance.clone()));
        }
        // Also when it is the same: whoever is due was taken off the timers.
        self.timers.extend(due.map(|at| (at, instance.clone())));
    }

    /// An instance that the target places here. From here on older generations are refused, also after a restart: all
    /// of a target's are made durable together, before anything of it begins.
    fn create(&mut self, instance: &InstanceId, ledger: &Ledger, out: &mut Out) -> Option<Box<Local>> {
        let placed = ledger.target.instances.get(instance).filter(|placed| placed.node == self.me)?;
        if self.target < self.followed && !sabotage::is(Sabotage::IgnoresFence) {
            // It starts again with an older ledger, and that is on its way to what it knew before.
            return None;
        }
        let fence = self.fences.get(instance).copied().unwrap_or_default();
        if placed.generation < fence && !sabotage::is(Sabotage::IgnoresFence) {
            return None;
        }
        let kind = self.kinds.of(instance, placed.version, ledger)?;
        if placed.generation > fence {
            self.fences.insert(instance.clone(), placed.generation);
            out.durable(Record::Fence { instance: instance.clone(), generation: placed.generation });
        }
        let mut local = Box::new(Local::new(*placed, kind));
        local.follow_pushes(pushes(ledger, instance));
        self.follow_imports(instance, &mut local, ledger);
        Some(local)
    }

    /// The same generation in a newer version: only attributes differ, and they are told.
    fn follow_version(&mut self, instance: &InstanceId, local: &mut Local, ledger: &Ledger, out: &mut Out) {
        let placed = ledger.target.instances.get(instance).filter(|_| local.wanted);
        let Some(placed) = placed.filter(|placed| placed.version != local.placed.version) else { return };
        let Some(kind) = self.kinds.of(instance, placed.version, ledger) else { return };
        local.placed = *placed;
        if local.begun && kind.component.attributes != local.kind.component.attributes {
            local.notify_due |= kind.net.notify.is_some();
            local.values_changed = true;
            let (run, attributes) = (local.run(instance), kind.component.attributes.clone());
            out.effect(Effect::SetAttributes { run, attributes });
        }
        local.kind = kind;
    }

    /// Sends what waits for the peers and the coordinator.
    pub(crate) fn flush(&mut self, coordinator: Option<(NodeId, Term)>, now: Time, out: &mut Out) {
        self.record_target(out);
        self.peers.flush(now, out);
        // This node's own coordinator reads the report where it is.
        let coordinator = coordinator.filter(|(node, _)| *node != self.me);
        self.reporter.flush(coordinator, self.target, now, out);
    }

    /// The nodes of whatever is used here or uses what is here, and those to whom something is still to be said.
    pub(crate) fn counterparts(&self) -> impl Iterator<Item = NodeId> {
        let uses = self.uses.values().map(|used| used.node);
        let users = self.users.keys().map(|(node, _)| *node);
        uses.chain(users).chain(self.peers.spoken_to())
    }

    /// What is older than the newest target that was followed is not begun after a restart either.
    fn record_target(&mut self, out: &mut Out) {
        if self.recorded < self.followed {
            self.recorded = self.followed;
            out.durable(Record::Target { revision: self.followed });
        }
    }

    /// The coordinator has a report.
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

    /// Every instance of this node: for checks in tests and the simulator.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        self.instances.iter().map(|(instance, local)| InstanceView::of(instance, local))
    }
}

/// What the target in force wants an instance to execute beyond `deploy`.
fn pushes<'a>(ledger: &'a Ledger, instance: &InstanceId) -> &'a [Push] {
    ledger.target.pushes.get(instance).map_or(&[], Vec::as_slice)
}
