//! Liveness as one node sees it: heartbeats, suspicions, and the alerts of other nodes.
//!
//! An observer never decides that a node is dead: the coordinator commits that when enough observers agree
//! (`coordinator::deaths`). Two events lead to a suspicion: a broken link whose redial is refused (fast), and silence
//! (slow). The observer then asks other nodes whether they hear the subject, and sends an alert only after
//! `confirm_ms`. A node that is woken late suspects itself first: it stretches its own timers (Lifeguard, arXiv
//! 1707.00788).

mod heartbeats;
pub mod ring;

use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::{Out, earlier};
use heartbeats::Heartbeats;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::Timers;
use rhizo_types::message::{Control, Heartbeat};
use rhizo_types::{Epoch, Time};
use std::collections::{BTreeMap, BTreeSet};

/// How many other nodes are asked about a suspect, as in SWIM's indirect probes: one answer may be lost, and one node
/// may share the observer's broken network.
const CHECKS: usize = 3;
/// In an overlay of at most this many members every node sends its heartbeats to the coordinator.
pub const HEARD_BY_COORDINATOR_MAX: usize = 64;
/// The most by which a node stretches its own timers (Lifeguard's bound).
const HEALTH_MAX: u64 = 8;
/// A wake-up that is later than this counts as a sign of an overloaded machine.
const LATE_MS: u64 = 300;
/// After this time without a late wake-up a node shortens its timers by one step.
const RECOVER_MS: u64 = 10_000;

/// One node's knowledge of which other nodes are alive.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Observer {
    me: NodeId,
    epoch: Epoch,
    /// The nodes that this node observes.
    subjects: BTreeSet<NodeId>,
    /// The nodes that observe this node.
    observers: Vec<NodeId>,
    links: BTreeMap<NodeId, Link>,
    /// Peers with a link, members or not yet: the overlay may know a new member before the ledger does.
    linked: BTreeSet<NodeId>,
    suspicions: BTreeMap<NodeId, Suspicion>,
    /// Subject → observer → when that observer's alert was last heard.
    alerts: BTreeMap<NodeId, BTreeMap<NodeId, Time>>,
    heartbeats: Heartbeats,
    /// The factor by which this node stretches its timers before it suspects others.
    health: u64,
    recover_at: Time,
}

/// The link to a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Link {
    up: bool,
    /// Whether there was a link before. Until there was one, a refused dial proves nothing: a new member may not listen
    /// yet.
    known: bool,
    /// Whether a redial was refused since the link broke.
    refused: bool,
    /// When a message last arrived over it, or when the member was first known.
    heard: Time,
}

/// A subject that this node no longer hears.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Suspicion {
    /// The nodes that were asked about it and have not answered.
    asked: BTreeSet<NodeId>,
    /// When the suspicion becomes an alert, unless a node that was asked hears the subject.
    confirm_at: Time,
    /// When the alert is repeated; none before the first.
    repeat_at: Option<Time>,
}

