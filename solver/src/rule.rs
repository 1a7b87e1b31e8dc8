//! The declarations of the hard rules: one struct for each kind of rule.
//!
//! They are plain data and know no problem. What a rule means is in the file of its name in `rules/`: its validation,
//! its independent checker, its sentence and its MiniZinc form. Names follow the placement literature where it has one
//! (spread, gather, among, split, fence, ban, lonely, root, quarantine, preserve, overbook).
//! Read next: [`crate::Constraint`], the enum of all rules.

use crate::limit::{Comparison, Limit};
use crate::objective::Measure;
use crate::release::Wanted;
use crate::scope::{ComponentIndex, MachineIndex, PartitionIndex, Scope};
use serde::{Deserialize, Serialize};

/// Instances run only on these machines: *fence* in the literature. [`Ban`] is its complement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Each {
    /// The instances.
    pub scope: Scope,
    /// One flag per machine: whether it is allowed.
    pub allowed: Vec<bool>,
}

/// A measure of a group keeps to a limit: count, diameter, distance to anchors, price, latency between groups.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bound {
    /// The instances that form the group.
    pub scope: Scope,
    /// The measure.
    pub measure: Measure,
    /// The comparison of the measured value with the limit.
    pub comparison: Comparison,
    /// The limit, in the unit of the measure.
    pub limit: Limit,
}

/// Instances are spread over the classes of a partition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The instances.
    pub scope: Scope,
    /// The partition into classes.
    pub partition: PartitionIndex,
    /// The most instances in one class; none means any number.
    pub max_in_class: Option<Limit>,
    /// The least number of classes that the instances use; none means any number.
    pub min_distinct: Option<Limit>,
}

/// No two of these instances share a host, or a class of the partition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Apart {
    /// The instances.
    pub scope: Scope,
    /// The partition whose classes count as places; none means hosts.
    pub partition: Option<PartitionIndex>,
}

/// All of these instances share one host, or one class of the partition (*among*).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Gather {
    /// The instances.
    pub scope: Scope,
    /// The partition whose classes count as places; none means hosts.
    pub partition: Option<PartitionIndex>,
}

/// Instances of different scopes share no host, or no class of the partition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Split {
    /// The scopes: no instance of one shares a host with an instance of another.
    pub scopes: Vec<Scope>,
    /// The partition whose classes count as places; none means hosts.
    pub partition: Option<PartitionIndex>,
}

/// The hosts of these instances run no other instances.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lonely {
    /// The instances.
    pub scope: Scope,
}

/// A host runs an instance of each of these components, or of none of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Together {
    /// The components.
    pub components: Vec<ComponentIndex>,
}

/// Every used host runs an instance of the component, except where a [`Split`] rule keeps the component away.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Everywhere {
    /// The component.
    pub component: ComponentIndex,
}

/// Running instances of the scope neither move nor end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Root {
    /// The instances.
    pub scope: Scope,
}

/// No instance starts on, moves to or moves away from these machines; instances on them may end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Quarantine {
    /// One flag per machine.
    pub machines: Vec<bool>,
}

/// Limits how many hosts of a set of machines are used.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MaxOnline {
    /// One flag per machine.
    pub machines: Vec<bool>,
    /// The most hosts of these machines that may be used.
    pub max: u32,
}

/// Instances on these machines may together need `ratio` times the capacity of a resource.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Overbook {
    /// One flag per machine.
    pub machines: Vec<bool>,
    /// Index of the resource.
    pub resource: usize,
    /// The factor; 1 is the capacity itself.
    pub ratio: f64,
}

/// Reserves a least amount of a resource for each of these instances, even if the instance needs less.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preserve {
    /// The instances.
    pub scope: Scope,
    /// Index of the resource.
    pub resource: usize,
    /// The amount, in the unit of the resource.
    pub amount: f64,
}

/// Ties the number of providers to the number of users: `per_user * users <= per_provider * providers`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Require {
    /// The component that needs.
    pub user: ComponentIndex,
    /// The component that is needed.
    pub provider: ComponentIndex,
    /// The number of shares of a provider that each user takes.
    pub per_user: u32,
    /// The number of shares that each provider has.
    pub per_provider: u32,
    /// Also forbids a provider that the users do not need.
    pub exactly: bool,
}

/// Limits a weighted sum of instance counts: `sum of weight * instances <= max`.
///
/// Expresses a bounded require/provide relation with several providers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Linear {
    /// Components with their weights.
    pub terms: Vec<(ComponentIndex, i64)>,
    /// The largest sum.
    pub max: i64,
}

/// Limits how many of these components have instances.
///
/// Expresses exclusive alternatives and versions of one component.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Alternatives {
    /// The components.
    pub components: Vec<ComponentIndex>,
    /// The least number of components with instances.
    pub min: u32,
    /// The largest number of components with instances.
    pub max: u32,
}

/// When the component has instances, at least one of the others has too: a dependency over versions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DependsOn {
    /// The component that depends.
    pub component: ComponentIndex,
    /// The components that satisfy the dependency.
    pub any_of: Vec<ComponentIndex>,
}

/// The two components never both have instances.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// One.
    pub first: ComponentIndex,
    /// The other.
    pub second: ComponentIndex,
}

/// Every class that holds a user also holds a provider: a neighbourhood dependency.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Neighbour {
    /// The instances that depend.
    pub user: Scope,
    /// The instances that satisfy the dependency.
    pub provider: Scope,
    /// The classes are the neighbourhoods.
    pub partition: PartitionIndex,
}

/// Limits the price of all used and kept hosts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// Per hour, in the currency of the prices.
    pub max_per_hour: f64,
}

/// Limits how many running instances of the scope move or end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Moves {
    /// The instances.
    pub scope: Scope,
    /// The largest number.
    pub max: u32,
}

/// Enough instances are left whichever single class is lost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Survive {
    /// The instances.
    pub scope: Scope,
    /// The partition into classes.
    pub partition: PartitionIndex,
    /// The least number of instances left; may depend on how many there were.
    pub min_left: Limit,
}

/// Whichever single class is lost, the hosts of the other classes have room for what the instances used in it.
///
/// Room is the free amount of one resource on all used and kept hosts of the other classes together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reserve {
    /// The instances.
    pub scope: Scope,
    /// The partition into classes.
    pub partition: PartitionIndex,
    /// Index of the resource.
    pub resource: usize,
    /// The share of the lost need that has to find room; 1 is all of it.
    pub share: f64,
}

/// Limits how many versions of a package run; package managers allow one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Versions {
    /// The package.
    pub package: String,
    /// The largest number of versions.
    pub max: u32,
}

/// When the component has instances, a running component is, or provides, one of the wanted packages.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Needs {
    /// The component that depends.
    pub component: ComponentIndex,
    /// The packages that satisfy the dependency.
    pub any_of: Vec<Wanted>,
}

/// The component never runs beside another one that is, or provides, the unwanted package.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Breaks {
    /// The component.
    pub component: ComponentIndex,
    /// The package that it does not run beside.
    pub wanted: Wanted,
}

/// The number of instances of these components together keeps to a range.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Count {
    /// The components.
    pub components: Vec<ComponentIndex>,
    /// The least number of instances.
    pub min: u32,
    /// The largest number of instances.
    pub max: u32,
}

/// Instances do not run on these machines: [`Each`] written by its complement, for a few machines.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ban {
    /// The instances.
    pub scope: Scope,
    /// The machines that are refused.
    pub machines: Vec<MachineIndex>,
}
