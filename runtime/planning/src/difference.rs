//! The whole difference between the configuration in force and a proposed one, action by action, each with its
//! reason.
//!
//! The proposal gives the slots of copies, the core's assignment gives their names, and the request gives the effect
//! of a changed definition on a copy that stays. This module decides nothing. Read next: [`crate::record`].

use crate::hosts::slot_name;
use crate::record::{Action, Change, HostName, PlacedCopy};
use rhizo_protocol::{CopyView, DefinitionChange, PlaceState, SolveRequest};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::target::Slot;
use rhizo_types::{ComponentName, InstanceId};
use std::collections::{BTreeMap, BTreeSet};

/// The configuration in force (in the request) and a proposed one.
pub(crate) struct Difference<'a> {
    pub(crate) request: &'a SolveRequest,
    /// The proposed placement, with the names of copies.
    pub(crate) after: &'a BTreeMap<InstanceId, Slot>,
    /// The hosts that are to be bought; `Slot::Order` refers to their positions.
    pub(crate) orders: &'a [AcquireOrder],
    /// The reason of a change that has no reason of its own: the problem that it repairs, or its gain.
    pub(crate) because: &'a str,
}

/// A copy of the plan in force that the proposal drops.
type Leaving<'a> = (&'a InstanceId, &'a CopyView);

