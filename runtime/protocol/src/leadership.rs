//! One node's knowledge of which node coordinates, and how old that knowledge is.
//!
//! A node that holds the log knows it from the log; the others know it from heartbeats, which carry the age of the
//! knowledge. It authorises nothing. The node uses it to address reports, to report *no-quorum*, and to stop as an
//! orphan.

use crate::event::LogStatus;
use crate::ledger::Ledger;
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::NodeId;
use rhizo_types::message::Heartbeat;
use rhizo_types::{Term, Time};

/// A node that has not heard of a coordinator for this long reports that there is no quorum. Heartbeats of one second
/// spread the knowledge over a few hops, and an election takes up to two seconds.
pub const STALE_MS: u64 = 6_000;

/// One node's knowledge about the coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Leadership {
    term: Term,
    coordinator: Option<NodeId>,
    /// The time of this node at which the coordinator was last known to have a quorum.
    fresh_at: Time,
    /// Whether this node's log reports a leader with a quorum.
    by_log: bool,
    now: Time,
}

impl Leadership {
    pub(crate) fn begin(&mut self, now: Time) {
        self.fresh_at = now;
        self.now = now;
    }

    pub(crate) fn tick(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.by_log {
            self.fresh_at = self.fresh_at.max(now);
        }
    }

    /// The time of the event that is being handled.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn log_status(&mut self, log: &LogStatus, now: Time) {
        if log.term > self.term {
            self.term = log.term;
            self.coordinator = None;
        }
        if log.term == self.term {
            self.coordinator = log.leader.or(self.coordinator);
        }
        self.by_log = log.quorum && log.leader.is_some();
        self.tick(now);
    }

    pub(crate) fn heard(&mut self, heartbeat: &Heartbeat, now: Time) {
        if heartbeat.term < self.term {
            return;
        }
        if heartbeat.term > self.term {
            self.term = heartbeat.term;
            self.coordinator = heartbeat.coordinator;
        }
        self.coordinator = self.coordinator.or(heartbeat.coordinator);
        let age = heartbeat.coordinator_age_ms.saturating_mul(1_000);
        self.fresh_at = self.fresh_at.max(Time(now.0.saturating_sub(age)));
    }

    /// The newest term this node knows of.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// That term's coordinator.
    #[must_use]
    pub fn coordinator(&self) -> Option<NodeId> {
        self.coordinator
    }

    /// How long ago a coordinator was last known to have a quorum.
    #[must_use]
    pub fn age_ms(&self, now: Time) -> u64 {
        if self.by_log { 0 } else { now.ms_since(self.fresh_at) }
    }

    /// Whether no coordinator with a quorum is known.
    #[must_use]
    pub fn is_stale(&self, now: Time) -> bool {
        let stale = self.coordinator.is_none() || self.age_ms(now) >= STALE_MS;
        stale && !sabotage::is(Sabotage::ClaimsQuorum)
    }

    /// When this node stops as an orphan, if it does not hear of the group before.
    pub(crate) fn orphan_deadline(&self, ledger: &Ledger) -> Option<Time> {
        let orphan_after_ms = ledger.spec().map_or(0, |spec| spec.orphan_after_ms);
        (orphan_after_ms > 0 && !self.by_log).then(|| self.fresh_at.after_ms(orphan_after_ms))
    }
}
