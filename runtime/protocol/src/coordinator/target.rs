//! Computes the next target on the path to the plan.
//!
//! New instances start before those that they replace stop, so a change of the plan becomes a short sequence of
//! targets. Two cases have the opposite order: exclusive components, and hosts without room for any new instance.
//! Each target is complete. It is derived from the ledger and the reports alone, and proposed when it differs from
//! the target in force. Read next: `headroom.rs`.

use super::View;
use super::headroom::{self, Blocked, Headroom};
use super::reconfiguration::Reconfiguration;
use crate::back_off::FAILURES_MAX;
use crate::bindings::bind;
use crate::ledger::{Ledger, SlotState};
use crate::request::DefinitionChange;
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::ledger::Command;
use rhizo_types::message::{InstancePhase, InstanceReport, Report};
use rhizo_types::spec::{Component, OnFailure};
use rhizo_types::target::{Configuration, Placed, Plan, Push};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most instances that one `Gone` entry names.
const GONE_MAX: usize = 256;

/// Number of copies of one component that may be changed or placed in the next target.
struct Room {
    /// Number of started copies that may be restarted in a new version.
    down: u32,
    /// Number of new copies that an exclusive or failing component may get; none for other components.
    new: Option<usize>,
}

impl Reconfiguration {
    pub(super) fn target_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let (plan, current) = (ledger.plan.as_ref()?, &ledger.target);
        let arriving = plan.placement.values().any(|slot| ledger.slot_state(*slot) == SlotState::Arriving);
        let may_place = !arriving || view.now >= self.grace_end(view);
        let (mut instances, blocked, headroom) = self.planned(plan, may_place, ledger);
        let mut leaving = self.replaced(plan, &instances, ledger);
        if !blocked.is_empty() && instances.keys().all(|instance| current.instances.contains_key(instance)) {
            let waiting: BTreeSet<&InstanceId> = blocked.iter().map(|(instance, _)| *instance).collect();
            let mut idle = headroom.leaving();
            idle.retain(|component| self.is_idle(component, plan, &waiting, ledger));
            for instance in headroom.in_the_way(&blocked, &idle) {
                leaving.remove(instance);
            }
        }
        instances.extend(leaving.iter().map(|(instance, placed)| (instance.clone(), *placed)));
        let leaving = leaving.into_keys().collect();
        let bindings = bind(ledger, &instances, &leaving, view.latencies);
        let here = |(instance, _): &(&InstanceId, &Vec<Push>)| instances.contains_key(*instance);
        let pushes = ledger.pushes.iter().filter(here);
        let pushes: BTreeMap<InstanceId, Vec<Push>> =
            pushes.map(|(instance, list)| (instance.clone(), list.clone())).collect();
        let same = instances == current.instances && bindings == current.bindings && pushes == current.pushes;
        if same && (current.plan == plan.revision || arriving) {
            return None;
        }
        let (parent, revision) = (current.revision, current.revision.next());
        Some(Command::Target(Arc::new(Configuration {
            revision,
            parent,
            plan: plan.revision,
            instances,
            bindings,
            pushes,
        })))
    }

    /// Returns the plan's instances that are placed or can be placed now, and those that wait for room on their hosts.
    fn planned<'a>(
        &self,
        plan: &'a Plan,
        may_place: bool,
        ledger: &'a Ledger,
    ) -> (BTreeMap<InstanceId, Placed>, Vec<Blocked<'a>>, Headroom<'a>) {
        let mut instances = BTreeMap::new();
        let mut blocked = Vec::new();
        let mut headroom = Headroom::of(plan, ledger);
        let mut rooms: BTreeMap<&ComponentName, Room> = BTreeMap::new();
        for (instance, slot) in &plan.placement {
            let SlotState::Ready(node) = ledger.slot_state(*slot) else { continue };
            let room = rooms
                .entry(&instance.component)
                .or_insert_with(|| self.room(&instance.component, plan, ledger));
            let placed = match ledger.target.instances.get(instance) {
                Some(current) if current.node == node && !ledger.dropped.contains(instance) => {
                    self.changed(instance, current, room, ledger)
                }
                Some(_) => continue,
                None if !may_place => continue,
                None if ledger.lingering.contains_key(instance) && !sabotage::is(Sabotage::ReusesNames) => {
                    continue;
                }
                None if room.new == Some(0) => continue,
                None if !sabotage::is(Sabotage::Overfills) && !headroom.take(instance, node) => {
                    blocked.push((instance, node));
                    continue;
                }
                None => {
                    room.new = room.new.map(|left| left - 1);
                    next_generation(instance, node, ledger)
                }
            };
            instances.insert(instance.clone(), placed);
        }
        (instances, blocked, headroom)
    }

    /// Returns true if no copy of a component is about to start without a further change of the target. Each copy
    /// that is not started then waits for room, or for an exporter that is not started.
    fn is_idle(
        &self,
        component: &ComponentName,
        plan: &Plan,
        blocked: &BTreeSet<&InstanceId>,
        ledger: &Ledger,
    ) -> bool {
        let copies = plan.placement.range(InstanceId::copies_of(component)).map(|(instance, _)| instance);
        copies
            .filter(|instance| !self.reports.is_started(instance, ledger))
            .all(|instance| blocked.contains(instance) || self.lacks_an_import(instance, ledger))
    }

    /// Returns true if an instance of the target has a mandatory import with too few started exporters.
    fn lacks_an_import(&self, instance: &InstanceId, ledger: &Ledger) -> bool {
        let placed = ledger.target.instances.get(instance);
        let component = placed.and_then(|placed| ledger.component_of(instance, placed.version));
        let bound = ledger.target.bindings.get(instance);
        let mandatory = component.into_iter().flat_map(|component| component.imports.iter());
        mandatory.filter(|(_, import)| !import.optional).any(|(port, import)| {
            let named = bound.and_then(|bound| bound.get(port));
            let started =
                named.into_iter().flatten().filter(|exporter| self.reports.is_started(exporter, ledger));
            started.count() < import.pick.needed(named.map_or(0, BTreeSet::len))
        })
    }

    /// Returns the placement of an instance that keeps its node: unchanged, in a new version without a restart, or in
    /// a new generation.
    fn changed(&self, instance: &InstanceId, current: &Placed, room: &mut Room, ledger: &Ledger) -> Placed {
        let version = ledger.version_of(&instance.component);
        let of = |version| ledger.component_of(instance, version);
        let (Some(old), Some(new)) = (of(current.version), of(version)) else { return *current };
        if current.version == version || sabotage::is(Sabotage::NeverUpgrades) {
            return *current;
        }
        match definition_change(old, new) {
            Some(DefinitionChange::Restart(_)) => {}
            Some(DefinitionChange::Notify) => return Placed { version, ..*current },
            Some(DefinitionChange::Removed { .. }) | None => return *current,
        }
        if self.reports.is_started(instance, ledger) {
            let Some(left) = room.down.checked_sub(1) else { return *current };
            room.down = left;
        }
        // A restart does not interrupt an instance that is not started, and the new version may repair it.
        next_generation(instance, current.node, ledger)
    }

    fn room(&self, component: &ComponentName, plan: &Plan, ledger: &Ledger) -> Room {
        let copies = InstanceId::copies_of(component);
        let placed = ledger.target.instances.range(copies.clone()).map(|(instance, _)| instance);
        let placed: BTreeSet<&InstanceId> = placed.collect();
        let down = placed.iter().filter(|instance| !self.reports.is_started(instance, ledger)).count();
        let version = ledger.version_of(component);
        let declared = ledger.specs.get(&version).and_then(|set| set.spec.components.get(component));
        let most = declared.map_or(1, |component| component.unavailable_max.max(1));
        let down = most.saturating_sub(u32::try_from(down).unwrap_or(u32::MAX));
        let alone = declared.filter(|c| c.is_exclusive() && !sabotage::is(Sabotage::IgnoresExclusive));
        let new = alone.map(|component| {
            let lingering = ledger.lingering.range(copies.clone()).map(|(instance, _)| instance);
            let may_run: BTreeSet<&InstanceId> = placed.into_iter().chain(lingering).collect();
            let wanted = plan.placement.range(copies).count();
            wanted.min(component.replicas.max as usize).saturating_sub(may_run.len())
        });
        Room { down, new: new.or_else(|| self.room_of_failing(component, plan, ledger)) }
    }

    /// How many new copies a failing component may get, so that it never has more copies than its replicas allow; none
    /// for other components. Copies of the plan before that are started do not count: they serve until their successors
    /// do.
    fn room_of_failing(&self, component: &ComponentName, plan: &Plan, ledger: &Ledger) -> Option<usize> {
        if !ledger.keeps_failing(component) || sabotage::is(Sabotage::PilesUpCopies) {
            return None;
        }
        let copies = InstanceId::copies_of(component);
        let serves = |instance: &InstanceId| {
            !plan.placement.contains_key(instance) && self.reports.is_started(instance, ledger)
        };
        let placed = ledger.target.instances.range(copies.clone()).map(|(instance, _)| instance);
        let lingering = ledger.lingering.range(copies);
        let lingering = lingering.filter(|(_, placed)| ledger.members.contains_key(&placed.node));
        let placed = placed.filter(|instance| !serves(instance));
        let may_run: BTreeSet<&InstanceId> = placed.chain(lingering.map(|(instance, _)| instance)).collect();
        let most = ledger.spec()?.components.get(component)?.replicas.max as usize;
        Some(most.saturating_sub(may_run.len()))
    }

    /// Returns the instances that the plan drops and that stay until their successors are started.
    fn replaced(
        &self,
        plan: &Plan,
        instances: &BTreeMap<InstanceId, Placed>,
        ledger: &Ledger,
    ) -> BTreeMap<InstanceId, Placed> {
        // A component whose planned copies are all started keeps no dropped copy, and neither does an exclusive one.
        let mut waits: BTreeSet<&ComponentName> = BTreeSet::new();
        for new in plan.placement.keys().filter(|new| !self.reports.is_started(new, ledger)) {
            waits.insert(&new.component);
        }
        let exclusive = |instance: &InstanceId, placed: &Placed| {
            ledger.component_of(instance, placed.version).is_some_and(|component| component.is_exclusive())
        };
        // A copy that does not serve is not worth keeping, and would be one copy too many.
        let is_useless = |instance: &InstanceId| {
            ledger.keeps_failing(&instance.component)
                && !self.reports.is_started(instance, ledger)
                && !sabotage::is(Sabotage::PilesUpCopies)
        };
        let current = ledger.target.instances.iter();
        let kept = current.filter(|(instance, placed)| {
            !plan.placement.contains_key(*instance)
                && !instances.contains_key(*instance)
                && ledger.members.contains_key(&placed.node)
                && waits.contains(&instance.component)
                && !exclusive(instance, placed)
                && !is_useless(instance)
        });
        kept.map(|(instance, placed)| (instance.clone(), *placed)).collect()
    }

    /// Returns the command that records that the target in force is reached, if all agents report so.
    pub(super) fn settled_command(&self, view: View<'_>) -> Option<Command> {
        let target = &view.ledger.target;
        if view.ledger.settled == target.revision {
            return None;
        }
        let reached = self.all_nodes(view.ledger, |report, wanted| has_reached(report, wanted, target));
        reached.then_some(Command::Settled { target: target.revision })
    }

    /// Returns true if only copies of components that keep failing have not reached the target in force. They may never
    /// do so, and hosts that no plan needs are released all the same.
    pub(super) fn is_reached_but_for_failures(&self, ledger: &Ledger) -> bool {
        let target = &ledger.target;
        self.all_nodes(ledger, |report, wanted| {
            has_instances(report, wanted, target, |instance, report, placed| {
                let is_tried = report.generation == placed.generation && report.version == placed.version;
                is_reached(instance, report, placed, target)
                    || (is_tried && ledger.keeps_failing(&instance.component))
            })
        })
    }

    /// Whether the reports of all members with instances of the target, or with dropped ones, pass a test. The test
    /// gets the report of a member and the instances that the target places there.
    fn all_nodes(
        &self,
        ledger: &Ledger,
        passes: impl Fn(&Report, &BTreeMap<&InstanceId, &Placed>) -> bool,
    ) -> bool {
        let target = &ledger.target;
        let placed = target.instances.values().chain(ledger.lingering.values());
        let nodes: BTreeSet<NodeId> = placed.map(|placed| placed.node).collect();
        let mut wanted: BTreeMap<NodeId, BTreeMap<&InstanceId, &Placed>> = BTreeMap::new();
        for (instance, placed) in &target.instances {
            wanted.entry(placed.node).or_default().insert(instance, placed);
        }
        let none = BTreeMap::new();
        let mut nodes = nodes.into_iter().filter(|node| ledger.members.contains_key(node));
        nodes.all(|node| {
            let wanted = wanted.get(&node).unwrap_or(&none);
            self.reports.get(node).is_some_and(|report| passes(report, wanted))
        })
    }

    /// Returns the command that removes dropped instances which their agents report as gone, if a planned instance
    /// waits for one of them.
    ///
    /// Otherwise the name and the room of a dropped copy would become free only when the target is reached, and
    /// reaching it may need the waiting instance. A target with a component that keeps failing may never be reached.
    pub(super) fn gone_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let plan = ledger.plan.as_ref()?;
        if ledger.lingering.is_empty() {
            return None;
        }
        let waited_for = headroom::waited_for(plan, ledger);
        let mut components = ledger.target.instances.keys().map(|instance| &instance.component);
        let keeps_failing = components.any(|component| ledger.keeps_failing(component));
        let awaited = |instance: &InstanceId, placed: &Placed| {
            let exclusive = ledger
                .component_of(instance, placed.version)
                .is_some_and(|component| component.is_exclusive());
            exclusive
                || keeps_failing
                || ledger.keeps_failing(&instance.component)
                || waited_for.contains(&placed.node)
                || (plan.placement.contains_key(instance) && !ledger.target.instances.contains_key(instance))
        };
        let gone = ledger.lingering.iter().filter(|(instance, placed)| {
            awaited(instance, placed) && self.reports.is_gone(instance, placed, ledger)
        });
        let instances: BTreeMap<InstanceId, Placed> =
            gone.take(GONE_MAX).map(|(instance, placed)| (instance.clone(), *placed)).collect();
        let target = ledger.target.revision;
        (!instances.is_empty()).then_some(Command::Gone { target, instances })
    }

    /// Returns the rollback of a component that keeps failing in the version in force, if its `on_failure` requests a
    /// rollback.
    pub(super) fn unwind_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let mut failing = ledger.target.instances.iter().filter(|(instance, placed)| {
            self.reports.of(instance, ledger).is_some_and(|report| report.failures >= FAILURES_MAX)
                && can_unwind(instance, placed, ledger)
        });
        let (instance, placed) = failing.next()?;
        Some(Command::Unwind { component: instance.component.clone(), version: placed.version })
    }
}

