//! Tests of agents without nodes: random interleavings of small applications, with the invariants of the module checked
//! after each step. The simulator does the same for whole nodes. `lifecycles` tests declared life-cycles, `holes`
//! faults that were found in other engines.

mod holes;
mod lifecycles;

use super::{Agent, UserState};
use crate::event::{ActResult, Event};
use crate::ledger::{Ledger, Member};
use crate::out::Out;
use crate::turn::{ActCall, ActionId, Effect, RunId};
use rhizo_types::id::*;
use rhizo_types::ledger::{MemberRecord, SetSpec};
use rhizo_types::lifecycle::Values;
use rhizo_types::message::{InstancePhase, Message};
use rhizo_types::spec::*;
use rhizo_types::target::{Configuration, Placed};
use rhizo_types::{Generation, Revision, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// Agents on nodes 2, 3, … that share one ledger, and the messages and actions that are under way.
struct Cluster {
    ledger: Ledger,
    agents: BTreeMap<NodeId, Agent>,
    frames: BTreeMap<(NodeId, NodeId), VecDeque<Message>>,
    /// Actions that have begun: starts (true) and stops (false).
    actions: Vec<(NodeId, RunId, bool)>,
    /// Actions of life-cycles that are under way, and whether they were cancelled.
    acts: Vec<(NodeId, ActCall, bool)>,
    /// Every call of an action so far.
    calls: Vec<ActCall>,
    /// How many times each of these steps fails.
    fails: BTreeMap<&'static str, u32>,
    /// Steps that do not end unless they are cancelled.
    hangs: BTreeSet<&'static str>,
    /// The values that steps put out.
    values: BTreeMap<&'static str, (&'static str, String)>,
    /// The effects in order, each as its kind and instance.
    effects: Vec<String>,
    dice: u64,
    now: Time,
}

fn instance(name: &str, ordinal: u32) -> InstanceId {
    InstanceId { component: ComponentName::from(name), ordinal }
}

fn component(imports: &[(&str, bool, Pick)]) -> Component {
    let import = |(name, optional, pick): &(&str, bool, Pick)| {
        let component = ComponentName::from(*name);
        let export = PortName::from("main");
        let import = Import { optional: *optional, pick: *pick, ..Import::of(component, export) };
        (PortName::from(*name), import)
    };
    Component {
        replicas: Replicas { min: 1, max: 9 },
        exports: Ports::from_iter([(PortName::from("main"), Export::SERVICE)]),
        imports: imports.iter().map(import).collect(),
        ..Component::new(Run::Embedded)
    }
}

fn spec(components: &[(&str, Component)]) -> Spec {
    let components = components.iter().map(|(name, c)| (ComponentName::from(*name), c.clone()));
    Spec::new("app", components.collect())
}

impl Cluster {
    fn new(nodes: u64, components: &[(&str, Component)], seed: u64) -> Self {
        let mut ledger = Ledger::default();
        let set = SetSpec { revision: Revision(1), spec: spec(components), source: String::new() };
        ledger.specs.insert(Revision(1), set);
        for id in 2..nodes + 2 {
            let record = MemberRecord {
                key: PeerKey([id as u8; 32]),
                addresses: Vec::new(),
                provider: ProviderName::from("p"),
                region: RegionName::from("r"),
                intent: Some(IntentId(id)),
            };
            ledger.members.insert(NodeId(id), Member { record, draining: false });
        }
        let agents = ledger.members.keys().map(|node| (*node, Agent::new(*node, &[]))).collect();
        let mut cluster = Self {
            ledger,
            agents,
            frames: BTreeMap::new(),
            actions: Vec::new(),
            acts: Vec::new(),
            calls: Vec::new(),
            fails: BTreeMap::new(),
            hangs: BTreeSet::new(),
            values: BTreeMap::new(),
            effects: Vec::new(),
            dice: seed.wrapping_mul(2).wrapping_add(1),
            now: Time(1_000_000),
        };
        let nodes: Vec<NodeId> = cluster.agents.keys().copied().collect();
        for node in &nodes {
            cluster.with(*node, |agent, ledger| {
                agent.follow(ledger);
                nodes.iter().filter(|peer| *peer != node).for_each(|peer| agent.link_up(*peer));
            });
        }
        cluster
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % sides
    }

    /// Gives an agent an input and executes its effects.
    fn with(&mut self, node: NodeId, act: impl FnOnce(&mut Agent, &Ledger)) {
        self.with_out(node, |agent, ledger, _| act(agent, ledger));
    }

