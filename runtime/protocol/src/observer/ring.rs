//! The observers of each node: a pure function of the roster, the same on every node.
//!
//! A subject has up to [`OBSERVERS`] observers, in the order of a hash of (subject, observer), so that one change of
//! the roster changes few pairs (rendezvous hashing). At most half of them share the subject's provider while there
//! are others, so that the loss of a provider is seen from outside it.

use crate::ledger::{Ledger, Member};
use rhizo_types::id::{NodeId, ProviderName};
use std::collections::{BTreeMap, BTreeSet};

/// Observers per node. At most half of them are lost with one provider, so that four are left to agree.
pub const OBSERVERS: usize = 8;
/// Up to this many members every node has a link to every other one: 15 links cost less than choosing among them.
pub const FULL_MESH_MAX: usize = 16;

/// The observers of `subject`, in order of preference.
#[must_use]
pub fn observers_of(ledger: &Ledger, subject: NodeId) -> Vec<NodeId> {
    let Some(own) = ledger.members.get(&subject) else { return Vec::new() };
    let mut others: Vec<(u64, NodeId, bool)> = ledger
        .members
        .iter()
        .filter(|(node, _)| **node != subject)
        .map(|(node, member)| (mix(subject, *node), *node, member.record.provider == own.record.provider))
        .collect();
    others.sort_unstable();
    let mut chosen: Vec<NodeId> = Vec::with_capacity(OBSERVERS);
    let outside = others.iter().filter(|(_, _, same)| !same).take(OBSERVERS / 2);
    chosen.extend(outside.map(|(_, node, _)| *node));
    for (_, node, _) in &others {
        if chosen.len() >= OBSERVERS {
            break;
        }
        if !chosen.contains(node) {
            chosen.push(*node);
        }
    }
    chosen
}

/// The nodes that `observer` observes.
#[must_use]
pub fn subjects_of(ledger: &Ledger, observer: NodeId) -> BTreeSet<NodeId> {
    if ledger.members.len() <= OBSERVERS + 1 {
        return ledger.members.keys().copied().filter(|node| *node != observer).collect();
    }
    let Some(own) = ledger.members.get(&observer) else { return BTreeSet::new() };
    let mut sizes: BTreeMap<&ProviderName, usize> = BTreeMap::new();
    for member in ledger.members.values() {
        *sizes.entry(&member.record.provider).or_default() += 1;
    }
    let subjects = ledger.members.iter().filter(|(subject, member)| {
        let provider = &member.record.provider;
        let outside = ledger.members.len() - sizes.get(provider).copied().unwrap_or_default();
        **subject != observer && observes(ledger, (observer, own), **subject, provider, outside)
    });
    subjects.map(|(subject, _)| *subject).collect()
}

/// Whether `observer` is one of [`observers_of`] a subject that `outside` members of other providers could observe.
///
/// It counts the members that precede the observer in the subject's order, up to those that settle the answer: a node
/// does this for every member after each change of the roster.
fn observes(
    ledger: &Ledger,
    (observer, own): (NodeId, &Member),
    subject: NodeId,
    provider: &ProviderName,
    outside: usize,
) -> bool {
    let place = (mix(subject, observer), observer);
    let reserved = outside.min(OBSERVERS / 2);
    let is_outside = own.record.provider != *provider;
    let (mut before, mut before_outside) = (0, 0);
    for (node, member) in &ledger.members {
        if *node == subject || (mix(subject, *node), *node) >= place {
            continue;
        }
        before += 1;
        before_outside += usize::from(member.record.provider != *provider);
        let takes_reserved = is_outside && before_outside < OBSERVERS / 2;
        if !takes_reserved && reserved + before - before_outside.min(reserved) >= OBSERVERS {
            return false;
        }
    }
    true
}

/// The members that `me` keeps links to.
#[must_use]
pub fn links_of(ledger: &Ledger, me: NodeId, subjects: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let log_holders = || ledger.voters.iter().chain(&ledger.learners).copied();
    let everyone = ledger.members.len() <= FULL_MESH_MAX || log_holders().any(|node| node == me);
    let mut links: BTreeSet<NodeId> = if everyone {
        ledger.members.keys().copied().collect()
    } else {
        log_holders().chain(observers_of(ledger, me)).chain(subjects.iter().copied()).collect()
    };
    links.retain(|node| *node != me && ledger.members.contains_key(node));
    links
}

/// A hash of an ordered pair (the finaliser of splitmix64, Steele et al. 2014).
fn mix(subject: NodeId, observer: NodeId) -> u64 {
    let mut value = subject.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ observer.0.rotate_left(32);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rhizo_types::id::{PeerKey, ProviderName, RegionName};
    use rhizo_types::ledger::MemberRecord;

    pub(in super::super) fn roster(count: u64, providers: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for id in 1..=count {
            let provider = ProviderName(format!("p{}", id % providers));
            let record = MemberRecord {
                key: PeerKey([id as u8; 32]),
                addresses: vec![],
                provider,
                region: RegionName::from("r"),
                intent: None,
            };
            ledger.members.insert(NodeId(id), Member { record, draining: false });
        }
        ledger
    }

    #[test]
    fn everyone_is_observed_by_as_many_as_there_are() {
        for count in [2, 3, 9, 40] {
            let ledger = roster(count, 3);
            for node in ledger.members.keys() {
                let observers = observers_of(&ledger, *node);
                let distinct: BTreeSet<_> = observers.iter().collect();
                assert_eq!(observers.len(), OBSERVERS.min(count as usize - 1));
                assert_eq!(distinct.len(), observers.len());
                assert!(!observers.contains(node));
            }
        }
    }

    #[test]
    fn half_of_the_observers_are_of_other_providers() {
        let ledger = roster(60, 2);
        for (node, member) in &ledger.members {
            let outside = observers_of(&ledger, *node)
                .iter()
                .filter(|o| ledger.members[o].record.provider != member.record.provider)
                .count();
            assert!(outside >= OBSERVERS / 2);
        }
    }

    #[test]
    fn a_lost_member_changes_few_pairs() {
        let before = roster(60, 3);
        let mut after = before.clone();
        after.members.remove(&NodeId(7));
        let changed = after
            .members
            .keys()
            .filter(|node| {
                let old: BTreeSet<_> = observers_of(&before, **node).into_iter().collect();
                let new: BTreeSet<_> = observers_of(&after, **node).into_iter().collect();
                old != new
            })
            .count();
        assert!(changed <= 24, "{changed} of 59 subjects have new observers");
    }

    #[test]
    fn subjects_and_observers_are_two_views_of_one_relation() {
        for (count, providers) in [(5, 1), (10, 1), (10, 9), (12, 11), (30, 3), (60, 2), (60, 1)] {
            let ledger = roster(count, providers);
            for observer in ledger.members.keys() {
                let subjects = subjects_of(&ledger, *observer);
                for subject in ledger.members.keys() {
                    let observes = observers_of(&ledger, *subject).contains(observer);
                    assert_eq!(subjects.contains(subject), observes, "{observer} and {subject} of {count}");
                }
            }
        }
    }
}
