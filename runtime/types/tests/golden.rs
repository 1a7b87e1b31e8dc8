//! The bytes of every record that crosses a wire or reaches a disk are kept, and old bytes stay readable.
//!
//! `tests/golden/records.txt` has one line per record: its name and its bytes. A change of an existing line breaks
//! running overlays: add a version instead. `RHIZO_BLESS=1` writes the file anew, for lines that were added.

use postcard::{from_bytes, to_stdvec};
use rhizo_types::fact::{self, Batch, BatchRecord, SensorKind, Subject};
use rhizo_types::failure::*;
use rhizo_types::id::*;
use rhizo_types::intent::*;
use rhizo_types::ledger::*;
use rhizo_types::lifecycle::*;
use rhizo_types::message::*;
use rhizo_types::number::Number;
use rhizo_types::script::*;
use rhizo_types::secret::*;
use rhizo_types::spec::*;
use rhizo_types::state::*;
use rhizo_types::target::*;
use rhizo_types::wire::*;
use rhizo_types::{Digest, Generation, Revision, Term, Value};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

fn address() -> SocketAddr {
    SocketAddr::from(([127, 1, 2, 3], 4_747))
}

fn home() -> Home {
    Home { node: NodeId(5), since: Generation(3) }
}

fn instance(name: &str, ordinal: u32) -> InstanceId {
    InstanceId { component: ComponentName::from(name), ordinal }
}

fn number(value: f64) -> Number {
    Number::try_from(value).expect("plain data")
}

fn order() -> AcquireOrder {
    AcquireOrder {
        provider: ProviderName::from("lab"),
        offer: OfferName::from("small"),
        region: RegionName::from("aws:eu-west-1"),
        price_micros_per_hour: 10_400,
        capacity: BTreeMap::from([("cpu".to_owned(), number(2.0))]),
        attributes: BTreeMap::from([
            (AttributeName::from("arch"), Value::Text("x86_64".to_owned())),
            (AttributeName::from("load5"), Value::Number(number(0.25))),
        ]),
    }
}

fn member() -> MemberRecord {
    MemberRecord {
        key: PeerKey([7; 32]),
        addresses: vec![address()],
        provider: ProviderName::from("lab"),
        region: RegionName::from("aws:eu-west-1"),
        intent: Some(IntentId(3)),
    }
}

/// The generic script's life-cycle, with one of every other action and option.
fn lifecycle() -> Lifecycle {
    let mut cycle = Lifecycle::script();
    let patient = |action| Step {
        action,
        timeout_ms: Some(5_000),
        retry: Retry { times: 2, wait_ms: 100, wait_ms_max: 1_000 },
    };
    let command = Action::Command {
        argv: vec!["migrate".to_owned()],
        env: BTreeMap::from([("A".to_owned(), "{import.db.addr}".to_owned())]),
    };
    let http = Action::Http { method: "POST".to_owned(), url: "http://x/".to_owned(), body: "b".to_owned() };
    let wait = Action::Wait { probe: Probe::Tcp { export: PortName::from("http") }, every_ms: 50 };
    let actions = [
        ("a", Action::Nothing),
        ("b", Action::Start),
        ("c", Action::Stop),
        ("d", command),
        ("e", http),
        ("f", Action::Function("warm".to_owned())),
        ("g", wait),
    ];
    for (position, (name, action)) in (0..).zip(actions) {
        let mut transition = Transition::plain("ready", "started", Action::Nothing);
        (transition.dock, transition.step) = (position, patient(action));
        cycle.transitions.insert(TransitionName::from(name), transition);
    }
    cycle.exports.insert(PortName::from("http"), BTreeSet::from([PlaceName::from("ready")]));
    let span = Span {
        places: BTreeSet::from([PlaceName::from("started")]),
        transitions: BTreeSet::from([TransitionName::from("run")]),
    };
    cycle.imports.insert(PortName::from("db"), span);
    cycle
}

fn placed() -> Placed {
    Placed { node: NodeId(7), generation: Generation(2), version: Revision(3) }
}

