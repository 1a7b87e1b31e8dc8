//! Utilities, costs and migration costs: what the solver maximises.
//!
//! `net = U - Σ costs - migration`, where U is the weighted mean of the utilities. This module has only declarations;
//! [`mod@crate::evaluate`] computes the values.

use crate::scope::{ComponentIndex, PartitionIndex, QuantityIndex, Scope};
use serde::{Deserialize, Serialize};

/// A soft goal: `u(x) = clamp((worst - x) / (worst - best), 0, 1)`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Utility {
    /// The quantity x.
    pub of: Of,
    /// The value whose worth is 1.
    pub best: f64,
    /// The value whose worth is 0; differs from `best`.
    pub worst: f64,
    /// Its share of the weighted mean; not negative.
    pub weight: f64,
}

impl Utility {
    /// The worth of a value, in 0..1.
    #[must_use]
    pub fn worth(&self, value: f64) -> f64 {
        ((self.worst - value) / (self.worst - self.best)).clamp(0.0, 1.0)
    }
}

/// The quantity of a utility.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// A quantity of each host of a component; the utility is the mean over its instances.
    Each {
        /// The component.
        component: ComponentIndex,
        /// The number.
        quantity: QuantityIndex,
    },
    /// A measure of a whole group.
    Group {
        /// The instances that form the group.
        scope: Scope,
        /// The number.
        measure: Measure,
    },
}

/// A quantity to be minimised: `per_unit * value` is subtracted from the utility.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The instances that form the group.
    pub scope: Scope,
    /// The number.
    pub measure: Measure,
    /// The cost of one unit, in the unit of utility.
    pub per_unit: f64,
}

/// A measure of a group of instances, of their hosts, or of all hosts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Number of instances.
    Size,
    /// Number of hosts.
    Hosts,
    /// Largest round-trip time between two of the hosts, in milliseconds; 0 for fewer than two.
    DiameterMs,
    /// The largest, over all anchors, of the round-trip time to the nearest host, in milliseconds; 0 without anchors.
    AnchorLatencyMs,
    /// Largest round-trip time between a host of the group and a host of the other.
    PairLatencyMs(Scope),
    /// Mean round-trip time over all pairs of a host of the group and a host of the other.
    MeanPairLatencyMs(Scope),
    /// Price per hour of the hosts.
    Price,
    /// Price per hour of all used and kept hosts, independent of the scope.
    TotalPrice,
    /// Number of different classes of the hosts.
    Distinct(PartitionIndex),
    /// Number of instances on machines of the mask.
    Count(Vec<bool>),
    /// Share of instances on machines of the mask.
    Share(Vec<bool>),
    /// Sum of a quantity of the machine over the instances.
    Sum(QuantityIndex),
    /// Mean of a quantity of the machine over the instances; 0 without instances.
    Average(QuantityIndex),
    /// Sum over all hosts, independent of the scope, of the need of a resource beyond the soft limit.
    Overload {
        /// Index of the resource.
        resource: usize,
    },
    /// Sum over all hosts, independent of the scope, of `max(0, target * free(first) - free(second))`.
    Imbalance {
        /// Index of the resource that should be usable.
        first: usize,
        /// Index of the resource that makes it usable.
        second: usize,
        /// Units of the second resource that a unit of the first needs.
        target: f64,
    },
}

/// The costs of changing the running configuration, in the unit of utility.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Migration {
    /// Cost of each host that is bought.
    pub add: f64,
    /// Cost of each running host that is released.
    pub remove: f64,
    /// Factor of the move cost of each instance that moves.
    pub per_move: f64,
    /// Cost of each moved instance of the component with the most moved instances.
    pub per_service: f64,
    /// Factor of the machine-to-machine cost of each move.
    pub per_pair: f64,
}
