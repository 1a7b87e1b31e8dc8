//! From what is wanted and believed to a problem for the solver, and from its plan back to decisions.
//!
//! A pure function of the situation: every expression is evaluated here, once per machine, so that the solver
//! sees only numbers, masks and classes. An absent fact makes a machine ineligible for the rule that needs
//! it. It chooses nothing. Read next: [`machines`] for the candidates, [`rules`] for what is asked of them,
//! [`answer`] for the way back.

pub(crate) mod answer;
mod machines;
mod rules;

use rhizo_knowledge::Snapshot;
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::turn::HostView;
use rhizo_solver::{Component, Problem, Resource};
use rhizo_types::intent::{AcquireOrder, IntentState};
use rhizo_types::spec::Spec;
use rhizo_types::target::Slot;
use rhizo_types::{ComponentName, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// A host that is there, or on its way.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PlacedHost {
    /// How plans name it.
    pub(crate) slot: Slot,
    /// What the core says of it.
    pub(crate) view: HostView,
}

/// Something a provider sells.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct OfferView {
    /// What would be ordered.
    pub(crate) order: AcquireOrder,
    /// At most so many can be bought.
    pub(crate) count_max: u32,
}

/// All that a problem is posed from.
pub(crate) struct Situation<'a> {
    pub(crate) spec: &'a Spec,
    /// Hosts there are or will be, with what the plan in force has on them.
    pub(crate) hosts: &'a BTreeMap<Slot, HostView>,
    pub(crate) offers: Vec<OfferView>,
    /// Nodes where a component kept failing.
    pub(crate) avoid: &'a BTreeSet<(ComponentName, NodeId)>,
    /// Hosts that a voluntary change must not empty.
    pub(crate) frozen: &'a BTreeSet<Slot>,
    /// At most so many instances may move.
    pub(crate) moves_max: Option<u32>,
    pub(crate) snapshot: &'a Snapshot,
}

/// A problem with the way back to names.
#[derive(Debug)]
pub(crate) struct Posed {
    pub(crate) problem: Problem,
    pub(crate) machines: Vec<Candidate>,
    pub(crate) components: Vec<ComponentName>,
    /// For each component and machine that is refused: which rule, and why.
    pub(crate) refusals: BTreeMap<(ComponentName, usize), Refusal>,
    /// What could not be taken at face value, in words.
    pub(crate) warnings: Vec<String>,
}

/// Why a machine cannot host a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The first rule that rejects it.
    pub(crate) rule: String,
    /// With the values it was decided by.
    pub(crate) reason: String,
}

/// A machine of the problem.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Candidate {
    /// A host that is there, or on its way.
    Host(PlacedHost),
    /// One that can be bought.
    Offer(OfferView),
}

impl Candidate {
    /// What was or would be ordered.
    pub(crate) fn order(&self) -> &AcquireOrder {
        match self {
            Self::Host(host) => &host.view.order,
            Self::Offer(offer) => &offer.order,
        }
    }
}

/// Poses the problem.
pub(crate) fn pose(situation: &Situation<'_>) -> Posed {
    let spec = situation.spec;
    let components: Vec<ComponentName> = spec.components.keys().cloned().collect();
    let resources: BTreeSet<&String> =
        spec.components.values().flat_map(|component| component.needs.keys()).collect();
    let resources: Vec<String> = resources.into_iter().cloned().collect();
    let placed = |(slot, view): (&Slot, &HostView)| PlacedHost { slot: *slot, view: view.clone() };
    let candidates: Vec<Candidate> = situation
        .hosts
        .iter()
        .map(|host| Candidate::Host(placed(host)))
        .chain(situation.offers.iter().cloned().map(Candidate::Offer))
        .collect();
    let sites = machines::Sites::of(&candidates, spec, situation.snapshot);
    let mut posed = Posed {
        problem: Problem {
            resources: resources
                .iter()
                .map(|name| Resource { name: name.clone(), transient: false })
                .collect(),
            machines: candidates.iter().map(|each| machines::machine(each, &resources, &sites)).collect(),
            latency: sites.latency(),
            anchors: sites.anchors(),
            ..Problem::default()
        },
        machines: candidates,
        components,
        refusals: BTreeMap::new(),
        warnings: sites.warnings(),
    };
    for (name, component) in &spec.components {
        let mut each = Component::new(name.as_str(), component.replicas.min, component.replicas.max);
        each.needs =
            resources.iter().map(|r| component.needs.get(r).map_or(0.0, |need| need.get())).collect();
        each.current = current(&posed.machines, name);
        posed.problem.components.push(each);
    }
    rules::add(&mut posed, situation);
    posed
}

/// The hosts there are or will be, by the ledger, with what the plan in force has on them.
pub(crate) fn hosts(ledger: &Ledger) -> BTreeMap<Slot, HostView> {
    let mut hosts = BTreeMap::new();
    for intent in ledger.intents.values() {
        let is_coming = matches!(intent.state, IntentState::Open | IntentState::Unknown | IntentState::Bound);
        let slot = match intent.node {
            Some(node) if ledger.members.contains_key(&node) => Slot::Node(node),
            Some(_) => continue,
            None => Slot::Intent(intent.id),
        };
        if is_coming {
            let view =
                HostView { order: intent.order.clone(), components: BTreeMap::new(), node: intent.node };
            hosts.insert(slot, view);
        }
    }
    let placement = ledger.plan.iter().flat_map(|plan| &plan.placement);
    for (instance, slot) in placement {
        // A planned host whose node has joined since is known by its node.
        let joined = match slot {
            Slot::Intent(intent) => ledger.intents.get(intent).and_then(|intent| intent.node).map(Slot::Node),
            Slot::Node(_) | Slot::Order(_) => None,
        };
        if let Some(host) = hosts.get_mut(&joined.unwrap_or(*slot)) {
            *host.components.entry(instance.component.clone()).or_insert(0) += 1;
        }
    }
    hosts
}

/// The machine of each copy. Copies of a component are alike, so their order does not matter: the core gives
/// them their names.
fn current(candidates: &[Candidate], component: &ComponentName) -> Vec<Option<usize>> {
    let mut machines = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        if let Candidate::Host(host) = candidate {
            let copies = host.view.components.get(component).copied().unwrap_or(0);
            machines.extend((0..copies).map(|_| Some(index)));
        }
    }
    machines
}