/// One of every statement.
fn script() -> Script {
    let (web, db) = (instance("web", 1), instance("db", 0));
    let import = PortName::from("db");
    let orders = [
        Order::Add { instance: web.clone(), place: Place::Any },
        Order::Add { instance: web.clone(), place: Place::Node(NodeId(7)) },
        Order::Add { instance: web.clone(), place: Place::Beside(db.clone()) },
        Order::Del { instance: web.clone() },
        Order::Connect { importer: web.clone(), import: import.clone(), exporter: db.clone() },
        Order::Disconnect { importer: web.clone(), import, exporter: db.clone() },
        Order::Push { instance: db.clone(), behaviour: BehaviourName::from("update") },
        Order::Wait { instances: BTreeSet::from([db]) },
    ];
    let statements = (1..).zip(orders).map(|(line, order)| Statement { line, order });
    Script { statements: statements.collect() }
}

fn spec() -> Spec {
    let component = Component {
        run: Run::Exec { argv: vec!["serve".to_owned(), "{export.http.addr}".to_owned()] },
        replicas: Replicas { min: 1, max: 3 },
        needs: BTreeMap::from([("memory".to_owned(), number(1e9))]),
        exports: Ports::from_iter([(
            PortName::from("http"),
            Export {
                port: Some(80),
                public: true,
                data: false,
                values: BTreeSet::from([ValueName::from("url")]),
            },
        )]),
        imports: Ports::from_iter([(
            PortName::from("db"),
            Import {
                component: ComponentName::from("db"),
                export: PortName::from("sql"),
                optional: false,
                pick: Pick::Some(2),
                on_loss: OnLoss::Suspend,
                notify: true,
                via: Via::Direct,
            },
        )]),
        health: Some(Health {
            probe: Probe::Http { export: PortName::from("http"), path: "/".to_owned() },
            every_ms: 1_000,
            fail_after: 3,
        }),
        stop: Stop { signal: "TERM".to_owned(), grace_ms: 5_000 },
        env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        secrets: BTreeMap::from([("B".to_owned(), Secret::Sealed(Sealed(vec![1, 2, 3])))]),
        lifecycle: Some(Box::new(lifecycle())),
        attributes: BTreeMap::from([(ValueName::from("colour"), "blue".to_owned())]),
        exclusive: true,
        state: State::Pinned { on_loss: OnDataLoss::Wait },
        unavailable_max: 2,
        on_failure: OnFailure::Unwind,
        closure: Some(Closure { tree: Digest([9; 32]), bytes: 300, folder: "/srv/shop".to_owned() }),
    };
    Spec {
        app: AppName::from("app"),
        version: "1".to_owned(),
        components: share(BTreeMap::from([(ComponentName::from("web"), component)])),
        requires: Vec::new(),
        utilities: Vec::new(),
        migration: Migration { add: number(0.012), remove: Number::ZERO },
        optimise: Optimise {
            every_ms: 30_000,
            min_gain: number(0.01),
            max_moves: Some(2),
            settle_ms: 60_000,
            deadline_ms: 2_000,
        },
        budget: Some(Budget { currency: "USD".to_owned(), max_hourly: number(1.5) }),
        providers: BTreeMap::new(),
        anchors: vec![RegionName::from("aws:us-east-1")],
        orphan_after_ms: 86_400_000,
    }
}

fn genesis() -> Command {
    Command::Genesis(Box::new(Genesis {
        app: AppName::from("app"),
        lineage: Lineage(42),
        founder: MemberRecord { intent: None, ..member() },
        operators: BTreeSet::from([PeerKey([9; 32])]),
        timers: Timers::LOCAL,
        overlay_secret: OverlaySecret([5; 32]),
    }))
}

