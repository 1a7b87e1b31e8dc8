//! What a node remembers for `events` and `why`: the last notices and decisions, bounded.
//!
//! It is for people and may be lost with the node; what must not be lost is in the ledger.

use crate::admin::{DecisionRecord, EventRecord};
use crate::node::solving::unix_ms;
use rhizo_protocol::notice::Notice;
use rhizo_types::NodeId;
use std::collections::VecDeque;

/// Events kept: some hours of a quiet application, or the whole of a busy repair.
const EVENTS_MAX: usize = 4_096;

/// Decisions kept: `why` prints them all.
const DECISIONS_MAX: usize = 32;

/// The last events and decisions.
pub(crate) struct RecentPast {
    me: NodeId,
    number: u64,
    events: VecDeque<EventRecord>,
    decisions: VecDeque<DecisionRecord>,
}

impl RecentPast {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, number: 0, events: VecDeque::new(), decisions: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, notice: &Notice) {
        tracing::info!(node = %self.me, "{notice}");
        self.number += 1;
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(EventRecord {
            number: self.number,
            at_unix_ms: unix_ms(),
            node: self.me.to_string(),
            kind: kind(notice),
            text: notice.to_string(),
        });
        if let Notice::PlanKept { net_gain, migration_cost, .. } = notice {
            let (gain, cost) = (net_gain.get() + migration_cost.get(), migration_cost.get());
            self.decide(DecisionRecord {
                at_unix_ms: unix_ms(),
                cause: "facts or offers changed".to_owned(),
                verdict: "kept".to_owned(),
                utility_before: None,
                utility_after: None,
                migration_cost: Some(cost),
                gain: Some(gain),
                text: notice.to_string(),
            });
        }
    }

    pub(crate) fn decide(&mut self, decision: DecisionRecord) {
        if self.decisions.len() == DECISIONS_MAX {
            self.decisions.pop_back();
        }
        self.decisions.push_front(decision);
    }

    pub(crate) fn events_after(&self, number: u64) -> Vec<EventRecord> {
        self.events.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// The last decisions, newest first.
    pub(crate) fn decisions(&self) -> Vec<DecisionRecord> {
        self.decisions.iter().cloned().collect()
    }
}

/// The notice's kind as one word: its variant's name.
fn kind(notice: &Notice) -> String {
    let debug = format!("{notice:?}");
    debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}
