//! Messages and links between processes: delays, losses, dials, and links that are found to be dead.
//!
//! [`crate::network`] knows the directions that are cut.

use super::{Happening, World};
use crate::fault::Fault;
use rhizo_protocol::Event;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::message::Message;
use std::collections::BTreeSet;

impl World {
    pub(super) fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let Some(link) = self.network.link(from, to) else { return };
        if self.mishap(0.01, Fault::Loss) {
            return;
        }
        let us = self.delay();
        let mut at = Time(self.now.0 + us);
        let ordered = matches!(message, Message::Channel(_));
        if !ordered && self.mishap(0.02, Fault::Reorder) {
            at = Time(at.0 + 200_000);
        } else {
            at = self.network.in_order(from, to, at);
        }
        if self.mishap(0.01, Fault::Duplicate) {
            let again = Time(at.0 + 1_000);
            self.at(again, Happening::Arrive { from, to, link, message: message.clone() });
        }
        self.at(at, Happening::Arrive { from, to, link, message });
    }

    pub(super) fn want_links(&mut self, node: NodeId, peers: BTreeSet<NodeId>) {
        let old = self.network.wants.insert(node, peers.clone()).unwrap_or_default();
        for peer in peers.difference(&old) {
            self.later(500, Happening::Dial { from: node, to: *peer });
        }
        for peer in old.difference(&peers) {
            // The admission closes a link to a stranger, even if one of the two nodes wants it.
            if self.network.wants.get(peer).is_none_or(|wants| !wants.contains(&node))
                || !self.knows(node, *peer)
            {
                self.break_link(node, *peer);
            }
        }
    }

    pub(super) fn knows(&self, node: NodeId, peer: NodeId) -> bool {
        let core = self.processes.get(&node).and_then(|process| process.core.as_ref());
        core.is_some_and(|core| core.ledger().members.contains_key(&peer))
    }

    pub(super) fn dial(&mut self, from: NodeId, to: NodeId) {
        let wanted = self.network.wants.get(&from).is_some_and(|wants| wants.contains(&to));
        if !wanted || !self.is_up(from) || self.network.link(from, to).is_some() {
            return;
        }
        let again = |world: &mut Self| world.later(250_000, Happening::Dial { from, to });
        if !self.is_awake(from) {
            return again(self);
        }
        let life = self.life(from);
        let passes = self.network.both_pass(from, to);
        let silent = self.processes.get(&to).is_none_or(|process| process.silent);
        if !passes || silent {
            return again(self);
        }
        if !self.is_up(to) {
            self.deliver(from, life, Event::Unreachable { peer: to });
            return again(self);
        }
        if !self.is_awake(to) {
            return again(self);
        }
        if self.lineage(from) != self.lineage(to) {
            self.refuse_other_lineage(from, to);
            return again(self);
        }
        if !self.knows(to, from) {
            let departed = self.processes.get(&to).and_then(|process| process.core.as_ref());
            if departed.is_some_and(|core| core.ledger().departed.contains_key(&from)) {
                self.deliver(from, life, Event::Expelled { by: to });
            }
            return again(self);
        }
        self.network.connect(from, to);
        let other = self.life(to);
        self.deliver(from, life, Event::LinkUp { peer: to });
        self.deliver(to, other, Event::LinkUp { peer: from });
    }

    pub(crate) fn break_link(&mut self, one: NodeId, other: NodeId) {
        if !self.network.disconnect(one, other) {
            return;
        }
        for (node, peer) in [(one, other), (other, one)] {
            let life = self.life(node);
            self.later(1_000, Happening::Deliver { to: node, life, event: Event::LinkDown { peer } });
            self.later(60_000, Happening::Dial { from: node, to: peer });
        }
    }
}
