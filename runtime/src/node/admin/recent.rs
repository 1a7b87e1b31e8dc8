//! The recent events and decisions of this node, for `events` and `why`: bounded, in memory.
//!
//! They are for people and are lost with the process. What must survive is in the ledger or in the node's journal.

use crate::admin::{DecisionRecord, EventRecord};
use crate::node::solving::unix_ms;
use rhizo_protocol::notice::Notice;
use rhizo_types::NodeId;
use std::collections::VecDeque;

/// Events kept. A quiet application makes a few in an hour, the repair after the loss of a provider some hundreds.
const EVENTS_MAX: usize = 4_096;

/// Decisions kept. `why` prints all of them.
const DECISIONS_MAX: usize = 32;

/// The last events and decisions.
pub(in crate::node) struct Recent {
    me: NodeId,
    /// The number of the last event, from one.
    number: u64,
    events: VecDeque<EventRecord>,
    decisions: VecDeque<DecisionRecord>,
}

impl Recent {
    pub(in crate::node) fn new(me: NodeId) -> Self {
        Self { me, number: 0, events: VecDeque::new(), decisions: VecDeque::new() }
    }

    /// Keeps a notice as an event, and the decision in it when there is one. Writes it to the log as well.
    pub(in crate::node) fn note(&mut self, notice: &Notice) {
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
        });
        if let Some(judgement) = notice.judgement() {
            self.decide(DecisionRecord {
                at_unix_ms: unix_ms(),
                cause: "facts or offers changed".to_owned(),
                verdict: "kept".to_owned(),
                utility_before: None,
                utility_after: None,
                migration_cost: Some(judgement.migration_cost.get()),
                gain: Some(judgement.gain.get()),
                text: notice.to_string(),
            });
        }
    }

    /// Keeps a decision, in place of the oldest one when there are too many.
    pub(in crate::node) fn decide(&mut self, decision: DecisionRecord) {
        if self.decisions.len() == DECISIONS_MAX {
            self.decisions.pop_back();
        }
        self.decisions.push_front(decision);
    }

    /// The events with a number above `number`, oldest first.
    pub(in crate::node) fn events_after(&self, number: u64) -> Vec<EventRecord> {
        self.events.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// The last decisions, newest first.
    pub(in crate::node) fn decisions(&self) -> Vec<DecisionRecord> {
        self.decisions.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::Number;

    #[test]
    fn a_kept_plan_is_an_event_and_a_decision() {
        let number = |value: f64| Number::try_from(value).unwrap();
        let mut recent = Recent::new(NodeId(3));
        recent.note(&Notice::NodeJoined(NodeId(4)));
        recent.note(&Notice::PlanKept {
            net_gain: number(-0.25),
            gain_min: number(0.0),
            migration_cost: number(0.75),
            reason: "it does not pay".to_owned(),
        });
        let events = recent.events_after(1);
        assert_eq!(
            events.iter().map(|event| (event.number, event.kind.as_str())).collect::<Vec<_>>(),
            [(2, "PlanKept")]
        );
        let decisions = recent.decisions();
        assert_eq!(decisions.len(), 1, "a node that joined is no decision");
        assert_eq!((decisions[0].gain, decisions[0].migration_cost), (Some(0.5), Some(0.75)));
        assert_eq!(decisions[0].text, events[0].text);
    }

    #[test]
    fn only_the_newest_events_are_kept_and_their_numbers_go_on() {
        let mut recent = Recent::new(NodeId(3));
        for _ in 0..EVENTS_MAX + 10 {
            recent.note(&Notice::TakeDownBegan);
        }
        let events = recent.events_after(0);
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!(events.first().map(|event| event.number), Some(11));
    }
}
