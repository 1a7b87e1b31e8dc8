//! Checks whether a host has room for an instance beside those that the plan has there.
//!
//! The solver checks its own placements. This check is for instances that a script places; `coordinator/headroom.rs`
//! uses the same arithmetic during a change.

use super::{Ledger, SlotState};
use rhizo_types::Number;
use rhizo_types::id::{InstanceId, NodeId};
use std::collections::BTreeMap;

/// Share of a capacity by which a sum of needs may exceed it: decimal numbers that fill a capacity exactly may add up
/// to slightly more in binary.
const ROUNDING_SHARE: f64 = 1e-9;

/// The amount of each resource of a host that is in use.
pub(crate) type Used<'a> = BTreeMap<&'a str, f64>;

/// Returns the first resource of which too little is left, with the amount left; none if all needs fit.
pub(crate) fn shortage<'a>(
    capacity: &BTreeMap<String, Number>,
    used: &Used<'_>,
    needs: &'a BTreeMap<String, Number>,
) -> Option<(&'a str, f64)> {
    needs.iter().find_map(|(resource, need)| {
        let capacity = capacity.get(resource).map_or(0.0, |have| have.get());
        let used = used.get(resource.as_str()).copied().unwrap_or(0.0);
        let fits = used + need.get() <= capacity * (1.0 + ROUNDING_SHARE);
        (!fits).then(|| (resource.as_str(), (capacity - used).max(0.0)))
    })
}

impl Ledger {
    /// Returns the capacity of a member's host; none for a node on a host that was not ordered.
    pub(crate) fn capacity_of(&self, node: NodeId) -> Option<&BTreeMap<String, Number>> {
        let intent = self.members.get(&node)?.record.intent?;
        Some(&self.intents.get(&intent)?.order.capacity)
    }

    /// Returns the needs of an instance in the version in force; none if it has no needs.
    pub(crate) fn needs_of(&self, instance: &InstanceId) -> Option<&BTreeMap<String, Number>> {
        let component = self.component_of(instance, self.version_of(&instance.component))?;
        Some(&component.needs).filter(|needs| !needs.is_empty())
    }

    /// Checks that a node has room for an instance beside those that the plan has there. The error is a sentence for
    /// the operator.
    pub(super) fn expect_room(&self, instance: &InstanceId, node: NodeId) -> Result<(), String> {
        let (Some(needs), Some(capacity), Some(plan)) =
            (self.needs_of(instance), self.capacity_of(node), &self.plan)
        else {
            return Ok(());
        };
        let mut used = Used::new();
        let here = |slot| self.slot_state(slot) == SlotState::Ready(node);
        for (other, _) in plan.placement.iter().filter(|(_, slot)| here(**slot)) {
            for (resource, need) in self.needs_of(other).into_iter().flatten() {
                *used.entry(resource).or_default() += need.get();
            }
        }
        match shortage(capacity, &used, needs) {
            None => Ok(()),
            Some((resource, left)) => {
                let need = needs.get(resource).map_or(0.0, |need| need.get());
                Err(format!(
                    "{node} has no room for {instance}: it needs {need} of {resource}, {left} is left"
                ))
            }
        }
    }
}