impl Difference<'_> {
    /// Returns every action: acquired hosts first, then each component's copies, then released hosts.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = self.acquired();
        let before = self.request.copies.keys().map(|instance| &instance.component);
        let components: BTreeSet<&ComponentName> =
            before.chain(self.after.keys().map(|instance| &instance.component)).collect();
        for component in components {
            self.component(component, &mut actions);
        }
        actions.extend(self.released());
        actions
    }

    /// Returns the copies of the plan in force with their hosts.
    pub(crate) fn current(&self) -> Vec<PlacedCopy> {
        let copies = self.request.copies.iter();
        copies.map(|(instance, copy)| self.placed(instance, copy.slot)).collect()
    }

    /// Returns the copies of the proposed placement with their hosts.
    pub(crate) fn proposed(&self) -> Vec<PlacedCopy> {
        self.after.iter().map(|(instance, slot)| self.placed(instance, *slot)).collect()
    }

    fn placed(&self, instance: &InstanceId, slot: Slot) -> PlacedCopy {
        PlacedCopy { instance: instance.to_string(), on: self.host(slot) }
    }

    fn component(&self, component: &ComponentName, actions: &mut Vec<Action>) {
        let copies = InstanceId::copies_of(component);
        let mut leaving = Vec::new();
        for (instance, copy) in self.request.copies.range(copies.clone()) {
            if self.after.get(instance) == Some(&copy.slot) {
                actions.extend(self.redefined(instance, copy));
            } else {
                leaving.push((instance, copy));
            }
        }
        let mut coming: Vec<(&InstanceId, Slot)> = Vec::new();
        for (instance, slot) in self.after.range(copies) {
            if self.request.copies.get(instance).is_none_or(|copy| copy.slot != *slot) {
                coming.push((instance, *slot));
            }
        }
        // A copy with state keeps its name. Otherwise running copies are moved first, and the remaining new copies
        // replace copies that no longer run.
        leaving.sort_by_key(|(_, copy)| copy.place == PlaceState::Lost || copy.place == PlaceState::Stuck);
        for (instance, slot) in coming {
            let same = leaving.iter().position(|(left, _)| *left == instance);
            let left = (!leaving.is_empty()).then(|| leaving.remove(same.unwrap_or(0)));
            actions.push(self.arrival(instance, slot, left));
        }
        actions.extend(leaving.into_iter().map(|leaving| self.departure(leaving)));
    }

    /// Returns the action that a changed definition causes for a copy that stays; none if the definition did not
    /// change.
    fn redefined(&self, instance: &InstanceId, copy: &CopyView) -> Option<Action> {
        let (instance, on) = (instance.to_string(), self.host(copy.slot));
        match copy.change.as_ref()? {
            DefinitionChange::Restart(keys) => {
                let reason = format!("its {} changed", keys.join(", "));
                Some(Action { change: Change::Restart { instance, on }, reason })
            }
            DefinitionChange::Notify => {
                let reason = "its definition changed in what needs no restart".to_owned();
                Some(Action { change: Change::Notify { instance, on }, reason })
            }
            DefinitionChange::Removed { .. } => None,
        }
    }

    /// Returns the action for a new copy: the move of a dropped copy, or the start of an additional one.
    fn arrival(&self, new: &InstanceId, slot: Slot, leaving: Option<Leaving<'_>>) -> Action {
        let (becomes, to) = (new.to_string(), self.host(slot));
        let Some((old, copy)) = leaving else {
            return Action {
                change: Change::Start { instance: becomes, on: to },
                reason: self.why_started(&new.component),
            };
        };
        if matches!(copy.place, PlaceState::Lost | PlaceState::Stuck) {
            let reason = format!("it replaces {old}, because {}", self.why_left(old, copy));
            return Action { change: Change::Start { instance: becomes, on: to }, reason };
        }
        let reason = self.why_left(old, copy);
        let from = self.host(copy.slot);
        Action { change: Change::Move { instance: old.to_string(), from, becomes, to }, reason }
    }

    /// Returns the action for a dropped copy that has no successor.
    fn departure(&self, (instance, copy): Leaving<'_>) -> Action {
        let (name, on) = (instance.to_string(), self.host(copy.slot));
        let component = self.request.spec.components.get(&instance.component);
        if self.request.waiting.contains_key(instance) {
            let reason = format!("{}, which has its data", self.why_left(instance, copy));
            return Action { change: Change::Wait { instance: name, on }, reason };
        }
        match (component, copy.place) {
            (None, _) => {
                let reason = match &copy.change {
                    Some(DefinitionChange::Removed { renamed_to: Some(new) }) => {
                        format!("its component was renamed to {new}")
                    }
                    _ => "its component is no longer in the spec".to_owned(),
                };
                Action { change: Change::End { instance: name, on }, reason }
            }
            (Some(_), PlaceState::Lost | PlaceState::Stuck) => {
                let reason = self.why_left(instance, copy);
                Action { change: Change::End { instance: name, on }, reason }
            }
            (Some(component), PlaceState::Usable | PlaceState::Draining | PlaceState::Withdrawn) => {
                let most = component.replicas.max;
                let count = self.request.copies.range(InstanceId::copies_of(&instance.component)).count();
                let reason = if count > most as usize {
                    format!("the spec wants at most {most} copies of {}", instance.component)
                } else {
                    self.because.to_owned()
                };
                Action { change: Change::Stop { instance: name, on }, reason }
            }
        }
    }

    /// Returns the reason why one more copy of a component starts.
    fn why_started(&self, component: &ComponentName) -> String {
        let count = self.request.copies.range(InstanceId::copies_of(component)).count();
        let least = self.request.spec.components.get(component).map_or(0, |c| c.replicas.min);
        let is_old_name = |(_, copy): &(&InstanceId, &CopyView)| matches!(&copy.change, Some(DefinitionChange::Removed { renamed_to: Some(new) }) if new == component);
        match self.request.copies.iter().find(is_old_name) {
            Some((old, _)) => format!("the component {} was renamed to {component}", old.component),
            None if self.request.copies.is_empty() => "nothing runs yet".to_owned(),
            None if count == 0 => format!("the spec has the component {component} now"),
            None if count < least as usize => {
                format!("the spec wants at least {least} copies of {component}")
            }
            None => self.because.to_owned(),
        }
    }

    /// Returns the reason why a copy does not stay where it is.
    fn why_left(&self, instance: &InstanceId, copy: &CopyView) -> String {
        let host = slot_name(copy.slot);
        let node = self.request.hosts.get(&copy.slot).and_then(|host| host.node);
        let kept_failing =
            node.is_some_and(|node| self.request.terms.avoid.contains(&(instance.component.clone(), node)));
        match copy.place {
            PlaceState::Draining => format!("{host} is being drained"),
            PlaceState::Withdrawn => match self.request.withdrawn.get(&copy.slot) {
                Some(host) => without_provider(&host.order),
                None => format!("the provider of {host} is no longer in the config"),
            },
            PlaceState::Lost => format!("{host} is gone"),
            PlaceState::Stuck => format!("the order of {host} was not confirmed in time"),
            PlaceState::Usable if kept_failing => format!("{} kept failing on {host}", instance.component),
            PlaceState::Usable => self.because.to_owned(),
        }
    }

    /// Returns the actions that acquire hosts, one for all equal hosts.
    fn acquired(&self) -> Vec<Action> {
        let mut groups: Vec<(&AcquireOrder, Vec<u32>)> = Vec::new();
        for (position, order) in (0..).zip(self.orders) {
            match groups.iter_mut().find(|(known, _)| *known == order) {
                Some((_, positions)) => positions.push(position),
                None => groups.push((order, vec![position])),
            }
        }
        let action = |(order, positions): (&AcquireOrder, Vec<u32>)| {
            let is_there = |slot: &Slot| matches!(slot, Slot::Order(at) if positions.contains(at));
            let copies = self.after.iter().filter(|(_, slot)| is_there(slot));
            let copies: Vec<String> = copies.map(|(instance, _)| instance.to_string()).collect();
            let count = u32::try_from(positions.len()).unwrap_or(u32::MAX);
            let price_per_hour = order.price_micros_per_hour as f64 / 1e6;
            let change = Change::Acquire { count, from: sold(order), price_per_hour };
            Action { change, reason: format!("for {}", copies.join(", ")) }
        };
        groups.into_iter().map(action).collect()
    }

    /// Returns the actions that release hosts on which no copy is left.
    fn released(&self) -> Vec<Action> {
        let used: BTreeSet<&Slot> = self.after.values().collect();
        let idle = self.request.hosts.keys().filter(|slot| !used.contains(slot));
        let stuck = self.request.copies.values().filter(|copy| copy.place == PlaceState::Stuck);
        let stuck: BTreeSet<Slot> = stuck.map(|copy| copy.slot).collect();
        let idle = idle.map(|slot| (*slot, "nothing is left to run on it"));
        let stuck = stuck.into_iter().map(|slot| (slot, "its order was not confirmed in time"));
        let withdrawn =
            self.request.withdrawn.iter().map(|(slot, host)| (*slot, without_provider(&host.order)));
        let due = idle.chain(stuck).map(|(slot, reason)| (slot, reason.to_owned())).chain(withdrawn);
        due.map(|(slot, reason)| Action { change: Change::Release { host: self.host(slot) }, reason })
            .collect()
    }

    fn host(&self, slot: Slot) -> HostName {
        if let Slot::Order(position) = slot
            && let Some(order) = self.orders.get(position as usize)
        {
            return sold(order);
        }
        let node = Some(slot_name(slot));
        match self.request.hosts.get(&slot).or_else(|| self.request.withdrawn.get(&slot)) {
            Some(host) => {
                let id = host.host.as_ref().map(ToString::to_string);
                HostName { node, host: id, ..sold(&host.order) }
            }
            // A host that is lost or draining is not in the request. Only its name is known here.
            None => HostName {
                node,
                host: None,
                provider: String::new(),
                offer: String::new(),
                region: String::new(),
            },
        }
    }
}

/// Returns the reason why nothing stays on a host whose provider the spec does not name.
fn without_provider(order: &AcquireOrder) -> String {
    format!("its provider `{}` is no longer in the config", order.provider)
}

/// Returns the name of a host that an order is about to buy.
fn sold(order: &AcquireOrder) -> HostName {
    HostName {
        node: None,
        host: None,
        provider: order.provider.to_string(),
        offer: order.offer.to_string(),
        region: order.region.to_string(),
    }
}
