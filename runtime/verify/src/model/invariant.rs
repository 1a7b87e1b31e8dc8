//! Invariants of one host alone.
//!
//! They are checked once for each different host, with its facts. Invariants between hosts are in
//! [`crate::property::state`].

use super::facts::{Facts, exporters_held, is_pushed};
use super::host::{Host, Run, has_service};
use crate::rule::Rule;
use rhizo_protocol::agent::{InstanceView, UserState};
use rhizo_types::message::InstancePhase;
use rhizo_types::spec::Import;
use std::collections::{BTreeMap, BTreeSet};

/// Checks every instance and every use of a host.
pub(crate) fn check(host: &Host, facts: &mut Facts) {
    for view in host.agent.instances() {
        instance(host, &view, facts);
    }
    users(host, facts);
    uses(host, facts);
    let members = &host.ledger.members;
    let former = facts.partners.iter().find(|node| !members.contains_key(node)).copied();
    if !facts.partners.is_empty() {
        facts.rule(Rule::NothingWithFormerMembers, former.is_none(), || {
            format!("{} has agreements with {former:?}, which is no member", host.me())
        });
    }
}

fn instance(host: &Host, view: &InstanceView<'_>, facts: &mut Facts) {
    for (port, import) in view.component.imports.iter().filter(|(_, import)| !import.optional) {
        if view.relies_on(port) {
            let bound = exporters_held(host, view.instance, port);
            facts.rule(Rule::StartedHasItsImports, bound >= need_to_stay(import), || {
                format!("{} relies on its import {port}, which is not bound", view.instance)
            });
        }
    }
    let waits = view.phase == InstancePhase::Waiting;
    let kept = view.bound_imports.iter().any(|(port, told)| !told.is_empty() && !view.is_using(port));
    if waits && !view.component.imports.is_empty() {
        facts
            .rule(Rule::StoppedHasNoBinding, !kept, || format!("{} waits, and has a binding", view.instance));
    }
    let lowered = view.phase == InstancePhase::Stopping && !is_pushed(view);
    if !waits && !lowered && !view.component.imports.is_empty() {
        told_is_held(host, view, facts);
    }
    let wanted = host.ledger.target.instances.get(view.instance) == Some(view.placed);
    let mut users = host.agent.users().filter(|(_, _, user)| user.exporter == *view.instance);
    let used = users.any(|(_, _, user)| user.state != UserState::Waiting);
    if waits {
        facts.rule(Rule::NothingUnwantedWaits, wanted || used, || {
            format!("{} waits, and nobody wants it", view.instance)
        });
        if wanted {
            asked(host, view, facts);
        }
    }
    facts.rule(Rule::PhaseIsTrue, is_true(host, view), || {
        let run = host.runs.get(view.instance);
        format!("{} is {:?}, its shell has {run:?}", view.instance, view.phase)
    });
    if facts.failed.contains(view.instance) {
        let active = view.component.exports.keys().any(|export| view.is_active(export));
        facts.rule(Rule::FailedHasNoBinding, (!used || active) && !kept, || {
            format!("{} failed, and is bound", view.instance)
        });
    }
    let marking = view.marking();
    let places = marking.places.len() + marking.fired.len() + marking.running.len() + marking.arrived.len();
    facts.rule(Rule::TokensStay, places > 0, || format!("{} has lost its tokens", view.instance));
}

/// Returns true if the agent's phase of an instance agrees with its shell.
fn is_true(host: &Host, view: &InstanceView<'_>) -> bool {
    let run = host.runs.get(view.instance);
    if has_service(view.component) && view.component.lifecycle.is_none() {
        return match view.phase {
            InstancePhase::Waiting => run.is_none(),
            // A pushed behaviour may wait for its imports before it starts anything.
            InstancePhase::Starting => {
                matches!(run, Some(Run::Starting(_))) || (run.is_none() && is_pushed(view))
            }
            InstancePhase::Started | InstancePhase::Suspended => matches!(run, Some(Run::Up(_))),
            InstancePhase::Draining => run.is_some(),
            InstancePhase::Stopping => matches!(run, Some(Run::Stopping { .. })),
            // After pushed behaviours, the life-cycle decides whether a service runs.
            InstancePhase::Resting => true,
        };
    }
    let acts = host.actions.keys().any(|action| action.run.instance == *view.instance);
    let serves = run.is_some_and(|run| !matches!(run, Run::Up(_)));
    let nothing = view.phase == InstancePhase::Waiting;
    // A transition without an action takes no time. Any other one runs in the shell or waits for its repetition.
    (view.marking().running.is_empty() || acts || serves || host.agent.wakes_at().is_some())
        && !(nothing && acts)
}

/// Number of exporters that a started instance needs, by the spec alone: one for a mandatory import.
fn need_to_stay(import: &Import) -> usize {
    usize::from(!import.optional)
}

fn told_is_held(host: &Host, view: &InstanceView<'_>, facts: &mut Facts) {
    for port in view.component.imports.keys() {
        let held: BTreeMap<_, _> = host
            .agent
            .uses()
            .filter(|(_, used)| used.importer == *view.instance && used.import == *port)
            .filter_map(|(_, used)| Some((&used.exporter, used.served.as_ref()?)))
            .collect();
        let told = view.bound_imports.get(port).into_iter().flatten();
        let told: BTreeMap<_, _> = told.collect();
        facts.rule(Rule::BoundImportsAreHeld, held == told, || {
            format!("{} was told {told:?} of {port}, held is {held:?}", view.instance)
        });
    }
}

/// Checks that a waiting instance has a use for every exporter that its target names on a member.
fn asked(host: &Host, view: &InstanceView<'_>, facts: &mut Facts) {
    let bindings = host.ledger.target.bindings.get(view.instance);
    for (port, exporters) in bindings.into_iter().flatten() {
        for exporter in exporters {
            let Some(placed) = host.ledger.target.instances.get(exporter) else { continue };
            if !host.ledger.members.contains_key(&placed.node) {
                continue;
            }
            let asked = host.agent.uses().any(|(_, used)| {
                used.importer == *view.instance
                    && used.import == *port
                    && used.exporter == *exporter
                    && used.generation == placed.generation
            });
            facts.rule(Rule::WaitingHasAsked, asked, || {
                format!("{} has not asked for {exporter}", view.instance)
            });
        }
    }
}

fn users(host: &Host, facts: &mut Facts) {
    let users = host.agent.users().filter(|(_, _, user)| user.state != UserState::Waiting);
    for (_, _, user) in users {
        let is_on = host.agent.instances().any(|view| {
            *view.instance == user.exporter
                && view.placed.generation == user.generation
                && view.is_active(&user.export)
        });
        facts.rule(Rule::UsedIsStarted, is_on, || {
            format!("{} is used by {}, and its export is not active", user.exporter, user.importer)
        });
    }
}

fn uses(host: &Host, facts: &mut Facts) {
    let mut seen = BTreeSet::new();
    for (_, used) in host.agent.uses() {
        let is_new = seen.insert((&used.importer, &used.import, &used.exporter));
        facts.rule(Rule::OneUsePerExporter, is_new, || {
            format!("{} uses {} twice through {}", used.importer, used.exporter, used.import)
        });
    }
}
