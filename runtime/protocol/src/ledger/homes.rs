//! Homes: the node that has the data of each copy with state.
//!
//! A home begins when a target places a copy of a component with state, and moves with the copy. It ends when no plan
//! wants the copy any more, or when its host is lost and the spec allows to start empty. Otherwise the copy *waits*: no
//! plan places it, and the lost host is not released, until an operator gives up the data. Every change here follows
//! from a committed entry. Read next: [`rhizo_types::state`].

use super::{Ledger, Refusal};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId, NodeId};
use rhizo_types::intent::IntentState;
use rhizo_types::state::{Home, OnDataLoss, State};
use rhizo_types::target::{Placed, Plan};
use std::collections::{BTreeMap, BTreeSet};

impl Ledger {
    /// Returns the state that the spec in force declares for a component.
    #[must_use]
    pub fn state_of(&self, component: &ComponentName) -> &State {
        let declared = self.spec().and_then(|spec| spec.components.get(component));
        declared.map_or(&State::None, |component| &component.state)
    }

    /// Returns the copies whose data is on a lost host and has not been given up, with those homes.
    pub fn waiting_for_data(&self) -> impl Iterator<Item = (&InstanceId, &Home)> {
        self.homes.iter().filter(|(_, home)| !self.members.contains_key(&home.node))
    }

    /// Returns the number of copies of a component that wait for their data.
    #[must_use]
    pub fn waiting_copies(&self, component: &ComponentName) -> usize {
        let copies = self.homes.range(InstanceId::copies_of(component));
        copies.filter(|(_, home)| !self.members.contains_key(&home.node)).count()
    }

    /// Returns the only node on which a copy may be placed, because its data is there and must not be left; none for
    /// other copies. The node need not be a member: then the copy waits for its data.
    #[must_use]
    pub fn pinned_to(&self, instance: &InstanceId) -> Option<NodeId> {
        let home = self.homes.get(instance)?;
        let is_pinned =
            self.state_of(&instance.component).is_pinned() && !sabotage::is(Sabotage::MovesPinned);
        let is_bound = is_pinned || !self.members.contains_key(&home.node);
        is_bound.then_some(home.node)
    }

    /// Returns true if a lost host has data that has not been given up. Such a host is not released.
    pub(super) fn holds_data(&self, node: NodeId) -> bool {
        let waits = |(instance, home): (&InstanceId, &Home)| home.node == node && self.waits(instance);
        self.homes.iter().any(waits) && !self.taking_down
    }

    /// Returns true if a copy waits for an operator when the host of its data is lost.
    fn waits(&self, instance: &InstanceId) -> bool {
        self.state_of(&instance.component).on_loss() == OnDataLoss::Wait
    }

    /// Refuses a plan that moves a pinned copy, or that places a copy whose data is on a lost host.
    pub(super) fn check_pinned(&self, plan: &Plan) -> Result<(), Refusal> {
        let moves = |(instance, _): &(&InstanceId, &Home)| {
            let slot = plan.placement.get(*instance).map(|slot| self.canonical(*slot));
            let pinned = self.pinned_to(instance).map(rhizo_types::target::Slot::Node);
            slot.is_some() && pinned.is_some() && slot != pinned
        };
        match self.homes.iter().find(moves) {
            Some((instance, home)) => Err(Refusal::Pinned { instance: instance.clone(), node: home.node }),
            None => Ok(()),
        }
    }

    /// Refuses a placement of a pinned copy on another node than the one that has its data.
    pub(super) fn check_home(&self, instance: &InstanceId, placed: &Placed) -> Result<(), Refusal> {
        match self.pinned_to(instance) {
            Some(node) if node != placed.node => Err(Refusal::Pinned { instance: instance.clone(), node }),
            _ => Ok(()),
        }
    }

    /// Gives up data on lost hosts. Data that the copy has no longer, or whose host is a member, is left alone.
    pub(super) fn give_up_data(&mut self, copies: &BTreeMap<InstanceId, Home>) {
        let members = &self.members;
        self.homes
            .retain(|instance, home| copies.get(instance) != Some(home) || members.contains_key(&home.node));
    }

    /// Begins and ends homes as the spec, the plan, the target and the roster now say, and releases lost hosts whose
    /// data is no longer waited for. Every command may change one of these.
    pub(crate) fn follow_homes(&mut self) {
        let with_state = |name: &&ComponentName| self.state_of(name).is_kept();
        let components = self.spec().into_iter().flat_map(|spec| spec.components.keys());
        let components: Vec<ComponentName> = components.filter(with_state).cloned().collect();
        for component in components {
            let copies = self.target.instances.range(InstanceId::copies_of(&component));
            for (instance, placed) in copies.filter(|(_, placed)| self.members.contains_key(&placed.node)) {
                let home = self.homes.entry(instance.clone());
                let new = Home { node: placed.node, since: placed.generation };
                let home = home.or_insert(new);
                if home.node != placed.node {
                    *home = new;
                }
            }
        }
        let ended = self.homes.iter().filter(|(instance, home)| self.is_home_ended(instance, home));
        let ended: BTreeSet<InstanceId> = ended.map(|(instance, _)| instance.clone()).collect();
        self.homes.retain(|instance, _| !ended.contains(instance));
        self.release_lost_hosts();
    }

    fn is_home_ended(&self, instance: &InstanceId, home: &Home) -> bool {
        if !self.members.contains_key(&home.node) {
            return self.taking_down || !self.waits(instance);
        }
        // A component that the spec no longer has keeps its data until its copies are gone.
        let is_planned = self.plan.as_ref().is_some_and(|plan| plan.placement.contains_key(instance));
        let may_run = self.target.instances.contains_key(instance) || self.lingering.contains_key(instance);
        !(may_run || is_planned && self.state_of(&instance.component).is_kept())
    }

    /// Starts the release of hosts of former members that were kept for their data.
    fn release_lost_hosts(&mut self) {
        let is_kept = |node: NodeId| self.members.contains_key(&node) || self.holds_data(node);
        let bound = self.intents.values().filter(|intent| intent.state == IntentState::Bound);
        let lost = bound.filter(|intent| intent.node.is_some_and(|node| !is_kept(node)));
        for id in lost.map(|intent| intent.id).collect::<Vec<_>>() {
            if let Some(intent) = self.intents.get_mut(&id) {
                intent.state = IntentState::Releasing;
            }
        }
    }
}
