//! Declaring members dead: when at least half of a member's observers that the coordinator hears no longer hear it.
//!
//! Deaths are collected for `batch_ms`, so that the loss of a provider is one decision. No host is released here: the
//! command changes the intents, and `hosts` follows them.

use super::View;
use crate::observer::HEARD_BY_COORDINATOR_MAX;
use crate::observer::ring::observers_of;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::Command;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Deaths {
    /// When the collected deaths are proposed.
    commit_at: Option<Time>,
}

impl Deaths {
    pub(super) fn command(&mut self, view: View<'_>) -> Option<Command> {
        // Without a quorum this node may itself be cut off. A successor could commit such a proposal long after the
        // members in it are heard again.
        let nodes = if view.log.quorum { dead(view) } else { BTreeMap::new() };
        if nodes.is_empty() {
            self.commit_at = None;
            return None;
        }
        let batch_ms = view.ledger.timers().batch_ms;
        let commit_at = *self.commit_at.get_or_insert(view.now.after_ms(batch_ms));
        if view.now < commit_at {
            return None;
        }
        self.commit_at = None;
        Some(Command::Dead { nodes })
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.commit_at
    }
}

/// Returns the members to declare dead, each with the observers that lost it.
fn dead(view: View<'_>) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
    let alerted: BTreeSet<NodeId> = view.observer.alerted().collect();
    let hasty = sabotage::is(Sabotage::HastyDeath);
    // Only members that an observer has lost, or that have no link, are examined: with thousands of members, ranking
    // the observers of each would cost too much.
    let members = view.ledger.members.keys().copied().filter(|node| *node != view.me);
    let lost = members.filter(|node| alerted.contains(node) || !view.observer.is_linked(*node) || hasty);
    let mut dead: BTreeMap<_, _> =
        lost.filter_map(|subject| Some((subject, witnesses(view, subject)?))).collect();
    spare_quorum(&mut dead, view);
    dead
}

/// Leaves out voters whose votes the decision needs: if it can be committed, they are alive.
///
/// They can be declared dead when the other lost voters have been replaced. Those that this node heard last are left
/// out first.
fn spare_quorum(dead: &mut BTreeMap<NodeId, BTreeSet<NodeId>>, view: View<'_>) {
    let suspects = view.observer.suspects();
    let reached =
        |node: &NodeId| *node == view.me || (view.observer.is_linked(*node) && !suspects.contains(node));
    // Voters that are not reached at present cannot be counted on for the next decision either.
    let unreached: BTreeSet<NodeId> =
        view.ledger.voters.iter().copied().filter(|node| !reached(node)).collect();
    let keeps_quorum = |dead: &BTreeMap<NodeId, _>| view.ledger.keeps_quorum(dead.keys().chain(&unreached));
    while !keeps_quorum(dead) {
        let voters = dead.keys().copied().filter(|node| view.ledger.voters.contains(node));
        let spared = voters.max_by_key(|node| (view.observer.heard_at(*node), *node));
        let Some(spared) = spared else { return };
        dead.remove(&spared);
    }
}

/// Returns the observers that lost `subject`, if they are enough to declare it dead.
fn witnesses(view: View<'_>, subject: NodeId) -> Option<BTreeSet<NodeId>> {
    let timers = view.ledger.timers();
    let observers = observers_of(view.ledger, subject);
    if sabotage::is(Sabotage::HastyDeath) && view.observer.silent_for(subject, 1_500, view.now) {
        return Some(BTreeSet::from([view.me]));
    }
    // A subject that this node hears itself is alive, although there are alerts.
    if view.observer.hears(subject) {
        return None;
    }
    let small = view.ledger.members.len() <= HEARD_BY_COORDINATOR_MAX;
    let is_heard = |node: &NodeId| {
        let silence_ms = if small { timers.silence_ms } else { u64::MAX };
        *node == view.me || view.observer.heard_within(*node, silence_ms, view.now)
    };
    let heard: BTreeSet<NodeId> = observers.into_iter().filter(is_heard).collect();
    if heard.is_empty() {
        // No observer of the subject is heard, so this node's own silence decides.
        let silence_ms = timers.silence_ms + timers.confirm_ms;
        return view.observer.silent_for(subject, silence_ms, view.now).then(|| BTreeSet::from([view.me]));
    }
    let alerts = view.observer.alerts_about(subject, view.now, &timers);
    let witnesses: BTreeSet<NodeId> = alerts.intersection(&heard).copied().collect();
    // Half of the observers that are heard, and at least one.
    (witnesses.len() >= heard.len().div_ceil(2)).then_some(witnesses)
}
