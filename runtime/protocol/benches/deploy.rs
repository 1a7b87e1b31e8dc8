//! The time of the core to deploy and take down chains, stars and trees of actions that take no time.
//!
//! One node coordinates and hosts everything. It is given a placement, starts every instance, settles the target, and
//! takes everything down again. The log and the node's records go through their codec into a file that is synced once
//! per turn, as in a shell. In the cases `nothing` an action does nothing, and a whole deployment is one turn. In the
//! cases `events` an effect begins each action and an event of its own ends it. `cargo bench -p rhizo-protocol -- chain
//! nothing 5000` runs one case; without arguments all cases run. Processes, sockets and the log's engine are measured
//! elsewhere: `docs/benchmarks.md`.

use rhizo_protocol::{
    Effect, Event, Ledger, LogStatus, Member, Node, NodeConfig, Proposal, ProposeResult, Request, RequestId,
    SolveOutcome, Turn, codec,
};
use rhizo_types::id::*;
use rhizo_types::intent::{AcquireOrder, BoundHost, Intent, IntentState};
use rhizo_types::ledger::{FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::message::{InstancePhase, LogEntry};
use rhizo_types::spec::*;
use rhizo_types::target::{Slot, Worth};
use rhizo_types::{Epoch, Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

const ME: NodeId = NodeId(2);

/// The numbers of the components that component `c{n}` of a shape imports.
fn imports(shape: &str, n: usize, count: usize) -> Vec<usize> {
    match shape {
        "chain" => (n + 1 < count).then_some(n + 1).into_iter().collect(),
        "star" => (n > 0).then_some(0).into_iter().collect(),
        // A node of a binary tree uses both its children.
        _ => [2 * n + 1, 2 * n + 2].into_iter().filter(|child| *child < count).collect(),
    }
}

fn name(n: usize) -> ComponentName {
    ComponentName(format!("c{n}"))
}

fn spec(shape: &str, kind: &str, count: usize) -> Spec {
    let component = |n: usize| {
        let export = Export { data: true, ..Export::SERVICE };
        let import =
            |other: usize| (PortName(format!("to-{other}")), Import::of(name(other), PortName::from("main")));
        let component = Component {
            exports: Ports::from_iter([(PortName::from("main"), export)]),
            imports: imports(shape, n, count).into_iter().map(import).collect(),
            ..Component::new(if kind == "nothing" { Run::Nothing } else { Run::Embedded })
        };
        (name(n), component)
    };
    let spec = Spec::new("bench", (0..count).map(component).collect());
    // The figures leave the optimiser out.
    Spec { optimise: Optimise { every_ms: 3_600_000, ..spec.optimise }, ..spec }
}

fn record(id: NodeId, intent: Option<IntentId>) -> MemberRecord {
    MemberRecord {
        key: PeerKey([u8::try_from(id.0).unwrap_or(0); 32]),
        addresses: Vec::new(),
        provider: ProviderName::from("lab"),
        region: RegionName::from("r"),
        intent,
    }
}

/// A ledger with the founder, this node on a host of its own, and the spec.
fn ledger(shape: &str, kind: &str, count: usize) -> Ledger {
    let order = AcquireOrder {
        provider: ProviderName::from("lab"),
        offer: OfferName::from("small"),
        region: RegionName::from("r"),
        price_micros_per_hour: 0,
        capacity: BTreeMap::new(),
        attributes: BTreeMap::new(),
    };
    let host = Some(BoundHost { host: HostId::from("h"), address: None });
    let id = IntentId(1);
    let intent = Intent { id, order, state: IntentState::Bound, host, node: Some(ME) };
    let genesis = Genesis {
        app: AppName::from("bench"),
        lineage: Lineage(1),
        founder: record(FOUNDER, None),
        operators: BTreeSet::new(),
        timers: Timers { place_grace_ms: 0, ..Timers::LOCAL },
        overlay_secret: OverlaySecret([0; 32]),
    };
    let set = SetSpec { revision: Revision(1), spec: spec(shape, kind, count), source: String::new() };
    let mut ledger = Ledger { index: 1, term: Term(1), genesis: Some(genesis), ..Ledger::default() };
    ledger.epoch = Epoch(1);
    ledger.specs.insert(Revision(1), set);
    ledger.members.insert(FOUNDER, Member { record: record(FOUNDER, None), draining: false });
    ledger.members.insert(ME, Member { record: record(ME, Some(id)), draining: false });
    ledger.intents.insert(id, intent);
    ledger.intents_issued = 1;
    ledger.voters.insert(ME);
    ledger
}

/// A shell of one node: commits at once, durably, and answers the solver with everything on this node.
struct World {
    node: Node,
    now: Time,
    index: u64,
    disk: File,
    events: VecDeque<Event>,
    handled: u64,
    syncs: u64,
    core_s: f64,
}

impl World {
    fn new(shape: &str, kind: &str, count: usize) -> io::Result<Self> {
        let ledger = ledger(shape, kind, count);
        let index = ledger.index;
        let config = NodeConfig { me: ME, ledger, records: Vec::new(), genesis: None };
        let status = LogStatus {
            term: Term(1),
            leader: Some(ME),
            quorum: true,
            last_index: index,
            voters: BTreeSet::from([ME]),
            ..LogStatus::default()
        };
        let path = std::env::temp_dir().join(format!("rhizo-bench-deploy-{}", std::process::id()));
        let disk = File::create(&path)?;
        std::fs::remove_file(&path)?;
        let mut world = Self {
            node: Node::new(config),
            now: Time(1_000_000),
            index,
            disk,
            events: VecDeque::from([Event::LinkUp { peer: FOUNDER }, Event::LogStatus(status)]),
            handled: 0,
            syncs: 0,
            core_s: 0.0,
        };
        world.events.push_back(Event::Tick);
        Ok(world)
    }

    /// Handles events, and advances the time when there are none, until a condition holds.
    fn run(&mut self, done: impl Fn(&Node) -> bool) -> io::Result<()> {
        loop {
            let Some(event) = self.events.pop_front() else {
                if done(&self.node) {
                    return Ok(());
                }
                let next = self.node.deadline().ok_or_else(|| io::Error::other("the core never wakes"))?;
                self.now = next.max(Time(self.now.0 + 1));
                self.events.push_back(Event::Tick);
                continue;
            };
            let begun = Instant::now();
            let turn = self.node.handle(self.now, event);
            self.core_s += begun.elapsed().as_secs_f64();
            self.handled += 1;
            self.execute(turn)?;
        }
    }

    fn execute(&mut self, turn: Turn) -> io::Result<()> {
        let mut bytes: Vec<u8> = Vec::new();
        for record in &turn.durable {
            bytes.extend(codec::encode_record(record));
        }
        for effect in turn.effects() {
            match effect {
                Effect::Propose { id, command } => {
                    bytes.extend(codec::encode_command(command));
                    self.index += 1;
                    let entry = LogEntry::Command(command.clone());
                    self.events.push_back(Event::Committed { index: self.index, term: Term(1), entry });
                    let result = ProposeResult::Committed { index: self.index };
                    self.events.push_back(Event::Proposed { id: *id, result });
                }
                Effect::Solve(request) => {
                    let components = &self.node.ledger().spec().map(|spec| &spec.components);
                    let names = components.iter().flat_map(|components| components.keys());
                    let placement = names.map(|name| (name.clone(), vec![Slot::Node(ME)])).collect();
                    let proposal =
                        Proposal { placement, orders: Vec::new(), worth: Worth::full(), reasons: Vec::new() };
                    let outcome = SolveOutcome::Proposal(Box::new(proposal));
                    self.events.push_back(Event::Solved { id: request.id, outcome });
                }
                Effect::Start(call) => {
                    let run = call.run.clone();
                    self.events.push_back(Event::Started { run, exports: BTreeMap::new() });
                }
                Effect::Stop { run } => self.events.push_back(Event::Stopped { run: run.clone() }),
                _ => {}
            }
        }
        if !bytes.is_empty() {
            self.disk.write_all(&bytes)?;
            self.disk.sync_data()?;
            self.syncs += 1;
        }
        Ok(())
    }
}

fn settled(node: &Node) -> bool {
    let ledger = node.ledger();
    ledger.settled == ledger.target.revision && !ledger.target.instances.is_empty()
}

/// Peak and present resident memory, in MiB.
fn memory_mib() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let kib =
            line.and_then(|line| line.split_whitespace().nth(1)).and_then(|text| text.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1_024.0
    };
    (field("VmHWM:"), field("VmRSS:"))
}

fn case(shape: &str, kind: &str, count: usize) -> io::Result<()> {
    let mut world = World::new(shape, kind, count)?;
    let begun = Instant::now();
    world.run(settled)?;
    let up_s = begun.elapsed().as_secs_f64();
    let started = world.node.agent().instances().filter(|view| view.phase == InstancePhase::Started).count();
    assert_eq!(started, count, "every instance is started");
    let (peak, resident) = memory_mib();
    let (up_core_s, handled, syncs) = (world.core_s, world.handled, world.syncs);
    let begun = Instant::now();
    world.events.push_back(Event::Request { id: RequestId(1), request: Request::TakeDown });
    world.run(|node| node.agent().is_empty())?;
    let down_s = begun.elapsed().as_secs_f64();
    println!(
        "{shape:<6} {kind:<7} {count:>7} {:>9.1} {:>9.1} {:>9.1} {handled:>8} {syncs:>6} {peak:>9.1} {resident:>9.1}",
        up_s * 1e3,
        up_core_s * 1e3,
        down_s * 1e3,
    );
    Ok(())
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    println!("shape  kind      count    up_ms   core_ms   down_ms   events  syncs  peak_MiB   now_MiB");
    if let [shape, kind, count] = words.as_slice() {
        let count = count.parse().map_err(io::Error::other)?;
        return case(shape, kind, count);
    }
    for shape in ["chain", "star", "tree"] {
        for kind in ["nothing", "events"] {
            for count in [1_000, 5_000, 20_000, 100_000] {
                case(shape, kind, count)?;
            }
        }
    }
    Ok(())
}
