//! What is to be solved: machines, components, rules, utilities, costs, and what runs now.
//!
//! A [`Problem`] is plain data, complete and immutable: no names are looked up while solving, no expression is
//! evaluated. Whoever poses it (the control loop, a benchmark reader) turns expressions into one value per
//! machine: a mask, a [`Partition`] or a [`Quantity`]. Numbers are `f64`; [`mod@crate::validate`] refuses NaN and infinities.
//! Read next: [`crate::constraint`] for the rules, [`crate::assignment`] for what a solution looks like.

use crate::constraint::Constraint;
use crate::objective::{Cost, Migration, Utility};
use crate::release::{Release, Wanted};
pub use crate::scope::{ComponentIndex, MachineIndex, PartitionIndex, QuantityIndex, SiteIndex};
use serde::{Deserialize, Serialize};

/// Something with the name that an operator sees.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Named<T> {
    /// Unique among the rules, utilities and costs of a problem.
    pub name: String,
    /// The thing itself.
    pub item: T,
}

impl<T> Named<T> {
    /// Gives `item` a name.
    pub fn new(name: impl Into<String>, item: T) -> Self {
        Self { name: name.into(), item }
    }
}

/// The pure input of a solver run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Problem {
    /// What machines have and instances need; gives the length of every capacity and need vector.
    pub resources: Vec<Resource>,
    /// Hosts that exist and offers that can be bought, in any order.
    pub machines: Vec<Machine>,
    /// Round-trip times between sites.
    pub latency: Latency,
    /// Sites of users: each is the round-trip time in milliseconds to every site.
    pub anchors: Vec<Vec<f64>>,
    /// Ways to class machines: provider, region, quarter, rack.
    pub partitions: Vec<Partition>,
    /// Numbers of machines: load, free processor, anything an expression gives.
    pub quantities: Vec<Quantity>,
    /// What is to be placed.
    pub components: Vec<Component>,
    /// What must hold. The first one that rejects a machine is the one that is named.
    pub constraints: Vec<Named<Constraint>>,
    /// What is to be maximised: a weighted mean in 0..1.
    pub utilities: Vec<Named<Utility>>,
    /// What is to be minimised beside that, in the unit of utility.
    pub costs: Vec<Named<Cost>>,
    /// What a change of the running configuration costs, in the unit of utility.
    pub migration: Migration,
}

/// A kind of capacity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// For messages: `cpu`, `memory`, `port 5222`.
    pub name: String,
    /// A moving instance holds it on both machines until the move is done.
    #[serde(default)]
    pub transient: bool,
}

/// A host that exists, or an offer that can be bought.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// For messages, unique: the host's or the offer's name.
    pub name: String,
    /// Who sells it; only shown (rules speak of partitions).
    #[serde(default)]
    pub provider: String,
    /// Where it stands; only shown.
    #[serde(default)]
    pub region: String,
    /// Whether it exists already.
    pub stock: Stock,
    /// Its row in the latency matrix. Without one, it is refused wherever a rule or utility speaks of latency.
    #[serde(default)]
    pub site: Option<SiteIndex>,
    /// Hard limit per resource; what all instances on it may need together.
    #[serde(default)]
    pub capacity: Vec<f64>,
    /// Soft limit per resource, for [`crate::objective::Measure::Overload`]; empty means the capacity.
    #[serde(default)]
    pub safety: Vec<f64>,
    /// Per hour, in the currency of the budget.
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
    /// A host that is there and free to be given back when nothing runs on it.
    Running,
    /// A host that is there and stays there, paid for or not, whatever runs on it.
    Kept,
    /// An offer: so many hosts of it can be bought.
    Offer {
        /// At most this many.
        count_max: u32,
    },
}

impl Machine {
    /// Whether it has to be bought first.
    #[must_use]
    pub fn is_offer(&self) -> bool {
        matches!(self.stock, Stock::Offer { .. })
    }

    /// How many hosts it can be: one, or as many as can be bought.
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
    /// Row by row, `sites * sites` numbers. Read in one direction only where it is not symmetric: see [`Latency::ms`].
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

/// A way to class machines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// For messages: `node.quarter`.
    pub name: String,
    /// What the classes are called.
    pub classes: Vec<String>,
    /// The class of each machine; none means that it has no class, and is refused by rules over this partition.
    pub class_of: Vec<Option<usize>>,
}

/// A number of each machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// For messages: `node.load5`.
    pub name: String,
    /// The value at each machine; none means unknown, and the machine is refused by what needs the value.
    pub values: Vec<Option<f64>>,
}

/// What is to be placed: so many instances of one kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// For messages, unique.
    pub name: String,
    /// At least so many instances.
    pub replicas_min: u32,
    /// At most so many instances.
    pub replicas_max: u32,
    /// What one instance needs, per resource; empty means nothing.
    #[serde(default)]
    pub needs: Vec<f64>,
    /// Instead of `needs`: a vector for each instance, which are then no longer exchangeable and all placed.
    #[serde(default)]
    pub needs_each: Vec<Vec<f64>>,
    /// At most so many instances on one host; zero means any number.
    #[serde(default = "one")]
    pub per_host_max: u32,
    /// Cost of moving one instance; multiplied by [`Migration::per_move`].
    #[serde(default = "one_f64")]
    pub move_cost: f64,
    /// Instead of `move_cost`: a number for each instance.
    #[serde(default)]
    pub move_cost_each: Vec<f64>,
    /// Which version of which package it is, where rules over versions speak of it.
    #[serde(default)]
    pub release: Option<Release>,
    /// Where each instance runs now, by ordinal; none where that ordinal is not in use or its host is lost.
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
    /// A component with so many instances that need nothing, at most one on a host, none of which run yet.
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

    /// What an instance needs of a resource.
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

    /// Where an instance runs now.
    #[must_use]
    pub fn current_of(&self, ordinal: usize) -> Option<MachineIndex> {
        self.current.get(ordinal).copied().flatten()
    }

    /// Whether the component is, or provides, a wanted package.
    #[must_use]
    pub fn meets(&self, wanted: &Wanted) -> bool {
        self.release.as_ref().is_some_and(|release| wanted.is_met_by(release))
    }

    /// Whether one instance is as good as another.
    #[must_use]
    pub fn is_exchangeable(&self) -> bool {
        self.needs_each.is_empty() && self.move_cost_each.is_empty()
    }
}