impl Observer {
    /// An observer that knows no other node yet.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            epoch: Epoch::ZERO,
            subjects: BTreeSet::new(),
            observers: Vec::new(),
            links: BTreeMap::new(),
            linked: BTreeSet::new(),
            suspicions: BTreeMap::new(),
            alerts: BTreeMap::new(),
            heartbeats: Heartbeats::new(),
            health: 0,
            recover_at: Time::ZERO,
        }
    }

    /// Whether there is an authenticated link to a member.
    #[must_use]
    pub fn is_linked(&self, node: NodeId) -> bool {
        self.links.get(&node).is_some_and(|link| link.up)
    }

    /// Whether a member is linked and was heard within `silence_ms`.
    #[must_use]
    pub fn heard_within(&self, node: NodeId, silence_ms: u64, now: Time) -> bool {
        self.links.get(&node).is_some_and(|link| link.up && now.ms_since(link.heard) < silence_ms)
    }

    /// Whether a member was not heard for `silence_ms`, with or without a link.
    #[must_use]
    pub fn silent_for(&self, node: NodeId, silence_ms: u64, now: Time) -> bool {
        self.links.get(&node).is_none_or(|link| now.ms_since(link.heard) >= silence_ms)
    }

    /// When a member was last heard; none when it is not one.
    #[must_use]
    pub fn heard_at(&self, node: NodeId) -> Option<Time> {
        self.links.get(&node).map(|link| link.heard)
    }

    /// Members that this node no longer hears.
    #[must_use]
    pub fn suspects(&self) -> BTreeSet<NodeId> {
        self.suspicions.iter().filter(|(_, s)| s.repeat_at.is_some()).map(|(node, _)| *node).collect()
    }

    /// Whether this node observes `node` and hears it.
    #[must_use]
    pub fn hears(&self, node: NodeId) -> bool {
        self.subjects.contains(&node) && self.is_linked(node) && !self.suspicions.contains_key(&node)
    }

    /// The observers whose alerts about `subject` are fresh.
    #[must_use]
    pub fn alerts_about(&self, subject: NodeId, now: Time, timers: &Timers) -> BTreeSet<NodeId> {
        let fresh = |at: &Time| now.ms_since(*at) <= alert_ms(timers);
        let alerts = self.alerts.get(&subject).into_iter().flatten();
        alerts.filter(|(_, at)| fresh(at)).map(|(observer, _)| *observer).collect()
    }

    /// The subjects about which there is an alert.
    pub fn alerted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.alerts.keys().copied()
    }

    /// Follows the roster; returns the links to keep when they may have changed.
    pub(crate) fn follow(&mut self, ledger: &Ledger, now: Time) -> BTreeSet<NodeId> {
        self.epoch = ledger.epoch;
        self.subjects = ring::subjects_of(ledger, self.me);
        self.observers = ring::observers_of(ledger, self.me);
        let is_member = |node: &NodeId| ledger.members.contains_key(node);
        self.links.retain(|node, _| is_member(node));
        self.suspicions.retain(|node, _| is_member(node));
        self.alerts.retain(|node, _| is_member(node));
        for alerts in self.alerts.values_mut() {
            alerts.retain(|node, _| is_member(node));
        }
        for node in ledger.members.keys().filter(|node| **node != self.me) {
            // A new member has `silence_ms` to set up its links.
            let up = self.linked.contains(node);
            if up && !self.links.contains_key(node) {
                self.heartbeats.link_up(*node);
            }
            self.links.entry(*node).or_insert(Link { up, known: up, refused: false, heard: now });
        }
        self.suspicions.retain(|node, _| self.subjects.contains(node));
        ring::links_of(ledger, self.me, &self.subjects)
    }

    pub(crate) fn link_up(&mut self, peer: NodeId, now: Time) {
        self.linked.insert(peer);
        if let Some(link) = self.links.get_mut(&peer) {
            *link = Link { up: true, known: true, refused: false, heard: now };
            self.heartbeats.link_up(peer);
        }
    }

    pub(crate) fn link_down(&mut self, peer: NodeId) {
        self.linked.remove(&peer);
        if let Some(link) = self.links.get_mut(&peer) {
            link.up = false;
            link.refused = false;
        }
    }

    pub(crate) fn unreachable(&mut self, peer: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        if link.up || link.refused {
            return;
        }
        link.refused = true;
        if link.known {
            self.suspect(peer, ledger, now, out);
        }
    }

    /// A message of a member arrived.
    pub(crate) fn heard(&mut self, peer: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.heard = now;
            link.refused = false;
        }
        if let Some(suspicion) = self.suspicions.remove(&peer)
            && suspicion.repeat_at.is_some()
        {
            self.tell_voters(ledger, Control::Relief { subject: peer }, now, out);
        }
    }

    fn suspect(&mut self, subject: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        if !self.subjects.contains(&subject) || self.suspicions.contains_key(&subject) {
            return;
        }
        let others = ring::observers_of(ledger, subject);
        let asked: BTreeSet<NodeId> = others
            .into_iter()
            .filter(|node| *node != self.me && self.is_linked(*node))
            .take(CHECKS)
            .collect();
        for node in &asked {
            out.control(*node, Control::Check { subject });
        }
        let confirm_at = now.after_ms(ledger.timers().confirm_ms * (1 + self.health));
        self.suspicions.insert(subject, Suspicion { asked, confirm_at, repeat_at: None });
    }

    /// Answers whether this node hears a subject.
    pub(crate) fn check(&self, from: NodeId, subject: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        let silence_ms = ledger.timers().silence_ms;
        let alive =
            self.links.get(&subject).is_some_and(|link| link.up && now.ms_since(link.heard) < silence_ms);
        out.control(from, Control::Heard { subject, alive });
    }

    /// Takes in another node's answer about a suspect.
    pub(crate) fn answer(&mut self, from: NodeId, subject: NodeId, alive: bool, now: Time) {
        let Some(suspicion) = self.suspicions.get_mut(&subject) else { return };
        if !suspicion.asked.remove(&from) || suspicion.repeat_at.is_some() {
            return;
        }
        if alive {
            // Another node hears the subject, so this node's own link is at fault. It may suspect again after
            // `silence_ms`.
            self.suspicions.remove(&subject);
            if let Some(link) = self.links.get_mut(&subject) {
                link.heard = now;
                link.refused = false;
            }
        } else if suspicion.asked.is_empty() {
            // Every node that was asked has lost the subject too: there is no need to wait longer.
            suspicion.confirm_at = now;
        }
    }

    /// Takes in another observer's alert.
    pub(crate) fn alert(&mut self, from: NodeId, subject: NodeId, now: Time) {
        // Only alerts between members are kept, so their number is at most the square of the roster's size.
        if self.links.contains_key(&subject) {
            self.alerts.entry(subject).or_default().insert(from, now);
        }
    }

    pub(crate) fn relief(&mut self, from: NodeId, subject: NodeId) {
        if let Some(alerts) = self.alerts.get_mut(&subject) {
            alerts.remove(&from);
            if alerts.is_empty() {
                self.alerts.remove(&subject);
            }
        }
    }

    fn tell_voters(&mut self, ledger: &Ledger, message: Control, now: Time, out: &mut Out) {
        for voter in &ledger.voters {
            if *voter == self.me {
                match &message {
                    Control::Alert { subject } => self.alert(self.me, *subject, now),
                    Control::Relief { subject } => self.relief(self.me, *subject),
                    _ => {}
                }
            } else if self.is_linked(*voter) {
                out.control(*voter, message.clone());
            }
        }
    }

    /// Takes in how late this node was woken.
    pub(crate) fn woken(&mut self, late_ms: u64, timers: &Timers, now: Time) {
        if late_ms > LATE_MS {
            self.health = (self.health + 1).min(HEALTH_MAX);
            self.recover_at = now.after_ms(RECOVER_MS);
        } else if self.health > 0 && now >= self.recover_at {
            self.health -= 1;
            self.recover_at = now.after_ms(RECOVER_MS);
        }
        if late_ms >= timers.heartbeat_ms {
            // This node was not running, so the silence was its own.
            self.links.values_mut().for_each(|link| link.heard = now);
            self.suspicions.clear();
        }
    }

    /// Sends heartbeats and alerts that are due, and suspects subjects that were silent for too long.
    pub(crate) fn tick(&mut self, ledger: &Ledger, heartbeat: Heartbeat, now: Time, out: &mut Out) {
        let timers = ledger.timers();
        let (observers, me) = (&self.observers, self.me);
        let hearers = self.heartbeats.hearers(&heartbeat, timers.heartbeat_ms, now, || {
            let mut hearers: BTreeSet<NodeId> = observers.iter().copied().collect();
            if ledger.members.len() <= HEARD_BY_COORDINATOR_MAX {
                hearers.extend(heartbeat.coordinator.filter(|node| *node != me));
            }
            hearers
        });
        for hearer in hearers.into_iter().filter(|node| self.is_linked(*node)) {
            out.control(hearer, Control::Heartbeat(heartbeat));
        }
        let silence_ms = timers.silence_ms * (1 + self.health);
        let silent = |link: &Link| now.ms_since(link.heard) >= silence_ms;
        let lost: Vec<NodeId> =
            self.subjects.iter().copied().filter(|node| self.links.get(node).is_some_and(silent)).collect();
        for subject in lost {
            self.suspect(subject, ledger, now, out);
        }
        let mut due = Vec::new();
        for (subject, suspicion) in &mut self.suspicions {
            if suspicion.repeat_at.unwrap_or(suspicion.confirm_at) <= now {
                if suspicion.repeat_at.is_none() {
                    out.notice(Notice::NodeSuspected(*subject));
                }
                suspicion.repeat_at = Some(now.after_ms(timers.heartbeat_ms));
                due.push(*subject);
            }
        }
        for subject in due {
            self.tell_voters(ledger, Control::Alert { subject }, now, out);
        }
        for alerts in self.alerts.values_mut() {
            alerts.retain(|_, at| now.ms_since(*at) <= alert_ms(&timers));
        }
        self.alerts.retain(|_, alerts| !alerts.is_empty());
    }

    /// When [`Observer::tick`] has something to do.
    pub(crate) fn deadline(&self, timers: &Timers) -> Option<Time> {
        let silence_ms = timers.silence_ms * (1 + self.health);
        let silence = self.subjects.iter().filter(|node| !self.suspicions.contains_key(node));
        let silence =
            silence.filter_map(|node| self.links.get(node)).map(|l| l.heard.after_ms(silence_ms)).min();
        let suspicion = self.suspicions.values().map(|s| s.repeat_at.unwrap_or(s.confirm_at)).min();
        let heartbeat = (!self.observers.is_empty()).then_some(self.heartbeats.due());
        earlier(earlier(silence, suspicion), heartbeat)
    }
}

