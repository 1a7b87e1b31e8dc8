//! What this node says of itself and of its links, and when it says it.
//!
//! Sensors run in tasks of their own; this keeps their last statements, smooths round-trip times, and decides
//! when a batch is worth gossiping: when something changed, or when the others would find it stale.

use rhizo_knowledge::snapshot::RTT_MS;
use rhizo_types::fact::{Batch, STATEMENTS_MAX, Statement, Subject, Value};
use rhizo_types::{AttributeName, NodeId, Number, Revision, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Samples of a link kept: the smallest of the last four, one every five seconds, is free of queueing and still
/// follows a new route within some twenty seconds.
const RTT_SAMPLES: usize = 4;

/// A change of a round-trip time below this, in milliseconds, is noise.
const RTT_NOISE_MS: f64 = 2.0;

/// Statements are repeated this often although nothing changed: three times before others find them stale.
const REPEAT_MS: u64 = 20_000;

/// Batches are sent no more often than this, however much changes.
const SPACING_MS: u64 = 1_000;

/// The node's own statements.
pub(crate) struct Sense {
    me: NodeId,
    revision: Revision,
    said: BTreeMap<(Subject, AttributeName), Option<Value>>,
    rtts: BTreeMap<NodeId, VecDeque<f64>>,
    dirty: bool,
    sent: Option<Time>,
}

impl Sense {
    pub(crate) fn new(me: NodeId) -> Self {
        Self {
            me,
            revision: Revision::ZERO,
            said: BTreeMap::new(),
            rtts: BTreeMap::new(),
            dirty: false,
            sent: None,
        }
    }

    /// Takes what a sensor says.
    pub(crate) fn state(&mut self, statements: Vec<Statement>) {
        for said in statements {
            let key = (said.subject, said.attribute);
            if self.said.len() >= STATEMENTS_MAX && !self.said.contains_key(&key) {
                tracing::warn!("statement dropped: this node says too much");
                continue;
            }
            if self.said.get(&key) != Some(&said.value) {
                self.said.insert(key, said.value);
                self.dirty = true;
            }
        }
    }

    /// Takes a measured round trip to a member.
    pub(crate) fn rtt(&mut self, peer: NodeId, rtt: Duration) {
        let samples = self.rtts.entry(peer).or_default();
        if samples.len() == RTT_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(rtt.as_secs_f64() * 1e3);
        let smallest = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let key = (Subject::Link(self.me.min(peer), self.me.max(peer)), AttributeName::from(RTT_MS));
        let known = match self.said.get(&key) {
            Some(Some(Value::Number(number))) => Some(number.get()),
            _ => None,
        };
        if known.is_none_or(|known| (known - smallest).abs() >= RTT_NOISE_MS) {
            // A tenth of a millisecond is far below what any decision depends on.
            let rounded = Number::try_from((smallest * 10.0).round() / 10.0).ok();
            let (subject, attribute) = key;
            self.state(vec![Statement { subject, attribute, value: rounded.map(Value::Number) }]);
        }
    }

    /// Forgets links to nodes that are no longer members.
    pub(crate) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.rtts.retain(|node, _| is_member(*node));
        self.said.retain(|(subject, _), _| match subject {
            Subject::Link(a, b) => is_member(*a) && is_member(*b),
            _ => true,
        });
    }

    /// A batch, when it is time for one.
    pub(crate) fn batch(&mut self, now: Time) -> Option<Batch> {
        let since = self.sent.map_or(u64::MAX, |sent| now.ms_since(sent));
        let due = (self.dirty && since >= SPACING_MS) || since >= REPEAT_MS;
        if !due || self.said.is_empty() {
            return None;
        }
        self.dirty = false;
        self.sent = Some(now);
        self.revision = self.revision.next();
        let statement = |((subject, attribute), value): (&(Subject, AttributeName), &Option<Value>)| {
            Statement { subject: subject.clone(), attribute: attribute.clone(), value: value.clone() }
        };
        let statements = self.said.iter().map(statement).collect();
        self.said.retain(|_, value| value.is_some());
        Some(Batch { origin: self.me, revision: self.revision, statements })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtt(batch: &Batch) -> Option<f64> {
        batch.statements.iter().find_map(|said| match said.value {
            Some(Value::Number(number)) => Some(number.get()),
            _ => None,
        })
    }

    #[test]
    fn a_round_trip_time_is_the_smallest_of_the_last_samples() {
        let mut sense = Sense::new(NodeId(1));
        for ms in [90, 80, 300, 85] {
            sense.rtt(NodeId(2), Duration::from_millis(ms));
        }
        assert_eq!(sense.batch(Time::ZERO).as_ref().and_then(rtt), Some(80.0));
        for _ in 0..RTT_SAMPLES {
            sense.rtt(NodeId(2), Duration::from_millis(120));
        }
        assert_eq!(sense.batch(Time::ZERO.after_ms(SPACING_MS)).as_ref().and_then(rtt), Some(120.0));
    }

    #[test]
    fn nothing_new_is_said_again_only_before_it_gets_stale() {
        let mut sense = Sense::new(NodeId(1));
        sense.rtt(NodeId(2), Duration::from_millis(80));
        assert!(sense.batch(Time::ZERO).is_some());
        sense.rtt(NodeId(2), Duration::from_millis(81));
        assert_eq!(sense.batch(Time::ZERO.after_ms(REPEAT_MS - 1)), None);
        assert!(sense.batch(Time::ZERO.after_ms(REPEAT_MS)).is_some());
    }

    #[test]
    fn a_link_to_a_former_member_is_no_longer_spoken_of() {
        let mut sense = Sense::new(NodeId(1));
        sense.rtt(NodeId(2), Duration::from_millis(80));
        sense.keep(|node| node == NodeId(1));
        assert_eq!(sense.batch(Time::ZERO), None);
    }
}
