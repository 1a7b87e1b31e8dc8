//! One state of the model.
//!
//! Hosts, ledgers and messages are shared between states and compared by fingerprint, so a state is small and a step
//! copies little. Steps are in [`super::step`].

use super::host::Host;
use super::truth::{self, Known};
use crate::fingerprint::{Fingerprint, Shared};
use crate::scenario::Scenario;
use rhizo_types::id::NodeId;
use rhizo_types::message::AgentMessage;
use std::collections::VecDeque;

/// The condition of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Life {
    /// Not a member yet.
    Absent,
    /// Running and connected.
    Up,
    /// Crashed, and its death is not committed yet.
    Silent,
    /// Running, but partitioned from all other hosts.
    Isolated,
    /// Ended: nothing runs there.
    Gone,
}

/// The content of a channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// A message.
    Message(Shared<AgentMessage>),
    /// Notice that the sender's agent is a new one. Everything before it in the channel may be lost.
    Reset,
}

/// One state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// The committed ledger.
    pub truth: Known,
    /// Distinguishable ledgers, from the oldest that any node still has to the newest.
    pub history: Vec<Known>,
    /// Number of wishes that were made.
    pub wishes: u8,
    /// Number of faults that have occurred.
    pub faults: u8,
    /// The hosts; none before they join.
    pub hosts: Vec<Option<Shared<Host>>>,
    /// The condition of each host.
    pub lives: Vec<Life>,
    /// Channels from each host to each other host.
    pub queues: Vec<VecDeque<Item>>,
    /// Bit `from * hosts + to` is set once the agent of `from` has exchanged messages with that of `to`.
    met: u64,
}

impl State {
    pub(super) fn begin(scenario: &Scenario) -> Self {
        let truth = Shared::new(truth::begin(scenario));
        let later: u8 = scenario.wishes.iter().map(|wish| wish.joins).sum();
        let count = usize::from(scenario.hosts + later);
        let mut state = Self {
            truth: truth.clone(),
            history: vec![truth],
            wishes: 0,
            faults: 0,
            hosts: vec![None; count],
            lives: vec![Life::Absent; count],
            queues: vec![VecDeque::new(); count * count],
            met: 0,
        };
        state.join(scenario.hosts);
        state
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint =
            self.truth.fingerprint().number(u64::from(self.wishes)).number(u64::from(self.faults));
        fingerprint = fingerprint.number(self.met);
        for ledger in &self.history {
            fingerprint = fingerprint.then(ledger.fingerprint());
        }
        for (host, life) in self.hosts.iter().zip(&self.lives) {
            fingerprint = fingerprint
                .number(*life as u64)
                .then(host.as_ref().map_or(Fingerprint::default(), Shared::fingerprint));
        }
        for queue in &self.queues {
            fingerprint = fingerprint.number(queue.len() as u64);
            for item in queue {
                fingerprint = match item {
                    Item::Message(message) => fingerprint.then(message.fingerprint()),
                    Item::Reset => fingerprint.number(1),
                };
            }
        }
        fingerprint
    }

    /// The host of a node.
    #[must_use]
    pub fn host_of(&self, node: NodeId) -> Option<usize> {
        self.hosts.iter().position(|host| host.as_ref().is_some_and(|host| host.me() == node))
    }

    /// Hosts that work, with their numbers.
    pub fn working(&self) -> impl Iterator<Item = (usize, &Shared<Host>)> {
        let hosts = self.hosts.iter().zip(&self.lives).enumerate();
        hosts
            .filter(|(_, (_, life))| **life == Life::Up)
            .filter_map(|(at, (host, _))| Some((at, host.as_ref()?)))
    }

    /// The position of a channel in `queues`.
    #[must_use]
    pub fn way(&self, from: usize, to: usize) -> usize {
        from * self.hosts.len() + to
    }

    pub(super) fn queue(&mut self, from: usize, to: usize) -> &mut VecDeque<Item> {
        let way = self.way(from, to);
        &mut self.queues[way]
    }

    /// Whether the agent of `one` has exchanged messages with that of `other`.
    pub(super) fn has_met(&self, one: usize, other: usize) -> bool {
        self.met >> self.way(one, other) & 1 == 1
    }

