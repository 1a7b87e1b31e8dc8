//! Tests of the coordinator: the targets that follow from a plan, a new spec, a script, and the reports of agents.
//!
//! The log commits at once, the hosts exist from the beginning, and the test takes the place of the agents: it says
//! which instances are started. The simulator tests whole nodes under faults.

mod homes;
mod obstacles;
mod orders;
mod requests;
mod room;
mod scripts;
mod voters;

use super::requests::Requests;
use super::{Coordinator, View};
use crate::back_off::{FAILURE_WINDOW_MS, FAILURES_MAX};
use crate::bindings::Latencies;
use crate::event::{LogStatus, Request};
use crate::ledger::{Applied, Ledger, Member};
use crate::observer::Observer;
use crate::out::Out;
use crate::turn::{Answer, Effect, RequestId};
use rhizo_types::failure::RetryWait;
use rhizo_types::id::*;
use rhizo_types::intent::{AcquireOrder, BoundHost, Intent, IntentState};
use rhizo_types::ledger::{Command, FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::message::{InstancePhase, InstanceReport, LogEntry, Report};
use rhizo_types::number::Number;
use rhizo_types::spec::*;
use rhizo_types::target::*;
use rhizo_types::{Generation, Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Since = BTreeMap<NodeId, Time>;

/// The view of the founder, long after the coordinator began.
fn view<'a>(
    ledger: &'a Ledger,
    log: &'a LogStatus,
    observer: &'a Observer,
    (latencies, since): (&'a Latencies, &'a Since),
    now: Time,
) -> View<'a> {
    View { me: FOUNDER, now, ledger, log, observer, latencies, since, genesis: None }
}

/// A coordinator on the founder, four members with hosts (n2 to n5), and the reports of their agents.
struct Stage {
    ledger: Ledger,
    coordinator: Coordinator,
    log: LogStatus,
    observer: Observer,
    /// Instances that do not start in this generation.
    broken: BTreeSet<(InstanceId, Generation)>,
    /// Instances that wait for an import.
    waiting: BTreeSet<InstanceId>,
    /// Instances that rest where a pushed behaviour took them.
    resting: BTreeSet<InstanceId>,
    /// The committed commands, as texts.
    committed: Vec<String>,
    /// The committed entries, as texts: steps that follow from one another share an entry.
    entries: Vec<String>,
    number: u64,
    now: Time,
}

fn instance(name: &str, ordinal: u32) -> InstanceId {
    InstanceId { component: ComponentName::from(name), ordinal }
}

fn component(copies: u32, imports: &[&str]) -> Component {
    let import = |name: &&str| {
        let import = Import::of(ComponentName::from(*name), PortName::from("main"));
        (PortName::from(*name), import)
    };
    Component {
        replicas: Replicas { min: 1, max: copies },
        exports: Ports::from_iter([(PortName::from("main"), Export::SERVICE)]),
        imports: imports.iter().map(import).collect(),
        ..Component::new(Run::Embedded)
    }
}

fn spec(components: &[(&str, Component)]) -> Spec {
    Spec::new("app", components.iter().map(|(name, c)| (ComponentName::from(*name), c.clone())).collect())
}

fn record(id: u64, intent: Option<IntentId>) -> MemberRecord {
    MemberRecord {
        key: PeerKey([u8::try_from(id).unwrap(); 32]),
        addresses: Vec::new(),
        provider: ProviderName::from("lab"),
        region: RegionName::from("r"),
        intent,
    }
}

fn order() -> AcquireOrder {
    AcquireOrder {
        provider: ProviderName::from("lab"),
        offer: OfferName::from("small"),
        region: RegionName::from("r"),
        price_micros_per_hour: 0,
        capacity: BTreeMap::new(),
        attributes: BTreeMap::new(),
    }
}

