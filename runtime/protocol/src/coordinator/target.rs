//! The next target on the way to the plan: what can be placed is placed, what is replaced goes last.
//!
//! New instances start before those they replace stop, so a change of the plan becomes a short sequence of
//! targets; of an exclusive component the old ones go first, and so they do where nobody has room to begin.
//! Each target is complete, and derived from the ledger and the reports alone; it is proposed whenever it
//! differs from the one in force. Read next: `headroom.rs`.

use super::headroom::{self, Blocked, Headroom};
use super::{Coordinator, View};
use crate::agent::FAILURES_MAX;
use crate::bindings::bind;
use crate::ledger::{Ledger, SlotState};
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::ledger::Command;
use rhizo_types::message::{InstancePhase, InstanceReport, Report};
use rhizo_types::spec::OnFailure;
use rhizo_types::target::{Configuration, Placed, Plan, Push};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One entry names at most so many instances that are gone.
const GONE_MAX: usize = 256;

/// How many copies of one component may be changed or placed in the next target.
struct Room {
    /// Copies that may go down for a new version.
    down: u32,
    /// Copies of an exclusive component that may be new; none for others.
    new: Option<usize>,
}

impl Coordinator {
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

    /// When instances whose hosts are ready stop waiting for the others of their plan.
    fn grace_end(&self, view: View<'_>) -> Time {
        // A plan that a script is about to make is as new as can be.
        let seen = if self.plan_seen.0 == view.ledger.plan_revision() { self.plan_seen.1 } else { view.now };
        seen.after_ms(view.ledger.timers().place_grace_ms)
    }

    pub(super) fn place_deadline(&self, view: View<'_>) -> Option<Time> {
        let end = self.grace_end(view);
        (end > view.now && view.ledger.plan.is_some()).then_some(end)
    }

    /// The plan's instances that are placed, or can be; those that could be if their hosts had room.
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

    /// Whether nothing that is under way will start what replaces the copies of a component: what is not started yet waits
    /// for room, or for others.
    fn is_idle(
        &self,
        component: &ComponentName,
        plan: &Plan,
        blocked: &BTreeSet<&InstanceId>,
        ledger: &Ledger,
    ) -> bool {
        let copies = plan.placement.range(InstanceId::copies_of(component)).map(|(instance, _)| instance);
        copies
            .filter(|instance| !self.is_started(instance, ledger))
            .all(|instance| blocked.contains(instance) || self.lacks_an_import(instance, ledger))
    }

    /// Whether an instance of the target has a mandatory import that nobody serves yet.
    fn lacks_an_import(&self, instance: &InstanceId, ledger: &Ledger) -> bool {
        let placed = ledger.target.instances.get(instance);
        let component = placed.and_then(|placed| ledger.component_of(instance, placed.version));
        let bound = ledger.target.bindings.get(instance);
        let mandatory = component.into_iter().flat_map(|component| component.imports.iter());
        mandatory.filter(|(_, import)| !import.optional).any(|(port, import)| {
            let named = bound.and_then(|bound| bound.get(port));
            let started = named.into_iter().flatten().filter(|exporter| self.is_started(exporter, ledger));
            started.count() < import.pick.needed(named.map_or(0, BTreeSet::len))
        })
    }

    /// An instance that stays where it is: as it is, told of a change, or in a new version.
    fn changed(&self, instance: &InstanceId, current: &Placed, room: &mut Room, ledger: &Ledger) -> Placed {
        let version = ledger.version_of(&instance.component);
        let of = |version| ledger.component_of(instance, version);
        let (Some(old), Some(new)) = (of(current.version), of(version)) else { return *current };
        if current.version == version || old == new || sabotage::is(Sabotage::NeverUpgrades) {
            return *current;
        }
        if old.runs_like(new) {
            return Placed { version, ..*current };
        }
        if self.is_started(instance, ledger) {
            let Some(left) = room.down.checked_sub(1) else { return *current };
            room.down = left;
        }
        // One that is down already loses nothing, and the new version may be what repairs it.
        next_generation(instance, current.node, ledger)
    }

    fn room(&self, component: &ComponentName, plan: &Plan, ledger: &Ledger) -> Room {
        let copies = InstanceId::copies_of(component);
        let placed = ledger.target.instances.range(copies.clone()).map(|(instance, _)| instance);
        let placed: BTreeSet<&InstanceId> = placed.collect();
        let down = placed.iter().filter(|instance| !self.is_started(instance, ledger)).count();
        let version = ledger.version_of(component);
        let declared = ledger.specs.get(&version).and_then(|set| set.spec.components.get(component));
        let most = declared.map_or(1, |component| component.unavailable_max.max(1));
        let down = most.saturating_sub(u32::try_from(down).unwrap_or(u32::MAX));
        let alone = declared.filter(|c| c.exclusive && !sabotage::is(Sabotage::IgnoresExclusive));
        let new = alone.map(|component| {
            let lingering = ledger.lingering.range(copies.clone()).map(|(instance, _)| instance);
            let may_run: BTreeSet<&InstanceId> = placed.into_iter().chain(lingering).collect();
            let wanted = plan.placement.range(copies).count();
            wanted.min(component.replicas.max as usize).saturating_sub(may_run.len())
        });
        Room { down, new }
    }

