//! The safety checks, which must hold under all faults and run after every event.
//!
//! Each check has a name and can fail: `tests/sabotage.rs` breaks the core once for each. The checks read the cores'
//! states, the instances that really run, and the providers' inventories. They do not rely on reports of the cores.

use crate::consensus::ledger_hash;
use crate::market::{SEATS, SEATS_PER_HOST};
use crate::process::Process;
use crate::violation::Violation;
use crate::world::World;
use litemap::LiteMap;
use rhizo_protocol::agent::{InstanceView, Use, UserState};
use rhizo_protocol::{AcquireCall, ActCall, Node, StartCall, secret};
use rhizo_types::id::{HostId, InstanceId, IntentId, NodeId, PortName};
use rhizo_types::intent::IntentState;
use rhizo_types::ledger::Command;
use rhizo_types::lifecycle::Action;
use rhizo_types::message::{AgentMessage, InstancePhase, LogEntry, UseId};
use std::collections::{BTreeMap, BTreeSet};

/// Number of events between two comparisons of a core's ledger with the truth. They cost more than the other checks.
const COMPARE_EVERY: u64 = 16;
/// A node may be committed dead for this time after it was hit by a fault.
const HIT_MS: u64 = 40_000;

/// Checks the state after an event of `node`.
#[must_use]
pub fn after_event(world: &mut World, node: NodeId) -> Option<Violation> {
    let core = world.processes.get(&node)?.core.as_ref()?;
    if let Some(coordinator) = core.coordinator() {
        let term = coordinator.term();
        let first = *world.coordinators.entry(term).or_insert(node);
        if first != node {
            let detail = format!("{first} and {node} coordinate in term {term}");
            return Some(Violation::new("one-coordinator-per-term", detail));
        }
    }
    let core = world.processes.get(&node)?.core.as_ref()?;
    if core.is_halted() {
        return None;
    }
    if world.events.is_multiple_of(COMPARE_EVERY) {
        let ledger = core.ledger();
        // A node of a former lineage, and one that follows without the ledger of the next one yet, are compared with
        // nothing.
        let compared = ledger.index > world.log.base && ledger.lineage() == world.log.truth.lineage();
        if compared && world.log.hash_at(ledger.index) != Some(ledger_hash(ledger)) {
            let detail = format!("{node} has another ledger at index {}", ledger.index);
            return Some(Violation::new("ledgers-agree", detail));
        }
    }
    own_instances(core).or_else(|| bindings(world, node))
}

/// Checks the invariants within one agent.
fn own_instances(core: &Node) -> Option<Violation> {
    let agent = core.agent();
    for view in agent.instances() {
        if let Some(port) = unserved(core, &view) {
            let detail = format!("{} uses its import {port}, which is not bound", view.instance);
            return Some(Violation::new("started-has-its-imports", detail));
        }
        let unused = |(port, told): (&PortName, &LiteMap<_, _>)| !told.is_empty() && !view.is_using(port);
        if view.phase == InstancePhase::Waiting && view.bound_imports.iter().any(unused) {
            let detail = format!("{} is stopped, and has a binding", view.instance);
            return Some(Violation::new("stopped-has-no-binding", detail));
        }
    }
    for (_, _, user) in agent.users() {
        let uses = matches!(user.state, UserState::Using | UserState::Asked);
        let mut views = agent.instances().filter(|view| *view.instance == user.exporter);
        let mut active =
            || views.any(|view| view.placed.generation == user.generation && view.is_active(&user.export));
        if uses && !active() {
            let detail = format!("{} is used by {} and is not active", user.exporter, user.importer);
            return Some(Violation::new("used-is-started", detail));
        }
    }
    None
}

/// Returns the first mandatory import that is not bound to an exporter, by the last notice to the instance.
fn unserved(core: &Node, view: &InstanceView<'_>) -> Option<String> {
    let bound: BTreeSet<_> = core
        .agent()
        .uses()
        .filter(|(_, used)| used.importer == *view.instance && used.served.is_some())
        .map(|(_, used)| &used.import)
        .collect();
    let mut mandatory = view.component.imports.iter().filter(|(_, import)| !import.optional);
    mandatory
        .find(|(port, _)| view.relies_on(port) && !bound.contains(port))
        .map(|(port, _)| port.to_string())
}

