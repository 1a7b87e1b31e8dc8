//! The input of the solver: machines, components, rules, utilities, costs, and the running configuration.
//!
//! A [`Problem`] is plain data, complete and immutable: no name is resolved and no expression is evaluated while
//! solving. The code that poses it (the control loop, a benchmark reader) turns expressions into one value per machine:
//! a mask, a [`Partition`] or a [`Quantity`]. Numbers are `f64`; [`mod@crate::validate`] refuses NaN and infinities.
//! Read next: [`crate::constraint`] for the rules, [`crate::assignment`] for what a solution looks like.

use crate::constraint::Constraint;
use crate::objective::{Cost, Migration, Utility};
use crate::release::{Release, Wanted};
pub use crate::scope::{ComponentIndex, MachineIndex, PartitionIndex, QuantityIndex, SiteIndex};
use serde::{Deserialize, Serialize};

/// An item with the name that an operator sees.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Named<T> {
    /// Unique among the rules, utilities and costs of a problem.
    pub name: String,
    /// The item itself.
    pub item: T,
}

impl<T> Named<T> {
    /// Gives `item` a name.
    pub fn new(name: impl Into<String>, item: T) -> Self {
        Self { name: name.into(), item }
    }
}

/// The input of a solver run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Problem {
    /// The resources that machines have and instances need; every capacity and need vector has this length.
    pub resources: Vec<Resource>,
    /// Hosts that exist and offers that can be bought, in any order.
    pub machines: Vec<Machine>,
    /// Round-trip times between sites.
    pub latency: Latency,
    /// Sites of users, each as its round-trip times in milliseconds to every site.
    pub anchors: Vec<Vec<f64>>,
    /// Classifications of machines: by provider, region, quarter, rack.
    pub partitions: Vec<Partition>,
    /// Quantities of machines: load, free processor, the value of any expression.
    pub quantities: Vec<Quantity>,
    /// The components to be placed.
    pub components: Vec<Component>,
    /// The hard rules. Explanations name the first one that rejects a machine.
    pub constraints: Vec<Named<Constraint>>,
    /// The utilities, whose weighted mean in 0..1 is maximised.
    pub utilities: Vec<Named<Utility>>,
    /// The costs that are subtracted from the utility, in its unit.
    pub costs: Vec<Named<Cost>>,
    /// The costs of changing the running configuration, in the unit of utility.
    pub migration: Migration,
}

/// A kind of capacity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The name in messages: `cpu`, `memory`, `port 5222`.
    pub name: String,
    /// Whether a moving instance holds it on both machines until the move is done.
    #[serde(default)]
    pub transient: bool,
}

/// A host that exists, or an offer that can be bought.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The name of the host or offer in messages; unique.
    pub name: String,
    /// The provider, only for display; rules use partitions.
    #[serde(default)]
    pub provider: String,
    /// The region, only for display.
    #[serde(default)]
    pub region: String,
    /// Whether it exists already.
    pub stock: Stock,
    /// Its row in the latency matrix. A machine without one is refused wherever a rule, utility or cost measures
    /// latency.
    #[serde(default)]
    pub site: Option<SiteIndex>,
    /// Hard limit per resource of what all instances on the machine may need together.
    #[serde(default)]
    pub capacity: Vec<f64>,
    /// Soft limit per resource, for [`crate::objective::Measure::Overload`]; empty means the capacity.
    #[serde(default)]
    pub safety: Vec<f64>,
    /// Price per hour, in the currency of the budget.
    #[serde(default)]
    pub price: f64,
    /// Cost of moving an instance from here to each machine; empty means nothing.
    #[serde(default)]
    pub move_cost: Vec<f64>,
}

/// Whether a machine exists already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stock {
    /// An existing host that can be released when no instance runs on it.
    Running,
    /// An existing host that is kept, and paid for, even when no instance runs on it.
    Kept,
    /// An offer, from which hosts can be bought.
    Offer {
        /// The largest number of hosts.
        count_max: u32,
    },
}

impl Machine {
    /// Whether it has to be bought first.
    #[must_use]
    pub fn is_offer(&self) -> bool {
        matches!(self.stock, Stock::Offer { .. })
    }

    /// The largest number of hosts: one, or the number that can be bought.
    #[must_use]
    pub fn copies_max(&self) -> u32 {
        match self.stock {
            Stock::Running | Stock::Kept => 1,
            Stock::Offer { count_max } => count_max,
        }
    }

