//! Room on hosts while instances that leave are still there.
//!
//! A plan fits its hosts. During the change to it, an instance that leaves a host and one that comes to it would be
//! there together. The one that comes waits until there is room. When every missing instance waits for room, the fewest
//! instances that are in the way leave before their successors are started. Hosts that no instance leaves are skipped.
//! Read next: `target.rs`.

use crate::ledger::room::{Used, shortage};
use crate::ledger::{Ledger, SlotState};
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::target::{Placed, Plan};
use rhizo_types::{HostResource, Number};
use std::collections::{BTreeMap, BTreeSet};

/// An instance of the plan that waits for room, and its host's node.
pub(super) type Blocked<'a> = (&'a InstanceId, NodeId);

/// The hosts that an instance leaves, with the resources in use there.
pub(super) struct Headroom<'a> {
    ledger: &'a Ledger,
    hosts: BTreeMap<NodeId, Held<'a>>,
}

struct Held<'a> {
    capacity: &'a BTreeMap<String, Number>,
    used: Used<'a>,
    /// Instances that the target in force has here and the plan does not.
    leaving: Vec<(&'a InstanceId, &'a Placed)>,
    /// Whether a dropped instance is not yet reported as gone.
    lingers: bool,
}

impl<'a> Headroom<'a> {
    pub(super) fn of(plan: &Plan, ledger: &'a Ledger) -> Self {
        let mut hosts: BTreeMap<NodeId, Held<'a>> = BTreeMap::new();
        let stays = |instance: &InstanceId, placed: &Placed| {
            let slot = plan.placement.get(instance);
            slot.is_some_and(|slot| ledger.slot_state(*slot) == SlotState::Ready(placed.node))
        };
        let held = |placed: &Placed| {
            let capacity = ledger.capacity_of(placed.node)?;
            Some(Held { capacity, used: Used::new(), leaving: Vec::new(), lingers: false })
        };
        for (instance, placed) in ledger.target.instances.iter().filter(|(i, placed)| !stays(i, placed)) {
            if let Some(new) = held(placed) {
                hosts.entry(placed.node).or_insert(new).leaving.push((instance, placed));
            }
        }
        for placed in lingering(ledger).map(|(_, placed)| placed) {
            if let Some(new) = held(placed) {
                hosts.entry(placed.node).or_insert(new).lingers = true;
            }
        }
        if !hosts.is_empty() {
            for (instance, placed) in ledger.target.instances.iter().chain(lingering(ledger)) {
                let Some(held) = hosts.get_mut(&placed.node) else { continue };
                for (resource, need) in needs(instance, placed, ledger) {
                    *held.used.entry(resource).or_default() += need.get();
                }
            }
        }
        Self { ledger, hosts }
    }

    /// Reserves room for an instance in the version in force; returns false when there is not enough yet.
    pub(super) fn take(&mut self, instance: &InstanceId, node: NodeId) -> bool {
        let Some(held) = self.hosts.get_mut(&node) else { return true };
        let Some(component) = self.ledger.taking(instance) else { return true };
        if shortage(held.capacity, &held.used, component).is_some() {
            return false;
        }
        for (resource, need) in component.takes() {
            *held.used.entry(resource).or_default() += need.get();
        }
        true
    }

    /// The components of the instances that leave a host.
    pub(super) fn leaving(&self) -> BTreeSet<&'a ComponentName> {
        let leaving = self.hosts.values().flat_map(|held| &held.leaving);
        leaving.map(|(instance, _)| &instance.component).collect()
    }

    /// Returns the fewest leaving instances that have to be dropped so that one of the blocked ones has room. Only
    /// copies of `idle` components count: the others leave by themselves when their successors are started. Empty while
    /// a dropped instance has not ended yet.
    pub(super) fn in_the_way(
        &self,
        blocked: &[Blocked<'_>],
        idle: &BTreeSet<&ComponentName>,
    ) -> BTreeSet<&'a InstanceId> {
        let hosts = || blocked.iter().filter_map(|(instance, node)| Some((*instance, self.hosts.get(node)?)));
        if hosts().any(|(_, held)| held.lingers) {
            return BTreeSet::new();
        }
        let ways = hosts().filter_map(|(instance, held)| self.way(instance, held, idle));
        ways.min_by_key(BTreeSet::len).unwrap_or_default()
    }

    fn way(
        &self,
        instance: &InstanceId,
        held: &Held<'a>,
        idle: &BTreeSet<&ComponentName>,
    ) -> Option<BTreeSet<&'a InstanceId>> {
        let component = self.ledger.taking(instance)?;
        let mut used = held.used.clone();
        let mut gone = BTreeSet::new();
        let candidates = held.leaving.iter().filter(|(instance, _)| idle.contains(&instance.component));
        for (instance, placed) in candidates {
            for (resource, need) in needs(instance, placed, self.ledger) {
                *used.entry(resource).or_default() -= need.get();
            }
            gone.insert(*instance);
            if shortage(held.capacity, &used, component).is_none() {
                return Some(gone);
            }
        }
        None
    }
}

/// The nodes on which an instance of the plan may wait for the room of dropped instances.
pub(super) fn waited_for(plan: &Plan, ledger: &Ledger) -> BTreeSet<NodeId> {
    let missing = plan.placement.iter().filter(|(instance, _)| {
        !ledger.target.instances.contains_key(*instance) && ledger.taking(instance).is_some()
    });
    let hosts = missing.filter_map(|(_, slot)| match ledger.slot_state(*slot) {
        SlotState::Ready(node) => Some(node),
        SlotState::Arriving | SlotState::Lost => None,
    });
    hosts.collect()
}

/// Dropped instances that may still run beside the target. An older generation on the same node is left out, because
/// it ends before the next one begins.
fn lingering(ledger: &Ledger) -> impl Iterator<Item = (&InstanceId, &Placed)> {
    ledger.lingering.iter().filter(|(instance, placed)| {
        ledger.target.instances.get(*instance).is_none_or(|next| next.node != placed.node)
    })
}

fn needs<'a>(
    instance: &InstanceId,
    placed: &Placed,
    ledger: &'a Ledger,
) -> impl Iterator<Item = (HostResource<'a>, Number)> + use<'a> {
    let component = ledger.component_of(instance, placed.version);
    component.into_iter().flat_map(|component| component.takes())
}