fn plan() -> Command {
    Command::Plan(Box::new(Plan {
        revision: Revision(2),
        parent: Revision(1),
        spec: Revision(1),
        orders: vec![order()],
        placement: BTreeMap::from([
            (instance("web", 0), Slot::Node(NodeId(5))),
            (instance("web", 1), Slot::Order(0)),
            (instance("web", 2), Slot::Intent(IntentId(4))),
        ]),
        avoid: BTreeSet::from([(ComponentName::from("web"), NodeId(9))]),
        verdict: Verdict {
            cause: Cause::NodeLost(BTreeSet::from([NodeId(8)])),
            forced: true,
            worth: Worth {
                utility_before: None,
                utility_after: number(0.75),
                migration_cost: number(0.012),
                price_micros_per_hour: 20_800,
                terms: vec![TermChange {
                    name: RuleName::from("near"),
                    before: Some(number(0.5)),
                    after: number(0.75),
                    weight: Number::ONE,
                }],
            },
            reasons: vec!["n8 is dead".to_owned()],
        },
    }))
}

fn target() -> Configuration {
    let placed = Placed { node: NodeId(5), generation: Generation(3), version: Revision(1) };
    Configuration {
        revision: Revision(4),
        parent: Revision(3),
        plan: Revision(2),
        instances: BTreeMap::from([(instance("web", 0), placed)]),
        bindings: BTreeMap::from([(
            instance("web", 0),
            Ports::from_iter([(PortName::from("db"), BTreeSet::from([instance("db", 0)]))]),
        )]),
        pushes: BTreeMap::from([(
            instance("web", 0),
            vec![Push { number: 3, behaviour: BehaviourName::from("update") }],
        )]),
    }
}

