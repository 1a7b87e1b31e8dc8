//! The catalogue of hard rules: their declarations.
//!
//! Every rule has four faces: this declaration, what the engines make of it, an independent checker in
//! [`mod@crate::check`], and a sentence in [`mod@crate::sentence`]. Names follow the placement literature where it has one
//! (spread, gather, among, split, fence, ban, lonely, root, quarantine, preserve, overbook).

use crate::objective::Measure;
use crate::problem::{ComponentIndex, MachineIndex, PartitionIndex};
use crate::versions::Wanted;
use serde::{Deserialize, Serialize};

/// Which instances a rule speaks of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All instances of all components.
    All,
    /// All instances of one component.
    Component(ComponentIndex),
    /// All instances of these components.
    Components(Vec<ComponentIndex>),
    /// These instances, each a component and an ordinal.
    Instances(Vec<(ComponentIndex, usize)>),
}

/// A bound that may depend on how many instances there are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The same for any number.
    Constant(f64),
    /// By the number of instances in scope, from none; the last entry holds for all larger numbers.
    BySize(Vec<f64>),
}

impl Limit {
    /// The bound for a group of `size` instances.
    #[must_use]
    pub fn at(&self, size: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::BySize(values) => values.get(size).or(values.last()).copied().unwrap_or(0.0),
        }
    }
}

/// How a number is compared with its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

impl Comparison {
    /// Whether `value` stands in this relation to `limit`.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Equal => value == limit,
        }
    }
}

/// A hard rule: an assignment that breaks it is never returned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// Instances run only on these machines (fence; ban is its complement). One flag per machine.
    Each {
        /// Whose instances.
        scope: Scope,
        /// Whether each machine is allowed.
        allowed: Vec<bool>,
    },
    /// A number of the group keeps to a bound (count, diameter, anchors, price, pair latency).
    Bound {
        /// Which instances form the group.
        scope: Scope,
        /// The number.
        measure: Measure,
        /// How it is compared.
        comparison: Comparison,
        /// The bound.
        limit: Limit,
    },
    /// Instances are spread over the classes of a partition.
    Spread {
        /// Which instances.
        scope: Scope,
        /// The classes.
        partition: PartitionIndex,
        /// At most so many instances in one class.
        max_in_class: Option<Limit>,
        /// At least so many classes.
        min_distinct: Option<Limit>,
    },
    /// No two of these instances share a host (or a class of the partition).
    Apart {
        /// Which instances.
        scope: Scope,
        /// The classes; none means hosts.
        partition: Option<PartitionIndex>,
    },
    /// All of these instances share one host (or one class of the partition: among).
    Gather {
        /// Which instances.
        scope: Scope,
        /// The classes; none means hosts.
        partition: Option<PartitionIndex>,
    },
    /// Instances of different scopes share no host (or class of the partition).
    Split {
        /// The scopes; pairwise kept apart.
        scopes: Vec<Scope>,
        /// The classes; none means hosts.
        partition: Option<PartitionIndex>,
    },
    /// Hosts of these instances run nothing else.
    Lonely {
        /// Which instances.
        scope: Scope,
    },
    /// Where one of these components has an instance, each of them has.
    Together {
        /// Which components.
        components: Vec<ComponentIndex>,
    },
    /// The component has an instance on each used host, but where it is kept from by a split rule.
    Everywhere {
        /// Which component.
        component: ComponentIndex,
    },
    /// These instances stay where they are.
    Root {
        /// Which instances.
        scope: Scope,
    },
    /// No instance comes to or leaves these machines, but by ending.
    Quarantine {
        /// One flag per machine.
        machines: Vec<bool>,
    },
    /// At most so many hosts of these machines are used.
    MaxOnline {
        /// One flag per machine.
        machines: Vec<bool>,
        /// The bound.
        max: u32,
    },
    /// On these machines, instances may need `ratio` times the capacity of a resource.
    Overbook {
        /// One flag per machine.
        machines: Vec<bool>,
        /// Which resource.
        resource: usize,
        /// 1 is the capacity itself.
        ratio: f64,
    },
    /// These instances get at least so much of a resource, even if they ask for less.
    Preserve {
        /// Which instances.
        scope: Scope,
        /// Which resource.
        resource: usize,
        /// The least amount.
        amount: f64,
    },
    /// `per_user * users <= per_provider * providers`, counting instances.
    Require {
        /// The component that needs.
        user: ComponentIndex,
        /// The component that is needed.
        provider: ComponentIndex,
        /// How many providers' shares a user takes.
        per_user: u32,
        /// How many shares a provider has.
        per_provider: u32,
        /// There is also no provider more than that needs.
        exactly: bool,
    },
    /// `sum of weight * instances <= max` over components (bounded require/provide with several providers).
    Linear {
        /// Components with their weights.
        terms: Vec<(ComponentIndex, i64)>,
        /// The bound.
        max: i64,
    },
    /// So many of these components have instances (exclusive alternatives; versions of one component).
    Alternatives {
        /// Which components.
        components: Vec<ComponentIndex>,
        /// At least so many of them.
        min: u32,
        /// At most so many of them.
        max: u32,
    },
    /// If a component has instances, so has at least one of the others (a dependency over versions).
    DependsOn {
        /// The component that depends.
        component: ComponentIndex,
        /// What satisfies it.
        any_of: Vec<ComponentIndex>,
    },
    /// The two components never both have instances.
    Conflict {
        /// One.
        first: ComponentIndex,
        /// The other.
        second: ComponentIndex,
    },
    /// Where a class holds a user, it also holds a provider (neighbourhood dependency).
    Neighbour {
        /// Who depends.
        user: Scope,
        /// On whom.
        provider: Scope,
        /// The neighbourhoods.
        partition: PartitionIndex,
    },
    /// The hosts that are used or kept cost at most so much per hour.
    Budget {
        /// In the currency of the prices.
        max_per_hour: f64,
    },
    /// At most so many running instances move or end.
    Moves {
        /// Which instances.
        scope: Scope,
        /// The bound.
        max: u32,
    },
    /// Whatever single class is lost, so many instances are left.
    Survive {
        /// Which instances.
        scope: Scope,
        /// The classes.
        partition: PartitionIndex,
        /// At least so many are left; may depend on how many there were.
        min_left: Limit,
    },
    /// Whatever single class is lost, the hosts left have room for what these instances used there.
    ///
    /// Room is what used and kept hosts of other classes have free of one resource, all together.
    Reserve {
        /// Which instances.
        scope: Scope,
        /// The classes.
        partition: PartitionIndex,
        /// Which resource.
        resource: usize,
        /// The share of it that has to find room; 1 is all.
        share: f64,
    },
    /// At most so many versions of a package run; package managers allow one.
    Versions {
        /// The package.
        package: String,
        /// The bound.
        max: u32,
    },
    /// If a component has instances, so has something that is, or provides, one of these.
    Needs {
        /// The component that depends.
        component: ComponentIndex,
        /// What satisfies it.
        any_of: Vec<Wanted>,
    },
    /// A component never runs beside what is, or provides, this; itself excepted.
    Breaks {
        /// The component.
        component: ComponentIndex,
        /// What it does not stand.
        wanted: Wanted,
    },
    /// The sum of a component's counts over these components keeps to a range.
    Count {
        /// Which components.
        components: Vec<ComponentIndex>,
        /// At least so many instances.
        min: u32,
        /// At most so many instances.
        max: u32,
    },
    /// Never on these machines: the complement of [`Constraint::Each`] for a few machines.
    Ban {
        /// Whose instances.
        scope: Scope,
        /// Where not.
        machines: Vec<MachineIndex>,
    },
}
