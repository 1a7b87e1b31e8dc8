//! From a solver's placement to instance names: who stays, who is new, who goes.
//!
//! An instance is never moved under its name: a copy elsewhere is a new instance, so that it can be started
//! before the old one stops. A name is free when no plan, target or unresolved instance has it.

use crate::ledger::{Ledger, SlotState};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId};
use rhizo_types::target::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// The same place under one name: an intent whose node has joined is that node.
#[must_use]
pub fn canonical(ledger: &Ledger, slot: Slot) -> Slot {
    match ledger.slot_state(slot) {
        SlotState::Ready(node) => Slot::Node(node),
        SlotState::Arriving | SlotState::Lost => slot,
    }
}

/// Names the copies of a placement, keeping the names of copies that stay where they are.
#[must_use]
pub fn assign(ledger: &Ledger, placement: &BTreeMap<ComponentName, Vec<Slot>>) -> BTreeMap<InstanceId, Slot> {
    let mut named = BTreeMap::new();
    let in_force = ledger.plan.as_ref().map(|plan| &plan.placement);
    for (component, slots) in placement {
        let mut open: Vec<Slot> = slots.iter().map(|slot| canonical(ledger, *slot)).collect();
        open.sort_unstable();
        let copies = InstanceId::copies_of(component);
        for (instance, slot) in in_force.into_iter().flat_map(|placed| placed.range(copies.clone())) {
            let slot = canonical(ledger, *slot);
            if let Some(position) = open.iter().position(|wanted| *wanted == slot) {
                open.remove(position);
                named.insert(instance.clone(), slot);
            }
        }
        let kept = named.range(copies.clone()).map(|(instance, _)| instance);
        let placed = ledger.target.instances.range(copies.clone()).map(|(instance, _)| instance);
        let lingering = ledger.lingering.range(copies).map(|(instance, _)| instance);
        let lingering = lingering.filter(|_| !sabotage::is(Sabotage::ReusesNames));
        let mut taken: BTreeSet<u32> =
            kept.chain(placed).chain(lingering).map(|instance| instance.ordinal).collect();
        for slot in open {
            let ordinal = (0..).find(|ordinal| !taken.contains(ordinal)).unwrap_or(u32::MAX);
            taken.insert(ordinal);
            named.insert(InstanceId { component: component.clone(), ordinal }, slot);
        }
    }
    named
}
