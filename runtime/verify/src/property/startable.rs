//! The instances of a target that can be deployed at all: the token game of all instances, without time and failures.
//!
//! An export counts as served from its first activation; the exploration shows whether it is active when it is needed.
//! An instance that is not found here can never start: it waits for itself, or for an exporter that is not placed.

use rhizo_protocol::Ledger;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::net::{Marking, Net};
use rhizo_types::spec::{Component, Import, Pick};
use std::collections::{BTreeMap, BTreeSet};

/// One instance that is being deployed.
struct Climber<'a> {
    component: &'a Component,
    net: Net,
    marking: Marking,
}

/// Exports that were active at some time.
type Served = BTreeSet<(InstanceId, PortName)>;

/// Returns the instances of the target in force whose deployment can complete.
#[must_use]
pub fn startable(ledger: &Ledger) -> BTreeSet<InstanceId> {
    let mut climbers: BTreeMap<&InstanceId, Climber<'_>> = BTreeMap::new();
    for (instance, placed) in &ledger.target.instances {
        let Some(component) = ledger.component_of(instance, placed.version) else { continue };
        let Ok(net) = Net::of(component) else { continue };
        let mut marking = Marking::at(net.initial);
        let pushes = ledger.target.pushes.get(instance).into_iter().flatten();
        let pushed = pushes.filter_map(|push| net.behaviour(&push.behaviour));
        for behaviour in net.deploy.iter().copied().chain(pushed) {
            marking.push(behaviour, 0);
        }
        climbers.insert(instance, Climber { component, net, marking });
    }
    let mut served = Served::new();
    loop {
        let mut moved = false;
        for (instance, climber) in &mut climbers {
            moved |= climber.climb(instance, ledger, &mut served);
        }
        if !moved {
            break;
        }
    }
    let done = climbers.iter().filter(|(_, climber)| climber.marking.is_idle());
    done.map(|(instance, _)| (*instance).clone()).collect()
}

/// Returns how many exporters an import needs for a start, when the target names `wanted`.
#[must_use]
pub fn need_to_start(import: &Import, wanted: usize) -> usize {
    match import.pick {
        _ if import.optional => 0,
        Pick::One => 1,
        Pick::Some(count) => usize::try_from(count).unwrap_or(usize::MAX).max(1),
        Pick::All => wanted.max(1),
    }
}

impl Climber<'_> {
    /// Takes all steps that the served exports allow; returns whether any was taken.
    fn climb(&mut self, instance: &InstanceId, ledger: &Ledger, served: &mut Served) -> bool {
        let before = (self.marking.clone(), served.len());
        loop {
            for (export, group) in &self.net.exports {
                if self.marking.is_in(&self.net, group) {
                    served.insert((instance.clone(), export.clone()));
                }
            }
            if !self.marking.next_behaviour(&self.net) || !self.step(instance, ledger, served) {
                break;
            }
        }
        before != (self.marking.clone(), served.len())
    }

    fn step(&mut self, instance: &InstanceId, ledger: &Ledger, served: &Served) -> bool {
        let mut moved = false;
        for place in self.marking.exits(&self.net) {
            self.marking.leave(&self.net, place);
            moved = true;
        }
        for way in self.marking.fired.clone() {
            let is_used = |port: &PortName| self.net.imports[port].transitions.contains(&way);
            if self.has_all(instance, ledger, served, is_used) {
                self.marking.begin(way);
                self.marking.end(way);
                moved = true;
            }
        }
        for (place, docks) in self.marking.entries(&self.net) {
            let is_used = |port: &PortName| self.net.imports[port].places.contains(&place);
            if self.has_all(instance, ledger, served, is_used) {
                self.marking.enter(place, &docks);
                moved = true;
            }
        }
        moved || self.marking.is_behaviour_done(&self.net)
    }

    fn has_all(
        &self,
        instance: &InstanceId,
        ledger: &Ledger,
        served: &Served,
        is_used: impl Fn(&PortName) -> bool,
    ) -> bool {
        self.component.imports.iter().filter(|(port, _)| is_used(port)).all(|(port, import)| {
            let exporters = ledger.target.bindings.get(instance).and_then(|imports| imports.get(port));
            let there =
                |exporter: &&InstanceId| served.contains(&((*exporter).clone(), import.export.clone()));
            let count = exporters.into_iter().flatten().filter(there).count();
            count >= need_to_start(import, exporters.map_or(0, BTreeSet::len))
        })
    }
}
