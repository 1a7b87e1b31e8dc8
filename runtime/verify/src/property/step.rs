//! Properties of the orders and messages of an agent, checked at the step in which it issues them.
//!
//! Invariants of states are in [`super::state`].

use super::startable::need_to_start;
use crate::explore::Breach;
use crate::model::ending::{ActEnding, Ending};
use crate::model::facts::{exporters_held, is_pushed};
use crate::model::host::{Deed, Host, LastRun};
use crate::model::outcomes::Outcome;
use crate::model::{State, Step, Taken};
use crate::rule::{Rule, Rules};
use rhizo_protocol::agent::InstanceView;
use rhizo_protocol::{BoundImports, RunId, StartCall};
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::lifecycle::Action;
use rhizo_types::message::{AgentMessage, InstancePhase, UseId};
use rhizo_types::net::{BehaviourIx, Marking, PlaceIx, TransitionIx};
use rhizo_types::script::Order;
use rhizo_types::spec::Ports;
use std::collections::BTreeSet;

/// The result of checking one step.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) occurred: Rules,
    pub(crate) breach: Option<Breach>,
    pub(crate) only: Option<Rule>,
}

impl Shown {
    fn rule(&mut self, rule: Rule, holds: bool, detail: impl FnOnce() -> String) {
        self.occurred.add(rule);
        if !holds && self.breach.is_none() && self.only.is_none_or(|only| only == rule) {
            self.breach = Some(Breach { property: rule.name(), detail: detail() });
        }
    }
}

/// Checks a step.
pub(crate) fn check(from: &State, taken: &Taken, to: &State, shown: &mut Shown) {
    waited(from, to, shown);
    let Some(outcome) = &taken.outcome else { return };
    let Some(at) = from.host_of(outcome.host.me()) else { return };
    let Some(before) = from.hosts[at].as_ref() else { return };
    for deed in &outcome.deeds {
        match deed {
            Deed::Start(call, doubled, last) => {
                shown.rule(Rule::OneRunAtATime, !doubled, || {
                    format!("{} is started, and something of it is there", call.run.instance)
                });
                if last.is_none_or(|last| !may_repeat(&outcome.host, &call.run, last)) {
                    again(outcome, &call.run, *last, shown);
                }
                start(outcome, call, shown);
                exporters_active(from, outcome, &call.run.instance, &call.imports, shown);
            }
            Deed::Act(call, doubled, last) => {
                shown.rule(Rule::OneRunAtATime, !doubled, || {
                    format!("{} acts, and something of an older run is there", call.id.run.instance)
                });
                if last.is_none_or(|last| !last.is_of(&call.id.run, outcome.host.session())) {
                    again(outcome, &call.id.run, *last, shown);
                }
            }
            Deed::Cancel(action, is_there) => {
                shown.rule(Rule::CancelIsOfAnAction, *is_there, || {
                    format!("{action:?} is cancelled, and is not under way")
                });
            }
            Deed::Stop(run, is_there) => {
                shown.rule(Rule::StopIsOfARun, *is_there, || format!("{run:?} is stopped, and is not there"));
                stop(before, &taken.step, outcome, run, shown);
            }
            Deed::Rebind(run, _, bound, unbound) => {
                let runs = outcome.host.runs.get(&run.instance);
                let acts = outcome.host.actions.keys().any(|action| action.run == *run);
                let mut lasts =
                    [before, &outcome.host].map(|host| host.started.get(&run.instance)).into_iter();
                let begun =
                    lasts.any(|last| last.is_some_and(|last| last.is_of(run, outcome.host.session())));
                let running = acts || begun || runs.is_some_and(|it| it.id() == run);
                let news = !bound.is_empty() || !unbound.is_empty();
                shown.rule(Rule::RebindIsNews, running && news, || {
                    format!("{} is rebound without news", run.instance)
                });
            }
        }
    }
    tokens(before, outcome, taken, shown);
    after(taken, outcome, shown);
}

/// A script passes a `wait` only when everything that it waits for has happened.
fn waited(from: &State, to: &State, shown: &mut Shown) {
    let (Some(before), Some(after)) = (&from.truth.script, &to.truth.script) else { return };
    let Some(Order::Wait { instances }) = before.statement().map(|statement| &statement.order) else {
        return;
    };
    if after.next == before.next || after.number != before.number || from.faults > 0 {
        return;
    }
    let target = &from.truth.target;
    let all: BTreeSet<&InstanceId> =
        if instances.is_empty() { target.instances.keys().collect() } else { instances.iter().collect() };
    let late = all.into_iter().find(|instance| {
        let mut hosts = from.working().map(|(_, host)| host);
        match target.instances.get(*instance) {
            Some(placed) => !hosts.any(|host| {
                host.agent.situation().instances.get(*instance).is_some_and(|report| {
                    host.me() == placed.node && report.generation == placed.generation && report.idle
                })
            }),
            None => hosts.any(|host| host.runs.contains_key(*instance)),
        }
    });
    shown.rule(Rule::WaitsAreKept, late.is_none(), || format!("the script goes on without {late:?}"));
}