impl Stage {
    fn new(components: &[(&str, Component)]) -> Self {
        let genesis = Genesis {
            app: AppName::from("app"),
            lineage: Lineage(1),
            founder: record(1, None),
            operators: BTreeSet::new(),
            timers: Timers::LOCAL,
            overlay_secret: OverlaySecret([0; 32]),
        };
        let mut ledger = Ledger { genesis: Some(genesis), index: 1, ..Ledger::default() };
        ledger.members.insert(FOUNDER, Member { record: record(1, None), draining: false });
        for id in 2..=5 {
            let intent = IntentId(id);
            let member = Member { record: record(id, Some(intent)), draining: false };
            ledger.members.insert(NodeId(id), member);
            let host = Some(BoundHost { host: HostId(format!("h{id}")), address: None });
            let state = IntentState::Bound;
            let node = Some(NodeId(id));
            ledger.intents.insert(intent, Intent { id: intent, order: order(), state, host, node });
        }
        ledger.voters = BTreeSet::from([FOUNDER]);
        let log = LogStatus {
            term: Term(1),
            leader: Some(FOUNDER),
            quorum: true,
            voters: ledger.voters.clone(),
            ..LogStatus::default()
        };
        let mut stage = Self {
            ledger,
            coordinator: Coordinator::new(Term(1), Time(0)),
            log,
            observer: Observer::new(FOUNDER),
            broken: BTreeSet::new(),
            waiting: BTreeSet::new(),
            resting: BTreeSet::new(),
            committed: Vec::new(),
            entries: Vec::new(),
            number: 0,
            now: Time(1_000_000_000),
        };
        stage.set_spec(components);
        stage
    }

    fn set_spec(&mut self, components: &[(&str, Component)]) {
        let revision = self.ledger.spec_revision().next();
        let set = SetSpec { revision, spec: spec(components), source: String::new() };
        self.commit(Command::SetSpec(Box::new(set)));
    }

    fn plan(&mut self, placement: &[(&str, u32, u64)]) {
        let parent = self.ledger.plan_revision();
        let verdict =
            Verdict { cause: Cause::SpecChanged, forced: true, worth: Worth::full(), reasons: Vec::new() };
        let slots = placement.iter().map(|(name, n, node)| (instance(name, *n), Slot::Node(NodeId(*node))));
        self.commit(Command::Plan(Box::new(Plan {
            revision: parent.next(),
            parent,
            spec: self.ledger.spec_revision(),
            orders: Vec::new(),
            placement: slots.collect(),
            avoid: BTreeSet::new(),
            verdict,
        })));
    }

    fn commit(&mut self, command: Command) {
        let entry = LogEntry::Command(command);
        let applied = self.ledger.apply(self.ledger.index + 1, Term(1), &entry);
        assert_eq!(applied, Applied::Done, "{entry:?}");
    }

    /// The immediate answer to a request; none when the request needs a command.
    fn answer(&mut self, request: Request) -> Option<Answer> {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = view(&self.ledger, &self.log, &self.observer, (&latencies, &since), self.now);
        let mut out = Out::default();
        let requests = &mut self.coordinator.requests;
        requests.push(RequestId(1), request, &mut out);
        requests.answer(view, &mut out);
        out.into_turn().effects().find_map(|effect| match effect {
            Effect::Answer { answer, .. } => Some(answer.clone()),
            _ => None,
        })
    }

    /// The command that the coordinator would propose now. Members without instances are kept, because tests use them
    /// later.
    fn command(&mut self) -> Option<Command> {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = view(&self.ledger, &self.log, &self.observer, (&latencies, &since), self.now);
        let mut out = Out::default();
        let Coordinator { failures, reconfiguration, .. } = &mut self.coordinator;
        failures.follow(&reconfiguration.reports, view);
        let command = self.coordinator.next_command(view, &mut out).map(|(command, _)| command);
        command.filter(|command| !matches!(command, Command::Leave { .. }))
    }

    /// Commits each command that the coordinator proposes, until it waits for agents.
    fn decide(&mut self) {
        for _ in 0..100 {
            let Some(command) = self.command() else { return };
            let steps = match &command {
                Command::Batch(steps) => steps.as_slice(),
                step => std::slice::from_ref(step),
            };
            if !matches!(command, Command::Failing { .. } | Command::Steady { .. }) {
                let texts: Vec<String> = steps.iter().map(Self::describe).collect();
                self.entries.push(texts.join(", "));
                self.committed.extend(texts);
            }
            self.commit(command);
        }
        panic!("the coordinator never waits: {:?}", self.committed);
    }

