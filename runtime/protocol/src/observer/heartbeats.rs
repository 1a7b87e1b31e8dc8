//! When this node sends heartbeats, and to which nodes.
//!
//! A heartbeat also names the coordinator. A member whose link has just come up gets one at once, and all members get
//! one at once when the coordinator or its term changes: an agent that knows no coordinator sends no report. All other
//! heartbeats are periodic. `mod.rs` handles those that arrive.

use rhizo_types::id::NodeId;
use rhizo_types::message::Heartbeat;
use rhizo_types::{Term, Time};
use std::collections::BTreeSet;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Heartbeats {
    /// When the next periodic heartbeat is due.
    at: Time,
    /// The coordinator that the last heartbeat to all named.
    announced: Option<(Term, NodeId)>,
    /// Members whose links came up since the last call of `hearers`.
    new: BTreeSet<NodeId>,
}

impl Heartbeats {
    pub(super) fn new() -> Self {
        Self { at: Time::ZERO, announced: None, new: BTreeSet::new() }
    }

    /// A link to a member came up.
    pub(super) fn link_up(&mut self, peer: NodeId) {
        self.new.insert(peer);
    }

    /// The nodes to send a heartbeat to now; `everybody` yields those that get every one.
    pub(super) fn hearers(
        &mut self,
        heartbeat: &Heartbeat,
        heartbeat_ms: u64,
        now: Time,
        everybody: impl FnOnce() -> BTreeSet<NodeId>,
    ) -> BTreeSet<NodeId> {
        let mut new = std::mem::take(&mut self.new);
        let coordinator = heartbeat.coordinator.map(|node| (heartbeat.term, node));
        let news = coordinator.is_some() && coordinator != self.announced;
        if now >= self.at || news {
            self.at = now.after_ms(heartbeat_ms);
            self.announced = coordinator.or(self.announced);
            new.append(&mut everybody());
        }
        new
    }

    pub(super) fn due(&self) -> Time {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_MS: u64 = 1_000;

    fn heartbeat(term: u64, coordinator: Option<u64>) -> Heartbeat {
        Heartbeat {
            term: Term(term),
            coordinator: coordinator.map(NodeId),
            coordinator_age_ms: 0,
            applied: 0,
        }
    }

    fn hearers(heartbeats: &mut Heartbeats, said: Heartbeat, at_ms: u64) -> Vec<u64> {
        let everybody = || BTreeSet::from([NodeId(2), NodeId(3)]);
        let hearers = heartbeats.hearers(&said, EVERY_MS, Time::ZERO.after_ms(at_ms), everybody);
        hearers.into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn everybody_hears_one_every_interval_and_at_once_of_a_new_coordinator() {
        let mut heartbeats = Heartbeats::new();
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, None), 0), [2, 3]);
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, None), 400), [0; 0]);
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, Some(1)), 500), [2, 3], "there is a coordinator");
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, Some(1)), 1_499), [0; 0]);
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, Some(1)), 1_500), [2, 3]);
        assert_eq!(hearers(&mut heartbeats, heartbeat(2, None), 1_600), [0; 0], "nobody leads yet");
        assert_eq!(hearers(&mut heartbeats, heartbeat(2, Some(1)), 1_700), [2, 3], "again, but anew");
    }

    #[test]
    fn whose_link_came_up_is_told_at_once_and_once() {
        let mut heartbeats = Heartbeats::new();
        hearers(&mut heartbeats, heartbeat(1, Some(1)), 0);
        heartbeats.link_up(NodeId(6));
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, Some(1)), 300), [6]);
        assert_eq!(hearers(&mut heartbeats, heartbeat(1, Some(1)), 301), [0; 0]);
    }
}