    /// Soft limit of a resource.
    #[must_use]
    pub fn safety_of(&self, resource: usize) -> f64 {
        *self.safety.get(resource).unwrap_or(&self.capacity[resource])
    }
}

/// Round-trip times between sites, in milliseconds.
///
/// The diagonal is the time between two hosts of one site.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Number of sites.
    pub sites: usize,
    /// `sites * sites` numbers, row by row. It need not be symmetric: see [`Latency::ms`].
    pub ms: Vec<f64>,
}

impl Latency {
    /// A matrix from its rows.
    #[must_use]
    pub fn from_rows(rows: &[Vec<f64>]) -> Self {
        Self { sites: rows.len(), ms: rows.iter().flatten().copied().collect() }
    }

    /// The round-trip time between two sites: the larger of the two directions.
    #[must_use]
    pub fn ms(&self, a: SiteIndex, b: SiteIndex) -> f64 {
        self.ms[a * self.sites + b].max(self.ms[b * self.sites + a])
    }
}

/// A classification of machines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The name in messages: `node.quarter`.
    pub name: String,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The class of each machine. Rules over this partition refuse a machine without a class.
    pub class_of: Vec<Option<usize>>,
}

/// A quantity of each machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// The name in messages: `node.load5`.
    pub name: String,
    /// The value of each machine. A machine whose value is unknown is refused wherever the value is needed.
    pub values: Vec<Option<f64>>,
}

/// A component: a number of instances of one kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The name in messages; unique.
    pub name: String,
    /// The least number of instances.
    pub replicas_min: u32,
    /// The largest number of instances.
    pub replicas_max: u32,
    /// The needs of one instance, per resource; empty means nothing.
    #[serde(default)]
    pub needs: Vec<f64>,
    /// Instead of `needs`: a vector for each instance. The instances are then not interchangeable, and all are placed.
    #[serde(default)]
    pub needs_each: Vec<Vec<f64>>,
    /// The most instances on one host; zero means any number.
    #[serde(default = "one")]
    pub per_host_max: u32,
    /// Cost of moving one instance; multiplied by [`Migration::per_move`].
    #[serde(default = "one_f64")]
    pub move_cost: f64,
    /// Instead of `move_cost`: a number for each instance.
    #[serde(default)]
    pub move_cost_each: Vec<f64>,
    /// The package and version of the component, for rules over versions.
    #[serde(default)]
    pub release: Option<Release>,
    /// The current host of each instance, by ordinal; none where the ordinal is not in use or the host is lost.
    #[serde(default)]
    pub current: Vec<Option<MachineIndex>>,
}

fn one() -> u32 {
    1
}

fn one_f64() -> f64 {
    1.0
}

impl Component {
    /// A component whose instances need nothing, at most one on a host, and do not run yet.
    #[must_use]
    pub fn new(name: impl Into<String>, replicas_min: u32, replicas_max: u32) -> Self {
        Self {
            name: name.into(),
            replicas_min,
            replicas_max,
            needs: Vec::new(),
            needs_each: Vec::new(),
            per_host_max: 1,
            move_cost: 1.0,
            move_cost_each: Vec::new(),
            release: None,
            current: Vec::new(),
        }
    }

    /// The need of an instance of a resource.
    #[must_use]
    pub fn need(&self, ordinal: usize, resource: usize) -> f64 {
        let vector = self.needs_each.get(ordinal).unwrap_or(&self.needs);
        vector.get(resource).copied().unwrap_or(0.0)
    }

    /// The cost of moving an instance, before the weight of the problem.
    #[must_use]
    pub fn move_cost_of(&self, ordinal: usize) -> f64 {
        self.move_cost_each.get(ordinal).copied().unwrap_or(self.move_cost)
    }

    /// The current host of an instance.
    #[must_use]
    pub fn current_of(&self, ordinal: usize) -> Option<MachineIndex> {
        self.current.get(ordinal).copied().flatten()
    }

    /// Whether the component is, or provides, a wanted package.
    #[must_use]
    pub fn meets(&self, wanted: &Wanted) -> bool {
        self.release.as_ref().is_some_and(|release| wanted.is_met_by(release))
    }

    /// Whether the instances are interchangeable.
    #[must_use]
    pub fn is_exchangeable(&self) -> bool {
        self.needs_each.is_empty() && self.move_cost_each.is_empty()
    }
}
