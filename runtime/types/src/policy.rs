//! The settings of a spec that govern voluntary changes: the cost of a change, and when to search for a better
//! configuration.
//!
//! Only data. `rhizo_protocol::judgement` decides with it whether a change is made. Read next: [`crate::spec`].

use crate::number::Number;
use serde::{Deserialize, Serialize};

/// The cost of a change, in the unit of utility (0..1).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Migration {
    /// Cost per host that is added.
    pub add: Number,
    /// Cost per host that is removed.
    pub remove: Number,
}

/// When to optimise and how large a gain a voluntary move needs.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Optimise {
    /// Time between two searches for a better configuration.
    pub every_ms: u64,
    /// The gain that a voluntary move must exceed, beyond its migration cost.
    pub min_gain: Number,
    /// Most running copies that one voluntary change moves or ends; none means no limit.
    pub max_moves: Option<u32>,
    /// A host younger than this is not replaced voluntarily.
    pub settle_ms: u64,
    /// Longest time of one solver run.
    pub deadline_ms: u64,
}
