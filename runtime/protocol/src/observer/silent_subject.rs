//! A subject that hangs: its links stay up and it sends nothing. All its observers alert within a bound.
//!
//! The observers run against each other in virtual time, with messages that take as long as in `examples/psepr`.

use super::ring::tests::roster;
use super::*;
use crate::sabotage::choose;
use crate::turn::Effect;
use rhizo_types::Term;
use rhizo_types::message::Message;
use std::collections::BTreeMap;
use std::ops::Range;

const SUBJECT: NodeId = NodeId(1);
/// When the subject sends its last message.
const LAST_MS: u64 = 10_000;
/// Virtual time advances in these steps.
const STEP_MS: u64 = 10;

/// Observers that are all linked to each other.
struct Group {
    ledger: Ledger,
    observers: BTreeMap<NodeId, Observer>,
    /// Messages by arrival: sender, receiver, content.
    under_way: BTreeMap<(u64, u64), (NodeId, NodeId, Control)>,
    sent: u64,
    seed: u64,
    /// Heartbeats of the subject that are sent in this time are lost.
    lost_ms: Range<u64>,
}

impl Group {
    fn new(count: u64, seed: u64) -> Self {
        let ledger = roster(count, 2);
        let mut observers: BTreeMap<NodeId, Observer> =
            ledger.members.keys().map(|node| (*node, Observer::new(*node))).collect();
        for (me, observer) in &mut observers {
            observer.follow(&ledger, Time::ZERO);
            ledger.members.keys().filter(|node| *node != me).for_each(|node| observer.link_up(*node));
        }
        Self { ledger, observers, under_way: BTreeMap::new(), sent: 0, seed, lost_ms: 0..0 }
    }

    /// One way between two nodes, up to 150 ms and always the same.
    fn delay_ms(&self, from: NodeId, to: NodeId) -> u64 {
        let (low, high) = (from.0.min(to.0), from.0.max(to.0));
        (low * 7_919 + high * 104_729 + self.seed * 1_299_709) % 150
    }

    fn send(&mut self, from: NodeId, out: Out, at_ms: u64) {
        for effect in out.into_turn().now {
            let Effect::Send { to, message: Message::Control(control) } = effect else { continue };
            let is_heartbeat = matches!(control, Control::Heartbeat(_));
            if is_heartbeat && from == SUBJECT && self.lost_ms.contains(&at_ms) {
                continue;
            }
            self.sent += 1;
            let arrives_ms = at_ms + self.delay_ms(from, to);
            self.under_way.insert((arrives_ms, self.sent), (from, to, control));
        }
    }

    fn step(&mut self, at_ms: u64) {
        let now = Time::ZERO.after_ms(at_ms);
        let hangs = |node: NodeId| node == SUBJECT && at_ms > LAST_MS;
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= at_ms) {
            let (from, to, control) = entry.remove();
            let Some(observer) = self.observers.get_mut(&to).filter(|_| !hangs(to)) else { continue };
            let mut out = Out::default();
            observer.heard(from, &self.ledger, now, &mut out);
            match control {
                Control::Check { subject } => observer.check(from, subject, &self.ledger, now, &mut out),
                Control::Heard { subject, heard_ms_ago } => {
                    observer.answer(from, subject, heard_ms_ago, &self.ledger.timers(), now);
                }
                _ => {}
            }
            self.send(to, out, at_ms);
        }
        let nodes: Vec<NodeId> = self.observers.keys().copied().filter(|node| !hangs(*node)).collect();
        for node in nodes {
            // The nodes started one after the other, so that their heartbeats are spread over the second.
            if at_ms < node.0 * 130 {
                continue;
            }
            let heartbeat = Heartbeat { term: Term(1), coordinator: None, coordinator_age_ms: 0, applied: 0 };
            let mut out = Out::default();
            if let Some(observer) = self.observers.get_mut(&node) {
                observer.tick(&self.ledger, heartbeat, now, &mut out);
            }
            self.send(node, out, at_ms);
        }
    }

    /// The time from the last message of the subject until all its observers have alerted, if that is within a minute.
    fn all_alert_after_ms(&mut self) -> Option<u64> {
        let observers = ring::observers_of(&self.ledger, SUBJECT);
        (0..LAST_MS + 60_000).step_by(STEP_MS as usize).find_map(|at_ms| {
            self.step(at_ms);
            let alert =
                |node: &NodeId| self.observers.get(node).is_some_and(|o| o.suspects().contains(&SUBJECT));
            (at_ms > LAST_MS && observers.iter().all(alert)).then(|| at_ms - LAST_MS)
        })
    }
}

/// The longest time over some groups; none when some group never agrees.
fn worst_ms() -> Option<u64> {
    let groups = [3, 4, 7, 20].into_iter().flat_map(|count| (0..20).map(move |seed| (count, seed)));
    groups
        .map(|(count, seed)| Group::new(count, seed).all_alert_after_ms())
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

#[test]
fn observers_of_a_silent_subject_alert_within_a_bound() {
    let timers = Timers::LOCAL;
    // The last message, a question and its answer are under way for 150 ms each.
    let bound_ms = timers.silence_ms + timers.confirm_ms + 3 * 150;
    assert!(worst_ms().is_some_and(|worst| worst <= bound_ms), "{:?} ms", worst_ms());
}

#[test]
fn observers_that_count_hearsay_keep_each_other_believing() {
    choose(Some(Sabotage::HearsayCounts));
    let worst = worst_ms();
    choose(None);
    assert!(worst.is_none_or(|worst| worst > 10_000), "{worst:?} ms");
}

#[test]
fn nobody_alerts_about_a_subject_that_speaks() {
    for seed in 0..20 {
        let mut group = Group::new(7, seed);
        for at_ms in (0..LAST_MS).step_by(STEP_MS as usize) {
            group.step(at_ms);
            assert!(group.observers.values().all(|observer| observer.suspects().is_empty()));
        }
    }
}

#[test]
fn a_subject_that_runs_is_not_suspected_after_two_lost_heartbeats() {
    for seed in 0..20 {
        let mut group = Group::new(7, seed);
        let heartbeat_ms = group.ledger.timers().heartbeat_ms;
        group.lost_ms = 4_000..4_000 + 2 * heartbeat_ms;
        for at_ms in (0..LAST_MS).step_by(STEP_MS as usize) {
            group.step(at_ms);
            assert!(group.observers.values().all(|observer| observer.suspects().is_empty()), "{at_ms} ms");
        }
    }
}