    fn describe(command: &Command) -> String {
        match command {
            Command::Target(target) => {
                let names =
                    target.instances.iter().map(|(i, p)| format!("{i}@{}g{}", p.node, p.generation.0));
                format!("target {}", names.collect::<Vec<_>>().join(" "))
            }
            Command::Settled { .. } => "settled".to_owned(),
            Command::Gone { instances, .. } => {
                format!("gone {:?}", instances.keys().map(ToString::to_string).collect::<Vec<_>>())
            }
            Command::Unwind { component, .. } => format!("unwind {component}"),
            Command::Advance { from, to, .. } => format!("advance {from}..{to}"),
            other => format!("{other:?}"),
        }
    }

    /// Each agent follows the target for the instances that `may` allows; the others stay as last reported.
    fn report(&mut self) {
        self.number += 1;
        let target = self.ledger.target.clone();
        for node in self.ledger.members.keys().copied().filter(|node| *node != FOUNDER) {
            let mine = target.instances.iter().filter(|(_, placed)| placed.node == node);
            let instances = mine.map(|(instance, placed)| {
                let broken = self.broken.contains(&(instance.clone(), placed.generation));
                let pushes = target.pushes.get(instance).and_then(|list| list.last());
                let phase = match broken {
                    true => InstancePhase::Waiting,
                    false if self.waiting.contains(instance) => InstancePhase::Waiting,
                    false if self.resting.contains(instance) => InstancePhase::Resting,
                    false => InstancePhase::Started,
                };
                let report = InstanceReport {
                    failures: if broken { FAILURES_MAX } else { 0 },
                    idle: !broken,
                    pushed: pushes.map_or(0, |push| push.number),
                    retry: broken.then_some(RetryWait { failures: FAILURES_MAX, wait_ms: 2_000 }),
                    ..InstanceReport::idle(placed.generation, placed.version, phase)
                };
                (instance.clone(), report)
            });
            let report =
                Report { number: self.number, target: target.revision, instances: instances.collect() };
            self.coordinator.report(node, report);
        }
    }

    /// Lets the coordinator and the agents act in turn until there is no further step.
    fn run(&mut self) {
        for _ in 0..50 {
            let before = self.ledger.index;
            self.decide();
            self.report();
            self.decide();
            if self.ledger.index == before {
                // What is started now stays started for longer than the failure window.
                self.now = self.now.after_ms(FAILURE_WINDOW_MS);
                return self.decide();
            }
        }
        panic!("never at rest: {:?}", self.committed);
    }

    fn placed(&self) -> Vec<String> {
        self.ledger
            .target
            .instances
            .iter()
            .map(|(i, p)| format!("{i}@{}g{}", p.node, p.generation.0))
            .collect()
    }

    fn bound(&self, importer: &str, ordinal: u32, port: &str) -> Vec<String> {
        let imports = self.ledger.target.bindings.get(&instance(importer, ordinal));
        let exporters = imports.and_then(|imports| imports.get(&PortName::from(port)));
        exporters.into_iter().flatten().map(ToString::to_string).collect()
    }
}

fn shop() -> Stage {
    let mut stage = Stage::new(&[("db", component(2, &[])), ("web", component(3, &["db"]))]);
    stage.plan(&[("db", 0, 2), ("web", 0, 3)]);
    stage.run();
    stage.committed.clear();
    stage.entries.clear();
    stage
}

#[test]
fn at_most_so_many_copies_are_down_for_a_new_version() {
    for unavailable_max in [1, 2] {
        let web = Component { unavailable_max, ..component(4, &[]) };
        let all = [("web", 0, 2), ("web", 1, 3), ("web", 2, 4), ("web", 3, 5)];
        let mut stage = Stage::new(&[("web", web.clone())]);
        stage.plan(&all);
        stage.run();
        let newer = Component { env: BTreeMap::from([("A".to_owned(), "2".to_owned())]), ..web };
        stage.set_spec(&[("web", newer)]);
        stage.plan(&all);
        let mut changed = 0;
        while stage.ledger.target.instances.values().any(|placed| placed.generation == Generation(1)) {
            stage.decide();
            let new = stage.ledger.target.instances.values();
            let now = new.filter(|placed| placed.generation == Generation(2)).count();
            assert_eq!(now, changed + unavailable_max as usize);
            changed = now;
            stage.report();
        }
        assert_eq!(changed, 4);
    }
}

