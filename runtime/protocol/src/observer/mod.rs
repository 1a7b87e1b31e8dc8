//! Liveness as one node sees it: heartbeats, suspicions, and the alerts of other nodes.
//!
//! An observer never decides that a node is dead: the coordinator commits that when enough observers agree
//! (`coordinator::deaths`). Two events lead to a suspicion: a broken link whose redial is refused (fast), and silence
//! (slow). The observer then asks other nodes when they last heard the subject, and sends an alert when the latest of
//! these times is too long ago as well. Only a message of the subject itself counts as hearing it. An answer about it
//! delays one alert and is never passed on, so that observers cannot keep each other believing in a node that hangs.
//! Before a silent subject is suspected, it was asked itself.
//! A node that is woken late suspects itself first: it stretches its own timers (Lifeguard, arXiv 1707.00788).

mod heartbeats;
mod local_health;
pub mod ring;
#[cfg(test)]
mod silent_subject;

use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use heartbeats::Heartbeats;
use local_health::LocalHealth;
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
    health: LocalHealth,
}

/// The link to a member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Link {
    up: bool,
    /// Whether there was a link before. Until there was one, a refused dial proves nothing: a new member may not listen
    /// yet.
    known: bool,
    /// When a message of the member itself last arrived; none before the first.
    heard: Option<Time>,
    /// Silence before this time is not held against the member: it was not known yet, or this node was not running.
    excused_until: Time,
    /// Whether the member was asked for a sign of life since it was last heard.
    asked: bool,
}

impl Link {
    /// The time from which the member's silence is counted.
    fn silent_from(&self) -> Time {
        self.heard.map_or(self.excused_until, |heard| heard.max(self.excused_until))
    }
}

