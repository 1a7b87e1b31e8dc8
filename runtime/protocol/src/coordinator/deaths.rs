//! When members are committed dead: enough of those who observe them, and can be heard, have lost them.
//!
//! Deaths are gathered for `batch_ms`, so that the loss of a provider is one decision. Nothing is released here:
//! the command moves the intents, and `hosts` follows them.

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
    /// When what has been gathered is proposed.
    commit_at: Option<Time>,
}

impl Deaths {
    pub(super) fn command(&mut self, view: View<'_>) -> Option<Command> {
        // Without a quorum this node is as likely cut off as they are. What it proposed now could be committed by its
        // successor, long after those it lost are heard again.
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

/// The members that are dead by the rule, each with those who lost it.
fn dead(view: View<'_>) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
    let alerted: BTreeSet<NodeId> = view.observer.alerted().collect();
    let hasty = sabotage::is(Sabotage::HastyDeath);
    // Only those that somebody lost are looked at more closely: with thousands of members that is what it costs.
    let members = view.ledger.members.keys().copied().filter(|node| *node != view.me);
    let lost = members.filter(|node| alerted.contains(node) || !view.observer.is_linked(*node) || hasty);
    let mut dead: BTreeMap<_, _> =
        lost.filter_map(|subject| Some((subject, witnesses(view, subject)?))).collect();
    spare_quorum(&mut dead, view);
    dead
}

/// Leaves out voters without whom the decision could not be committed: if it can be, they live.
///
/// Their death can be decided when the others that are lost have been replaced among the voters. Those that this
/// node heard last are spared first.
fn spare_quorum(dead: &mut BTreeMap<NodeId, BTreeSet<NodeId>>, view: View<'_>) {
    let suspects = view.observer.suspects();
    let reached =
        |node: &NodeId| *node == view.me || (view.observer.is_linked(*node) && !suspects.contains(node));
    // Those that are merely not reached cannot be counted on for the next decision either.
    let unreached: BTreeSet<NodeId> =
        view.ledger.voters.iter().copied().filter(|node| !reached(node)).collect();
    let keeps_quorum = |dead: &BTreeMap<NodeId, _>| view.ledger.keeps_quorum(dead.keys().chain(&unreached));
    while !sabotage::is(Sabotage::BuriesQuorum) && !keeps_quorum(dead) {
        let voters = dead.keys().copied().filter(|node| view.ledger.voters.contains(node));
        let spared = voters.max_by_key(|node| (view.observer.heard_at(*node), *node));
        let Some(spared) = spared else { return };
        dead.remove(&spared);
    }
}

/// Those who lost `subject`, if they are enough.
fn witnesses(view: View<'_>, subject: NodeId) -> Option<BTreeSet<NodeId>> {
    let timers = view.ledger.timers();
    let observers = observers_of(view.ledger, subject);
    if sabotage::is(Sabotage::HastyDeath) && view.observer.silent_for(subject, 1_500, view.now) {
        return Some(BTreeSet::from([view.me]));
    }
    // What this node hears itself outweighs any alert.
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
        // Nobody who observes it is left: this node's own silence has to do.
        let silence_ms = timers.silence_ms + timers.confirm_ms;
        return view.observer.silent_for(subject, silence_ms, view.now).then(|| BTreeSet::from([view.me]));
    }
    let alerts = view.observer.alerts_about(subject, view.now, &timers);
    let witnesses: BTreeSet<NodeId> = alerts.intersection(&heard).copied().collect();
    // H of K: half of the observers that can be heard, at least one.
    (witnesses.len() >= heard.len().div_ceil(2)).then_some(witnesses)
}