    fn with_out(&mut self, node: NodeId, act: impl FnOnce(&mut Agent, &Ledger, &mut Out)) {
        let mut out = Out::default();
        let Some(agent) = self.agents.get_mut(&node) else { return };
        act(agent, &self.ledger, &mut out);
        agent.settle(&self.ledger, self.now, &mut out);
        agent.flush(None, self.now, &mut out);
        let turn = out.into_turn();
        for effect in turn.effects() {
            match effect {
                Effect::Send { to, message } => {
                    self.frames.entry((node, *to)).or_default().push_back(message.clone());
                }
                Effect::Start(call) => {
                    self.effects.push(format!("start {}", call.run.instance));
                    self.actions.push((node, call.run.clone(), true));
                }
                Effect::Stop { run } => {
                    self.effects.push(format!("stop {}", run.instance));
                    self.actions.retain(|(_, other, _)| other != run);
                    self.actions.push((node, run.clone(), false));
                }
                Effect::Rebind { run, .. } => self.effects.push(format!("rebind {}", run.instance)),
                Effect::Act(call) => {
                    self.effects.push(format!("{} {}", call.step, call.id.run.instance));
                    self.calls.push((**call).clone());
                    self.acts.push((node, (**call).clone(), false));
                }
                Effect::Cancel { action } => {
                    self.effects.push(format!("cancel {}", action.run.instance));
                    let mut acts = self.acts.iter_mut();
                    if let Some((.., cancelled)) = acts.find(|(_, call, _)| call.id == *action) {
                        *cancelled = true;
                    }
                }
                Effect::SetAttributes { run, .. } => {
                    self.effects.push(format!("attributes {}", run.instance))
                }
                _ => {}
            }
        }
        self.check();
    }

    fn target(&mut self, instances: &[(&str, u32, u64, u64)], bindings: &[(&str, u32, &str, &[u32])]) {
        let revision = self.ledger.target.revision.next();
        let mut target =
            Configuration { revision, parent: self.ledger.target.revision, ..Default::default() };
        for (name, ordinal, node, generation) in instances {
            let generation = Generation(*generation);
            let placed = Placed { node: NodeId(*node), generation, version: Revision(1) };
            target.instances.insert(instance(name, *ordinal), placed);
        }
        for (importer, ordinal, exporter, ordinals) in bindings {
            let exporters = ordinals.iter().map(|ordinal| instance(exporter, *ordinal)).collect();
            let imports = target.bindings.entry(instance(importer, *ordinal)).or_default();
            imports.insert(PortName::from(*exporter), exporters);
        }
        self.ledger.target = Arc::new(target);
    }

