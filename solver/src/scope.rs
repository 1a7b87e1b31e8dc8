//! The indices into a problem, and the sets of instances that rules and utilities cover.

use serde::{Deserialize, Serialize};

/// Index into [`crate::Problem::machines`].
pub type MachineIndex = usize;
/// Index into [`crate::Problem::components`].
pub type ComponentIndex = usize;
/// Index into [`crate::Problem::partitions`].
pub type PartitionIndex = usize;
/// Index into [`crate::Problem::quantities`].
pub type QuantityIndex = usize;
/// Index into the latency matrix.
pub type SiteIndex = usize;

/// A set of instances.
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

impl Scope {
    /// Whether the scope holds an instance, given as its component and ordinal.
    #[must_use]
    pub fn contains(&self, component: ComponentIndex, ordinal: usize) -> bool {
        match self {
            Self::Instances(instances) => instances.contains(&(component, ordinal)),
            _ => self.covers(component),
        }
    }

    /// Whether the scope holds every instance that a component can have; a list of single instances never does.
    #[must_use]
    pub fn covers(&self, component: ComponentIndex) -> bool {
        match self {
            Self::All => true,
            Self::Component(own) => *own == component,
            Self::Components(list) => list.contains(&component),
            Self::Instances(_) => false,
        }
    }
}
