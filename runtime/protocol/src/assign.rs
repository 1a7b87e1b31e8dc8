//! Names the copies of a placement: converts slots by component into slots by instance.
//!
//! A copy keeps its name as long as it stays on its host. A copy that is placed elsewhere is a new instance with
//! another name, so that it can start before the old one stops. A name is free when no plan has it, no target has it,
//! and no instance of that name may still run.
//!
//! Copies of a component with state keep their names wherever they are placed, because data belongs to a name. The new
//! generation then starts when the old one is known to be gone. This module chooses names only, never slots.

use crate::ledger::Ledger;
use crate::request::SolveRequest;
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId};
use rhizo_types::target::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the canonical slots of the copies of the plan in force.
#[must_use]
pub fn in_force(ledger: &Ledger) -> BTreeMap<InstanceId, Slot> {
    let placement = ledger.plan.iter().flat_map(|plan| &plan.placement);
    placement.map(|(instance, slot)| (instance.clone(), ledger.canonical(*slot))).collect()
}

/// Returns the names that a new copy must not get: those of the target, and those of instances that may still run.
#[must_use]
pub fn names_in_use(ledger: &Ledger) -> BTreeSet<InstanceId> {
    let lingering = ledger.lingering.keys().filter(|_| !sabotage::is(Sabotage::ReusesNames));
    ledger.target.instances.keys().chain(lingering).cloned().collect()
}

/// The names of a component's copies, and whether they belong to data.
struct Names<'a> {
    in_force: &'a BTreeMap<InstanceId, Slot>,
    in_use: &'a BTreeSet<InstanceId>,
    /// Copies that wait for their data: their names stay theirs.
    waiting: &'a BTreeSet<InstanceId>,
}

/// Names the copies of a placement by the names that the ledger has in use.
#[must_use]
pub fn assign(ledger: &Ledger, placement: &BTreeMap<ComponentName, Vec<Slot>>) -> BTreeMap<InstanceId, Slot> {
    let slots = |slots: &Vec<Slot>| slots.iter().map(|slot| ledger.canonical(*slot)).collect();
    let placement = placement.iter().map(|(component, wanted)| (component.clone(), slots(wanted)));
    let waiting = ledger.waiting_for_data().map(|(copy, _)| copy.clone()).collect();
    let names = Names { in_force: &in_force(ledger), in_use: &names_in_use(ledger), waiting: &waiting };
    names.name(placement.collect(), |component| ledger.state_of(component).is_kept())
}

/// Names the copies of a placement by the names that a request has in use. The coordinator gives the same names when
/// it commits the plan.
#[must_use]
pub fn assign_for(
    request: &SolveRequest,
    placement: &BTreeMap<ComponentName, Vec<Slot>>,
) -> BTreeMap<InstanceId, Slot> {
    let waiting = request.waiting.keys().cloned().collect();
    let names = Names { in_force: &request.placement(), in_use: &request.names_in_use, waiting: &waiting };
    let components = &request.spec.components;
    names.name(placement.clone(), |component| {
        components.get(component).is_some_and(|component| component.state.is_kept())
    })
}

impl Names<'_> {
    fn name(
        &self,
        placement: BTreeMap<ComponentName, Vec<Slot>>,
        has_state: impl Fn(&ComponentName) -> bool,
    ) -> BTreeMap<InstanceId, Slot> {
        let mut named = BTreeMap::new();
        for (component, mut open) in placement {
            open.sort_unstable();
            let copies = InstanceId::copies_of(&component);
            let ordinals = |names: &BTreeSet<InstanceId>| -> BTreeSet<u32> {
                names.range(copies.clone()).map(|copy| copy.ordinal).collect()
            };
            let mut moved = Vec::new();
            let mut taken = ordinals(self.waiting);
            for (instance, slot) in self.in_force.range(copies.clone()) {
                if let Some(position) = open.iter().position(|wanted| wanted == slot) {
                    open.remove(position);
                    taken.insert(instance.ordinal);
                    named.insert(instance.clone(), *slot);
                } else {
                    moved.push(instance.ordinal);
                }
            }
            if !has_state(&component) {
                moved.clear();
                taken.extend(ordinals(self.in_use));
            }
            let mut moved = moved.into_iter().filter(|ordinal| !self.waits(&component, *ordinal));
            for slot in open {
                let free = |taken: &BTreeSet<u32>| (0..).find(|ordinal| !taken.contains(ordinal));
                let ordinal = moved.next().or_else(|| free(&taken)).unwrap_or(u32::MAX);
                taken.insert(ordinal);
                named.insert(InstanceId { component: component.clone(), ordinal }, slot);
            }
        }
        named
    }

    fn waits(&self, component: &ComponentName, ordinal: u32) -> bool {
        self.waiting.contains(&InstanceId { component: component.clone(), ordinal })
    }
}