    /// Makes one random step; returns false when none is possible.
    fn step(&mut self) -> bool {
        let behind: Vec<NodeId> = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.target != self.ledger.target.revision)
            .map(|(node, _)| *node)
            .collect();
        let ways: Vec<(NodeId, NodeId)> =
            self.frames.iter().filter(|(_, queue)| !queue.is_empty()).map(|(way, _)| *way).collect();
        let acts: Vec<ActionId> = self
            .acts
            .iter()
            .filter(|(_, call, cancelled)| *cancelled || !self.hangs.contains(call.step.as_str()))
            .map(|(_, call, _)| call.id.clone())
            .collect();
        let before_acts = behind.len() + ways.len() + self.actions.len();
        let sum = before_acts + acts.len();
        if sum == 0 {
            // Waits end and channels resend when the time has passed.
            let due = self.agents.values().filter_map(Agent::deadline).min();
            let Some(due) = due.filter(|at| *at < Time(3_600_000_000)) else { return false };
            self.now = due.max(Time(self.now.0 + 1));
            let nodes: Vec<NodeId> = self.agents.keys().copied().collect();
            nodes.into_iter().for_each(|node| self.with(node, |_, _| {}));
            return true;
        }
        let choice = self.roll(sum);
        if let Some(node) = behind.get(choice) {
            self.with(*node, Agent::follow);
        } else if let Some((from, to)) = ways.get(choice - behind.len()).copied() {
            let message = self.frames.get_mut(&(from, to)).and_then(VecDeque::pop_front);
            if let Some(Message::Channel(frame)) = message {
                let now = self.now;
                self.with(to, |agent, _| agent.frame(from, frame, now));
            }
        } else if choice >= before_acts {
            self.end_act(&acts[choice - before_acts]);
        } else {
            let (node, run, start) = self.actions.swap_remove(choice - behind.len() - ways.len());
            let address = SocketAddr::from(([127, 0, 0, node.0 as u8], 1_000 + run.instance.ordinal as u16));
            let exports = BTreeMap::from([(PortName::from("main"), address)]);
            self.act(node, if start { Event::Started { run, exports } } else { Event::Stopped { run } });
        }
        true
    }

    /// Ends an action: as cancelled, as failed while failures are left, or as done with its values.
    fn end_act(&mut self, action: &ActionId) {
        let Some(position) = self.acts.iter().position(|(_, call, _)| call.id == *action) else { return };
        let (node, call, cancelled) = self.acts.swap_remove(position);
        let fails = self.fails.get_mut(call.step.as_str()).filter(|left| **left > 0);
        let result = if cancelled {
            ActResult::Cancelled
        } else if let Some(left) = fails {
            *left -= 1;
            ActResult::Failed { reason: format!("{} fails", call.step) }
        } else {
            let put_out = self.values.get(call.step.as_str());
            let values: Values =
                put_out.map(|(name, value)| (ValueName::from(*name), value.clone())).into_iter().collect();
            ActResult::Done { exports: BTreeMap::new(), values }
        };
        self.act(node, Event::Acted { action: call.id, result });
    }

    /// Ends the one action of that step that is under way.
    fn end_step(&mut self, step: &str) {
        let found =
            self.acts.iter().find(|(_, call, _)| call.step == step).map(|(_, call, _)| call.id.clone());
        self.end_act(&found.unwrap_or_else(|| panic!("{step} is not under way: {:?}", self.effects)));
    }

    fn act(&mut self, node: NodeId, event: Event) {
        let now = self.now;
        self.with_out(node, |agent, ledger, out| agent.action(event, now, ledger, out));
    }

    fn run(&mut self) {
        for _ in 0..20_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the agents do not come to rest: {:?}", self.effects);
    }

    fn started(&self) -> BTreeSet<String> {
        let views = self.agents.values().flat_map(Agent::instances);
        views.filter(|v| v.phase == InstancePhase::Started).map(|v| v.instance.to_string()).collect()
    }

    /// The invariants of `agent`, over what the agents have told each other.
    fn check(&self) {
        for (node, agent) in &self.agents {
            for view in agent.instances() {
                let bound = |port: &PortName| {
                    agent
                        .uses()
                        .any(|(_, u)| u.importer == *view.instance && u.import == *port && u.served.is_some())
                };
                for (port, import) in &view.component.imports {
                    let on = view.relies_on(port);
                    assert!(!on || import.optional || bound(port), "{} lacks {port}", view.instance);
                }
                let is_bound = view.bound_imports.values().any(|bound| !bound.is_empty());
                assert!(
                    view.phase != InstancePhase::Waiting || !is_bound,
                    "{} keeps a binding",
                    view.instance
                );
            }
            for (importer, id, user) in agent.users() {
                if user.state == UserState::Waiting {
                    continue;
                }
                let on = agent
                    .instances()
                    .any(|view| *view.instance == user.exporter && view.is_active(&user.export));
                assert!(on, "{node}: {} is used by {importer}/{id:?} and not active", user.exporter);
            }
        }
    }
}

/// Runs a test under many interleavings.
fn under_many_interleavings(nodes: u64, components: &[(&str, Component)], story: impl Fn(&mut Cluster)) {
    for seed in 0..300 {
        story(&mut Cluster::new(nodes, components, seed));
    }
}

fn chain() -> Vec<(&'static str, Component)> {
    vec![
        ("a", component(&[("b", false, Pick::One)])),
        ("b", component(&[("c", false, Pick::One)])),
        ("c", component(&[])),
    ]
}

const CHAIN: &[(&str, u32, u64, u64)] = &[("a", 0, 2, 1), ("b", 0, 3, 1), ("c", 0, 4, 1)];
const CHAIN_BINDINGS: &[(&str, u32, &str, &[u32])] = &[("a", 0, "b", &[0]), ("b", 0, "c", &[0])];

#[test]
fn a_chain_starts_from_its_end_and_stops_from_its_beginning() {
    under_many_interleavings(3, &chain(), |cluster| {
        cluster.target(CHAIN, CHAIN_BINDINGS);
        cluster.run();
        assert_eq!(cluster.effects, ["start c.0", "start b.0", "start a.0"]);
        cluster.effects.clear();
        cluster.target(&[], &[]);
        cluster.run();
        assert_eq!(cluster.effects, ["stop a.0", "stop b.0", "stop c.0"]);
        assert!(cluster.agents.values().all(Agent::is_empty));
    });
}

#[test]
fn a_crash_stops_those_who_depend_on_it_and_everything_comes_back() {
    under_many_interleavings(3, &chain(), |cluster| {
        cluster.target(CHAIN, CHAIN_BINDINGS);
        cluster.run();
        cluster.effects.clear();
        let run = RunId { instance: instance("c", 0), generation: Generation(1), attempt: 1 };
        cluster.act(NodeId(4), Event::Exited { run, reason: "crash".to_owned() });
        cluster.run();
        assert_eq!(cluster.started().len(), 3, "{:?}", cluster.effects);
        for stopped in ["stop b.0", "stop a.0"] {
            assert!(cluster.effects.iter().any(|line| line == stopped), "{:?}", cluster.effects);
        }
    });
}

