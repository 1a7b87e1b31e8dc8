//! Makes a [`SolveRequest`] for `rhizo-planning` from the ledger and from the coordinator's own knowledge.
//!
//! The coordinator's solver runs, the commands `plan` and `why`, and the question that `up` puts to the operator all
//! use [`question`]. It makes no judgement. Read next: [`crate::request`] for the form, `control` for the time of
//! each run.

use super::obstacles::settles_at;
use super::target::definition_change;
use super::{Coordinator, View};
use crate::assign::names_in_use;
use crate::bindings::Latencies;
use crate::event::LogStatus;
use crate::ledger::{Ledger, Member, SlotState};
use crate::observer::Observer;
use crate::request::{CopyView, DefinitionChange, HostView, PlaceState, SolveId, SolveRequest, Terms};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{ComponentName, InstanceId, IntentId, NodeId};
use rhizo_types::ledger::{FOUNDER, SetSpec};
use rhizo_types::spec::{Component, Spec};
use rhizo_types::target::{Cause, Slot};
use rhizo_types::{Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Returns the request for a cause as the ledger stands; none when no spec is in force.
///
/// Without a coordinator the request lacks the stuck orders, failing copies, cooling offers and failing providers,
/// and its `is_informed` is false.
pub(super) fn question(
    cause: Cause,
    coordinator: Option<&Coordinator>,
    view: View<'_>,
) -> Option<SolveRequest> {
    let ledger = view.ledger;
    let spec = ledger.spec()?;
    let stuck = coordinator.map(|coordinator| coordinator.hosts.stuck(view)).unwrap_or_default();
    let (hosts, withdrawn) = hosts(ledger, spec, &stuck);
    let for_failures = matches!(cause, Cause::InstanceFailed(_));
    let blamed = coordinator.filter(|_| for_failures).map(|coordinator| coordinator.blamed(ledger));
    let blamed = blamed.unwrap_or_default();
    let orders_max = for_failures.then_some(u32::from(blamed.may_acquire));
    let blamed = blamed.copies.into_iter().map(|(instance, node)| (instance.component, node));
    let forced = cause != Cause::Better;
    let is_young = |slot: &Slot| match slot {
        Slot::Node(node) => settles_at(*node, view).is_none_or(|at| view.now < at),
        Slot::Intent(_) | Slot::Order(_) => true,
    };
    let terms = Terms {
        cause,
        forced,
        plan: ledger.plan_revision(),
        spec: ledger.spec_revision(),
        avoid: avoided(forced && !for_failures, ledger).chain(blamed).collect(),
        frozen: hosts.keys().copied().filter(|slot| !forced && is_young(slot)).collect(),
        moves_max: spec.optimise.max_moves.filter(|_| !forced),
        gain_min: spec.optimise.min_gain,
        spending_micros: ledger.spending_micros(),
        orders_max,
        budget_micros: ledger.budget_micros().filter(|_| !sabotage::is(Sabotage::IgnoresBudget)),
    };
    Some(SolveRequest {
        id: SolveId(coordinator.map_or(0, |coordinator| coordinator.control.runs()) + 1),
        spec: Arc::new(spec.clone()),
        terms,
        hosts,
        withdrawn,
        copies: copies(ledger, spec, &stuck),
        waiting: ledger.waiting_for_data().map(|(copy, home)| (copy.clone(), home.node)).collect(),
        names_in_use: names_in_use(ledger),
        cooling: coordinator.map(|coordinator| coordinator.hosts.cooling(view.now)).unwrap_or_default(),
        failing: coordinator.map(Coordinator::failing_providers).unwrap_or_default(),
        is_informed: coordinator.is_some(),
    })
}

/// The marks that a plan has to respect. What is missing is repaired without the marks of versions that never ran well,
/// because no host is acquired to avoid those.
fn avoided(repairs: bool, ledger: &Ledger) -> impl Iterator<Item = (ComponentName, NodeId)> {
    let marks = ledger.avoid.iter();
    let marks = marks
        .filter(move |((component, _), mark)| !repairs || ledger.proven(component, mark.version).is_some());
    marks.map(|(key, _)| key.clone())
}

/// Returns the request for an application that has not been deployed: no copy runs, and the request counts as
/// informed, because there is nothing that only a coordinator could know.
#[must_use]
pub fn first_question(spec: Spec) -> Option<SolveRequest> {
    let set = SetSpec { revision: Revision(1), spec, source: String::new() };
    let ledger = Ledger { specs: BTreeMap::from([(set.revision, set)]), ..Ledger::default() };
    let view = View {
        me: FOUNDER,
        now: Time::ZERO,
        ledger: &ledger,
        log: &LogStatus::default(),
        observer: &Observer::new(FOUNDER),
        latencies: &Latencies::new(),
        since: &BTreeMap::new(),
        genesis: None,
    };
    question(Cause::SpecChanged, Some(&Coordinator::new(Term(1), Time::ZERO)), view)
}

/// Hosts by the slot that plans use for them.
type Hosts = BTreeMap<Slot, HostView>;

/// Returns the members on hosts of their own that are not draining, and the hosts that are arriving for the plan in
/// force. The second map has those whose provider the spec does not name.
fn hosts(ledger: &Ledger, spec: &Spec, stuck: &BTreeSet<IntentId>) -> (Hosts, Hosts) {
    let mut hosts = BTreeMap::new();
    let pinned: BTreeSet<NodeId> = ledger.homes.keys().filter_map(|copy| ledger.pinned_to(copy)).collect();
    let is_used = |node: &NodeId, member: &Member| !member.draining || pinned.contains(node);
    for (node, member) in ledger.members.iter().filter(|(node, member)| is_used(node, member)) {
        let intent = member.record.intent.and_then(|id| ledger.intents.get(&id));
        if let Some(intent) = intent {
            hosts.insert(Slot::Node(*node), host(intent, Some(*node)));
        }
    }
    for slot in ledger.plan.iter().flat_map(|plan| plan.placement.values()) {
        let slot = ledger.canonical(*slot);
        if let Slot::Intent(id) = slot
            && ledger.slot_state(slot) == SlotState::Arriving
            && !stuck.contains(&id)
            && let Some(intent) = ledger.intents.get(&id)
        {
            hosts.entry(slot).or_insert_with(|| host(intent, None));
        }
    }
    let has_pinned = |host: &HostView| host.node.is_some_and(|node| pinned.contains(&node));
    hosts.into_iter().partition(|(_, host)| spec.allows_provider(&host.order.provider) || has_pinned(host))
}

fn host(intent: &rhizo_types::intent::Intent, node: Option<NodeId>) -> HostView {
    let bound = intent.host.as_ref();
    HostView { order: intent.order.clone(), node, host: bound.map(|bound| bound.host.clone()) }
}

/// Returns every copy of the plan in force with its slot, the state of that slot, and the change of its definition.
fn copies(ledger: &Ledger, spec: &Spec, stuck: &BTreeSet<IntentId>) -> BTreeMap<InstanceId, CopyView> {
    let placement = ledger.plan.iter().flat_map(|plan| &plan.placement);
    let is_withdrawn = |id: Option<IntentId>| {
        let intent = id.and_then(|id| ledger.intents.get(&id));
        intent.is_some_and(|intent| !spec.allows_provider(&intent.order.provider))
    };
    let copy = |(instance, slot): (&InstanceId, &Slot)| {
        let slot = ledger.canonical(*slot);
        let place = match (ledger.slot_state(slot), slot) {
            (SlotState::Ready(node), _) => match ledger.members.get(&node) {
                Some(member) if member.draining => PlaceState::Draining,
                Some(member) if is_withdrawn(member.record.intent) => PlaceState::Withdrawn,
                _ => PlaceState::Usable,
            },
            (SlotState::Arriving, Slot::Intent(id)) if stuck.contains(&id) => PlaceState::Stuck,
            (SlotState::Arriving, Slot::Intent(id)) if is_withdrawn(Some(id)) => PlaceState::Withdrawn,
            (SlotState::Arriving, _) => PlaceState::Usable,
            (SlotState::Lost, _) => PlaceState::Lost,
        };
        let home = ledger.pinned_to(instance);
        let is_pinned = home.is_some_and(|home| slot == Slot::Node(home));
        (instance.clone(), CopyView { slot, place, is_pinned, change: change(instance, ledger) })
    };
    placement.map(copy).collect()
}

/// Returns the change that the spec in force makes to the definition of a copy; none if there is no change.
fn change(instance: &InstanceId, ledger: &Ledger) -> Option<DefinitionChange> {
    let spec = ledger.spec()?;
    let placed = ledger.target.instances.get(instance).map(|placed| placed.version);
    let planned = ledger.plan.as_ref().map(|plan| plan.spec);
    let old = ledger.component_of(instance, placed.or(planned)?)?;
    if !spec.components.contains_key(&instance.component) {
        return Some(DefinitionChange::Removed { renamed_to: renamed(old, ledger) });
    }
    // A copy that the target does not have yet starts with the new definition.
    let version = ledger.version_under(&instance.component, ledger.spec_revision());
    let new = placed.and_then(|_| ledger.component_of(instance, version))?;
    definition_change(old, new)
}

/// Returns the component that the spec in force adds under another name with the same definition; none if there is
/// none.
fn renamed(old: &Component, ledger: &Ledger) -> Option<ComponentName> {
    let planned = ledger.plan.as_ref().and_then(|plan| ledger.specs.get(&plan.spec));
    let before = planned.map(|set| &set.spec.components);
    let mut new = ledger.spec()?.components.iter();
    let found = new.find(|(name, component)| {
        !before.is_some_and(|before| before.contains_key(*name)) && component.runs_like(old)
    });
    found.map(|(name, _)| name.clone())
}