/// Checks the host after the step, independently of orders.
fn after(taken: &Taken, outcome: &Outcome, shown: &mut Shown) {
    if let Step::End(_, instance, Ending::StartFailed) = &taken.step {
        let bound =
            outcome.messages.iter().any(|(_, message)| matches!(**message, AgentMessage::Bound { .. }));
        let started = outcome.host.agent.instances().any(|view| {
            view.instance == instance
                && matches!(view.phase, InstancePhase::Started | InstancePhase::Draining)
        });
        shown.rule(Rule::FailedStartServesNobody, !bound && !started, || {
            format!("{instance} failed to start, and serves")
        });
    }
    for (to, message) in &outcome.messages {
        let member = outcome.host.ledger.members.contains_key(to);
        let known = match &**message {
            AgentMessage::Bind { importer, .. } => {
                outcome.host.agent.instances().any(|view| view.instance == importer)
            }
            _ => true,
        };
        shown.rule(Rule::MessagesGoToMembers, member && known, || format!("{to} is told {message:?}"));
    }
    if let (Step::Reset(..), Some(former)) = (&taken.step, outcome.reset) {
        let agent = &outcome.host.agent;
        let afresh = agent.users().all(|(node, ..)| node != former)
            && agent.uses().all(|(_, used)| used.served.is_none() || used.node != former);
        shown.rule(Rule::SuccessorsStartAfresh, afresh, || {
            format!("agreements with the former agent of {former} are kept")
        });
    }
}

/// Whether a start may belong to the previous run: as the first start of its service, as a repetition, or as a start by
/// a pushed behaviour after another one stopped the service.
fn may_repeat(host: &Host, run: &RunId, last: LastRun) -> bool {
    let view = host.agent.instances().find(|view| *view.instance == run.instance);
    let repeats = view.is_some_and(|view| {
        let cycle = view.component.lifecycle();
        let mut starts = cycle.transitions.values().filter(|way| way.step.action == Action::Start);
        starts.any(|way| way.step.retry.times > 0)
    });
    let pushed = view.is_some_and(|view| is_pushed(&view));
    last.is_of(run, host.session()) && (!last.service || repeats || pushed)
}

/// Checks a start after earlier ones of the same instance on this host.
fn again(outcome: &Outcome, run: &RunId, last: Option<LastRun>, shown: &mut Shown) {
    let RunId { instance, generation, attempt } = run;
    if let Some(last) = last {
        shown.rule(Rule::GenerationsGrow, *generation >= last.generation, || {
            format!("{instance} is started as generation {generation} after {}", last.generation)
        });
        let new = (*generation, outcome.host.session(), *attempt);
        let new = new > (last.generation, last.session, last.attempt);
        shown.rule(Rule::RunsAreNew, new, || format!("{run:?} is started after {last:?}"));
    }
    let report = outcome.facts.report.instances.get(instance);
    if report.is_some_and(|report| report.failures > 0) {
        shown.rule(Rule::FailureWaits, !outcome.host.resting.contains(instance), || {
            format!("{instance} failed, and starts again without waiting")
        });
    }
}

fn start(outcome: &Outcome, call: &StartCall, shown: &mut Shown) {
    let (instance, after) = (&call.run.instance, &outcome.host);
    let placed = after.ledger.target.instances.get(instance);
    let wanted = placed.is_some_and(|placed| {
        placed.node == after.me()
            && placed.generation == call.run.generation
            && placed.version == call.version
    });
    shown.rule(Rule::StartIsWanted, wanted, || {
        format!("{instance} is started, and the target has {placed:?}")
    });
    let former = after
        .agent
        .uses()
        .filter(|(_, used)| used.importer == *instance)
        .find(|(_, used)| used.served.is_some() && !after.ledger.members.contains_key(&used.node));
    shown.rule(Rule::StartKnowsTheRoster, former.is_none(), || {
        format!("{instance} starts with a lost exporter")
    });
}

/// Every exporter that a start is bound to is active, unless faults occurred.
fn exporters_active(
    from: &State,
    outcome: &Outcome,
    importer: &InstanceId,
    imports: &BoundImports,
    shown: &mut Shown,
) {
    if from.faults > 0 {
        return;
    }
    let view = outcome.host.agent.instances().find(|view| view.instance == importer);
    let Some(component) = view.map(|view| view.component) else { return };
    for (port, exporters) in imports {
        let Some(export) = component.imports.get(port).map(|import| &import.export) else { continue };
        for exporter in exporters.keys() {
            let hosts = from.working().map(|(_, host)| &**host).chain([&*outcome.host]);
            let active = hosts.flat_map(|host| host.agent.instances().collect::<Vec<_>>());
            let active = active.filter(|view| view.instance == exporter).any(|view| view.is_active(export));
            shown.rule(Rule::ExporterStartsFirst, active, || {
                format!("{importer} starts, and {exporter} was not started")
            });
        }
    }
}