#[test]
fn a_newer_target_overtakes_an_unfinished_one() {
    under_many_interleavings(3, &chain(), |cluster| {
        cluster.target(CHAIN, CHAIN_BINDINGS);
        let steps = cluster.roll(30);
        (0..steps).for_each(|_| {
            cluster.step();
        });
        // b moves under another name, and everything else stays.
        let moved = [("a", 0, 2, 1), ("b", 1, 2, 1), ("c", 0, 4, 1)];
        cluster.target(&moved, &[("a", 0, "b", &[1]), ("b", 1, "c", &[0])]);
        let steps = cluster.roll(30);
        (0..steps).for_each(|_| {
            cluster.step();
        });
        cluster.target(&moved, &[("a", 0, "b", &[1]), ("b", 1, "c", &[0])]);
        cluster.run();
        assert_eq!(cluster.started(), BTreeSet::from(["a.0", "b.1", "c.0"].map(str::to_owned)));
    });
}

#[test]
fn a_user_is_rebound_without_being_stopped() {
    let components = [("web", component(&[("db", false, Pick::One)])), ("db", component(&[]))];
    under_many_interleavings(3, &components, |cluster| {
        cluster.target(&[("web", 0, 2, 1), ("db", 0, 3, 1)], &[("web", 0, "db", &[0])]);
        cluster.run();
        cluster.effects.clear();
        // As the coordinator does: the successor first, then without the predecessor.
        cluster.target(&[("web", 0, 2, 1), ("db", 0, 3, 1), ("db", 1, 4, 1)], &[("web", 0, "db", &[0])]);
        cluster.run();
        cluster.target(&[("web", 0, 2, 1), ("db", 1, 4, 1)], &[("web", 0, "db", &[1])]);
        cluster.run();
        assert!(!cluster.effects.iter().any(|line| line == "stop web.0"), "{:?}", cluster.effects);
        assert_eq!(cluster.started(), BTreeSet::from(["db.1", "web.0"].map(str::to_owned)));
    });
}

#[test]
fn optional_imports_may_form_a_cycle_and_never_stop_their_user() {
    let components = [("broker", component(&[("broker", true, Pick::All)]))];
    under_many_interleavings(3, &components, |cluster| {
        let all = [("broker", 0, 2, 1), ("broker", 1, 3, 1), ("broker", 2, 4, 1)];
        let mesh: [(&str, u32, &str, &[u32]); 3] = [
            ("broker", 0, "broker", &[1, 2]),
            ("broker", 1, "broker", &[0, 2]),
            ("broker", 2, "broker", &[0, 1]),
        ];
        cluster.target(&all, &mesh);
        cluster.run();
        assert_eq!(cluster.started().len(), 3);
        cluster.effects.clear();
        cluster.target(&all[..2], &[("broker", 0, "broker", &[1]), ("broker", 1, "broker", &[0])]);
        cluster.run();
        let stops: Vec<_> = cluster.effects.iter().filter(|line| line.starts_with("stop")).collect();
        assert_eq!(stops, ["stop broker.2"]);
    });
}

#[test]
fn a_dead_node_s_exporters_are_lost_and_its_users_let_go() {
    under_many_interleavings(3, &chain(), |cluster| {
        cluster.target(CHAIN, CHAIN_BINDINGS);
        cluster.run();
        cluster.ledger.members.remove(&NodeId(3));
        cluster.agents.remove(&NodeId(3));
        cluster.actions.retain(|(node, ..)| *node != NodeId(3));
        cluster.frames.retain(|(from, to), _| *from != NodeId(3) && *to != NodeId(3));
        for node in [NodeId(2), NodeId(4)] {
            cluster.with(node, Agent::follow);
        }
        cluster.run();
        assert_eq!(cluster.started(), BTreeSet::from(["c.0".to_owned()]), "a cannot do without b");
        assert!(!cluster.agents[&NodeId(4)].users.is_used(&instance("c", 0)));
    });
}

#[test]
fn a_failed_start_is_a_failure_and_dependants_do_not_start() {
    let mut cluster = Cluster::new(3, &chain(), 1);
    cluster.target(CHAIN, CHAIN_BINDINGS);
    for attempt in 1..=4 {
        while !cluster.actions.iter().any(|(_, run, start)| *start && run.instance == instance("c", 0)) {
            assert!(cluster.step(), "c is not tried again after failure {}", attempt - 1);
        }
        cluster.actions.clear();
        let run = RunId { instance: instance("c", 0), generation: Generation(1), attempt };
        cluster.act(NodeId(4), Event::StartFailed { run, reason: "no".to_owned() });
        assert!(cluster.started().is_empty());
    }
    assert!(cluster.effects.iter().all(|line| line == "start c.0"), "{:?}", cluster.effects);
}
