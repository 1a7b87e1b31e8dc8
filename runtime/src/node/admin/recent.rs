//! The recent events and decisions of this node, for `events` and `why`: bounded, in memory.
//!
//! They are for people and are lost with the process. Records that must survive are in the ledger or in the node's
//! journal.

use crate::admin::EventRecord;
use crate::node::solving::unix_ms;
use rhizo_planning::Record;
use rhizo_protocol::notice::Notice;
use rhizo_types::NodeId;
use std::collections::VecDeque;

/// Number of events kept. A quiet application makes a few in an hour, the repair after the loss of a provider some
/// hundreds.
const EVENTS_MAX: usize = 4_096;

/// Number of decisions kept. `why` prints all of them.
const DECISIONS_MAX: usize = 32;

/// The last events and decisions.
pub(in crate::node) struct Recent {
    me: NodeId,
    /// The number of the last event, from one.
    number: u64,
    events: VecDeque<EventRecord>,
    decisions: VecDeque<Record>,
}

impl Recent {
    pub(in crate::node) fn new(me: NodeId) -> Self {
        Self { me, number: 0, events: VecDeque::new(), decisions: VecDeque::new() }
    }

    /// Keeps a notice as an event, with the index of the entry that it follows from. Writes it to the log as well.
    pub(in crate::node) fn note(&mut self, notice: &Notice, entry: Option<u64>) {
        tracing::info!(node = %self.me, "{notice}");
        self.number += 1;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(EventRecord {
            number: self.number,
            at_unix_ms: unix_ms(),
            node: self.me.to_string(),
            kind: notice.kind().to_owned(),
            text: notice.to_string(),
            entry,
        });
    }

    /// Keeps a decision without its placements, in place of the oldest one when there are too many.
    pub(in crate::node) fn decide(&mut self, decision: Record) {
        if self.decisions.len() == DECISIONS_MAX {
            self.decisions.pop_back();
        }
        self.decisions.push_front(decision.shortened());
    }

    /// The events with a number above `number`, oldest first.
    pub(in crate::node) fn events_after(&self, number: u64) -> Vec<EventRecord> {
        self.events.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// The last decisions, newest first.
    pub(in crate::node) fn decisions(&self) -> Vec<Record> {
        self.decisions.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_events_are_kept_and_their_numbers_go_on() {
        let mut recent = Recent::new(NodeId(3));
        for _ in 0..EVENTS_MAX + 10 {
            recent.note(&Notice::TakeDownBegan, None);
        }
        let events = recent.events_after(0);
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!(events.first().map(|event| event.number), Some(11));
    }
}