/// Checks that every binding of an agent is also held by the exporter's agent, or that its end is in transit.
fn bindings(world: &World, node: NodeId) -> Option<Violation> {
    for (importer, process) in world.processes.iter().filter(|(_, process)| process.is_up()) {
        let Some(core) = process.core.as_ref() else { continue };
        for (id, used) in core.agent().uses().filter(|(_, used)| used.served.is_some()) {
            let involved = *importer == node || used.node == node;
            if involved && is_told(core, used) && !is_held(world, *importer, core, id, used) {
                let detail =
                    format!("{} is bound to {}, which does not serve it", used.importer, used.exporter);
                return Some(Violation::new("bound-is-served", detail));
            }
        }
    }
    None
}

fn is_told(core: &Node, used: &Use) -> bool {
    let mut views = core.agent().instances();
    views.any(|view| {
        *view.instance == used.importer
            && view.is_using(&used.import)
            && view.bound_imports.get(&used.import).is_some_and(|told| told.contains_key(&used.exporter))
    })
}

fn is_held(world: &World, importer: NodeId, core: &Node, id: UseId, used: &Use) -> bool {
    let Some(process) = world.processes.get(&used.node) else { return true };
    let Some(exporter) = process.core.as_ref().filter(|_| process.is_up()) else {
        // A crash is silent at first. Its detection and repair are liveness properties.
        return true;
    };
    if used.node != importer {
        let known = core.agent().sessions(used.node).1;
        let departed = !exporter.ledger().members.contains_key(&importer);
        if known != exporter.agent().sessions(importer).0 || departed {
            // The exporter's agent lost its memory, or has the importer as dead. The notice of it is in transit.
            return true;
        }
    }
    let held = exporter
        .agent()
        .users()
        .any(|(node, user, state)| node == importer && user == id && state.state != UserState::Waiting);
    let mut under_way = exporter.agent().under_way(importer);
    held || under_way.any(|message| matches!(message, AgentMessage::Lost { id: lost, .. } if *lost == id))
}