#[test]
fn a_new_version_that_fails_stops_the_rollout_or_is_unwound() {
    for on_failure in [OnFailure::Keep, OnFailure::Unwind] {
        let web = Component { on_failure, ..component(3, &[]) };
        let all = [("web", 0, 2), ("web", 1, 3), ("web", 2, 4)];
        let mut stage = Stage::new(&[("web", web.clone())]);
        stage.plan(&all);
        stage.run();
        let newer = Component { env: BTreeMap::from([("A".to_owned(), "2".to_owned())]), ..web };
        stage.set_spec(&[("web", newer)]);
        stage.plan(&all);
        for ordinal in 0..3 {
            stage.broken.insert((instance("web", ordinal), Generation(2)));
        }
        stage.run();
        if on_failure == OnFailure::Keep {
            assert_eq!(stage.placed(), ["web.0@n2g2", "web.1@n3g1", "web.2@n4g1"]);
        } else {
            assert_eq!(stage.placed(), ["web.0@n2g3", "web.1@n3g1", "web.2@n4g1"]);
            assert!(stage.ledger.target.instances.values().all(|placed| placed.version == Revision(1)));
            assert_eq!(stage.ledger.settled, stage.ledger.target.revision);
        }
    }
}

#[test]
fn a_change_of_attributes_or_numbers_restarts_nothing() {
    let web = component(2, &[]);
    let mut stage = Stage::new(&[("web", web.clone())]);
    stage.plan(&[("web", 0, 2), ("web", 1, 3)]);
    stage.run();
    let newer = Component {
        attributes: BTreeMap::from([(ValueName::from("colour"), "green".to_owned())]),
        replicas: Replicas { min: 1, max: 4 },
        unavailable_max: 2,
        ..web
    };
    stage.set_spec(&[("web", newer)]);
    stage.plan(&[("web", 0, 2), ("web", 1, 3)]);
    stage.run();
    assert_eq!(stage.placed(), ["web.0@n2g1", "web.1@n3g1"]);
    assert!(stage.ledger.target.instances.values().all(|placed| placed.version == Revision(2)));
    assert!(stage.ledger.lingering.is_empty());
    assert!(!stage.ledger.specs.contains_key(&Revision(1)), "nothing needs the old spec any more");
}

#[test]
fn a_copy_of_an_exclusive_component_starts_when_the_old_one_is_gone() {
    for exclusive in [false, true] {
        let mut stage = Stage::new(&[("db", Component { exclusive, ..component(1, &[]) })]);
        stage.plan(&[("db", 0, 2)]);
        stage.run();
        stage.committed.clear();
        stage.plan(&[("db", 1, 3)]);
        stage.decide();
        if exclusive {
            assert_eq!(stage.placed(), [""; 0], "the old one goes first");
        } else {
            assert_eq!(stage.placed(), ["db.0@n2g1", "db.1@n3g1"], "both overlap");
        }
        stage.run();
        assert_eq!(stage.placed(), ["db.1@n3g1"]);
    }
}

#[test]
fn a_replacement_of_an_exclusive_copy_waits_for_the_providers_word() {
    let mut stage = Stage::new(&[("db", Component { exclusive: true, ..component(1, &[]) })]);
    stage.plan(&[("db", 0, 2)]);
    stage.run();
    stage.commit(Command::Dead { nodes: BTreeMap::from([(NodeId(2), BTreeSet::from([FOUNDER]))]) });
    stage.plan(&[("db", 1, 3)]);
    stage.run();
    assert_eq!(stage.placed(), [""; 0], "n2 is dead to the others, and may still run it");
    let outcome = rhizo_types::intent::Outcome::Released;
    stage.commit(Command::Outcome { intent: IntentId(2), outcome });
    stage.run();
    assert_eq!(stage.placed(), ["db.1@n3g1"]);
}

