//! Failures of components: what the quorum remembers of them, and what an agent reports while it waits for a retry.
//!
//! Only data. `rhizo-protocol` decides what counts as a failure and when the next attempt begins. No record holds a
//! time: the length of a wait follows from the number of failures. Decision 0131 has the policy.

use crate::counter::Revision;
use crate::id::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most nodes that one [`Failing`] or [`Proven`] names; two are enough to tell a version from a host.
pub const WITNESSES_MAX: usize = 2;

/// A version of a component that keeps failing. It ends when every copy has been started for longer than the failure
/// window, and when the definition of the component changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Failing {
    /// The spec revision that defines the failing version.
    pub version: Revision,
    /// Failures in a row, over all hosts. All copies of the version wait as long as this number says.
    pub failures: u32,
    /// The text of the last failure.
    pub error: String,
    /// Nodes on which a copy exhausted its attempts: at most [`WITNESSES_MAX`].
    pub nodes: BTreeSet<NodeId>,
}

/// A version of a component that has run well: every copy was started for longer than the failure window.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Proven {
    /// The spec revision that defines the version.
    pub version: Revision,
    /// Nodes on which it ran: at most [`WITNESSES_MAX`].
    pub nodes: BTreeSet<NodeId>,
}

/// The mark of a component against a node, where no copy of it is placed while the mark lasts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The spec revision that defines the version which failed there; the mark ends with that definition.
    pub version: Revision,
    /// Whether a host was acquired to replace the node. Only one such replacement is outstanding at a time.
    pub replaced: bool,
}

/// The state of an instance that failed and waits for its next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RetryWait {
    /// Failures in a row of this version of the component over all hosts, as far as the agent knows.
    pub failures: u32,
    /// Length of the wait that began with the last failure, in milliseconds.
    pub wait_ms: u64,
}
