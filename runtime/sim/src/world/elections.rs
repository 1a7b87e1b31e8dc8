//! The log in the world: elections, commits, replication, and the log status that each process receives.
//!
//! The log itself is [`crate::consensus`].

use super::{Happening, World};
use crate::consensus::Pending;
use crate::fault::Fault;
use crate::{check, failure_policy, homes};
use rand::RngExt;
use rhizo_protocol::{Event, LogStatus, MembershipChange, ProposeResult};
use rhizo_types::id::NodeId;
use rhizo_types::message::LogEntry;
use rhizo_types::{Term, Time};
use std::collections::BTreeSet;

impl World {
    /// Returns true if a node reaches a majority of the voters, and of the voters of a change under way.
    pub(crate) fn has_quorum(&self, node: NodeId) -> bool {
        let majority = |voters: &BTreeSet<NodeId>| {
            let reached = voters.iter().filter(|voter| {
                **voter == node || (self.is_awake(**voter) && self.network.both_pass(node, **voter))
            });
            reached.count() * 2 > voters.len()
        };
        // While a change is incomplete, nothing is committed without a majority of both configurations.
        let voters = self.log.voters.contains(&node) && majority(&self.log.voters);
        self.is_awake(node) && voters && self.log.next_voters().is_none_or(majority)
    }

    pub(super) fn barrier(&self, node: NodeId, life: u64) -> bool {
        let applied = self.processes.get(&node).and_then(|p| p.core.as_ref()).map_or(0, |c| c.ledger().index);
        let same = self.life(node) == life && self.log.leader == Some(node);
        same && self.has_quorum(node) && applied == self.log.last()
    }

    pub(super) fn pump(&mut self, again: bool) {
        if again {
            self.later(100_000, Happening::Pump { again });
        }
        match self.log.leader {
            Some(leader) if self.has_quorum(leader) => {
                self.log.without_quorum = None;
                if self.mishap(0.0005, Fault::LeaderLost) {
                    self.elect(None);
                }
            }
            Some(_) | None => {
                let since = *self.log.without_quorum.get_or_insert(self.now);
                if self.now.ms_since(since) >= 300 {
                    self.elect(None);
                }
            }
        }
        if self.log.change.is_some() {
            let life = self.log.change.as_ref().map_or(0, |(node, ..)| self.life(*node));
            self.later(1_000, Happening::Change { life });
        }
        self.replicate();
        self.tell_status();
    }

    /// Makes a voter with a majority the leader of a new term.
    pub(crate) fn elect(&mut self, wish: Option<NodeId>) {
        let mut fit: Vec<NodeId> =
            self.log.voters.iter().copied().filter(|node| self.has_quorum(*node)).collect();
        if let Some(wish) = wish {
            fit.retain(|node| *node == wish);
        }
        if fit.is_empty() {
            return;
        }
        let leader = fit[self.rng.random_range(0..fit.len())];
        // The successor may find its predecessor's last proposals in its log, or may not.
        for (term, entry) in std::mem::take(&mut self.log.orphans) {
            if self.rng.random_bool(0.5) {
                self.log.commit_as(term, entry);
            } else {
                self.coverage.fired(Fault::UnknownDropped);
            }
        }
        self.log.term = self.log.term.next();
        self.log.leader = Some(leader);
        self.log.change = None;
        self.log.without_quorum = None;
        self.log.commit(LogEntry::Blank);
        let term = self.log.term;
        self.say(|| format!("-- {leader} leads term {term}"));
        self.later(1_000, Happening::Pump { again: false });
    }

    pub(super) fn resolve(&mut self, pending: Pending) {
        let (to, life, id) = (pending.by, pending.life, pending.id);
        let leads = self.log.leader == Some(to) && self.log.term == pending.term;
        let event = |result| Event::Proposed { id, result };
        if !leads {
            // The proposal was appended by a leader that is lost, or never appended.
            let appended = pending.term != Term::ZERO && self.rng.random_bool(0.5);
            let result = if appended { ProposeResult::Unknown } else { ProposeResult::Refused };
            if appended && pending.term < self.log.term {
                // The term of the proposal is over, and the successor has decided against it.
                self.coverage.fired(Fault::UnknownDropped);
            } else if appended {
                self.log.orphans.push((pending.term, pending.entry));
            }
            return self.deliver(to, life, event(result));
        }
        if !self.has_quorum(to) {
            self.log.orphans.push((pending.term, pending.entry));
            return self
                .later(500_000, Happening::Deliver { to, life, event: event(ProposeResult::Unknown) });
        }
        if let Some(violation) = check::before_commit(self, &pending.entry) {
            self.violation.get_or_insert(violation);
        }
        let before_micros = self.log.truth.spending_micros();
        let homes = self.log.truth.homes.clone();
        let (index, applied) = self.log.commit(pending.entry.clone());
        self.say(|| format!("-- committed {index}: {applied:?}"));
        if self.violation.is_none() {
            self.violation = check::after_commit(self, before_micros, &pending.entry)
                .or_else(|| homes::after_commit(&homes, &self.log.truth))
                .or_else(|| {
                    failure_policy::after_commit(&mut self.failures, &self.log.truth, &pending.entry)
                });
        }
        let unknown = self.mishap(0.03, Fault::UnknownCommitted);
        let result = if unknown { ProposeResult::Unknown } else { ProposeResult::Committed { index } };
        self.replicate();
        self.later(1_000, Happening::Deliver { to, life, event: event(result) });
    }