/// Checks the state before an instance is started.
#[must_use]
pub fn before_start(world: &World, node: NodeId, call: &StartCall) -> Option<Violation> {
    let (process, run) = (world.processes.get(&node)?, &call.run);
    if let Some(cycle) = &call.component.lifecycle {
        let did = process.did.get(&(run.instance.clone(), run.generation));
        let before =
            cycle.transitions.values().filter(|way| way.to.as_str() == "ready" && way.from == cycle.initial);
        let steps: BTreeSet<String> = before
            .filter_map(|way| match &way.step.action {
                Action::Function(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        if did.is_none_or(|did| !steps.is_subset(did)) {
            let detail = format!("{node} starts {} after {did:?} of {steps:?}", run.instance);
            return Some(Violation::new("failed-is-no-success", detail));
        }
    }
    if call.component.is_exclusive() {
        let most = call.component.replicas.max as usize;
        let others = world.processes.values().filter(|process| process.is_up());
        let copies: BTreeSet<&InstanceId> = others
            .flat_map(|process| process.running.keys())
            .filter(|other| other.component == run.instance.component && **other != run.instance)
            .collect();
        if copies.len() >= most {
            let detail = format!("{node} starts {} while {copies:?} run", run.instance);
            return Some(Violation::new("exclusive-is-kept", detail));
        }
    }
    let beside: Vec<&InstanceId> = process.running.keys().filter(|other| **other != run.instance).collect();
    if call.component.needs.contains_key(SEATS) && beside.len() >= SEATS_PER_HOST as usize {
        let detail = format!("{node} starts {} while it holds {beside:?}", run.instance);
        return Some(Violation::new("no-host-is-overfilled", detail));
    }
    let port_of = |instance: &InstanceId| {
        let component = world.log.truth.spec()?.components.get(&instance.component)?;
        component.fixed_ports().next()
    };
    if let Some(port) = call.component.fixed_ports().next()
        && beside.iter().any(|other| port_of(other) == Some(port))
    {
        let detail = format!("{node} starts {} with port {port} while it holds {beside:?}", run.instance);
        return Some(Violation::new("no-host-is-overfilled", detail));
    }
    if process.started.get(&run.instance).is_some_and(|last| *last > run.generation) {
        let detail = format!("{node} starts {} of generation {}", run.instance, run.generation);
        return Some(Violation::new("generations-grow", detail));
    }
    if process.running.contains_key(&run.instance) {
        let detail = format!("{node} starts {}, which runs", run.instance);
        return Some(Violation::new("one-run-at-a-time", detail));
    }
    None
}

/// Checks the state before an action of a life-cycle begins.
#[must_use]
pub fn before_action(process: &Process, node: NodeId, call: &ActCall) -> Option<Violation> {
    let run = &call.id.run;
    let newer = process.started.get(&run.instance).is_some_and(|last| *last > run.generation);
    // A repetition begins only when the previous execution is over.
    let twice = process.acts.iter().any(|(action, (step, _))| action.run == *run && *step == call.step);
    (newer || twice).then(|| {
        let detail = format!("{node}: {} of {} of generation {}", call.step, run.instance, run.generation);
        Violation::new(if newer { "generations-grow" } else { "one-run-at-a-time" }, detail)
    })
}

/// Checks the state before a host is ordered.
#[must_use]
pub fn before_acquire(world: &World, node: NodeId, call: &AcquireCall) -> Option<Violation> {
    let truth = &world.log.truth;
    let Some(intent) = truth.intents.get(&call.intent) else {
        let detail = format!("{node} orders a host for {}, which is not committed", call.intent);
        return Some(Violation::new("no-spending-without-intent", detail));
    };
    let genesis = truth.genesis.as_ref()?;
    if intent.order != call.order
        || secret::token(genesis.app.as_str(), genesis.lineage, intent) != call.token
    {
        let detail = format!("{node} orders something else than {}", call.intent);
        return Some(Violation::new("orders-are-as-committed", detail));
    }
    None
}

/// Checks the state before a host is released.
#[must_use]
pub fn before_release(world: &World, intent: IntentId, host: &HostId) -> Option<Violation> {
    let truth = &world.log.truth;
    let state = truth.intents.get(&intent)?;
    let committed = matches!(state.state, IntentState::Releasing | IntentState::Released);
    let own = state.host.as_ref().is_some_and(|bound| bound.host == *host);
    let used = state.node.is_some_and(|node| truth.members.contains_key(&node));
    (!committed || !own || used).then(|| {
        let detail = format!("{host} of {intent} is released while it is {:?}", state.state);
        Violation::new("no-release-without-decision", detail)
    })
}

/// Checks an entry before it is committed.
#[must_use]
pub fn before_commit(world: &World, entry: &LogEntry) -> Option<Violation> {
    let LogEntry::Command(Command::Dead { nodes }) = entry else { return None };
    for node in nodes.keys().filter(|node| world.log.truth.members.contains_key(node)) {
        let process = world.processes.get(node)?;
        let hit = process.hit.is_some_and(|hit| world.now.ms_since(hit) < HIT_MS);
        if process.is_awake(world.now) && !hit {
            let detail = format!("{node} is committed dead, and nothing happened to it");
            return Some(Violation::new("no-death-without-cause", detail));
        }
    }
    None
}

/// Checks the spending after an entry was committed; `before_micros` was spent per hour before it.
#[must_use]
pub fn after_commit(world: &World, before_micros: u64, entry: &LogEntry) -> Option<Violation> {
    let truth = &world.log.truth;
    let spent_micros = truth.spending_micros();
    // A smaller budget releases no host at once, and a host of a late success costs money before it is known. Beyond
    // that, no order may exceed the budget.
    let allowed_micros = before_micros + found_micros(entry);
    if let Some(budget) = truth.budget_micros()
        && spent_micros > budget
        && spent_micros > allowed_micros
    {
        let detail = format!("{spent_micros} of {budget} millionths are spent, {before_micros} before");
        return Some(Violation::new("budget-is-kept", detail));
    }
    let mut hosts: BTreeMap<_, IntentId> = BTreeMap::new();
    for intent in truth.intents.values().filter(|intent| intent.is_open()) {
        let Some(host) = &intent.host else { continue };
        if let Some(other) = hosts.insert((&intent.order.provider, &host.host), intent.id) {
            let detail = format!("{other} and {} have host {}", intent.id, host.host);
            return Some(Violation::new("one-intent-per-host", detail));
        }
    }
    for (instance, placed) in &truth.target.instances {
        if truth.lingering.get(instance).is_some_and(|old| old.node != placed.node) {
            let detail = format!("{instance} is placed anew before it is known to be gone");
            return Some(Violation::new("names-are-resolved", detail));
        }
    }
    None
}

/// Checks a change of the voters before it is made.
#[must_use]
pub fn before_voters(voters: &BTreeSet<NodeId>) -> Option<Violation> {
    (!matches!(voters.len(), 1 | 3 | 5))
        .then(|| Violation::new("voters-are-odd", format!("{} voters", voters.len())))
}

/// Returns the hourly price of the hosts that an entry takes into the ledger because a provider's list has them.
fn found_micros(entry: &LogEntry) -> u64 {
    let LogEntry::Command(command) = entry else { return 0 };
    let commands = match command {
        Command::Batch(commands) => commands.as_slice(),
        other => std::slice::from_ref(other),
    };
    let prices = commands.iter().map(|command| match command {
        Command::Reclaim { order, .. } => order.price_micros_per_hour,
        _ => 0,
    });
    prices.sum()
}

/// Checks that the whole world is in the state that the plan requires.
///
/// # Errors
/// The first difference, as a sentence.
pub fn converged(world: &World) -> Result<(), String> {
    let truth = &world.log.truth;
    let leader = world.log.leader.filter(|leader| world.has_quorum(*leader)).ok_or("there is no leader")?;
    let core =
        world.processes.get(&leader).and_then(|process| process.core.as_ref()).ok_or("the leader is down")?;
    let status = core.status(world.now);
    if status.state != rhizo_protocol::OverlayState::Stable {
        let what = (status.state, status.problems, unsettled(world));
        return Err(format!("{leader} says {:?}: {:?}; {:?}", what.0, what.1, what.2));
    }
    let lost = cannot_learn(world);
    for (node, process) in &world.processes {
        let member = truth.members.contains_key(node);
        if world.restarts(*node) {
            return Err(format!("{node} is about to come back"));
        }
        if process.is_up() && !member && !lost.contains(node) {
            return Err(format!("{node} runs and is no member"));
        }
        if member && !process.is_up() {
            return Err(format!("{node} is a member and does not run"));
        }
        if member && process.core.as_ref().is_some_and(|core| core.ledger().index != truth.index) {
            return Err(format!("{node} does not know everything yet"));
        }
    }
    let mut wanted: BTreeMap<InstanceId, BTreeSet<NodeId>> = BTreeMap::new();
    for (instance, placed) in &truth.target.instances {
        wanted.entry(instance.clone()).or_default().insert(placed.node);
    }
    let running = world.running();
    if running != wanted {
        return Err(format!("runs: {running:?}, wanted: {wanted:?}"));
    }
    if let Some(run) = truth.script.as_ref().filter(|run| run.is_running()) {
        return Err(format!("script {} is still at {}", run.number, run.next));
    }
    let spec = truth.spec().ok_or("there is no spec")?;
    for (name, component) in &spec.components {
        let count = wanted.keys().filter(|instance| instance.component == *name).count();
        if count < component.replicas.min as usize || count > component.replicas.max as usize {
            return Err(format!("{count} copies of {name}"));
        }
    }
    inventory(world)
}

/// Describes the instances that are busy or lack bindings, to help find the reason why the world does not settle.
fn unsettled(world: &World) -> Vec<String> {
    let cores = world.processes.values().filter(|process| process.is_up());
    let agents = cores.filter_map(|process| process.core.as_ref()).map(Node::agent);
    let views = agents.flat_map(|agent| agent.situation().instances);
    let restless = views.filter(|(_, report)| !report.idle || report.bindings_missing > 0);
    restless.map(|(instance, report)| format!("{instance}: {report:?}")).collect()
}

/// Returns former members that run and know no living member, so that no node can notify them of their removal. They
/// end by `orphan_after`.
#[must_use]
pub fn cannot_learn(world: &World) -> BTreeSet<NodeId> {
    let truth = &world.log.truth;
    let lost = world.processes.iter().filter(|(node, process)| {
        let knows = process.core.as_ref().is_none_or(|core| {
            core.ledger().members.keys().any(|known| known != *node && truth.members.contains_key(known))
        });
        process.is_up() && !truth.members.contains_key(node) && !knows
    });
    lost.map(|(node, _)| *node).collect()
}

/// Checks that the providers have exactly the hosts that the ledger knows.
///
/// # Errors
/// The first difference, as a sentence.
pub fn inventory(world: &World) -> Result<(), String> {
    let truth = &world.log.truth;
    let mut known = BTreeSet::new();
    for intent in truth.intents.values().filter(|intent| intent.is_open()) {
        let host = intent.host.as_ref().ok_or_else(|| format!("{} has no host", intent.id))?;
        known.insert((intent.order.provider.clone(), host.host.clone()));
    }
    let mut real = BTreeSet::new();
    for (name, provider) in &world.providers {
        let alive = provider.hosts.iter().filter(|(_, host)| host.ended.is_none());
        real.extend(alive.map(|(id, _)| (name.clone(), id.clone())));
    }
    if known == real { Ok(()) } else { Err(format!("hosts: {real:?}, ledger: {known:?}")) }
}
