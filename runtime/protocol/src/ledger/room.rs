//! Whether a host can hold an instance beside everything that the plan has there.
//!
//! The solver sees to it for what it places; this is for what a script's author places, and the arithmetic is also that of changes
//! under way (`coordinator/headroom.rs`).

use super::{Ledger, SlotState};
use rhizo_types::Number;
use rhizo_types::id::{InstanceId, NodeId};
use std::collections::BTreeMap;

/// Sums of decimal numbers miss the capacity by less than this share of it when they are meant to fill it.
const ROUNDING_SHARE: f64 = 1e-9;

/// What is used of each resource of a host.
pub(crate) type Used<'a> = BTreeMap<&'a str, f64>;

/// The first resource of which there is too little left, and how much is left.
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
    /// What a member's host has of each resource; none of a node that runs on no ordered host.
    pub(crate) fn capacity_of(&self, node: NodeId) -> Option<&BTreeMap<String, Number>> {
        let intent = self.members.get(&node)?.record.intent?;
        Some(&self.intents.get(&intent)?.order.capacity)
    }

    /// What a copy in the version in force needs; none when it needs nothing.
    pub(crate) fn needs_of(&self, instance: &InstanceId) -> Option<&BTreeMap<String, Number>> {
        let component = self.component_of(instance, self.version_of(&instance.component))?;
        Some(&component.needs).filter(|needs| !needs.is_empty())
    }

    /// Whether a node can hold an instance beside what the plan has there; a sentence when it cannot.
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
