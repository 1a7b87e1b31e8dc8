//! Utilities, costs and migration costs: what the solver maximises.
//!
//! `net = U - Σ costs - migration`, U being the weighted mean of the utilities. It only declares; the numbers
//! are worked out in [`mod@crate::evaluate`]. Read next: `evaluate.rs`.

use crate::scope::{ComponentIndex, PartitionIndex, QuantityIndex, Scope};
use serde::{Deserialize, Serialize};

/// A soft goal: `u(x) = clamp((worst - x) / (worst - best), 0, 1)`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Utility {
    /// The quantity x.
    pub of: Of,
    /// The value that is worth 1.
    pub best: f64,
    /// The value that is worth 0; differs from `best`.
    pub worst: f64,
    /// Its share of the weighted mean; not negative.
    pub weight: f64,
}

impl Utility {
    /// What a value is worth, in 0..1.
    #[must_use]
    pub fn worth(&self, value: f64) -> f64 {
        ((self.worst - value) / (self.worst - self.best)).clamp(0.0, 1.0)
    }
}

/// The quantity of a utility.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// A number of each host of a component; the utility is the mean over its instances.
    Each {
        /// Whose hosts.
        component: ComponentIndex,
        /// The number.
        quantity: QuantityIndex,
    },
    /// A number of a whole group.
    Group {
        /// Which instances form the group.
        scope: Scope,
        /// The number.
        measure: Measure,
    },
}

/// A quantity to be minimised: `per_unit * value` is subtracted from the utility.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Which instances form the group.
    pub scope: Scope,
    /// The number.
    pub measure: Measure,
    /// What one unit of it costs.
    pub per_unit: f64,
}

/// A number of a group of instances, of their hosts, or of all hosts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many instances.
    Size,
    /// How many hosts.
    Hosts,
    /// Largest round-trip time between two of the hosts, in milliseconds; 0 for fewer than two.
    DiameterMs,
    /// Over the anchors, the round-trip time to the nearest host: the largest; 0 without anchors.
    AnchorLatencyMs,
    /// Largest round-trip time between a host of the group and a host of the other.
    PairLatencyMs(Scope),
    /// Mean round-trip time over all pairs of a host of the group and a host of the other.
    MeanPairLatencyMs(Scope),
    /// Price per hour of the hosts.
    Price,
    /// Price per hour of all hosts that are used or kept, whatever the scope.
    TotalPrice,
    /// How many different classes the hosts fall in.
    Distinct(PartitionIndex),
    /// How many of the instances are on machines of the mask.
    Count(Vec<bool>),
    /// The same, divided by the number of instances.
    Share(Vec<bool>),
    /// Sum of a number of the machine, over the instances.
    Sum(QuantityIndex),
    /// Mean of a number of the machine, over the instances; 0 for none.
    Average(QuantityIndex),
    /// Over all hosts, whatever the scope: what is needed of a resource beyond the soft limit.
    Overload {
        /// Which resource.
        resource: usize,
    },
    /// Over all hosts, whatever the scope: `max(0, target * free(first) - free(second))`.
    Imbalance {
        /// The resource that is to be usable.
        first: usize,
        /// The resource that makes it usable.
        second: usize,
        /// Units of the second that a unit of the first wants.
        target: f64,
    },
}

/// What a change of the running configuration costs, in the unit of utility.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Migration {
    /// For each host that is bought.
    pub add: f64,
    /// For each running host that is given back.
    pub remove: f64,
    /// For each instance that moves, times the component's own move cost.
    pub per_move: f64,
    /// Times the largest number of moved instances of one component.
    pub per_service: f64,
    /// Times the machine-to-machine cost of each move.
    pub per_pair: f64,
    /// A voluntary change must gain more than this beyond its cost; the caller decides by it, the plan reports it.
    pub min_gain: f64,
}
