//! What a node can say about the overlay: the core's part of `status --json`.
//!
//! Any node answers from its own ledger; what instances do is known in full only to the coordinator.

use rhizo_types::id::{InstanceId, IntentId, NodeId};
use rhizo_types::message::InstanceReport;
use rhizo_types::{Revision, Term};
use std::collections::{BTreeMap, BTreeSet};

/// The state of the application, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OverlayState {
    /// Everything that the plan wants is there, and the voters are as the policy wants them.
    Stable,
    /// On the way.
    Changing,
    /// Something is missing or broken and no plan repairs it at the moment.
    Degraded,
    /// No coordinator with a quorum is known: nothing is spent and nothing released.
    NoQuorum,
}

impl OverlayState {
    /// The word of the JSON contract.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Changing => "changing",
            Self::Degraded => "degraded",
            Self::NoQuorum => "no-quorum",
        }
    }
}

/// What a node says of the overlay.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// The newest term known.
    pub term: Term,
    /// Its coordinator, once a committed entry of that term was seen.
    pub coordinator: Option<NodeId>,
    /// In one word.
    pub state: OverlayState,
    /// Whether this node coordinates, so that `reports` are complete.
    pub coordinates: bool,
    /// What each instance does, as far as this node knows (the coordinator: all; others: their own).
    pub reports: BTreeMap<InstanceId, (NodeId, InstanceReport)>,
    /// Members that this node lost.
    pub suspects: BTreeSet<NodeId>,
    /// Intents that are not closed and whose host has not joined, and those being released.
    pub intents_open: BTreeSet<IntentId>,
    /// Intents whose outcome is not known.
    pub intents_unknown: BTreeSet<IntentId>,
    /// The target in force and the last one reached.
    pub target: Revision,
    /// The last target that was reached.
    pub settled: Revision,
    /// Sentences for the operator: what is missing, broken, or not survivable.
    pub problems: Vec<String>,
}
