//! The next target on the way to the plan: what can be placed is placed, what is replaced goes last.
//!
//! New instances start before those they replace stop, so a change of the plan becomes a short sequence of
//! targets. Each is complete, and derived from the ledger and the reports alone; it is proposed whenever it
//! differs from the one in force.

use super::{Coordinator, View};
use crate::bindings::bind;
use crate::ledger::{Ledger, SlotState};
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::ledger::Command;
use rhizo_types::message::{InstancePhase, Report};
use rhizo_types::target::{Configuration, Placed, Plan};
use std::collections::{BTreeMap, BTreeSet};

impl Coordinator {
    pub(super) fn target_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let plan = ledger.plan.as_ref()?;
        let arriving = plan.placement.values().any(|slot| ledger.slot_state(*slot) == SlotState::Arriving);
        let may_place = !arriving || view.now >= self.grace_end(view);
        let mut instances = self.planned(plan, may_place, ledger);
        let leaving = self.replaced(plan, &instances, ledger);
        instances.extend(leaving.iter().map(|(instance, placed)| (instance.clone(), *placed)));
        let leaving = leaving.into_keys().collect();
        let bindings = bind(ledger, &instances, &leaving, view.latencies);
        let current = &ledger.target;
        let same = instances == current.instances && bindings == current.bindings;
        if same && (current.plan == plan.revision || arriving) {
            return None;
        }
        let (parent, revision) = (current.revision, current.revision.next());
        Some(Command::Target(Box::new(Configuration {
            revision,
            parent,
            plan: plan.revision,
            instances,
            bindings,
            pushes: current.pushes.clone(),
        })))
    }

    /// When instances whose hosts are ready stop waiting for the others of their plan.
    fn grace_end(&self, view: View<'_>) -> Time {
        self.plan_seen.1.after_ms(view.ledger.timers().place_grace_ms)
    }

    pub(super) fn place_deadline(&self, view: View<'_>) -> Option<Time> {
        let end = self.grace_end(view);
        (end > view.now && view.ledger.plan.is_some()).then_some(end)
    }

    /// The plan's instances that are placed, or can be.
    fn planned(&self, plan: &Plan, may_place: bool, ledger: &Ledger) -> BTreeMap<InstanceId, Placed> {
        let mut instances = BTreeMap::new();
        let mut upgrading: BTreeSet<&ComponentName> = BTreeSet::new();
        for (instance, slot) in &plan.placement {
            let SlotState::Ready(node) = ledger.slot_state(*slot) else { continue };
            let current = ledger.target.instances.get(instance);
            let placed = match current {
                Some(current) if current.node == node => {
                    let same = ledger.component_of(instance, current.version)
                        == ledger.component_of(instance, plan.spec);
                    // One copy of a component at a time gets a new version, while all others are started.
                    if same
                        || upgrading.contains(&instance.component)
                        || !self.others_started(instance, ledger)
                    {
                        *current
                    } else {
                        upgrading.insert(&instance.component);
                        next_generation(instance, node, plan, ledger)
                    }
                }
                Some(_) => continue,
                None if !may_place => continue,
                None if ledger.lingering.contains_key(instance) && !sabotage::is(Sabotage::ReusesNames) => {
                    continue;
                }
                None => next_generation(instance, node, plan, ledger),
            };
            instances.insert(instance.clone(), placed);
        }
        instances
    }

    fn others_started(&self, instance: &InstanceId, ledger: &Ledger) -> bool {
        let others = ledger.target.instances.keys();
        let mut others = others.filter(|other| other.component == instance.component && *other != instance);
        others.all(|other| self.is_started(other, ledger))
    }

    /// Instances that the plan drops and that stay until what replaces them is started.
    fn replaced(
        &self,
        plan: &Plan,
        instances: &BTreeMap<InstanceId, Placed>,
        ledger: &Ledger,
    ) -> BTreeMap<InstanceId, Placed> {
        let current = ledger.target.instances.iter();
        let dropped = current.filter(|(instance, placed)| {
            !plan.placement.contains_key(*instance)
                && !instances.contains_key(*instance)
                && ledger.members.contains_key(&placed.node)
        });
        let kept = dropped.filter(|(instance, _)| {
            let mut successors = plan.placement.keys().filter(|new| new.component == instance.component);
            successors.any(|new| !self.is_started(new, ledger))
        });
        kept.map(|(instance, placed)| (instance.clone(), *placed)).collect()
    }

    /// The target is reached as far as the agents report.
    pub(super) fn settled_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let target = &ledger.target;
        if ledger.settled == target.revision {
            return None;
        }
        let placed = target.instances.values().chain(ledger.lingering.values());
        let nodes: BTreeSet<NodeId> = placed.map(|placed| placed.node).collect();
        let mut nodes = nodes.into_iter().filter(|node| ledger.members.contains_key(node));
        let reached =
            nodes.all(|node| self.reports.get(&node).is_some_and(|report| has_reached(report, node, target)));
        reached.then_some(Command::Settled { target: target.revision })
    }
}

fn next_generation(instance: &InstanceId, node: NodeId, plan: &Plan, ledger: &Ledger) -> Placed {
    let generation = ledger.generations.get(instance).copied().unwrap_or_default().next();
    Placed { node, generation, version: plan.spec }
}

/// Whether a node runs what the target says, bound as it says, and nothing else.
fn has_reached(report: &Report, node: NodeId, target: &Configuration) -> bool {
    let wanted = target.instances.iter().filter(|(_, placed)| placed.node == node);
    let wanted: BTreeMap<&InstanceId, &Placed> = wanted.collect();
    report.target == target.revision
        && report.instances.len() == wanted.len()
        && wanted.iter().all(|(instance, placed)| {
            report.instances.get(*instance).is_some_and(|report| {
                report.generation == placed.generation
                    && report.phase == InstancePhase::Started
                    && report.bindings_missing == 0
            })
        })
}