fn commands() -> Vec<(&'static str, Command)> {
    let outcome = |outcome| Command::Outcome { intent: IntentId(4), outcome };
    let host = BoundHost { host: HostId::from("h1"), address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
    let join = Join {
        ticket: IntentId(4),
        host: HostId::from("h1"),
        key: PeerKey([1; 32]),
        addresses: vec![address()],
    };
    let set = SetSpec { revision: Revision(1), spec: spec(), source: "[app]".to_owned() };
    vec![
        ("genesis", genesis()),
        ("set-spec", Command::SetSpec(Box::new(set))),
        ("plan", plan()),
        ("bound", outcome(Outcome::Bound(host))),
        ("unknown", outcome(Outcome::Unknown)),
        ("absent", outcome(Outcome::Absent(AbsentReason::NotListed))),
        ("releasing", outcome(Outcome::Releasing(ReleaseReason::Unneeded))),
        ("released", outcome(Outcome::Released)),
        (
            "reclaim",
            Command::Reclaim {
                provider: ProviderName::from("lab"),
                host: HostId::from("h2"),
                order: Box::new(order()),
            },
        ),
        ("join", Command::Join(join)),
        ("drain", Command::Drain { node: NodeId(5) }),
        ("leave", Command::Leave { node: NodeId(5) }),
        (
            "dead",
            Command::Dead { nodes: BTreeMap::from([(NodeId(8), BTreeSet::from([NodeId(1), NodeId(5)]))]) },
        ),
        ("target", Command::Target(Arc::new(target()))),
        ("settled", Command::Settled { target: Revision(4) }),
        ("take-down", Command::TakeDown),
        ("mark", Command::Mark),
        ("batch", Command::Batch(vec![Command::Mark, Command::TakeDown])),
        (
            "gone",
            Command::Gone {
                target: Revision(9),
                instances: BTreeMap::from([(instance("web", 1), placed())]),
            },
        ),
        ("unwind", Command::Unwind { component: ComponentName::from("web"), version: Revision(3) }),
        ("run-script", Command::RunScript { number: 2, script: Box::new(script()) }),
        ("advance", Command::Advance { number: 2, from: 1, to: 4 }),
        ("end-script", Command::EndScript { number: 2 }),
        (
            "stall",
            Command::Stall { number: 2, at: 3, instance: instance("web", 1), exporter: instance("db", 0) },
        ),
        (
            "failing",
            Command::Failing {
                components: BTreeMap::from([(
                    ComponentName::from("web"),
                    Failing {
                        version: Revision(2),
                        failures: 4,
                        error: "exit 3".to_owned(),
                        nodes: BTreeSet::from([NodeId(5)]),
                    },
                )]),
            },
        ),
        (
            "steady",
            Command::Steady {
                components: BTreeMap::from([(
                    ComponentName::from("web"),
                    Proven { version: Revision(2), nodes: BTreeSet::from([NodeId(5), NodeId(8)]) },
                )]),
            },
        ),
        ("give-up-data", Command::GiveUpData { copies: BTreeMap::from([(instance("db", 0), home())]) }),
        ("forgive", Command::Forgive { marks: BTreeSet::from([(ComponentName::from("web"), NodeId(5))]) }),
    ]
}

/// One statement about each kind of subject.
fn facts() -> Batch {
    let stated = |subject, attribute: &str, value, sensor| fact::Statement {
        subject,
        attribute: AttributeName::from(attribute),
        value,
        sensor,
    };
    let number = |value| Some(Value::Number(number(value)));
    let text = |value: &str| Some(Value::Text(value.to_owned()));
    let statements = vec![
        stated(Subject::Node(NodeId(5)), "arch", text("x86_64"), SensorKind::Host),
        stated(Subject::Offer("lab".into(), "small".into()), "load5", number(0.25), SensorKind::Catalogue),
        stated(Subject::Link(NodeId(1), NodeId(5)), "rtt_ms", number(80.0), SensorKind::Link),
        stated(Subject::Path("eu".into(), "us".into()), "rtt_ms", number(90.0), SensorKind::Catalogue),
        stated(Subject::Copy(instance("web", 1)), "memory", number(1048576.0), SensorKind::Process),
        stated(Subject::Copy(instance("web", 1)), "queue", None, SensorKind::Exec),
    ];
    Batch { origin: NodeId(5), revision: Revision(7), statements }
}

fn messages() -> Vec<(&'static str, Message)> {
    let heartbeat =
        Heartbeat { term: Term(3), coordinator: Some(NodeId(1)), coordinator_age_ms: 250, applied: 77 };
    let report = InstanceReport {
        generation: Generation(3),
        phase: InstancePhase::Started,
        bindings_missing: 1,
        failures: 2,
        failure: Some("exit 1".to_owned()),
        version: Revision(1),
        idle: true,
        pushed: 3,
        places: BTreeSet::from([PlaceName::from("started")]),
        addresses: [(PortName::from("http"), address())].into_iter().collect(),
        not_ready: Some("3 tries".to_owned()),
        retry: Some(RetryWait { failures: 3, wait_ms: 2_000 }),
    };
    let report =
        Report { number: 6, target: Revision(4), instances: BTreeMap::from([(instance("web", 0), report)]) };
    let entries = vec![
        CommittedEntry { index: 1, term: Term(1), entry: LogEntry::Blank },
        CommittedEntry {
            index: 2,
            term: Term(1),
            entry: LogEntry::Membership { voters: BTreeSet::from([NodeId(1)]), learners: BTreeSet::new() },
        },
        CommittedEntry { index: 3, term: Term(1), entry: LogEntry::Command(Command::Mark) },
        CommittedEntry { index: 4, term: Term(1), entry: LogEntry::Unreadable },
    ];
    let subject = NodeId(8);
    let id = UseId(11);
    let bind = AgentMessage::Bind {
        id,
        importer: instance("web", 0),
        import: PortName::from("db"),
        exporter: instance("db", 0),
        generation: Generation(2),
        export: PortName::from("sql"),
    };
    let values = BTreeMap::from([(ValueName::from("user"), "admin".to_owned())]);
    let words = vec![
        bind,
        AgentMessage::Bound { id, served: Served { address: Some(address()), values } },
        AgentMessage::AskUnbind { id, target: Revision(4) },
        AgentMessage::Lost { id, restart: true },
        AgentMessage::Unbound { id },
    ];
    let frame = Frame { session: 2, peer_session: 1, ack: 9, first: 4, messages: words };
    vec![
        ("heartbeat", Message::Control(Control::Heartbeat(heartbeat))),
        ("check", Message::Control(Control::Check { subject })),
        ("heard", Message::Control(Control::Heard { subject, heard_ms_ago: Some(300) })),
        ("alert", Message::Control(Control::Alert { subject })),
        ("relief", Message::Control(Control::Relief { subject })),
        ("pull", Message::Control(Control::Pull { after: 76 })),
        ("entries", Message::Control(Control::Entries(entries))),
        ("snapshot", Message::Control(Control::Snapshot(vec![1, 2, 3]))),
        ("report", Message::Control(Control::Report(report))),
        ("report-seen", Message::Control(Control::ReportSeen { number: 6 })),
        ("channel", Message::Channel(frame)),
    ]
}

/// Adds a record's line, and checks that its bytes read back as the same record.
fn line<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &mut String, name: &str, record: &T) {
    let bytes = to_stdvec(record).expect("plain data");
    assert_eq!(&from_bytes::<T>(&bytes).expect("plain data"), record, "{name} does not read back");
    write!(text, "{name} ").expect("plain data");
    bytes.iter().for_each(|byte| write!(text, "{byte:02x}").expect("plain data"));
    text.push('\n');
}