/// Checks the change of every instance's tokens by the step.
fn tokens(before: &Host, outcome: &Outcome, taken: &Taken, shown: &mut Shown) {
    if matches!(taken.step, Step::Restart(_) | Step::RestartBehind(_)) {
        // A restarted agent keeps no tokens of the former one.
        return;
    }
    for view in outcome.host.agent.instances() {
        let old = before
            .agent
            .instances()
            .find(|old| old.instance == view.instance && old.placed.generation == view.placed.generation);
        let Some(old) = old else { continue };
        let up =
            matches!(view.phase, InstancePhase::Starting | InstancePhase::Started | InstancePhase::Resting);
        let ways = view.marking().running.iter().filter(|way| !old.marking().running.contains(way));
        for way in ways.filter(|_| up) {
            served(outcome, &view, *way, shown);
        }
        if let (true, Some(active)) = (up && ended(taken, view.instance), old.marking().active) {
            docks(&old, &view, active, shown);
        }
        left(before, outcome, &old, &view, shown);
    }
}

/// Checks a transition that has begun: the imports it uses are bound.
fn served(outcome: &Outcome, view: &InstanceView<'_>, way: TransitionIx, shown: &mut Shown) {
    let after = &outcome.host;
    for (port, import) in view.component.imports.iter().filter(|(_, import)| !import.optional) {
        if !view.net().imports.get(port).is_some_and(|reach| reach.transitions.contains(&way)) {
            continue;
        }
        let bindings = after.ledger.target.bindings.get(view.instance).and_then(|imports| imports.get(port));
        let on_members = bindings.into_iter().flatten().filter(|exporter| {
            let placed = after.ledger.target.instances.get(*exporter);
            placed.is_some_and(|placed| after.ledger.members.contains_key(&placed.node))
        });
        let need = need_to_start(import, on_members.count());
        let given = exporters_held(after, view.instance, port);
        shown.rule(Rule::StartIsServed, given >= need, || {
            format!("{} starts with {given} of {need} for {port}", view.instance)
        });
    }
}

/// During a deployment, a place with a dock set is entered only when all transitions of the set have arrived.
fn docks(old: &InstanceView<'_>, view: &InstanceView<'_>, active: BehaviourIx, shown: &mut Shown) {
    let (net, was, now) = (view.net(), old.marking(), view.marking());
    let there = |marking: &Marking, way: &TransitionIx| {
        marking.fired.contains(way) || marking.running.contains(way) || marking.arrived.contains(way)
    };
    let ways = (0..net.transition_count()).filter_map(|way| u16::try_from(way).ok()).map(TransitionIx);
    let places: BTreeSet<PlaceIx> = ways.map(|way| net.transition(way).to).collect();
    for place in places {
        let sets = net.dock_sets(active, place).iter();
        for set in sets.filter(|set| set.len() > 1 && set.iter().all(|way| there(was, way))) {
            let gone = set.iter().filter(|way| !there(now, way)).count();
            if gone > 0 {
                shown.rule(Rule::DocksAreComplete, gone == set.len(), || {
                    format!("{} enters {} before all of a dock set arrived", view.instance, net.place(place))
                });
            }
        }
    }
}

fn ended(taken: &Taken, instance: &InstanceId) -> bool {
    match &taken.step {
        Step::End(_, ended, _) => ended == instance,
        Step::Act(_, action, ending) => {
            action.run.instance == *instance && matches!(ending, ActEnding::Done | ActEnding::DoneLate)
        }
        _ => false,
    }
}

/// An export that becomes inactive has no users left, or its users are notified.
fn left(
    before: &Host,
    outcome: &Outcome,
    old: &InstanceView<'_>,
    view: &InstanceView<'_>,
    shown: &mut Shown,
) {
    for export in view.component.exports.keys() {
        if !old.is_active(export) || view.is_active(export) {
            continue;
        }
        let uses = before.agent.users().filter(|(_, _, user)| {
            user.exporter == *view.instance
                && user.export == *export
                && user.state != rhizo_protocol::agent::UserState::Waiting
        });
        let me = before.me();
        for (node, id, _) in uses {
            let told = outcome.messages.iter().any(|(to, message)| {
                *to == node && matches!(**message, AgentMessage::Lost { id: lost, .. } if lost == id)
            });
            let gone = outcome.host.agent.users().all(|(other, used, _)| (other, used) != (node, id));
            let own = node == me || !outcome.host.ledger.members.contains_key(&node);
            shown.rule(Rule::LossIsTold, gone && (told || own || let_go(outcome, node, id)), || {
                format!("{} leaves {export} although it is used, and tells nobody", view.instance)
            });
        }
    }
}

