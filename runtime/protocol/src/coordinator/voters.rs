//! The choice of voters: 1, 3 or 5 members, spread over providers and near each other. One joint change replaces
//! them.
//!
//! The group never stays at 2 or 4 voters. It grows to three as soon as two other members have caught up. A lost
//! voter is replaced as soon as a learner has caught up. Every other change waits until the choice was the same for
//! `stabilise_ms`. A leader that has to leave transfers the leadership first. A member whose disk cannot be written
//! does not vote if there are enough others: it acknowledges nothing, so a second one could cost the group its quorum.

use super::leaving::leaving_nodes;
use super::{Coordinator, View};
use crate::bindings::latency_ms;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use crate::turn::{Effect, MembershipChange};
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::FOUNDER;
use std::collections::BTreeSet;

/// A learner whose log is at most this many entries behind has caught up (Consul's autopilot: 250).
const BEHIND_MAX: u64 = 250;
/// Number of learners that are kept ready to replace a voter.
const STANDBY: usize = 2;
/// Time after which a change without an answer counts as failed.
const CHANGE_MS: u64 = 10_000;
/// Pause after a failed change, and between two transfers of leadership.
const RETRY_MS: u64 = 1_000;

/// Returns the number of voters for this number of members.
#[must_use]
pub fn voters_wanted(members: usize) -> usize {
    if sabotage::is(Sabotage::AnyNumberOfVoters) {
        return members.clamp(1, 4);
    }
    match members {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Voters {
    /// The outstanding change counts as failed at this time. None if no change is outstanding.
    changing_until: Option<Time>,
    not_before: Time,
    /// The voters that this coordinator wants, and the time since which the set is unchanged.
    wish: (BTreeSet<NodeId>, Time),
}

impl Voters {
    pub(super) fn new(now: Time) -> Self {
        Self { changing_until: None, not_before: Time::ZERO, wish: (BTreeSet::new(), now) }
    }

    pub(super) fn changed(&mut self, done: bool, now: Time) {
        self.changing_until = None;
        if !done {
            self.not_before = now.after_ms(RETRY_MS);
        }
    }

    fn change(&mut self, change: MembershipChange, now: Time, out: &mut Out) {
        self.changing_until = Some(now.after_ms(CHANGE_MS));
        out.effect(Effect::ChangeMembership(change));
    }

    pub(super) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let stable = self.wish.1.after_ms(view.ledger.timers().stabilise_ms);
        let wish = (self.wish.0 != view.log.voters).then_some(stable);
        let retry = (self.not_before > view.now).then_some(self.not_before);
        earlier(self.changing_until, earlier(wish.filter(|at| *at > view.now), retry))
    }
}

/// Returns the members that may vote, and whether this node is to give up its vote.
fn pool(view: View<'_>) -> (BTreeSet<NodeId>, bool) {
    let ledger = view.ledger;
    if ledger.taking_down {
        // The last voter is the founder if it still takes part: its machine outlives every host.
        let founder = view.log.voters.contains(&FOUNDER) && view.observer.is_linked(FOUNDER);
        let last = if founder { FOUNDER } else { view.me };
        let emptied = ledger.target.instances.is_empty() && ledger.settled == ledger.target.revision;
        if emptied {
            return (BTreeSet::from([last]), last != view.me);
        }
    }
    let leaving = if ledger.taking_down { BTreeSet::new() } else { leaving_nodes(ledger) };
    let suspects = view.observer.suspects();
    let fit = ledger.members.keys().copied().filter(|node| {
        let reached = *node == view.me || (view.observer.is_linked(*node) && !suspects.contains(node));
        reached && !leaving.contains(node)
    });
    let fit: BTreeSet<NodeId> = fit.collect();
    let writable: BTreeSet<NodeId> = fit.difference(&view.log.unwritable).copied().collect();
    // Fewer voters would survive no more losses than these voters with one that cannot write.
    let are_enough = writable.len() >= voters_wanted(fit.len());
    if ledger.taking_down || !are_enough {
        return (fit, leaving.contains(&view.me));
    }
    let me_fails = view.log.unwritable.contains(&view.me);
    (writable, me_fails || leaving.contains(&view.me))
}

/// Returns the best voters. Present voters come first. Then come members that spread the group over providers, have a
/// low round-trip time to it, spread it over regions, and are old, in this order.
///
/// With three providers or more, no provider gets a majority, so that a quorum remains when one of them is lost. If
/// five voters cannot satisfy that, three are chosen.
fn wish(view: View<'_>, pool: &BTreeSet<NodeId>, size: usize) -> BTreeSet<NodeId> {
    let chosen = spread(view, pool, size);
    if size > 3 && chosen.len() < size { spread(view, pool, 3) } else { chosen }
}

fn spread(view: View<'_>, pool: &BTreeSet<NodeId>, size: usize) -> BTreeSet<NodeId> {
    let provider = |node: &NodeId| view.ledger.members.get(node).map(|member| &member.record.provider);
    let providers: BTreeSet<_> = pool.iter().filter_map(provider).collect();
    let share_max = if providers.len() >= 3 && size >= 3 { (size - 1) / 2 } else { size };
    let mut chosen: BTreeSet<NodeId> = view.log.voters.intersection(pool).copied().collect();
    // The youngest voter of a provider with too many is dropped first. This node is never dropped, because it leads.
    for each in &providers {
        let of_one = |node: &&NodeId| provider(node) == Some(*each);
        while chosen.iter().filter(of_one).count() > share_max {
            let youngest = chosen.iter().rev().filter(of_one).find(|node| **node != view.me).copied();
            let Some(youngest) = youngest else { break };
            chosen.remove(&youngest);
        }
    }
    while chosen.len() > size {
        let youngest = chosen.iter().rev().find(|node| **node != view.me).copied();
        let Some(youngest) = youngest else { break };
        chosen.remove(&youngest);
    }
    while chosen.len() < size {
        let fits = |node: &&NodeId| {
            let same = chosen.iter().filter(|other| provider(other) == provider(node)).count();
            !chosen.contains(*node) && same < share_max
        };
        let open = pool.iter().filter(fits);
        let Some(best) = open.min_by_key(|node| rank(view, &chosen, **node)).copied() else { break };
        chosen.insert(best);
    }
    chosen
}

fn rank(view: View<'_>, chosen: &BTreeSet<NodeId>, node: NodeId) -> (usize, bool, u64, usize, NodeId) {
    let members = &view.ledger.members;
    let Some(own) = members.get(&node).map(|member| &member.record) else {
        return (usize::MAX, true, u64::MAX, usize::MAX, node);
    };
    let others = || chosen.iter().filter_map(|other| members.get(other)).map(|member| &member.record);
    let provider = others().filter(|other| other.provider == own.provider).count();
    let distance_ms =
        others().map(|other| u64::from(latency_ms(view.latencies, &own.region, &other.region))).sum();
    let region = others().filter(|other| other.region == own.region).count();
    // A learner holds the log. Any other member would have to catch up first.
    (provider, !view.log.learners.contains(&node), distance_ms, region, node)
}

impl Coordinator {
    pub(super) fn advance_voters(&mut self, view: View<'_>, out: &mut Out) {
        // Before genesis there is no member to choose.
        if view.ledger.genesis.is_none() {
            return;
        }
        let busy = self.voters.changing_until.is_some_and(|until| view.now < until);
        let leads = view.log.leader == Some(view.me);
        if busy || !leads || view.now < self.voters.not_before {
            return;
        }
        self.voters.changing_until = None;
        if view.log.changing {
            return self.finish_change(view, out);
        }
        let (mut pool, me_leaves) = pool(view);
        let size = if view.ledger.taking_down && pool.len() == 1 { 1 } else { voters_wanted(pool.len()) };
        if me_leaves {
            if self.hand_over(&pool, view, out) {
                return;
            }
            // No voter can take over yet, so this node stays a voter until one can. A single other member gets the
            // only vote in one change.
            if size > 1 || pool.is_empty() {
                pool.insert(view.me);
            }
        }
        let wish = wish(view, &pool, size);
        if wish.is_empty() {
            return;
        }
        if wish != self.voters.wish.0 {
            self.voters.wish = (wish.clone(), view.now);
        }
        if wish == view.log.voters {
            self.keep_standby(&pool, view, out);
        } else if may_change(view, &wish) {
            self.approach(&wish, view, out);
        }
    }

    /// Completes a joint change whose leader lost its term before the change ended: proposes voters again. Until then
    /// every commit needs the majorities of both configurations.
    fn finish_change(&mut self, view: View<'_>, out: &mut Out) {
        let holders: BTreeSet<NodeId> = view.log.voters.union(&view.log.learners).copied().collect();
        let fit: BTreeSet<NodeId> = pool(view).0.intersection(&holders).copied().collect();
        let size = voters_wanted(fit.len());
        let wish = wish(view, &fit, size);
        if wish.len() == size && !wish.is_empty() {
            self.voters.not_before = view.now.after_ms(RETRY_MS);
            self.voters.change(MembershipChange::SetVoters(wish), view.now, out);
        }
    }

    /// Makes one step towards the wanted voters.
    fn approach(&mut self, wish: &BTreeSet<NodeId>, view: View<'_>, out: &mut Out) {
        let current = &view.log.voters;
        let new: Vec<NodeId> = wish.difference(current).copied().collect();
        if let Some(stranger) = new.iter().find(|node| !view.log.learners.contains(node)) {
            return self.voters.change(MembershipChange::AddLearner(*stranger), view.now, out);
        }
        // Present voters have to be caught up as well. A voter that no longer follows the log may be dead and not yet
        // suspected. A change that keeps it and removes a healthy voter could cost the group its majority for good.
        let caught_up = wish.iter().all(|node| *node == view.me || has_caught_up(view, *node));
        let stable = view.now >= self.voters.wish.1.after_ms(view.ledger.timers().stabilise_ms);
        let first = current.len() == 1 && wish.len() >= 3;
        let lost = current.iter().any(|node| !view.ledger.members.contains_key(node));
        let replaces = lost && wish.len() >= current.len();
        let leaving = view.ledger.taking_down || !leaving_nodes(view.ledger).is_disjoint(current);
        if caught_up && (stable || first || replaces || leaving) {
            self.voters.change(MembershipChange::SetVoters(wish.clone()), view.now, out);
        }
    }

    /// Transfers the leadership to a voter that stays. Returns false if there is none.
    fn hand_over(&mut self, pool: &BTreeSet<NodeId>, view: View<'_>, out: &mut Out) -> bool {
        let heirs = view.log.voters.iter().filter(|node| **node != view.me && pool.contains(node));
        let heir = heirs.filter(|node| has_caught_up(view, **node)).min();
        let Some(heir) = heir else { return false };
        self.voters.not_before = view.now.after_ms(RETRY_MS);
        out.effect(Effect::TransferLeadership { to: *heir });
        true
    }

    /// Keeps learners ready to replace a voter, and removes learners that are not needed.
    fn keep_standby(&mut self, pool: &BTreeSet<NodeId>, view: View<'_>, out: &mut Out) {
        let log = view.log;
        if let Some(gone) = log.learners.iter().find(|node| !pool.contains(node)) {
            return self.voters.change(MembershipChange::Remove(*gone), view.now, out);
        }
        let spare = pool.len().saturating_sub(log.voters.len()).min(STANDBY);
        let chosen = wish(view, pool, log.voters.len() + spare);
        let standby: BTreeSet<NodeId> = chosen.difference(&log.voters).copied().collect();
        if let Some(extra) = log.learners.difference(&standby).next().filter(|_| log.learners.len() > STANDBY)
        {
            self.voters.change(MembershipChange::Remove(*extra), view.now, out);
        } else if log.learners.len() < spare
            && log.voters.len() >= 3
            && let Some(new) = standby.difference(&log.learners).next()
        {
            self.voters.change(MembershipChange::AddLearner(*new), view.now, out);
        }
    }
}

fn has_caught_up(view: View<'_>, node: NodeId) -> bool {
    let matched = view.log.matched.get(&node).copied().unwrap_or(0);
    matched.saturating_add(BEHIND_MAX) >= view.log.last_index && matched > 0
}

/// Returns true if the voters may be changed to `wish`. The group shrinks to one voter only when every other voter
/// has left the roster or is linked. Voters that cannot be reached do not justify it: they may form a majority
/// elsewhere.
fn may_change(view: View<'_>, wish: &BTreeSet<NodeId>) -> bool {
    let current = &view.log.voters;
    let mut members = current.iter().filter(|node| view.ledger.members.contains_key(node));
    let unreached = members.any(|node| *node != view.me && !view.observer.is_linked(*node));
    let shrinks_to_one = wish.len() == 1 && current.len() > 1;
    view.ledger.taking_down || !(shrinks_to_one && unreached)
}
