//! Invariants between hosts, channels and the committed ledger.
//!
//! Invariants of one host are in [`crate::model::invariant`].

use crate::explore::Breach;
use crate::fingerprint::Fingerprint;
use crate::model::facts::{BoundUse, Facts};
use crate::model::host::Run;
use crate::model::{Cluster, Item, Life, State};
use crate::rule::{Rule, Rules};
use crate::scenario::{SEATS, SEATS_PER_HOST};
use rhizo_protocol::agent::UserState;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::message::AgentMessage;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A state with the facts of its hosts, and the result of its checks.
pub(crate) struct Seen<'a> {
    pub(crate) state: &'a State,
    pub(crate) facts: Vec<Option<Arc<Facts>>>,
    pub(crate) occurred: Rules,
    pub(crate) breach: Option<Breach>,
    only: Option<Rule>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(cluster: &mut Cluster, state: &'a State, only: Option<Rule>) -> Self {
        let facts = state.hosts.iter().map(|host| host.as_ref().map(|host| cluster.facts(host))).collect();
        Self { state, facts, occurred: Rules::default(), breach: None, only }
    }

    /// Records that a rule's condition is met, and a breach when the rule does not hold.
    pub(crate) fn rule(&mut self, rule: Rule, holds: bool, detail: impl FnOnce() -> String) {
        self.occurred.add(rule);
        if !holds && self.breach.is_none() && self.only.is_none_or(|only| only == rule) {
            self.breach = Some(Breach { property: rule.name(), detail: detail() });
        }
    }

    /// The running hosts, partitioned ones included, with their facts.
    pub(crate) fn alive(&self) -> Vec<(usize, Arc<Facts>)> {
        let all = self.facts.iter().zip(&self.state.lives).enumerate();
        let alive = all.filter(|(_, (_, life))| matches!(life, Life::Up | Life::Isolated));
        alive.filter_map(|(at, (facts, _))| Some((at, facts.clone()?))).collect()
    }
}

/// Checks a state.
pub(crate) fn check(seen: &mut Seen<'_>) {
    for (_, facts) in seen.alive() {
        seen.occurred.extend(facts.occurred);
        if seen.breach.is_none() {
            let only = seen.only;
            let mut own = facts.breaches.iter();
            let first = own.find(|breach| only.is_none_or(|only| only.name() == breach.property));
            seen.breach = first.cloned();
        }
    }
    for (at, facts) in seen.alive() {
        for bound in &facts.bound_uses {
            served(seen, at, bound);
        }
    }
    symmetric(seen);
    one_host(seen);
    exclusive(seen);
    room(seen);
    leavers(seen);
    once(seen);
    settled(seen);
}

fn id_of(message: &AgentMessage) -> Option<rhizo_types::message::UseId> {
    match message {
        AgentMessage::Lost { id, .. } => Some(*id),
        _ => None,
    }
}

/// An exporter that an instance is bound to holds the use, and the address is that of its current run.
fn served(seen: &mut Seen<'_>, at: usize, bound: &BoundUse) {
    let state = seen.state;
    let Some(exporter) = state.host_of(bound.node) else { return };
    let Some(importer_node) = state.hosts[at].as_ref().map(|host| host.me()) else { return };
    let (Some(facts), Some(host)) = (seen.facts[exporter].clone(), state.hosts[exporter].as_ref()) else {
        return;
    };
    let both_work = state.lives[at] == Life::Up && state.lives[exporter] == Life::Up;
    let back = &state.queues[state.way(exporter, at)];
    let forth = &state.queues[state.way(at, exporter)];
    let is_news = |item: &Item| match item {
        Item::Message(message) => id_of(message) == Some(bound.id),
        Item::Reset => true,
    };
    // A crash is not known at once, a new agent announces itself, and messages of former members are dropped.
    if !both_work
        || back.iter().any(is_news)
        || forth.contains(&Item::Reset)
        || !host.ledger.members.contains_key(&importer_node)
    {
        return;
    }
    let held = facts.held.iter().any(|held| {
        held.by == (importer_node, bound.id)
            && held.exporter == bound.exporter
            && held.state != UserState::Waiting
    });
    seen.rule(Rule::BoundIsServed, held, || {
        format!("{} is bound to {}, which does not serve it", bound.importer, bound.exporter)
    });
    if !bound.is_service {
        return;
    }
    // When a new run has started, its address may still be in the channel.
    let newer = |item: &Item| match item {
        Item::Message(message) => matches!(**message, AgentMessage::Bound { id, .. } if id == bound.id),
        Item::Reset => true,
    };
    if back.iter().any(newer) {
        return;
    }
    let run = host
        .runs
        .get(&bound.exporter)
        .filter(|run| matches!(run, Run::Up(_)))
        .map(|run| crate::model::host::address(host.me(), host.session(), run.id(), &bound.export));
    seen.rule(Rule::AddressIsCurrent, run.is_none_or(|address| Some(address) == bound.address), || {
        format!(
            "{} was told that {} is at {:?}, it is at {run:?}",
            bound.importer, bound.exporter, bound.address
        )
    });
}

