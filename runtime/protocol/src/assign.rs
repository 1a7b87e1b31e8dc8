//! Names the copies of a placement: converts slots by component into slots by instance.
//!
//! A copy keeps its name as long as it stays on its host. A copy that is placed elsewhere is a new instance with
//! another name, so that it can start before the old one stops. A name is free when no plan has it, no target has it,
//! and no instance of that name may still run. This module chooses names only, never slots.

use crate::ledger::{Ledger, SlotState};
use crate::request::SolveRequest;
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId};
use rhizo_types::target::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the canonical slot: an intent whose node has joined becomes that node, any other slot is unchanged.
#[must_use]
pub fn canonical(ledger: &Ledger, slot: Slot) -> Slot {
    match ledger.slot_state(slot) {
        SlotState::Ready(node) => Slot::Node(node),
        SlotState::Arriving | SlotState::Lost => slot,
    }
}

/// Returns the canonical slots of the copies of the plan in force.
#[must_use]
pub fn in_force(ledger: &Ledger) -> BTreeMap<InstanceId, Slot> {
    let placement = ledger.plan.iter().flat_map(|plan| &plan.placement);
    placement.map(|(instance, slot)| (instance.clone(), canonical(ledger, *slot))).collect()
}

/// Returns the names that a new copy must not get: those of the target, and those of instances that may still run.
#[must_use]
pub fn names_in_use(ledger: &Ledger) -> BTreeSet<InstanceId> {
    let lingering = ledger.lingering.keys().filter(|_| !sabotage::is(Sabotage::ReusesNames));
    ledger.target.instances.keys().chain(lingering).cloned().collect()
}

/// Names the copies of a placement by the names that the ledger has in use.
#[must_use]
pub fn assign(ledger: &Ledger, placement: &BTreeMap<ComponentName, Vec<Slot>>) -> BTreeMap<InstanceId, Slot> {
    let slots = |slots: &Vec<Slot>| slots.iter().map(|slot| canonical(ledger, *slot)).collect();
    let placement = placement.iter().map(|(component, wanted)| (component.clone(), slots(wanted)));
    name(&in_force(ledger), &names_in_use(ledger), placement.collect())
}

/// Names the copies of a placement by the names that a request has in use. The coordinator gives the same names when
/// it commits the plan.
#[must_use]
pub fn assign_for(
    request: &SolveRequest,
    placement: &BTreeMap<ComponentName, Vec<Slot>>,
) -> BTreeMap<InstanceId, Slot> {
    name(&request.placement(), &request.names_in_use, placement.clone())
}

fn name(
    in_force: &BTreeMap<InstanceId, Slot>,
    in_use: &BTreeSet<InstanceId>,
    placement: BTreeMap<ComponentName, Vec<Slot>>,
) -> BTreeMap<InstanceId, Slot> {
    let mut named = BTreeMap::new();
    for (component, mut open) in placement {
        open.sort_unstable();
        let copies = InstanceId::copies_of(&component);
        let mut taken: BTreeSet<u32> = in_use.range(copies.clone()).map(|copy| copy.ordinal).collect();
        for (instance, slot) in in_force.range(copies) {
            if let Some(position) = open.iter().position(|wanted| wanted == slot) {
                open.remove(position);
                taken.insert(instance.ordinal);
                named.insert(instance.clone(), *slot);
            }
        }
        for slot in open {
            let ordinal = (0..).find(|ordinal| !taken.contains(ordinal)).unwrap_or(u32::MAX);
            taken.insert(ordinal);
            named.insert(InstanceId { component: component.clone(), ordinal }, slot);
        }
    }
    named
}