/// Whether a use was released in this step, so that its user needs no notice.
fn let_go(outcome: &Outcome, node: NodeId, id: UseId) -> bool {
    outcome.reset == Some(node) || outcome.freed == Some((node, id))
}

fn stop(before: &Host, step: &Step, outcome: &Outcome, run: &RunId, shown: &mut Shown) {
    let Some(view) = before.agent.instances().find(|view| *view.instance == run.instance) else { return };
    let phase = view.phase;
    let wanted = outcome.host.ledger.target.instances.get(&run.instance) == Some(view.placed);
    let short =
        view.component.imports.iter().any(|(port, import)| {
            !import.optional && exporters_held(&outcome.host, &run.instance, port) == 0
        });
    if matches!(phase, InstancePhase::Started | InstancePhase::Draining) && !short {
        let sick = matches!(step, Step::End(_, instance, Ending::Unhealthy) if *instance == run.instance);
        let used = before.agent.users().any(|(_, _, user)| {
            user.exporter == run.instance
                && user.state != rhizo_protocol::agent::UserState::Waiting
                && !is_active(&outcome.host, &run.instance, &user.export)
        });
        let told_off = outcome.messages.iter().any(|(_, m)| matches!(**m, AgentMessage::Lost { .. }));
        if !sick {
            let freed = !used || releases(before, step, &run.instance, outcome);
            shown.rule(Rule::UsersLetGoFirst, freed && !told_off, || {
                format!("{} is stopped while it is used", run.instance)
            });
        }
    }
    let optional_only = view.component.imports.values().all(|import| import.optional);
    if optional_only && !view.component.imports.is_empty() {
        let sick = matches!(step, Step::End(_, instance, Ending::Unhealthy) if *instance == run.instance);
        let asked = seen_after(outcome, &run.instance).is_some_and(|view| is_pushed(&view));
        shown.rule(Rule::OptionalStopsNobody, !wanted || sick || asked, || {
            format!("{} is stopped, and has optional imports only", run.instance)
        });
    }
    if matches!(step, Step::Learn(_) | Step::CatchUp(_)) {
        let kept = wanted && exporters_kept(before, outcome, &run.instance);
        shown.rule(Rule::KeptIsNotDisturbed, !kept, || format!("{} is kept, and stopped", run.instance));
    }
}

fn seen_after<'a>(outcome: &'a Outcome, instance: &InstanceId) -> Option<InstanceView<'a>> {
    outcome.host.agent.instances().find(|view| view.instance == instance)
}

fn is_active(host: &Host, instance: &InstanceId, export: &PortName) -> bool {
    host.agent.instances().any(|view| view.instance == instance && view.is_active(export))
}

/// Whether all users of an instance release it in this step: by the last message, or because they are on this host.
fn releases(before: &Host, step: &Step, instance: &InstanceId, outcome: &Outcome) -> bool {
    let after = &outcome.host.agent;
    let gone = !after.users().any(|(_, _, user)| {
        user.exporter == *instance && user.state != rhizo_protocol::agent::UserState::Waiting
    });
    let by_message = matches!(step, Step::Deliver(_, _, m) if matches!(**m, AgentMessage::Unbound { .. }));
    let own =
        before.agent.users().filter(|(_, _, user)| user.exporter == *instance).all(|(node, _, user)| {
            node == before.me() || user.state == rhizo_protocol::agent::UserState::Waiting
        });
    gone && (by_message || own || matches!(step, Step::Reset(..) | Step::Learn(_) | Step::CatchUp(_)))
}

/// Whether an instance and all its direct and indirect exporters are the same in the old and the new target, no member
/// was lost, and no exporter has requested to be released (its node may already know a later target).
fn exporters_kept(before: &Host, outcome: &Outcome, instance: &InstanceId) -> bool {
    let (old, new) = (&before.ledger.target, &outcome.host.ledger.target);
    if before.ledger.members.keys().ne(outcome.host.ledger.members.keys()) {
        return false;
    }
    let (mut below, mut open) = (BTreeSet::new(), vec![instance]);
    while let Some(next) = open.pop() {
        if below.insert(next) {
            open.extend(old.bindings.get(next).into_iter().flat_map(Ports::values).flatten());
        }
    }
    if before.agent.uses().any(|(_, used)| used.asked_to_leave.is_some() && below.contains(&used.importer)) {
        return false;
    }
    below.into_iter().all(|id| {
        old.instances.get(id) == new.instances.get(id)
            && old.bindings.get(id) == new.bindings.get(id)
            && old.pushes.get(id) == new.pushes.get(id)
    })
}
