//! Values derived from the ledger that more than one part of the core needs.
//!
//! Pure reads. A value that only one part needs is derived there.

use super::Ledger;
use rhizo_types::id::{ComponentName, HostId, InstanceId, IntentId, NodeId, ProviderName};
use rhizo_types::intent::{Intent, IntentState};
use rhizo_types::ledger::Timers;
use rhizo_types::spec::{Component, ProviderSpec, Spec};
use rhizo_types::target::{Placed, Slot};
use rhizo_types::{Lineage, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The state of a slot of the plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SlotState {
    /// A member that can host instances.
    Ready(NodeId),
    /// Its host is being acquired, or its node has not joined yet.
    Arriving,
    /// Its host was not acquired, or is gone.
    Lost,
}

impl Ledger {
    /// Returns the lineage's number; zero before genesis.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.genesis.as_ref().map_or(Lineage(0), |genesis| genesis.lineage)
    }

    /// Returns the timers of this overlay; those of a single site before genesis.
    #[must_use]
    pub fn timers(&self) -> Timers {
        self.genesis.as_ref().map_or(Timers::LOCAL, |genesis| genesis.timers)
    }

    /// Returns the revision of the spec in force; zero when there is none.
    #[must_use]
    pub fn spec_revision(&self) -> Revision {
        self.specs.last_key_value().map_or(Revision::ZERO, |(revision, _)| *revision)
    }

    /// The spec in force.
    #[must_use]
    pub fn spec(&self) -> Option<&Spec> {
        self.specs.last_key_value().map(|(_, set)| &set.spec)
    }

    /// Returns the providers that may have to be called, each with its newest table and the revision of that table's
    /// spec: the providers of the spec in force, and those that open intents name.
    ///
    /// A provider that was removed from the config is called until the last of its hosts is gone.
    #[must_use]
    pub fn callable_providers(&self) -> BTreeMap<&ProviderName, (Revision, &ProviderSpec)> {
        let in_force = self.spec().into_iter().flat_map(|spec| spec.providers.keys());
        let open = self.intents.values().filter(|intent| intent.is_open());
        let names: BTreeSet<&ProviderName> =
            in_force.chain(open.map(|intent| &intent.order.provider)).collect();
        let newest = |name: &ProviderName| {
            let mut specs = self.specs.iter().rev();
            specs.find_map(|(revision, set)| Some((*revision, set.spec.providers.get(name)?)))
        };
        names.into_iter().filter_map(|name| Some((name, newest(name)?))).collect()
    }

    /// Returns the instance of the target in force with this name, and its placement.
    #[must_use]
    pub fn instance_named(&self, name: &str) -> Option<(&InstanceId, &Placed)> {
        self.target.instances.iter().find(|(instance, _)| instance.to_string() == name)
    }

    /// Returns true if the node is a member with a host that copies can be placed on. The founder has none.
    #[must_use]
    pub fn has_host(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|member| member.record.intent.is_some())
    }

    /// Returns true if the target in force was made for the plan in force, contains all its instances, and is
    /// reached.
    #[must_use]
    pub fn is_plan_in_effect(&self) -> bool {
        let Some(plan) = &self.plan else { return false };
        self.target.plan == plan.revision
            && self.settled == self.target.revision
            && plan.placement.len() == self.target.instances.len()
            && plan.placement.keys().all(|instance| self.target.instances.contains_key(instance))
    }

    /// Returns the revision of the plan in force; zero when there is none.
    #[must_use]
    pub fn plan_revision(&self) -> Revision {
        self.plan.as_ref().map_or(Revision::ZERO, |plan| plan.revision)
    }

    /// Returns the component of an instance in a version of the spec; none when that spec is no longer kept.
    #[must_use]
    pub fn component_of(&self, instance: &InstanceId, version: Revision) -> Option<&Arc<Component>> {
        self.specs.get(&version)?.spec.components.get(&instance.component)
    }

    /// Returns the version in which copies of a component are placed: that of the plan, or the one to which the
    /// component returned.
    #[must_use]
    pub fn version_of(&self, component: &ComponentName) -> Revision {
        self.version_under(component, self.plan.as_ref().map_or(Revision::ZERO, |plan| plan.spec))
    }

    /// Returns the version in which copies of a component would be placed by a plan for this revision of the spec.
    #[must_use]
    pub fn version_under(&self, component: &ComponentName, planned: Revision) -> Revision {
        let unwound = self.unwound.get(component).is_some_and(|given_up| *given_up == self.spec_revision());
        let proven = self.proven.get(component).map(|proven| proven.version);
        proven.filter(|proven| unwound && self.specs.contains_key(proven)).unwrap_or(planned)
    }

    /// Returns the state of a slot of the plan.
    #[must_use]
    pub fn slot_state(&self, slot: Slot) -> SlotState {
        match slot {
            Slot::Node(node) => match self.members.get(&node) {
                // The founder is the operator's own machine and hosts no instance.
                Some(member) if member.record.intent.is_some() => SlotState::Ready(node),
                _ => SlotState::Lost,
            },
            Slot::Intent(id) => match self.intents.get(&id) {
                None => SlotState::Lost,
                Some(intent) => match (intent.node, intent.state) {
                    (Some(node), _) => self.slot_state(Slot::Node(node)),
                    (None, IntentState::Open | IntentState::Unknown | IntentState::Bound) => {
                        SlotState::Arriving
                    }
                    (None, _) => SlotState::Lost,
                },
            },
            // Orders become intents when their plan is applied.
            Slot::Order(_) => SlotState::Lost,
        }
    }

    /// Returns the canonical slot: an intent whose node has joined becomes that node, any other slot is unchanged.
    #[must_use]
    pub fn canonical(&self, slot: Slot) -> Slot {
        match self.slot_state(slot) {
            SlotState::Ready(node) => Slot::Node(node),
            SlotState::Arriving | SlotState::Lost => slot,
        }
    }

    /// Returns the intents whose host is being acquired or whose node has not joined yet, in the order of their ids.
    pub fn arriving(&self) -> impl Iterator<Item = &Intent> {
        let is_arriving = |intent: &&Intent| {
            intent.node.is_none() && self.slot_state(Slot::Intent(intent.id)) == SlotState::Arriving
        };
        self.intents.values().filter(is_arriving)
    }

    /// Returns true if a majority of the voters remains without these nodes.
    #[must_use]
    pub fn keeps_quorum<'a>(&self, without: impl IntoIterator<Item = &'a NodeId>) -> bool {
        let without: BTreeSet<&NodeId> = without.into_iter().collect();
        let lives = |node: &&NodeId| self.members.contains_key(node) && !without.contains(node);
        self.voters.iter().filter(lives).count() * 2 > self.voters.len()
    }

    /// Returns the open intent that has this host.
    #[must_use]
    pub fn intent_of_host(&self, provider: &ProviderName, host: &HostId) -> Option<IntentId> {
        let mut open = self.intents.values().filter(|intent| intent.is_open());
        let found = open.find(|intent| {
            intent.order.provider == *provider
                && intent.host.as_ref().is_some_and(|bound| bound.host == *host)
        });
        found.map(|intent| intent.id)
    }

    /// Returns an upper bound of the cost of all open intents, in millionths of the currency per hour.
    #[must_use]
    pub fn spending_micros(&self) -> u64 {
        let open = self.intents.values().filter(|intent| intent.is_open());
        open.fold(0, |sum, intent| sum.saturating_add(intent.order.price_micros_per_hour))
    }

    /// Returns the budget in millionths of the currency per hour; none when there is no limit.
    #[must_use]
    pub fn budget_micros(&self) -> Option<u64> {
        let budget = self.spec()?.budget.as_ref()?;
        // Rounded down, so that the limit is never exceeded. A negative limit counts as zero.
        let micros = (budget.max_hourly.get() * 1e6).floor().clamp(0.0, 9e18);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..9e18 above"
        )]
        Some(micros as u64)
    }

    /// Returns true if an instance that a target dropped may still run on that node.
    pub(super) fn can_linger(&self, node: NodeId) -> bool {
        if self.members.contains_key(&node) {
            return true;
        }
        let intent = self.departed.get(&node).and_then(|departed| departed.intent);
        intent.and_then(|intent| self.intents.get(&intent)).is_some_and(Intent::is_open)
    }
}