/// How long an alert counts without a repetition: two repetitions may be lost.
fn alert_ms(timers: &Timers) -> u64 {
    timers.heartbeat_ms * 3
}

#[cfg(test)]
mod tests {
    use super::ring::tests::roster;
    use super::*;
    use crate::turn::Effect;
    use rhizo_types::Term;
    use rhizo_types::message::Message;

    /// The nodes to which an observer sends a heartbeat at that time that names `coordinator`.
    fn hearers(observer: &mut Observer, ledger: &Ledger, coordinator: u64, now: Time) -> Vec<u64> {
        let heartbeat = Heartbeat {
            term: Term(1),
            coordinator: Some(NodeId(coordinator)),
            coordinator_age_ms: 0,
            applied: 0,
        };
        let mut out = Out::default();
        observer.tick(ledger, heartbeat, now, &mut out);
        let hearers = out.into_turn().now.into_iter().filter_map(|effect| match effect {
            Effect::Send { to, message: Message::Control(Control::Heartbeat(_)) } => Some(to.0),
            _ => None,
        });
        hearers.collect()
    }

    #[test]
    fn a_member_hears_who_coordinates_as_soon_as_there_is_a_link_to_it() {
        let (mut observer, mut ledger) = (Observer::new(NodeId(1)), roster(1, 1));
        observer.follow(&ledger, Time::ZERO);
        assert_eq!(hearers(&mut observer, &ledger, 1, Time::ZERO), [0; 0]);
        // The first node has a link before this node knows that it is a member, the second one after that.
        observer.link_up(NodeId(2), Time(1));
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(1)), [0; 0], "a stranger hears nothing");
        ledger = roster(3, 1);
        observer.follow(&ledger, Time(2));
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(2)), [2]);
        observer.link_up(NodeId(3), Time(3));
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(3)), [3]);
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(4)), [0; 0]);
        assert_eq!(hearers(&mut observer, &ledger, 2, Time(5)), [2, 3], "another one coordinates");
    }
}
