//! Failures in the ledger: versions that keep failing, versions that have run well, and marks against hosts.
//!
//! A failure belongs to a version of a component until there is evidence against the host. The records survive a change
//! of the coordinator; the times of retries follow from the counts in them. `coordinator/failures.rs` finds the
//! commands and judges the evidence.

use super::{Ledger, Refusal};
use crate::back_off::FAILURES_MAX;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Revision;
use rhizo_types::failure::{Failing, Mark, Proven, WITNESSES_MAX};
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::target::{Cause, Plan};
use std::collections::{BTreeMap, BTreeSet};

impl Ledger {
    /// The record of a version that keeps failing; none when that version does not.
    #[must_use]
    pub fn failing(&self, component: &ComponentName, version: Revision) -> Option<&Failing> {
        let failing = self.failing.get(component)?;
        self.is_same_definition(component, failing.version, version).then_some(failing)
    }

    /// Failures in a row of a version over all hosts; zero when it does not keep failing.
    #[must_use]
    pub fn failures_of(&self, component: &ComponentName, version: Revision) -> u32 {
        self.failing(component, version).map_or(0, |failing| failing.failures)
    }

    /// The record that a version has run well; none when it has not yet.
    #[must_use]
    pub fn proven(&self, component: &ComponentName, version: Revision) -> Option<&Proven> {
        let proven = self.proven.get(component)?;
        self.runs_alike(component, proven.version, version).then_some(proven)
    }

    /// Whether copies of one version need no restart for the other one.
    #[must_use]
    pub fn runs_alike(&self, component: &ComponentName, one: Revision, other: Revision) -> bool {
        let of = |version| self.specs.get(&version)?.spec.components.get(component);
        one == other || of(one).zip(of(other)).is_some_and(|(one, other)| one.runs_like(other))
    }

    /// Whether two spec revisions define a component in the same way.
    fn is_same_definition(&self, component: &ComponentName, one: Revision, other: Revision) -> bool {
        let of = |version| self.specs.get(&version)?.spec.components.get(component);
        one == other || of(one).zip(of(other)).is_some_and(|(one, other)| one == other)
    }

    /// The newest revision that defines a component as this one does: that spec is kept as long as it is in force.
    fn newest_alike(&self, component: &ComponentName, version: Revision) -> Revision {
        let in_force = self.spec_revision();
        if self.is_same_definition(component, version, in_force) { in_force } else { version }
    }

    /// Records versions that keep failing. A count never shrinks while the version is the same.
    pub(super) fn fail(&mut self, components: &BTreeMap<ComponentName, Failing>) {
        for (component, new) in components {
            if !self.specs.contains_key(&new.version) {
                continue;
            }
            let known = self.failing(component, new.version);
            let failures = known.map_or(0, |known| known.failures).max(new.failures);
            let nodes = known.into_iter().flat_map(|known| &known.nodes).chain(&new.nodes);
            let nodes = nodes.copied().take(2 * WITNESSES_MAX).collect::<BTreeSet<NodeId>>();
            let nodes = nodes.into_iter().take(WITNESSES_MAX).collect();
            let version = self.newest_alike(component, new.version);
            let record = Failing { version, failures, error: new.error.clone(), nodes };
            self.failing.insert(component.clone(), record);
        }
    }

    /// Records versions that have run well; what they had failed is forgotten.
    pub(super) fn prove(&mut self, components: &BTreeMap<ComponentName, Proven>) {
        for (component, new) in components {
            if !self.specs.contains_key(&new.version) {
                continue;
            }
            if self.failing(component, new.version).is_some() {
                self.failing.remove(component);
            }
            let nodes = new.nodes.iter().copied().take(WITNESSES_MAX).collect();
            let in_force = self.spec_revision();
            let version =
                if self.runs_alike(component, new.version, in_force) { in_force } else { new.version };
            self.proven.insert(component.clone(), Proven { version, nodes });
        }
        self.end_replacements();
        self.forget_specs();
    }

    /// Marks the nodes that a plan avoids. A mark that exists already keeps its version.
    pub(super) fn mark(&mut self, plan: &Plan) {
        let replaced = matches!(plan.verdict.cause, Cause::InstanceFailed(_)) && !plan.orders.is_empty();
        for (component, node) in &plan.avoid {
            let version = self.failing.get(component).map_or(plan.spec, |failing| failing.version);
            if self.members.contains_key(node) {
                let key = (component.clone(), *node);
                self.avoid.entry(key).or_insert(Mark { version, replaced });
            }
        }
    }

