//! The statements of this node about itself, its copies and its links, and the times at which they are gossiped.
//!
//! Sensors run in tasks of their own and send statements. This module keeps the last value of each, smooths
//! round-trip times, and makes a batch when a value has changed or when the other nodes would soon consider the last
//! batch stale. `rhizo-knowledge` decides which statements a node believes. Read next: [`super::facts`].

use rhizo_knowledge::knowledge::FRESH_MS_MAX;
use rhizo_knowledge::snapshot::RTT_MS;
use rhizo_overlay::GOSSIP_BYTES_MAX;
use rhizo_types::fact::{Batch, STATEMENTS_MAX, SensorKind, Statement, Subject, Value};
use rhizo_types::{AttributeName, NodeId, Number, Revision, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Samples kept of each link. There is one every ten seconds: the smallest of three is free of queueing delays, and
/// still follows a new route within half a minute.
const RTT_SAMPLES: usize = 3;

/// A round-trip time that changes by less than this, in milliseconds, is not stated again: it is noise.
const RTT_NOISE_MS: f64 = 2.0;

/// A change of a known round-trip time by less than this factor, or by less than ten times [`RTT_NOISE_MS`], waits for
/// the next repetition. On a busy machine all links of all nodes change at the same time. If each change were gossiped
/// at once, the messages would keep the machine busy.
const RTT_CHANGE: f64 = 2.0;

/// A number that changes by less than this share of itself waits for the next repetition. Loads and sizes change all the
/// time, and each batch costs all nodes a message.
const CHANGE_MIN: f64 = 0.05;

/// Most bytes of the statements of one batch: a gossip message has at most [`GOSSIP_BYTES_MAX`], with its other fields.
const BATCH_BYTES_MAX: usize = GOSSIP_BYTES_MAX - 64;

/// Upper bound of the batches with changed values that all nodes together gossip in a second. Each node receives every
/// batch several times, so this rate is a cost of each node.
const BATCHES_PER_SECOND: u64 = 4;

/// Upper bound of the batches without changed values that all nodes together gossip in a second, as long as the time
/// between two of them is below [`REPEAT_MS_MAX`].
const REPEATS_PER_SECOND: u64 = 2;

/// Shortest time after which unchanged statements are gossiped again. It is long enough for forty nodes.
const REPEAT_MS: u64 = 20_000;

/// Longest time after which unchanged statements are gossiped again: other nodes get three batches before they consider
/// the statements stale.
const REPEAT_MS_MAX: u64 = FRESH_MS_MAX / 3;

/// The shortest time between two batches, however often values change.
const SPACING_MS: u64 = 1_000;

/// The last value of one statement, with the kind of its sensor. A withdrawn one has no value.
#[derive(Clone, PartialEq, Eq)]
struct Said {
    value: Option<Value>,
    sensor: SensorKind,
}

/// The last value of each of this node's statements.
pub(super) struct OwnStatements {
    me: NodeId,
    /// The revision of the last batch.
    revision: Revision,
    said: BTreeMap<(Subject, AttributeName), Said>,
    /// Upper bound of the bytes of all statements in a batch.
    bytes: usize,
    rtts: BTreeMap<NodeId, VecDeque<f64>>,
    /// Whether a value has changed since the last batch, so much that the other nodes should soon know.
    changed: bool,
    /// Number of members of the overlay.
    members: u64,
    /// The time of the last batch.
    sent: Option<Time>,
}

impl OwnStatements {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            me,
            revision: Revision::ZERO,
            said: BTreeMap::new(),
            bytes: 0,
            rtts: BTreeMap::new(),
            changed: false,
            members: 1,
            sent: None,
        }
    }

    /// Stores statements of a sensor. New attributes beyond the limits of one batch are dropped.
    pub(super) fn state(&mut self, statements: Vec<Statement>) {
        for statement in statements {
            let bytes = bytes_max(&statement);
            let key = (statement.subject, statement.attribute);
            let said = Said { value: statement.value, sensor: statement.sensor };
            let Some(known) = self.said.get(&key) else {
                if self.said.len() >= STATEMENTS_MAX || self.bytes + bytes > BATCH_BYTES_MAX {
                    tracing::warn!(attribute = %key.1, "statement dropped: this node has too many attributes");
                    continue;
                }
                self.changed = true;
                self.bytes += bytes;
                self.said.insert(key, said);
                continue;
            };
            self.changed |= is_news(known.value.as_ref(), said.value.as_ref());
            self.said.insert(key, said);
        }
    }

    /// Withdraws all statements about a subject.
    pub(super) fn withdraw(&mut self, subject: &Subject) {
        for (_, said) in self.said.iter_mut().filter(|((of, _), said)| of == subject && said.value.is_some())
        {
            said.value = None;
            self.changed = true;
        }
    }

    /// Stores a measured round-trip time to a member.
    pub(super) fn rtt(&mut self, peer: NodeId, rtt: Duration) {
        let samples = self.rtts.entry(peer).or_default();
        if samples.len() == RTT_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(rtt.as_secs_f64() * 1e3);
        let smallest = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let key = (Subject::Link(self.me.min(peer), self.me.max(peer)), AttributeName::from(RTT_MS));
        let known = match self.said.get(&key) {
            Some(Said { value: Some(Value::Number(number)), .. }) => Some(number.get()),
            _ => None,
        };
        if known.is_none_or(|known| (known - smallest).abs() >= RTT_NOISE_MS) {
            // A tenth of a millisecond is far below what any decision depends on.
            let rounded = Number::try_from((smallest * 10.0).round() / 10.0).ok();
            let urgent = known.is_none_or(|known| {
                let (low, high) = (smallest.min(known), smallest.max(known));
                high - low >= RTT_NOISE_MS * 10.0 && high >= low * RTT_CHANGE
            });
            let changed = self.changed;
            let (subject, attribute) = key;
            let (value, sensor) = (rounded.map(Value::Number), SensorKind::Link);
            self.state(vec![Statement { subject, attribute, value, sensor }]);
            self.changed = changed || urgent;
        }
    }

    /// Removes the statements about links to nodes that are no longer members.
    pub(super) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.rtts.retain(|node, _| is_member(*node));
        // The next batch counts the bytes anew.
        self.said.retain(|(subject, _), _| match subject {
            Subject::Link(a, b) => is_member(*a) && is_member(*b),
            _ => true,
        });
    }

    /// Takes the number of members, on which the time between two batches depends.
    pub(super) fn count(&mut self, members: usize) {
        self.members = u64::try_from(members).unwrap_or(u64::MAX);
    }

    /// Returns a batch of all statements when one is due, else `None`. Withdrawn statements are in one batch only.
    pub(super) fn batch(&mut self, now: Time) -> Option<Batch> {
        let since = self.sent.map_or(u64::MAX, |sent| now.ms_since(sent));
        let share_ms = |rate| self.members.saturating_mul(1_000) / rate;
        let repeat_ms = share_ms(REPEATS_PER_SECOND).clamp(REPEAT_MS, REPEAT_MS_MAX);
        let changed_ms = share_ms(BATCHES_PER_SECOND).clamp(SPACING_MS, repeat_ms);
        let due = (self.changed && since >= changed_ms) || since >= repeat_ms;
        if !due || self.said.is_empty() {
            return None;
        }
        self.changed = false;
        self.sent = Some(now);
        self.revision = self.revision.next();
        let statement = |((subject, attribute), said): (&(Subject, AttributeName), &Said)| Statement {
            subject: subject.clone(),
            attribute: attribute.clone(),
            value: said.value.clone(),
            sensor: said.sensor,
        };
        let statements: Vec<Statement> = self.said.iter().map(statement).collect();
        self.said.retain(|_, said| said.value.is_some());
        self.bytes = statements.iter().filter(|said| said.value.is_some()).map(bytes_max).sum();
        Some(Batch { origin: self.me, revision: self.revision, statements })
    }
}