/// When all channels are empty and all nodes have the newest ledger, both ends of each binding agree on it.
fn symmetric(seen: &mut Seen<'_>) {
    let state = seen.state;
    let is_calm = state.queues.iter().all(std::collections::VecDeque::is_empty)
        && state.lives.iter().all(|life| matches!(life, Life::Up | Life::Gone | Life::Absent))
        && state.working().all(|(_, host)| state.ahead_of(host).is_empty());
    if !is_calm {
        return;
    }
    for (at, facts) in seen.alive() {
        let me = state.hosts[at].as_ref().map_or(NodeId(0), |host| host.me());
        for held in facts.held.iter().filter(|held| held.state != UserState::Waiting) {
            let importer = state.host_of(held.by.0);
            let known =
                importer.and_then(|importer| state.hosts[importer].as_ref()).is_some_and(|importer| {
                    importer.agent.uses().any(|(id, used)| {
                        id == held.by.1
                            && used.node == me
                            && used.exporter == held.exporter
                            && used.served.is_some()
                    })
                });
            seen.rule(Rule::CalmBindingsAreSymmetric, known, || {
                format!("{} is held by {:?}, which does not use it", held.exporter, held.by)
            });
        }
    }
}

fn one_host(seen: &mut Seen<'_>) {
    let state = seen.state;
    let mut runs: BTreeMap<&InstanceId, usize> = BTreeMap::new();
    let members = &state.truth.members;
    for (at, host) in state.working().filter(|(_, host)| members.contains_key(&host.me())) {
        for instance in host.runs.keys() {
            let other = runs.insert(instance, at);
            seen.rule(Rule::OneHostPerInstance, other.is_none(), || {
                format!("{instance} runs on hosts {other:?} and {at}")
            });
        }
    }
}

/// No more copies of an exclusive component run than its spec allows, counting those on partitioned hosts.
fn exclusive(seen: &mut Seen<'_>) {
    let state = seen.state;
    let truth = &state.truth;
    let declared = truth.spec().into_iter().flat_map(|spec| &spec.components);
    for (name, component) in declared.filter(|(_, component)| component.is_exclusive()) {
        let hosts = state.hosts.iter().zip(&state.lives);
        let alive = hosts.filter(|(_, life)| matches!(life, Life::Up | Life::Isolated));
        let runs = alive.flat_map(|(host, _)| host.iter().flat_map(|host| host.runs.keys()));
        let copies = runs.filter(|instance| instance.component == *name).count();
        let most = component.replicas.max as usize;
        if copies > 0 {
            seen.rule(Rule::ExclusiveIsAlone, copies <= most, || {
                format!("{copies} copies of {name} run, {most} may")
            });
        }
    }
}

/// The services on a host together need no more seats than it has.
fn room(seen: &mut Seen<'_>) {
    let state = seen.state;
    let spec = state.truth.spec();
    let need = |instance: &InstanceId| {
        let component = spec.and_then(|spec| spec.components.get(&instance.component));
        component.and_then(|component| component.needs.get(SEATS)).map_or(0.0, |need| need.get())
    };
    for (at, host) in state.working() {
        let needs: f64 = host.runs.keys().map(need).sum();
        if needs > 0.0 {
            seen.rule(Rule::HostsAreNotOverfilled, needs <= f64::from(SEATS_PER_HOST), || {
                format!("host {at} runs {:?}", host.runs.keys().collect::<Vec<_>>())
            });
        }
    }
}

/// A node that left the roster without being committed dead runs nothing.
fn leavers(seen: &mut Seen<'_>) {
    let state = seen.state;
    for (at, host) in state.working() {
        let departed = state.truth.departed.get(&host.me());
        // A node that restarts with a ledger from before its departure does not know of the departure yet.
        if departed.is_some_and(|departed| !departed.dead) && host.session() == 1 {
            seen.rule(Rule::LeaversAreEmpty, host.runs.is_empty(), || {
                format!("host {at} left, and runs {:?}", host.runs.keys().collect::<Vec<_>>())
            });
        }
    }
}

/// Each message of a use is sent once, so no channel contains the same message twice.
fn once(seen: &mut Seen<'_>) {
    let state = seen.state;
    for queue in &state.queues {
        let since_reset = queue.iter().rev().take_while(|item| **item != Item::Reset);
        let fingerprints: Vec<Fingerprint> = since_reset
            .filter_map(|item| match item {
                Item::Message(message) => Some(message.fingerprint()),
                Item::Reset => None,
            })
            .collect();
        if fingerprints.len() > 1 {
            let twice = (1..fingerprints.len()).any(|at| fingerprints[..at].contains(&fingerprints[at]));
            seen.rule(Rule::NothingIsSaidTwice, !twice, || "the same message is under way twice".to_owned());
        }
    }
}

/// When the ledger says that its target is reached and no fault has occurred, every instance of it runs.
fn settled(seen: &mut Seen<'_>) {
    let state = seen.state;
    let truth = &state.truth;
    if truth.settled != truth.target.revision || state.faults > 0 || truth.target.instances.is_empty() {
        return;
    }
    let missing = truth.target.instances.iter().find(|(instance, placed)| {
        let host = state.host_of(placed.node);
        let facts = host.and_then(|host| seen.facts[host].as_ref());
        facts
            .and_then(|facts| facts.up.get(*instance))
            .is_none_or(|(generation, _)| *generation != placed.generation)
    });
    let missing = missing.map(|(instance, _)| instance.clone());
    seen.rule(Rule::SettledIsTrue, missing.is_none(), || {
        format!("the target is reached, and {missing:?} does not run")
    });
}