fn all() -> String {
    let mut text = String::new();
    for (name, command) in commands() {
        line(&mut text, &format!("command/{name}"), &CommandRecord::V1(command));
    }
    for (name, message) in messages() {
        line(&mut text, &format!("message/{name}"), &MessageRecord::V1(message));
    }
    let fence = Record::Fence { instance: instance("web", 0), generation: Generation(3) };
    line(&mut text, "node/fence", &NodeRecord::V1(fence));
    line(&mut text, "node/session", &NodeRecord::V1(Record::Session { session: 2 }));
    line(&mut text, "node/target", &NodeRecord::V1(Record::Target { revision: Revision(9) }));
    line(&mut text, "gossip/facts", &BatchRecord::V1(facts()));
    let boot = Boot {
        app: "app".to_owned(),
        lineage: Lineage(42),
        ticket: IntentId(4),
        secret: TicketSecret([6; 32]),
        members: BTreeMap::from([(NodeId(1), member())]),
    };
    line(&mut text, "boot", &BootRecord::V1(boot));
    let join = Join {
        ticket: IntentId(4),
        host: HostId::from("h1"),
        key: PeerKey([1; 32]),
        addresses: vec![address()],
    };
    line(&mut text, "join/ask", &JoinAskRecord::V1(join));
    let answers = [
        ("accepted", JoinAnswer::Accepted { node: NodeId(12), ledger: vec![1, 2] }),
        ("redirect", JoinAnswer::Redirect { node: NodeId(5), member: member() }),
        ("later", JoinAnswer::Later),
        ("refused", JoinAnswer::Refused { reason: "late".to_owned() }),
    ];
    for (name, answer) in answers {
        line(
            &mut text,
            &format!("join/{name}"),
            &JoinAnswerRecord::V1 { answer, key: Some(SealingKey([9; 32])) },
        );
    }
    text
}

#[test]
fn the_bytes_of_every_record_are_those_that_were_kept() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/records.txt");
    let now = all();
    if std::env::var_os("RHIZO_BLESS").is_some() {
        std::fs::write(path, &now).expect("plain data");
    }
    let kept = std::fs::read_to_string(path).expect("plain data");
    for (kept, now) in kept.lines().zip(now.lines()) {
        assert_eq!(kept, now, "a record changed: running overlays would not understand it");
    }
    let (kept, now) = (kept.lines().count(), now.lines().count());
    assert_eq!(kept, now, "a record has no kept bytes: RHIZO_BLESS=1 adds them");
}

#[test]
fn truncated_and_garbled_bytes_are_errors_and_never_a_panic() {
    for (_, command) in commands() {
        let bytes = to_stdvec(&CommandRecord::V1(command)).expect("plain data");
        for end in 0..bytes.len() {
            assert!(from_bytes::<CommandRecord>(&bytes[..end]).is_err(), "a part was read as a whole");
        }
        for position in 0..bytes.len() {
            let mut garbled = bytes.clone();
            garbled[position] ^= 0xa5;
            let _either_way = from_bytes::<CommandRecord>(&garbled);
        }
    }
}
