//! Targets in the ledger: which target is accepted, which instances linger after it, and when they are gone.
//!
//! The ledger has no reports of agents. The coordinator proposes the commands that follow from the reports.

use super::{Ledger, Refusal};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId};
use rhizo_types::target::{Configuration, Placed};
use rhizo_types::{Generation, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Ledger {
    /// Puts a target in force.
    pub(super) fn set_target(&mut self, target: &Arc<Configuration>) -> Result<(), Refusal> {
        let in_force = self.target.revision;
        if target.parent != in_force || target.revision != in_force.next() {
            return Err(Refusal::Stale { proposed: target.revision, in_force });
        }
        if target.plan != self.plan_revision() {
            return Err(Refusal::Stale { proposed: target.plan, in_force: self.plan_revision() });
        }
        for (instance, placed) in &target.instances {
            self.check_placed(instance, placed)?;
            self.check_home(instance, placed)?;
        }
        self.check_exclusive(target)?;
        for (importer, imports) in &target.bindings {
            let mut ends = imports.values().flatten().chain([importer]);
            if !ends.all(|end| target.instances.contains_key(end)) {
                return Err(Refusal::Binding(importer.clone()));
            }
        }
        let old = std::mem::replace(&mut self.target, target.clone());
        for (instance, placed) in &old.instances {
            // An instance that keeps its generation is not restarted, even in another version.
            let stays = self.target.instances.get(instance).is_some_and(|new| is_same_run(new, placed));
            if !stays && self.can_linger(placed.node) {
                self.lingering.insert(instance.clone(), *placed);
            }
        }
        for (instance, placed) in &self.target.instances {
            self.generations.insert(instance.clone(), placed.generation);
        }
        let in_force = &self.target.instances;
        self.dropped.retain(|instance| in_force.contains_key(instance));
        self.forget_specs();
        Ok(())
    }

    fn check_placed(&self, instance: &InstanceId, placed: &Placed) -> Result<(), Refusal> {
        if !self.members.contains_key(&placed.node) {
            return Err(Refusal::NotMember(placed.node));
        }
        if self.target.instances.get(instance) == Some(placed) {
            return Ok(());
        }
        if let Some(old) = self.target.instances.get(instance).filter(|old| is_same_run(old, placed)) {
            let of = |version| self.component_of(instance, version);
            let alike = of(old.version).zip(of(placed.version)).is_some_and(|(old, new)| old.runs_like(new));
            return if alike { Ok(()) } else { Err(Refusal::Unresolved(instance.clone())) };
        }
        // A node may still run the old generation. Only its own agent can stop that one before the new one starts.
        let unresolved = [self.lingering.get(instance), self.target.instances.get(instance)];
        if sabotage::is(Sabotage::ReusesNames) {
            return Ok(());
        }
        let elsewhere = unresolved.into_iter().flatten().any(|old| old.node != placed.node);
        let last = self.generations.get(instance).copied().unwrap_or(Generation::ZERO);
        if elsewhere || placed.generation <= last || !self.specs.contains_key(&placed.version) {
            return Err(Refusal::Unresolved(instance.clone()));
        }
        Ok(())
    }

    /// Refuses a target with which more copies of an exclusive component might run than its replicas allow.
    fn check_exclusive(&self, target: &Configuration) -> Result<(), Refusal> {
        let is_new = |(instance, placed): &(&InstanceId, &Placed)| {
            self.target.instances.get(*instance).is_none_or(|old| !is_same_run(old, placed))
        };
        let mut limits: BTreeMap<&ComponentName, u32> = BTreeMap::new();
        for (instance, placed) in target.instances.iter().filter(is_new) {
            if let Some(component) = self.component_of(instance, placed.version)
                && component.is_exclusive()
                && !sabotage::is(Sabotage::IgnoresExclusive)
            {
                limits.insert(&instance.component, component.replicas.max);
            }
        }
        if limits.is_empty() {
            return Ok(());
        }
        let names = self.lingering.keys().chain(self.target.instances.keys()).chain(target.instances.keys());
        let may_run: BTreeSet<&InstanceId> = names.collect();
        for (component, max) in limits {
            let copies = may_run.iter().filter(|instance| instance.component == *component).count();
            if copies > max as usize {
                return Err(Refusal::Exclusive(component.clone()));
            }
        }
        Ok(())
    }

    /// Removes lingering instances that their agents report as gone.
    pub(super) fn gone(
        &mut self,
        target: Revision,
        instances: &BTreeMap<InstanceId, Placed>,
    ) -> Result<(), Refusal> {
        if target != self.target.revision {
            return Err(Refusal::Stale { proposed: target, in_force: self.target.revision });
        }
        self.lingering.retain(|instance, placed| instances.get(instance) != Some(placed));
        Ok(())
    }

    /// Returns a component that keeps failing in the version in force to the version in which it last worked.
    pub(super) fn unwind(&mut self, component: &ComponentName, version: Revision) -> Result<(), Refusal> {
        let proven = self.proven.get(component).filter(|proven| self.specs.contains_key(&proven.version));
        if version != self.spec_revision() || proven.is_none_or(|proven| proven.version == version) {
            return Err(Refusal::NotUnwound(component.clone()));
        }
        self.unwound.insert(component.clone(), version);
        self.avoid.retain(|(marked, _), _| marked != component);
        Ok(())
    }

    /// Records that a target is reached completely.
    pub(super) fn settle(&mut self, target: Revision) -> Result<(), Refusal> {
        if target != self.target.revision {
            return Err(Refusal::Stale { proposed: target, in_force: self.target.revision });
        }
        self.settled = target;
        let known = self.specs.last_key_value().map(|(_, set)| &set.spec.components);
        self.proven.retain(|name, _| known.is_some_and(|known| known.contains_key(name)));
        let members = &self.members;
        self.lingering.retain(|_, placed| !members.contains_key(&placed.node));
        self.forget_specs();
        Ok(())
    }
}

/// Returns true if both are the same generation on the same node.
fn is_same_run(one: &Placed, other: &Placed) -> bool {
    (one.node, one.generation) == (other.node, other.generation)
}