/// Returns the effect of a new definition on a copy that stays on its node; none if the definitions do not differ.
pub(super) fn definition_change(old: &Component, new: &Component) -> Option<DefinitionChange> {
    let restarted_by = old.restarted_by(new);
    if !restarted_by.is_empty() {
        Some(DefinitionChange::Restart(restarted_by))
    } else {
        (old != new).then_some(DefinitionChange::Notify)
    }
}

/// Returns true if the failing instance can be repaired by the rollback of its component to the last working version.
pub(super) fn can_unwind(instance: &InstanceId, placed: &Placed, ledger: &Ledger) -> bool {
    let name = &instance.component;
    let proven = ledger.proven.get(name).map(|proven| proven.version);
    let proven = proven.filter(|proven| *proven != placed.version);
    let of = |version| ledger.component_of(instance, version);
    let (Some(proven), Some(new)) = (proven, of(placed.version)) else { return false };
    placed.version == ledger.spec_revision()
        && new.on_failure == OnFailure::Unwind
        && ledger.version_of(name) == placed.version
        && of(proven).is_some_and(|old| !old.runs_like(new))
}

fn next_generation(instance: &InstanceId, node: NodeId, ledger: &Ledger) -> Placed {
    let generation = ledger.generations.get(instance).copied().unwrap_or_default().next();
    Placed { node, generation, version: ledger.version_of(&instance.component) }
}