/// Whether a new value is so different that the other nodes should soon know it.
fn is_news(known: Option<&Value>, new: Option<&Value>) -> bool {
    match (known, new) {
        (Some(Value::Number(known)), Some(Value::Number(new))) => {
            let (known, new) = (known.get(), new.get());
            (known - new).abs() >= CHANGE_MIN * known.abs().max(new.abs()) && known != new
        }
        (known, new) => known != new,
    }
}

/// An upper bound of the bytes of a statement in a batch, for the longest number.
fn bytes_max(statement: &Statement) -> usize {
    // Lengths, tags, ids and a number take less than this; a text is added.
    const FIXED_BYTES_MAX: usize = 40;
    let subject = match &statement.subject {
        Subject::Offer(provider, offer) => provider.as_str().len() + offer.as_str().len(),
        Subject::Path(from, to) => from.as_str().len() + to.as_str().len(),
        Subject::Copy(instance) => instance.component.as_str().len(),
        Subject::Node(_) | Subject::Link(..) => 0,
    };
    let text = match &statement.value {
        Some(Value::Text(text)) => text.len(),
        _ => 0,
    };
    FIXED_BYTES_MAX + subject + statement.attribute.as_str().len() + text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::InstanceId;

    fn rtt(batch: &Batch) -> Option<f64> {
        batch.statements.iter().find_map(|said| match said.value {
            Some(Value::Number(number)) => Some(number.get()),
            _ => None,
        })
    }

    #[test]
    fn a_round_trip_time_is_the_smallest_of_the_last_samples() {
        let mut own = OwnStatements::new(NodeId(1));
        for ms in [80, 300, 85] {
            own.rtt(NodeId(2), Duration::from_millis(ms));
        }
        assert_eq!(own.batch(Time::ZERO).as_ref().and_then(rtt), Some(80.0));
        for _ in 0..RTT_SAMPLES {
            own.rtt(NodeId(2), Duration::from_millis(220));
        }
        assert_eq!(own.batch(Time::ZERO.after_ms(SPACING_MS)).as_ref().and_then(rtt), Some(220.0));
    }

    #[test]
    fn unchanged_statements_are_repeated_before_they_get_stale() {
        let mut own = OwnStatements::new(NodeId(1));
        own.rtt(NodeId(2), Duration::from_millis(80));
        assert!(own.batch(Time::ZERO).is_some());
        own.rtt(NodeId(2), Duration::from_millis(81));
        assert_eq!(own.batch(Time::ZERO.after_ms(REPEAT_MS - 1)), None);
        assert!(own.batch(Time::ZERO.after_ms(REPEAT_MS)).is_some());
    }

    #[test]
    fn round_trip_times_of_a_busy_machine_wait_for_the_next_repetition() {
        let mut own = OwnStatements::new(NodeId(1));
        own.rtt(NodeId(2), Duration::from_millis(80));
        assert!(own.batch(Time::ZERO).is_some());
        for _ in 0..RTT_SAMPLES {
            own.rtt(NodeId(2), Duration::from_millis(120));
        }
        assert_eq!(own.batch(Time::ZERO.after_ms(REPEAT_MS - 1)), None, "half as much again is noise");
        for _ in 0..RTT_SAMPLES {
            own.rtt(NodeId(2), Duration::from_millis(300));
        }
        assert_eq!(
            own.batch(Time::ZERO.after_ms(SPACING_MS)).as_ref().and_then(rtt),
            Some(300.0),
            "another route"
        );
    }

    #[test]
    fn the_nodes_of_a_large_overlay_gossip_no_more_together_than_those_of_a_small_one() {
        let mut own = OwnStatements::new(NodeId(1));
        own.count(100);
        own.rtt(NodeId(2), Duration::from_millis(80));
        assert!(own.batch(Time::ZERO).is_some());
        own.rtt(NodeId(3), Duration::from_millis(80));
        let share_ms = 100 * 1_000 / BATCHES_PER_SECOND;
        assert_eq!(own.batch(Time::ZERO.after_ms(share_ms - 1)), None);
        assert!(own.batch(Time::ZERO.after_ms(share_ms)).is_some());
        let (last_ms, repeat_ms) = (share_ms, 100 * 1_000 / REPEATS_PER_SECOND);
        assert_eq!(own.batch(Time::ZERO.after_ms(last_ms + repeat_ms - 1)), None, "nothing changed");
        assert!(own.batch(Time::ZERO.after_ms(last_ms + repeat_ms)).is_some());
    }

    fn about(ordinal: u32, value: f64) -> Statement {
        let subject = Subject::Copy(InstanceId { component: "a-component".into(), ordinal });
        let value = Number::try_from(value).ok().map(Value::Number);
        Statement { subject, attribute: "queue_depth".into(), value, sensor: SensorKind::Http }
    }

    #[test]
    fn a_small_change_waits_for_the_next_repetition_and_a_large_one_does_not() {
        let mut own = OwnStatements::new(NodeId(1));
        own.state(vec![about(0, 100.0)]);
        assert!(own.batch(Time::ZERO).is_some());
        own.state(vec![about(0, 104.0)]);
        assert_eq!(own.batch(Time::ZERO.after_ms(REPEAT_MS - 1)), None);
        own.state(vec![about(0, 110.0)]);
        let batch = own.batch(Time::ZERO.after_ms(SPACING_MS)).expect("a change that matters");
        assert_eq!(rtt(&batch), Some(110.0));
    }

    #[test]
    fn statements_about_a_copy_that_ended_are_withdrawn_once() {
        let mut own = OwnStatements::new(NodeId(1));
        own.state(vec![about(0, 7.0), about(1, 8.0)]);
        assert!(own.batch(Time::ZERO).is_some());
        own.withdraw(&about(0, 7.0).subject);
        let batch = own.batch(Time::ZERO.after_ms(SPACING_MS)).expect("a withdrawal is gossiped soon");
        assert_eq!(batch.statements, [Statement { value: None, ..about(0, 7.0) }, about(1, 8.0)]);
        let batch = own.batch(Time::ZERO.after_ms(SPACING_MS + REPEAT_MS)).expect("the repetition");
        assert_eq!(batch.statements, [about(1, 8.0)]);
    }

    #[test]
    fn a_batch_always_fits_into_a_gossip_message() {
        let mut own = OwnStatements::new(NodeId(1));
        let long =
            Statement { attribute: AttributeName("x".repeat(48)), ..about(u32::MAX, f64::MIN_POSITIVE) };
        let text = |number: u32| Statement {
            attribute: AttributeName(format!("{number:048}")),
            value: Some(Value::Text("t".repeat(400))),
            ..long.clone()
        };
        own.state((0..1_000).map(|ordinal| Statement { ..about(ordinal, 1.0 / 3.0) }).collect());
        own.state((0..1_000).map(text).collect());
        let batch = own.batch(Time::ZERO).expect("a batch");
        let bytes = postcard::to_stdvec(&rhizo_types::fact::BatchRecord::V1(batch)).expect("plain data");
        assert!(bytes.len() <= GOSSIP_BYTES_MAX, "{}", bytes.len());
    }

    #[test]
    fn no_statement_is_made_about_a_link_to_a_former_member() {
        let mut own = OwnStatements::new(NodeId(1));
        own.rtt(NodeId(2), Duration::from_millis(80));
        own.keep(|node| node == NodeId(1));
        assert_eq!(own.batch(Time::ZERO), None);
    }
}
