//! Poses the problem: makes the solver's input from a request, facts and offers.
//!
//! Every expression is evaluated here, once per machine, so that the solver sees only numbers, masks and classes. A
//! machine without a fact that a rule reads is ineligible under that rule. This module chooses nothing. Read next:
//! `hosts` for the machines, `rules` for the rules, [`crate::outcome`] for the conversion of the solver's plan.

use crate::catalogue::{Buyable, Catalogue};
use crate::hosts::{self, Candidate, Sites};
use crate::posed::Posed;
use crate::{rules, state};
use rhizo_knowledge::Snapshot;
use rhizo_protocol::SolveRequest;
use rhizo_solver::{Component, Problem, Resource};
use rhizo_types::spec::Spec;
use rhizo_types::{ComponentName, HostResource};
use std::collections::BTreeMap;

/// Poses the problem of a request.
#[must_use]
pub fn pose(request: &SolveRequest, snapshot: &Snapshot, catalogue: &Catalogue) -> Posed {
    pose_with(request, snapshot, catalogue, catalogue.buyable(request))
}

/// Poses the problem with these offers in place of those that can be ordered now.
pub(crate) fn pose_with(
    request: &SolveRequest,
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    offers: Vec<Buyable>,
) -> Posed {
    let spec = &request.spec;
    let components: Vec<ComponentName> = spec.components.keys().cloned().collect();
    let resources = resources(spec);
    // A held host costs what its offer costs now: the price at the time of its order may be long out of date.
    let hosts = request.hosts.iter().map(|(slot, host)| {
        let mut host = host.clone();
        if let Some(price_micros) = catalogue.price_micros(&host.order) {
            host.order.price_micros_per_hour = price_micros;
        }
        Candidate::Host(*slot, host)
    });
    let candidates: Vec<Candidate> = hosts.chain(offers.into_iter().map(Candidate::Offer)).collect();
    let sites = Sites::of(&candidates, spec, snapshot);
    let named = |resource: &HostResource<'_>| Resource { name: resource.to_string(), transient: false };
    let port = |(at, resource): (usize, &HostResource<'_>)| match resource {
        HostResource::Port(port) => Some((at, *port)),
        HostResource::Amount(_) => None,
    };
    let mut posed = Posed {
        problem: Problem {
            resources: resources.iter().map(named).collect(),
            machines: candidates.iter().map(|each| hosts::machine(each, &resources, &sites)).collect(),
            latency: sites.latency(),
            anchors: sites.anchors(),
            ..Problem::default()
        },
        machines: candidates,
        components,
        ports: (0..).zip(&resources).filter_map(port).collect(),
        refusals: BTreeMap::new(),
        warnings: state::warnings(request).into_iter().chain(sites.warnings()).collect(),
    };
    for (name, component) in &spec.components {
        let (least, most) = state::replicas(name, component, request).into_inner();
        let mut each = Component::new(name.as_str(), least, most);
        let taken: BTreeMap<HostResource<'_>, f64> =
            component.takes().map(|(resource, need)| (resource, need.get())).collect();
        each.needs = resources.iter().map(|resource| taken.get(resource).copied().unwrap_or(0.0)).collect();
        each.current = current(&posed.machines, name, request);
        posed.problem.components.push(each);
    }
    rules::add(&mut posed, request, snapshot);
    posed
}

/// Returns the resources that the components take of their hosts.
///
/// A port that one component alone uses is left out: two copies of one component never share a host.
fn resources(spec: &Spec) -> Vec<HostResource<'_>> {
    let mut users: BTreeMap<HostResource<'_>, u32> = BTreeMap::new();
    for (resource, _) in spec.components.values().flat_map(|component| component.takes()) {
        *users.entry(resource).or_default() += 1;
    }
    let is_scarce = |(resource, users): &(HostResource<'_>, u32)| match resource {
        HostResource::Amount(_) => true,
        HostResource::Port(_) => *users > 1,
    };
    users.into_iter().filter(is_scarce).map(|(resource, _)| resource).collect()
}

/// The machine of each copy that can stay, in the order of the copies' names.
///
/// The solver counts copies from 0 without gaps; the names come back in [`crate::outcome`], by the core's assignment.
fn current(
    candidates: &[Candidate],
    component: &ComponentName,
    request: &SolveRequest,
) -> Vec<Option<usize>> {
    let by_slot: BTreeMap<_, usize> =
        (0..).zip(candidates).filter_map(|(at, each)| Some((each.slot()?, at))).collect();
    state::kept(component, request)
        .filter_map(|(_, copy)| by_slot.get(&copy.slot).copied().map(Some))
        .collect()
}