    /// Instances that the plan drops and that stay until what replaces them is started.
    fn replaced(
        &self,
        plan: &Plan,
        instances: &BTreeMap<InstanceId, Placed>,
        ledger: &Ledger,
    ) -> BTreeMap<InstanceId, Placed> {
        // A component whose successors are all started keeps nothing, and neither does an exclusive one.
        let mut waits: BTreeSet<&ComponentName> = BTreeSet::new();
        for new in plan.placement.keys().filter(|new| !self.is_started(new, ledger)) {
            waits.insert(&new.component);
        }
        let exclusive = |instance: &InstanceId, placed: &Placed| {
            ledger.component_of(instance, placed.version).is_some_and(|component| component.exclusive)
        };
        let current = ledger.target.instances.iter();
        let kept = current.filter(|(instance, placed)| {
            !plan.placement.contains_key(*instance)
                && !instances.contains_key(*instance)
                && ledger.members.contains_key(&placed.node)
                && waits.contains(&instance.component)
                && !exclusive(instance, placed)
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
        let mut wanted: BTreeMap<NodeId, BTreeMap<&InstanceId, &Placed>> = BTreeMap::new();
        for (instance, placed) in &target.instances {
            wanted.entry(placed.node).or_default().insert(instance, placed);
        }
        let none = BTreeMap::new();
        let mut nodes = nodes.into_iter().filter(|node| ledger.members.contains_key(node));
        let reached = nodes.all(|node| {
            let wanted = wanted.get(&node).unwrap_or(&none);
            self.reports.get(&node).is_some_and(|report| has_reached(report, wanted, target))
        });
        reached.then_some(Command::Settled { target: target.revision })
    }

    /// Dropped instances whose agents say that they are gone, when somebody waits for that.
    ///
    /// Without this a name, or the place of an exclusive copy, would be free only when the target is reached; and
    /// that may need what waits for it.
    pub(super) fn gone_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let plan = ledger.plan.as_ref()?;
        if ledger.lingering.is_empty() {
            return None;
        }
        let waited_for = headroom::waited_for(plan, ledger);
        let awaited = |instance: &InstanceId, placed: &Placed| {
            let exclusive =
                ledger.component_of(instance, placed.version).is_some_and(|component| component.exclusive);
            exclusive
                || waited_for.contains(&placed.node)
                || (plan.placement.contains_key(instance) && !ledger.target.instances.contains_key(instance))
        };
        let gone = ledger
            .lingering
            .iter()
            .filter(|(instance, placed)| awaited(instance, placed) && self.is_gone(instance, placed, ledger));
        let instances: BTreeMap<InstanceId, Placed> =
            gone.take(GONE_MAX).map(|(instance, placed)| (instance.clone(), *placed)).collect();
        let target = ledger.target.revision;
        (!instances.is_empty()).then_some(Command::Gone { target, instances })
    }

    /// Whether the agent that had an instance follows the target in force and has it no more.
    pub(super) fn is_gone(&self, instance: &InstanceId, placed: &Placed, ledger: &Ledger) -> bool {
        self.reports.get(&placed.node).is_some_and(|report| {
            let older = report.instances.get(instance);
            report.target == ledger.target.revision
                && older.is_none_or(|report| report.generation > placed.generation)
        })
    }

    /// A component that keeps failing in the version in force, wants to go back then, and can.
    pub(super) fn unwind_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let mut failing = ledger.target.instances.iter().filter(|(instance, placed)| {
            self.report_of(instance, ledger).is_some_and(|report| report.failures >= FAILURES_MAX)
                && can_unwind(instance, placed, ledger)
        });
        let (instance, placed) = failing.next()?;
        Some(Command::Unwind { component: instance.component.clone(), version: placed.version })
    }
}

/// Whether a failing instance is of a version that its component gives up for the one before.
pub(super) fn can_unwind(instance: &InstanceId, placed: &Placed, ledger: &Ledger) -> bool {
    let name = &instance.component;
    let proven = ledger.proven.get(name).filter(|proven| **proven != placed.version);
    let of = |version| ledger.component_of(instance, version);
    let (Some(proven), Some(new)) = (proven, of(placed.version)) else { return false };
    placed.version == ledger.spec_revision()
        && new.on_failure == OnFailure::Unwind
        && ledger.version_of(name) == placed.version
        && of(*proven).is_some_and(|old| !old.runs_like(new))
}

fn next_generation(instance: &InstanceId, node: NodeId, ledger: &Ledger) -> Placed {
    let generation = ledger.generations.get(instance).copied().unwrap_or_default().next();
    Placed { node, generation, version: ledger.version_of(&instance.component) }
}

/// Whether a node runs what the target says, bound as it says, and nothing else.
fn has_reached(report: &Report, wanted: &BTreeMap<&InstanceId, &Placed>, target: &Configuration) -> bool {
    if sabotage::is(Sabotage::SettlesEarly) {
        return true;
    }
    report.target == target.revision
        && report.instances.len() == wanted.len()
        && wanted.iter().all(|(instance, placed)| {
            report.instances.get(*instance).is_some_and(|report| is_reached(instance, report, placed, target))
        })
}

/// Whether an instance has done everything that the target asks of it.
pub(super) fn is_reached(
    instance: &InstanceId,
    report: &InstanceReport,
    placed: &Placed,
    target: &Configuration,
) -> bool {
    let pushes = target.pushes.get(instance);
    let last = pushes.and_then(|list| list.last()).map_or(0, |push| push.number);
    // A pushed behaviour may take it to where it does not count as started.
    let rests =
        report.phase == InstancePhase::Started || (report.phase == InstancePhase::Resting && last > 0);
    report.generation == placed.generation
        && report.version == placed.version
        && report.pushed >= last
        && rests
        && report.bindings_missing == 0
}
