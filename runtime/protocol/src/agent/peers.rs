//! The channels of an agent to the agents of other nodes, and the durable session number that they share.
//!
//! The content of the messages is not looked at. `channel` has the protocol of one channel.

use crate::channel::{Arrival, Channel};
use crate::ledger::Ledger;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use crate::turn::Effect;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::message::{AgentMessage, Frame, Message};
use rhizo_types::wire::Record;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Peers {
    session: u64,
    /// Whether the session number was handed out to be made durable.
    recorded: bool,
    channels: BTreeMap<NodeId, Channel>,
    /// Peers with a link. One of them has no channel yet while the roster is behind the overlay.
    linked: BTreeSet<NodeId>,
    /// Peers whose channels may have a frame to send.
    active: BTreeSet<NodeId>,
}

impl Peers {
    pub(super) fn new(session: u64) -> Self {
        Self {
            session,
            recorded: false,
            channels: BTreeMap::new(),
            linked: BTreeSet::new(),
            active: BTreeSet::new(),
        }
    }

    /// Takes over the roster; returns the peers that are no longer members.
    pub(super) fn follow(&mut self, ledger: &Ledger, me: NodeId) -> Vec<NodeId> {
        let is_member = |node: &NodeId| ledger.members.contains_key(node);
        let mut gone: Vec<NodeId> = self.channels.keys().copied().filter(|node| !is_member(node)).collect();
        if sabotage::is(Sabotage::RemembersTheDead) {
            gone.clear();
        }
        for node in &gone {
            self.channels.remove(node);
            self.active.remove(node);
        }
        for node in ledger.members.keys().filter(|node| **node != me) {
            if !self.channels.contains_key(node) {
                let mut channel = Channel::new(self.session);
                if self.linked.contains(node) {
                    channel.link_up();
                    self.active.insert(*node);
                }
                self.channels.insert(*node, channel);
            }
        }
        gone
    }

    pub(super) fn link_up(&mut self, peer: NodeId) {
        self.linked.insert(peer);
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.link_up();
            self.active.insert(peer);
        }
    }

    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.linked.remove(&peer);
        if let Some(channel) = self.channels.get_mut(&peer) {
            channel.link_down();
        }
    }

    /// Takes in a frame; none when the sender is not a member by this node's roster.
    pub(super) fn receive(&mut self, from: NodeId, frame: Frame, now: Time) -> Option<Arrival> {
        let channel = self.channels.get_mut(&from)?;
        self.active.insert(from);
        Some(channel.receive(frame, now))
    }

    /// Queues a message. A peer without a channel is no longer a member, and the message is dropped.
    pub(super) fn push(&mut self, to: NodeId, message: AgentMessage) {
        if let Some(channel) = self.channels.get_mut(&to) {
            channel.push(message);
            self.active.insert(to);
        }
    }

    pub(super) fn flush(&mut self, now: Time, out: &mut Out) {
        if !self.recorded {
            // Peers recognise a restarted agent by its higher session, so no session may be used twice.
            out.durable(Record::Session { session: self.session });
            self.recorded = true;
        }
        let due = self.channels.iter().filter(|(_, channel)| channel.deadline().is_some_and(|at| at <= now));
        let due: Vec<NodeId> = due.map(|(node, _)| *node).collect();
        self.active.extend(due);
        for node in std::mem::take(&mut self.active) {
            let Some(channel) = self.channels.get_mut(&node) else { continue };
            while let Some(frame) = channel.frame(now) {
                out.effect(Effect::Send { to: node, message: Message::Channel(frame) });
            }
        }
    }

    /// Peers with unacknowledged messages.
    pub(super) fn spoken_to(&self) -> impl Iterator<Item = NodeId> {
        let waits = |(_, channel): &(&NodeId, &Channel)| channel.unacknowledged().next().is_some();
        self.channels.iter().filter(waits).map(|(node, _)| *node)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.channels.values().fold(None, |deadline, channel| earlier(deadline, channel.deadline()))
    }

    pub(super) fn sessions(&self, peer: NodeId) -> (u64, u64) {
        (self.session, self.channels.get(&peer).map_or(0, Channel::peer_session))
    }

    /// Takes out the queued messages, for an agent that is model-checked without channels.
    pub(super) fn take_queued(&mut self) -> Vec<(NodeId, AgentMessage)> {
        self.active.clear();
        let channels = self.channels.iter_mut();
        channels.flat_map(|(node, channel)| channel.take_queued().map(|message| (*node, message))).collect()
    }

    /// The unacknowledged messages to a peer's agent, for checks in tests and the simulator.
    pub(super) fn unacknowledged(&self, to: NodeId) -> impl Iterator<Item = &AgentMessage> {
        self.channels.get(&to).into_iter().flat_map(Channel::unacknowledged)
    }
}
