//! Whether a host has room for what is to run there while something else has not left it yet.
//!
//! A plan fits its hosts, but on the way to it an instance that leaves and the one that comes would be there together. What
//! comes waits until there is room. When everything waits for room, the few that are in the way go before what replaces them is
//! started. Hosts that nothing leaves are not looked at. Read next: `target.rs`.

use crate::ledger::room::{Used, shortage};
use crate::ledger::{Ledger, SlotState};
use rhizo_types::Number;
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::target::{Placed, Plan};
use std::collections::{BTreeMap, BTreeSet};

/// An instance of the plan that has no room yet, and where.
pub(super) type Blocked<'a> = (&'a InstanceId, NodeId);

/// The hosts that something leaves, and what they hold.
pub(super) struct Headroom<'a> {
    ledger: &'a Ledger,
    hosts: BTreeMap<NodeId, Held<'a>>,
}

struct Held<'a> {
    capacity: &'a BTreeMap<String, Number>,
    used: Used<'a>,
    /// In the target in force, and not here in the plan.
    leaving: Vec<(&'a InstanceId, &'a Placed)>,
    /// Something was dropped, and its agent does not say yet that it is gone.
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

    /// Takes room for an instance of the version in force; false when there is none yet.
    pub(super) fn take(&mut self, instance: &InstanceId, node: NodeId) -> bool {
        let Some(held) = self.hosts.get_mut(&node) else { return true };
        let Some(needed) = self.ledger.needs_of(instance) else { return true };
        if shortage(held.capacity, &held.used, needed).is_some() {
            return false;
        }
        for (resource, need) in needed {
            *held.used.entry(resource).or_default() += need.get();
        }
        true
    }

    /// The components of what leaves a host.
    pub(super) fn leaving(&self) -> BTreeSet<&'a ComponentName> {
        let leaving = self.hosts.values().flat_map(|held| &held.leaving);
        leaving.map(|(instance, _)| &instance.component).collect()
    }

    /// The fewest that have to go so that one of the blocked has room; of `idle` components nothing that is under way
    /// will let a copy go. Empty while something goes already.
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
        let needed = self.ledger.needs_of(instance)?;
        let mut used = held.used.clone();
        let mut gone = BTreeSet::new();
        let candidates = held.leaving.iter().filter(|(instance, _)| idle.contains(&instance.component));
        for (instance, placed) in candidates {
            for (resource, need) in needs(instance, placed, self.ledger) {
                *used.entry(resource).or_default() -= need.get();
            }
            gone.insert(*instance);
            if shortage(held.capacity, &used, needed).is_none() {
                return Some(gone);
            }
        }
        None
    }
}

/// The hosts on which an instance of the plan may wait for room: what was dropped there keeps it out.
pub(super) fn waited_for(plan: &Plan, ledger: &Ledger) -> BTreeSet<NodeId> {
    let missing = plan.placement.iter().filter(|(instance, _)| {
        !ledger.target.instances.contains_key(*instance) && ledger.needs_of(instance).is_some()
    });
    let hosts = missing.filter_map(|(_, slot)| match ledger.slot_state(*slot) {
        SlotState::Ready(node) => Some(node),
        SlotState::Arriving | SlotState::Lost => None,
    });
    hosts.collect()
}

/// What was dropped and may still run beside the target: an older generation ends where the next one begins.
fn lingering(ledger: &Ledger) -> impl Iterator<Item = (&InstanceId, &Placed)> {
    ledger.lingering.iter().filter(|(instance, placed)| {
        ledger.target.instances.get(*instance).is_none_or(|next| next.node != placed.node)
    })
}

fn needs<'a>(
    instance: &InstanceId,
    placed: &Placed,
    ledger: &'a Ledger,
) -> impl Iterator<Item = (&'a str, Number)> + use<'a> {
    let component = ledger.component_of(instance, placed.version);
    component.into_iter().flat_map(|component| &component.needs).map(|(name, need)| (name.as_str(), *need))
}