    /// Records a delivered message: messages are delivered only after both agents know each other.
    pub(super) fn meet(&mut self, one: usize, other: usize) {
        self.met |= 1 << self.way(one, other) | 1 << self.way(other, one);
    }

    /// The next absent hosts become members, by the ledger in force.
    pub(super) fn join(&mut self, count: u8) {
        for _ in 0..count {
            let Some(host) = self.lives.iter().position(|life| *life == Life::Absent) else { return };
            let number = u8::try_from(host).unwrap_or(u8::MAX);
            let Some(node) = truth::node_of(&self.truth, number) else { return };
            let ledger = self.history.last().unwrap_or(&self.truth);
            self.hosts[host] = Some(Shared::new(Host::new(node, ledger)));
            self.lives[host] = Life::Up;
        }
    }

    /// Puts a ledger in force.
    pub(super) fn commit(&mut self, truth: Known, keep_all: bool) {
        let last = self.history.last().map(|ledger| truth::as_agents_see(ledger));
        if last != Some(truth::as_agents_see(&truth)) {
            self.history.push(truth.clone());
        }
        self.truth = truth;
        self.trim(keep_all);
    }

    /// Drops ledgers older than that of every running node.
    pub(super) fn trim(&mut self, keep_all: bool) {
        if keep_all {
            return;
        }
        let last = self.history.len() - 1;
        let positions = self.hosts.iter().zip(&self.lives).filter(|(_, life)| **life == Life::Up);
        let positions = positions.filter_map(|(host, _)| {
            let known = &host.as_ref()?.ledger;
            self.history.iter().position(|ledger| ledger == known)
        });
        let oldest = positions.min().unwrap_or(last);
        self.history.drain(..oldest);
    }

    /// The ledgers that a host has not learnt yet, oldest first.
    #[must_use]
    pub fn ahead_of(&self, host: &Host) -> &[Known] {
        let position = self.history.iter().position(|ledger| *ledger == host.ledger);
        position.map_or(&[], |position| &self.history[position + 1..])
    }

    /// The oldest ledger with which a host's node may restart.
    pub(super) fn oldest_for(&self, host: &Host) -> Option<Known> {
        self.history.iter().find(|ledger| ledger.members.contains_key(&host.me())).cloned()
    }

    /// Clears the channels to nodes that a newer ledger has removed from the roster.
    pub(super) fn forget_former(&mut self, host: usize, newer: &Known) {
        let Some(older) = self.hosts[host].as_ref().map(|host| host.ledger.clone()) else { return };
        for other in 0..self.hosts.len() {
            let former = self.hosts[other].as_ref().is_some_and(|other| {
                older.members.contains_key(&other.me()) && !newer.members.contains_key(&other.me())
            });
            if former {
                self.queue(host, other).clear();
                self.queue(other, host).clear();
            }
        }
    }

    /// Announces to all hosts that the agent of a host is a new one.
    pub(super) fn reset_channels(&mut self, host: usize) {
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            if matches!(self.lives[other], Life::Up | Life::Isolated) {
                self.queue(host, other).push_back(Item::Reset);
            }
            self.met &= !(1 << self.way(host, other));
        }
    }

    /// Ends crashed hosts that are no longer on the roster, since they need no more detection.
    pub(super) fn end_forgotten(&mut self) {
        for host in 0..self.hosts.len() {
            let node = self.hosts[host].as_ref().map(|host| host.me());
            let is_member = node.is_some_and(|node| self.truth.members.contains_key(&node));
            if self.lives[host] == Life::Silent && !is_member {
                self.end(host);
            }
        }
    }

    /// Ends a host: nothing runs there, and the channels to it are cleared.
    pub(super) fn end(&mut self, host: usize) {
        self.lives[host] = Life::Gone;
        let Some(known) = self.hosts[host].take() else { return };
        self.hosts[host] = Some(Shared::new(known.without_runs()));
        for other in 0..self.hosts.len() {
            self.queue(other, host).clear();
            let heard =
                self.hosts[other].as_ref().is_some_and(|it| it.ledger.members.contains_key(&known.me()));
            if !heard {
                self.queue(host, other).clear();
            }
        }
    }
}