#[test]
fn a_ledger_refuses_a_second_copy_of_an_exclusive_component() {
    let mut stage = Stage::new(&[("db", Component { exclusive: true, ..component(1, &[]) })]);
    stage.plan(&[("db", 0, 2)]);
    stage.run();
    let mut target = Arc::clone(&stage.ledger.target);
    let next = Arc::make_mut(&mut target);
    (next.parent, next.revision) = (next.revision, next.revision.next());
    let placed = Placed { node: NodeId(3), generation: Generation(1), version: Revision(1) };
    next.instances.insert(instance("db", 1), placed);
    let entry = LogEntry::Command(Command::Target(target));
    let applied = stage.ledger.apply(stage.ledger.index + 1, Term(1), &entry);
    assert!(matches!(applied, Applied::Refused(_)), "{applied:?}");
}

#[test]
fn a_name_that_is_waited_for_is_free_as_soon_as_its_agent_says_so() {
    // web.0 cannot start without db.0, which returns under its name on another node: the target in between is
    // never reached completely.
    let mut stage = shop();
    stage.broken.insert((instance("web", 0), Generation(1)));
    stage.plan(&[("db", 0, 4), ("web", 0, 3)]);
    stage.decide();
    assert_eq!(stage.placed(), ["web.0@n3g1"]);
    stage.report();
    stage.broken.clear();
    stage.run();
    assert_eq!(stage.placed(), ["db.0@n4g2", "web.0@n3g1"]);
    assert!(stage.committed.contains(&"gone [\"db.0\"]".to_owned()), "{:?}", stage.committed);
}

/// Whether the coordinator asks for offers at this time.
fn asks_offers(stage: &mut Stage, now: Time) -> bool {
    let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
    let view =
        View { now, ..view(&stage.ledger, &stage.log, &stage.observer, (&latencies, &since), stage.now) };
    let mut out = Out::default();
    stage.coordinator.control.ask_offers(view, &mut out);
    out.into_turn().effects().any(|effect| matches!(effect, Effect::AskOffers))
}

#[test]
fn offers_are_asked_for_at_a_steady_pace_until_the_application_is_taken_down() {
    let mut stage = shop();
    let begin = Time(1_000_000_000);
    assert!(asks_offers(&mut stage, begin));
    assert!(!asks_offers(&mut stage, begin.after_ms(4_999)));
    assert!(asks_offers(&mut stage, begin.after_ms(5_000)));
    stage.commit(Command::TakeDown);
    assert!(!asks_offers(&mut stage, begin.after_ms(60_000)));
}

#[test]
fn only_the_facts_of_a_node_with_a_host_make_the_coordinator_look_for_something_better() {
    let mut stage = shop();
    stage.plan(&[("db", 0, 4), ("web", 0, 3)]);
    stage.run();
    let mut is_solved = |by: NodeId| {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = view(&stage.ledger, &stage.log, &stage.observer, (&latencies, &since), stage.now);
        stage.coordinator.control = super::control::Control::new(Time(0));
        let mut out = Out::default();
        // A new coordinator looks once; its run ends without a better configuration.
        stage.coordinator.advance_control(view, &mut out);
        let id = crate::request::SolveId(stage.coordinator.control.runs());
        let outcome = crate::event::SolveOutcome::NothingBetter { utility: None, reason: String::new() };
        stage.coordinator.handle(crate::event::Event::Solved { id, outcome }, view, &mut out);
        stage.coordinator.handle(crate::event::Event::FactsChanged { by }, view, &mut out);
        let later = View { now: view.now.after_ms(3_600_000), ..view };
        let mut out = Out::default();
        stage.coordinator.advance_control(later, &mut out);
        out.into_turn().effects().any(|effect| matches!(effect, Effect::Solve(_)))
    };
    assert!(is_solved(NodeId(3)));
    assert!(!is_solved(FOUNDER));
}