/// A subject that this node no longer hears.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Suspicion {
    /// The nodes that were asked about it and have not answered.
    asked: BTreeSet<NodeId>,
    /// When the suspicion becomes an alert, unless the subject is heard before.
    confirm_at: Time,
    /// When the subject will have been silent for too long towards every node that has answered so far.
    silent_at: Time,
    /// Whether the nodes were asked more than once. Later answers may hasten the alert and do not delay it.
    asked_again: bool,
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
            health: LocalHealth::default(),
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
        self.links.get(&node).is_some_and(|link| link.up && now.ms_since(link.silent_from()) < silence_ms)
    }

    /// Whether a member was not heard for `silence_ms`, with or without a link.
    #[must_use]
    pub fn silent_for(&self, node: NodeId, silence_ms: u64, now: Time) -> bool {
        self.links.get(&node).is_none_or(|link| now.ms_since(link.silent_from()) >= silence_ms)
    }

    /// When a message of a member last arrived; none when it is no member or was never heard.
    #[must_use]
    pub fn heard_at(&self, node: NodeId) -> Option<Time> {
        self.links.get(&node).and_then(|link| link.heard)
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
            self.links.entry(*node).or_insert(Link {
                up,
                known: up,
                heard: None,
                excused_until: now,
                asked: false,
            });
        }
        self.suspicions.retain(|node, _| self.subjects.contains(node));
        ring::links_of(ledger, self.me, &self.subjects)
    }

    pub(crate) fn link_up(&mut self, peer: NodeId) {
        self.linked.insert(peer);
        if let Some(link) = self.links.get_mut(&peer) {
            link.up = true;
            link.known = true;
            self.heartbeats.link_up(peer);
        }
    }

    pub(crate) fn link_down(&mut self, peer: NodeId) {
        self.linked.remove(&peer);
        if let Some(link) = self.links.get_mut(&peer) {
            link.up = false;
        }
    }

    pub(crate) fn unreachable(&mut self, peer: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        if !self.links.get(&peer).is_some_and(|link| link.known && !link.up) {
            return;
        }
        match self.suspicions.get_mut(&peer) {
            None => self.suspect(peer, ledger, now, out),
            // The nodes that were asked may have lost their links to the peer since they answered.
            Some(suspicion) if suspicion.asked.is_empty() && suspicion.repeat_at.is_none() => {
                (suspicion.asked_again, suspicion.silent_at) = (true, now);
                let asked = self.ask(peer, ledger, out);
                self.suspicions.entry(peer).and_modify(|suspicion| suspicion.asked = asked);
            }
            Some(_) => {}
        }
    }

    /// A message of a member arrived.
    pub(crate) fn heard(&mut self, peer: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        if let Some(link) = self.links.get_mut(&peer) {
            (link.heard, link.asked) = (Some(now), false);
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
        let asked = self.ask(subject, ledger, out);
        let confirm_at = now.after_ms(ledger.timers().confirm_ms + self.health.stretch_ms());
        let suspicion = Suspicion { asked, confirm_at, silent_at: now, asked_again: false, repeat_at: None };
        self.suspicions.insert(subject, suspicion);
    }

    /// Asks a few observers of `subject` when they last heard it, and returns them.
    fn ask(&self, subject: NodeId, ledger: &Ledger, out: &mut Out) -> BTreeSet<NodeId> {
        let others = ring::observers_of(ledger, subject);
        let asked: BTreeSet<NodeId> = others
            .into_iter()
            .filter(|node| *node != self.me && self.is_linked(*node))
            .take(CHECKS)
            .collect();
        for node in &asked {
            out.control(*node, Control::Check { subject });
        }
        asked
    }

    /// Answers how long ago this node heard a subject itself, if that was within its limit of silence.
    pub(crate) fn check(&self, from: NodeId, subject: NodeId, ledger: &Ledger, now: Time, out: &mut Out) {
        let link = self.links.get(&subject).filter(|link| link.up);
        let age_ms = link.and_then(|link| link.heard).map(|heard| now.ms_since(heard));
        let heard_ms_ago = age_ms.filter(|age_ms| *age_ms < ledger.timers().silence_ms);
        // A node that is asked about itself gives a sign of life.
        let heard_ms_ago = if subject == self.me { Some(0) } else { heard_ms_ago };
        out.control(from, Control::Heard { subject, heard_ms_ago });
    }

    /// Takes in another node's answer about a suspect. The alert waits until that node's limit of silence is over too.
    pub(crate) fn answer(
        &mut self,
        from: NodeId,
        subject: NodeId,
        heard_ms_ago: Option<u64>,
        timers: &Timers,
        now: Time,
    ) {
        let Some(suspicion) = self.suspicions.get_mut(&subject) else { return };
        if !suspicion.asked.remove(&from) || suspicion.repeat_at.is_some() {
            return;
        }
        if let Some(age_ms) = heard_ms_ago {
            if sabotage::is(Sabotage::HearsayCounts) {
                self.suspicions.remove(&subject);
                self.links.entry(subject).and_modify(|link| link.heard = Some(now));
                return;
            }
            let left_ms = timers.silence_ms.saturating_sub(age_ms);
            let silent_at = if suspicion.asked_again { suspicion.confirm_at } else { now.after_ms(left_ms) };
            suspicion.silent_at = suspicion.silent_at.max(silent_at);
            suspicion.confirm_at = suspicion.confirm_at.max(silent_at);
        }
        if suspicion.asked.is_empty() {
            // All that were asked have answered: there is no need to wait for another answer.
            suspicion.confirm_at = suspicion.silent_at.max(now);
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
        self.health.woken(late_ms, now);
        if late_ms >= timers.heartbeat_ms {
            // This node was not running, so the silence was its own.
            self.links.values_mut().for_each(|link| link.excused_until = now);
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
        self.ask_silent_subjects(&timers, now, out);
        let silence_ms = timers.silence_ms + self.health.stretch_ms();
        let silent = |link: &Link| now.ms_since(link.silent_from()) >= silence_ms;
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

    /// Asks each subject whose heartbeat is late for an answer of its own, once. Two late heartbeats are then not
    /// enough to suspect a node that runs.
    fn ask_silent_subjects(&mut self, timers: &Timers, now: Time, out: &mut Out) {
        let late_ms = late_ms(timers) + self.health.stretch_ms();
        for subject in &self.subjects {
            let Some(link) = self.links.get_mut(subject) else { continue };
            if link.up && !link.asked && now.ms_since(link.silent_from()) >= late_ms {
                link.asked = true;
                out.control(*subject, Control::Check { subject: *subject });
            }
        }
    }

    /// When [`Observer::tick`] has something to do.
    pub(crate) fn deadline(&self, timers: &Timers) -> Option<Time> {
        let limit_ms = |link: &Link| {
            let is_asked = link.asked || !link.up;
            self.health.stretch_ms() + if is_asked { timers.silence_ms } else { late_ms(timers) }
        };
        let silence = self.subjects.iter().filter(|node| !self.suspicions.contains_key(node));
        let silence = silence
            .filter_map(|node| self.links.get(node))
            .map(|link| link.silent_from().after_ms(limit_ms(link)))
            .min();
        let suspicion = self.suspicions.values().map(|s| s.repeat_at.unwrap_or(s.confirm_at)).min();
        let heartbeat = (!self.observers.is_empty()).then_some(self.heartbeats.due());
        earlier(earlier(silence, suspicion), heartbeat)
    }
}

/// The silence after which a subject is asked for an answer of its own, in milliseconds: half a period after its
/// heartbeat was due. Enough of the limit of silence is left for a round trip around the world.
fn late_ms(timers: &Timers) -> u64 {
    timers.heartbeat_ms * 3 / 2
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
        observer.link_up(NodeId(2));
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(1)), [0; 0], "a stranger hears nothing");
        ledger = roster(3, 1);
        observer.follow(&ledger, Time(2));
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(2)), [2]);
        observer.link_up(NodeId(3));
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(3)), [3]);
        assert_eq!(hearers(&mut observer, &ledger, 1, Time(4)), [0; 0]);
        assert_eq!(hearers(&mut observer, &ledger, 2, Time(5)), [2, 3], "another one coordinates");
    }
}
