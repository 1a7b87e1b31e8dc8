//! Checks whether a host has room for an instance beside those that the plan has there.
//!
//! The solver checks its own placements. This check is for instances that a script places; `coordinator/headroom.rs`
//! uses the same arithmetic during a change.

use super::{Ledger, SlotState};
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::spec::Component;
use rhizo_types::{HostResource, Number};
use std::collections::BTreeMap;

/// Share of a capacity by which a sum of needs may exceed it: decimal numbers that fill a capacity exactly may add up
/// to slightly more in binary.
const ROUNDING_SHARE: f64 = 1e-9;

/// The amount of each resource of a host that is in use.
pub(crate) type Used<'a> = BTreeMap<HostResource<'a>, f64>;

/// A resource of which a host has too little left for a copy.
pub(crate) struct Shortage<'a> {
    resource: HostResource<'a>,
    need: f64,
    left: f64,
}

/// Returns the first resource of which too little is left for a copy of a component; none if all that it takes fits.
pub(crate) fn shortage<'a>(
    capacity: &BTreeMap<String, Number>,
    used: &Used<'_>,
    component: &'a Component,
) -> Option<Shortage<'a>> {
    component.takes().find_map(|(resource, need)| {
        let (capacity, need) = (resource.capacity(capacity), need.get());
        let used = used.get(&resource).copied().unwrap_or(0.0);
        let fits = used + need <= capacity * (1.0 + ROUNDING_SHARE);
        (!fits).then(|| Shortage { resource, need, left: (capacity - used).max(0.0) })
    })
}

impl Ledger {
    /// Returns the capacity of a member's host; none for a node on a host that was not ordered.
    pub(crate) fn capacity_of(&self, node: NodeId) -> Option<&BTreeMap<String, Number>> {
        let intent = self.members.get(&node)?.record.intent?;
        Some(&self.intents.get(&intent)?.order.capacity)
    }

    /// Returns the definition in force of an instance that takes resources of its host; none if it takes none.
    pub(crate) fn taking(&self, instance: &InstanceId) -> Option<&Component> {
        let component = self.component_of(instance, self.version_of(&instance.component))?;
        component.takes().next().is_some().then_some(component)
    }

    /// Checks that a node has room for an instance beside those that the plan has there. The error is a sentence for
    /// the operator.
    pub(super) fn expect_room(&self, instance: &InstanceId, node: NodeId) -> Result<(), String> {
        let (Some(component), Some(capacity), Some(plan)) =
            (self.taking(instance), self.capacity_of(node), &self.plan)
        else {
            return Ok(());
        };
        let mut used = Used::new();
        let here = |slot| self.slot_state(slot) == SlotState::Ready(node);
        for (other, _) in plan.placement.iter().filter(|(_, slot)| here(**slot)) {
            for (resource, need) in self.taking(other).into_iter().flat_map(Component::takes) {
                *used.entry(resource).or_default() += need.get();
            }
        }
        match shortage(capacity, &used, component) {
            None => Ok(()),
            Some(Shortage { resource: HostResource::Port(port), .. }) => Err(format!(
                "{node} has no room for {instance}: it needs port {port}, which another instance uses there"
            )),
            Some(Shortage { resource, need, left }) => Err(format!(
                "{node} has no room for {instance}: it needs {need} of {resource}, {left} is left"
            )),
        }
    }
}