    /// Ends the records and marks of every version that the spec in force, which is new, no longer defines.
    ///
    /// The records that stay are moved to the new revision, because the spec of the old one may be dropped. Those of
    /// `unwound` components end as well.
    pub(super) fn follow_definitions(&mut self, unwound: &BTreeSet<ComponentName>) {
        let in_force = self.spec_revision();
        let mut failing = std::mem::take(&mut self.failing);
        failing.retain(|component, record| {
            // The same spec again is the operator's order to try the version again.
            let stays = self.is_same_definition(component, record.version, in_force)
                || sabotage::is(Sabotage::RemembersFormerVersions);
            record.version = in_force;
            stays && !unwound.contains(component)
        });
        self.failing = failing;
        let mut proven = std::mem::take(&mut self.proven);
        for (component, proven) in &mut proven {
            if self.runs_alike(component, proven.version, in_force) {
                proven.version = in_force;
            }
        }
        self.proven = proven;
        let mut marks = std::mem::take(&mut self.avoid);
        marks.retain(|(component, _), mark| {
            let stays = self.is_same_definition(component, mark.version, in_force);
            mark.version = in_force;
            stays && !unwound.contains(component)
        });
        self.avoid = marks;
    }

    /// Ends marks that the coordinator found to be old.
    pub(super) fn forgive(&mut self, marks: &BTreeSet<(ComponentName, NodeId)>) {
        self.avoid.retain(|key, _| !marks.contains(key));
    }

    /// Ends the marks of replaced hosts that are gone, for components whose copies no longer fail.
    pub(super) fn end_replacements(&mut self) {
        let mut marks = std::mem::take(&mut self.avoid);
        marks.retain(|(component, node), mark| {
            !mark.replaced || self.has_open_host(*node) || self.failing(component, mark.version).is_some()
        });
        self.avoid = marks;
    }

    /// Whether a node has, or had, a host that is not known to be gone.
    fn has_open_host(&self, node: NodeId) -> bool {
        self.intents.values().any(|intent| intent.node == Some(node) && intent.is_open())
    }

    /// Whether a mark belongs to a host that was replaced because of failures and is not known to be gone.
    #[must_use]
    pub fn is_being_replaced(&self, node: NodeId, mark: &Mark) -> bool {
        mark.replaced && self.has_open_host(node)
    }

    /// Whether a host may be acquired because copies of these components fail on their hosts. It may not while a host
    /// that was replaced for this reason still exists, nor for a component that has not worked since its last
    /// replacement: its copies fail on whichever host they are.
    pub fn may_replace<'a>(&self, mut components: impl Iterator<Item = &'a ComponentName>) -> bool {
        if sabotage::is(Sabotage::ForgetsSpares) {
            return true;
        }
        let has_spare = self.avoid.iter().any(|((_, node), mark)| self.is_being_replaced(*node, mark));
        let replaced = |name: &ComponentName| {
            self.avoid.iter().any(|((component, _), mark)| component == name && mark.replaced)
        };
        !has_spare && (sabotage::is(Sabotage::ForgetsReplacements) || !components.any(replaced))
    }

    /// Whether the version in which copies of a component are placed keeps failing.
    #[must_use]
    pub fn keeps_failing(&self, component: &ComponentName) -> bool {
        self.failures_of(component, self.version_of(component)) >= FAILURES_MAX
    }

    /// Refuses a plan that acquires more because of failures than the failure policy allows: one host at a time, and
    /// none for a version that has never run well.
    pub(super) fn check_acquired_for_failures(&self, plan: &Plan) -> Result<(), Refusal> {
        let Cause::InstanceFailed(instances) = &plan.verdict.cause else { return Ok(()) };
        if plan.orders.is_empty() {
            return Ok(());
        }
        let is_unproven = |instance: &&InstanceId| {
            let placed = self.target.instances.get(*instance);
            placed.is_none_or(|placed| self.proven(&instance.component, placed.version).is_none())
        };
        let unproven = instances.iter().find(is_unproven);
        match unproven.filter(|_| !sabotage::is(Sabotage::AcquiresForUnproven)) {
            Some(instance) => Err(Refusal::Unproven(instance.component.clone())),
            None if plan.orders.len() > 1 && !sabotage::is(Sabotage::ForgetsSpares) => Err(Refusal::Spare),
            None if !self.may_replace(instances.iter().map(|instance| &instance.component)) => {
                Err(Refusal::Spare)
            }
            None => Ok(()),
        }
    }
}