    pub(super) fn change_membership(&mut self, life: u64) {
        let Some((by, term, change)) = self.log.change.clone() else { return };
        let leads = self.log.leader == Some(by) && self.log.term == term && self.has_quorum(by);
        if !leads {
            return;
        }
        if let MembershipChange::SetVoters(voters) = &change {
            let reached =
                voters.iter().filter(|voter| self.is_awake(**voter) && self.network.both_pass(by, **voter));
            if reached.count() * 2 <= voters.len() {
                return;
            }
            if let Some(violation) = check::before_voters(voters) {
                self.violation.get_or_insert(violation);
            }
        }
        self.log.change = None;
        self.log.change_membership(change);
        let done = !self.mishap(0.1, Fault::MembershipUnknown);
        self.replicate();
        self.tell_status();
        self.later(1_000, Happening::Deliver { to: by, life, event: Event::MembershipChanged { done } });
    }

    pub(super) fn replicate(&mut self) {
        let Some(leader) = self.log.leader else { return };
        if !self.has_quorum(leader) {
            return;
        }
        let holders: BTreeSet<NodeId> = self.log.holders().collect();
        for node in holders {
            if node != leader && !self.network.both_pass(leader, node) || !self.is_awake(node) {
                continue;
            }
            let Some(process) = self.processes.get(&node) else { continue };
            let (life, sent) = (process.life, process.sent);
            if sent >= self.log.last() {
                continue;
            }
            let us = if node == leader {
                500
            } else if self.mishap(0.02, Fault::LateApply) {
                1_000_000
            } else {
                self.delay() + 500
            };
            // A node's engine applies entries in order, independent of the leader that sent them.
            let at = self.network.in_order(node, node, Time(self.now.0 + us));
            let behind = sent < self.log.base;
            let from = usize::try_from(sent.saturating_sub(self.log.base)).unwrap_or(usize::MAX);
            let entries: Vec<_> = self.log.entries[from..].to_vec();
            // A node that is far behind gets a snapshot, as an engine would send it.
            if behind || entries.len() > 200 {
                let ledger = Box::new(self.log.truth.clone());
                self.at(at, Happening::Deliver { to: node, life, event: Event::Restored(ledger) });
            } else {
                for entry in entries {
                    let event = Event::Committed { index: entry.index, term: entry.term, entry: entry.entry };
                    self.at(at, Happening::Deliver { to: node, life, event });
                }
            }
            let last = self.log.last();
            if let Some(process) = self.processes.get_mut(&node) {
                process.sent = last;
            }
        }
    }

    pub(super) fn tell_status(&mut self) {
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        let holders: BTreeSet<NodeId> = self.log.holders().collect();
        for node in nodes {
            if !self.is_awake(node) || !(holders.contains(&node) || self.processes[&node].told.is_some()) {
                continue;
            }
            let status = self.status_of(node, &holders);
            let Some(process) = self.processes.get_mut(&node) else { continue };
            if process.told.as_ref() != Some(&status) {
                process.told = Some(status.clone());
                let life = process.life;
                self.deliver(node, life, Event::LogStatus(status));
            }
        }
    }

    pub(super) fn status_of(&self, node: NodeId, holders: &BTreeSet<NodeId>) -> LogStatus {
        let log = &self.log;
        let reached = log.leader.filter(|leader| {
            *leader == node || (self.network.both_pass(*leader, node) && self.has_quorum(*leader))
        });
        let Some(leader) = reached.filter(|_| holders.contains(&node)) else {
            // A node without a leader knows only its last status. A former leader still believes that it leads,
            // without a quorum.
            let mut old =
                self.processes.get(&node).and_then(|process| process.told.clone()).unwrap_or_default();
            old.quorum = false;
            // Some engines report the loss at once, others only after some time: half of the seeds each.
            if old.leader != Some(node) || self.seed.is_multiple_of(2) {
                old.leader = None;
            }
            return old;
        };
        let applied = |node: &NodeId| {
            let core = self.processes.get(node).and_then(|process| process.core.as_ref());
            core.map_or(0, |core| core.ledger().index)
        };
        let matched =
            holders.iter().filter(|holder| leader == node && **holder != node && self.is_awake(**holder));
        let mut voters = log.voters.clone();
        voters.extend(log.next_voters().into_iter().flatten());
        LogStatus {
            term: log.term,
            leader: Some(leader),
            quorum: self.has_quorum(leader),
            // Only the leader needs the index. The rounding avoids a new status for every entry.
            last_index: if leader == node { log.last() } else { 0 },
            voters,
            changing: log.change.is_some(),
            learners: log.learners.clone(),
            matched: matched.map(|holder| (*holder, applied(holder))).collect(),
            unwritable: BTreeSet::new(),
        }
    }
}