/// Returns true if a node reports exactly the instances of the target, and each of them has reached the target.
fn has_reached(report: &Report, wanted: &BTreeMap<&InstanceId, &Placed>, target: &Configuration) -> bool {
    if sabotage::is(Sabotage::SettlesEarly) {
        return true;
    }
    has_instances(report, wanted, target, |instance, report, placed| {
        is_reached(instance, report, placed, target)
    })
}

/// Returns true if a node that follows the target reports exactly its instances of the target, and each passes a test.
fn has_instances(
    report: &Report,
    wanted: &BTreeMap<&InstanceId, &Placed>,
    target: &Configuration,
    passes: impl Fn(&InstanceId, &InstanceReport, &Placed) -> bool,
) -> bool {
    report.target == target.revision
        && report.instances.len() == wanted.len()
        && wanted.iter().all(|(instance, placed)| {
            report.instances.get(*instance).is_some_and(|report| passes(instance, report, placed))
        })
}

/// Returns true if an instance has executed all that the target requires of it and has the target's bindings.
pub(super) fn is_reached(
    instance: &InstanceId,
    report: &InstanceReport,
    placed: &Placed,
    target: &Configuration,
) -> bool {
    let pushes = target.pushes.get(instance);
    let last = pushes.and_then(|list| list.last()).map_or(0, |push| push.number);
    // A pushed behaviour may leave an instance in a place that does not count as started.
    let rests =
        report.phase == InstancePhase::Started || (report.phase == InstancePhase::Resting && last > 0);
    report.generation == placed.generation
        && report.version == placed.version
        && report.pushed >= last
        && rests
        && report.bindings_missing == 0
}
