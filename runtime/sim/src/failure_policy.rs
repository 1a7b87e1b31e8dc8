//! The checks of the failure policy: which hosts are acquired because copies fail, and how many copies may fail.
//!
//! They rely on the copies that were really started, and not on the records of failures in the ledger. The other checks
//! are in [`crate::check`]; decision 0131 has the policy.

use crate::violation::Violation;
use rhizo_protocol::Ledger;
use rhizo_types::Revision;
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::ledger::Command;
use rhizo_types::message::LogEntry;
use rhizo_types::spec::Component;
use rhizo_types::target::{Cause, Plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The facts about a world that the checks of the failure policy need.
#[derive(Clone, Debug, Default)]
pub struct FailureFacts {
    /// The definitions of which a copy was really started at least once.
    started: Vec<(ComponentName, Arc<Component>)>,
    /// Hosts that were acquired because copies kept failing on another host, by that other host's node. Holds for one
    /// revision of the spec, because a new definition ends all evidence against hosts.
    replaced: BTreeMap<NodeId, Revision>,
}

impl FailureFacts {
    /// Records that a copy was started.
    pub(crate) fn started(&mut self, name: &ComponentName, component: &Arc<Component>) {
        if !self.was_started(name, component) {
            self.started.push((name.clone(), component.clone()));
        }
    }

    fn was_started(&self, name: &ComponentName, component: &Component) -> bool {
        self.started.iter().any(|(known, definition)| known == name && definition.runs_like(component))
    }

    /// Whether a copy in this version was ever started; true for a version that the ledger no longer has.
    fn has_run(&self, instance: &InstanceId, version: Revision, ledger: &Ledger) -> bool {
        let component = ledger.component_of(instance, version);
        component.is_none_or(|component| self.was_started(&instance.component, component))
    }
}

/// Checks the ledger after an entry was committed.
pub(crate) fn after_commit(facts: &mut FailureFacts, truth: &Ledger, entry: &LogEntry) -> Option<Violation> {
    let LogEntry::Command(command) = entry else { return None };
    let commands = match command {
        Command::Batch(commands) => commands.as_slice(),
        other => std::slice::from_ref(other),
    };
    let in_force = truth.spec_revision();
    facts.replaced.retain(|node, revision| *revision == in_force && truth.members.contains_key(node));
    for command in commands {
        if let Command::Plan(plan) = command
            && truth.plan_revision() == plan.revision
            && matches!(plan.verdict.cause, Cause::InstanceFailed(_))
            && !plan.orders.is_empty()
        {
            if let Some(violation) = purchases(facts, plan, truth) {
                return Some(violation);
            }
            facts.replaced.extend(plan.avoid.iter().map(|(_, node)| (*node, in_force)));
        }
    }
    // The target before the one that follows the record of the failures may still have more copies.
    let is_target = commands.iter().any(|command| matches!(command, Command::Target(_)));
    is_target.then(|| copies(facts, truth)).flatten()
}

/// Checks what a plan acquires because copies fail.
fn purchases(facts: &FailureFacts, plan: &Plan, truth: &Ledger) -> Option<Violation> {
    let Cause::InstanceFailed(failed) = &plan.verdict.cause else { return None };
    let placed = |instance: &&InstanceId| truth.target.instances.get(*instance).map(|placed| placed.version);
    let never_ran = |instance: &&InstanceId| {
        placed(instance).is_some_and(|version| !facts.has_run(instance, version, truth))
    };
    if let Some(instance) = failed.iter().find(never_ran) {
        let detail = format!("a host is acquired because {instance} fails, of a version that never ran");
        return Some(Violation::new("no-purchase-for-what-never-ran", detail));
    }
    let held: BTreeSet<NodeId> = facts.replaced.keys().copied().collect();
    if plan.orders.len() > 1 || !held.is_empty() {
        let detail =
            format!("{} more hosts because copies fail, beside those for {held:?}", plan.orders.len());
        return Some(Violation::new("one-spare-host", detail));
    }
    None
}

/// Checks that a component that keeps failing has no more copies of a version that never ran than it may have. Before
/// the ledger has it as failing, copies of the plan before may wait beside those of the new one.
fn copies(facts: &FailureFacts, truth: &Ledger) -> Option<Violation> {
    let mut broken: BTreeMap<&ComponentName, u32> = BTreeMap::new();
    for (instance, placed) in &truth.target.instances {
        let keeps_failing = truth.keeps_failing(&instance.component);
        if keeps_failing && !facts.has_run(instance, placed.version, truth) {
            *broken.entry(&instance.component).or_default() += 1;
        }
    }
    let spec = truth.spec()?;
    broken.into_iter().find_map(|(name, count)| {
        let most = spec.components.get(name)?.replicas.max;
        let detail = || format!("{count} copies of {name}, which has never run and may have {most}");
        (count > most).then(|| Violation::new("copies-are-bounded", detail()))
    })
}
