//! `rhizo-bench deploy --chain N | --star N | --tree N`: thousands of instances in one process, durably.
//!
//! It runs the parts of a node that execute instances: the core, the replicated log in its real store (one voter,
//! group commit), the node's records in a file that is synced before anything depends on them, a task per action whose
//! outcome comes back through a queue, and the lines that a node writes to its log. Config, optimiser, links and
//! provider are left out, because their limits (a thousand components in one config, 256 KiB in one entry) are below
//! these shapes. The spec is in the ledger from the beginning and everything is placed on this node. An entry that is
//! too long for the log is split into pieces, all of which are durable before it is applied. Read next: `ledger`
//! below, `shape`.

mod ledger;
mod machine;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhizo_log::{LogConfig, LogNode, Storage, Timers};
use rhizo_protocol::{
    Effect, Event, LogStatus, Node, NodeConfig, Proposal, ProposeResult, Request, RequestId, SolveOutcome,
    Turn, codec,
};
use rhizo_types::message::InstancePhase;
use rhizo_types::target::{Slot, Worth};
use rhizo_types::{Lineage, Time};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::shape::Shape;
use super::usage::Usage;
use ledger::ME;

/// Reports of tasks wait in a queue of this length, as a node's do.
const QUEUE_LEN: usize = 1_024;

/// Time-out of a proposal, which is that of a node.
const PROPOSE_MAX: Duration = Duration::from_secs(10);

/// Time after which a phase has failed; far longer than any phase takes.
const WATCHDOG: Duration = Duration::from_secs(600);

/// Deploys the shape, measures the idle node for some seconds, and removes the shape.
pub(super) fn measure(shape: Shape, idle_s: u64) -> Result<Value, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("make a runtime: {error}"))?;
    let own = std::process::id();
    runtime.block_on(async {
        let mut world = World::found(shape).await?;
        let before = Usage::of(own)?;
        let begun = Instant::now();
        world.queue.push_back(Event::Tick);
        world.run(settled).await?;
        let total = begun.elapsed().as_secs_f64();
        let after = Usage::of(own)?;
        let started = world.node.agent().instances().filter(|view| view.phase == InstancePhase::Started);
        let started = started.count();
        if started != shape.count {
            return Err(format!("see {} instances started: {started} are", shape.count));
        }
        let mut figures = json!({
            "instances": started, "critical_path": 0.0, "total": total, "overhead": total,
            "cpu": after.cpu_s - before.cpu_s, "core": world.core_s, "rss": after.rss_max_bytes,
            "rss_now": after.rss_bytes, "rss_before": before.rss_bytes,
            "syncs": world.syncs, "entries": world.entries, "entry_bytes": world.entry_bytes,
        });
        if idle_s > 0 {
            let before = world.events;
            world.rest(Duration::from_secs(idle_s)).await?;
            let rested = Usage::of(own)?;
            figures["idle"] = json!({
                "seconds": idle_s, "cpu": rested.cpu_s - after.cpu_s, "rss": rested.rss_bytes,
                "events": world.events - before,
            });
        }
        let begun = Instant::now();
        world.queue.push_back(Event::Request { id: RequestId(1), request: Request::TakeDown });
        world.run(|node| node.agent().is_empty()).await?;
        figures["down"] = json!(begun.elapsed().as_secs_f64());
        world.log.shutdown().await;
        Ok(figures)
    })
}

fn settled(node: &Node) -> bool {
    let ledger = node.ledger();
    ledger.settled == ledger.target.revision && !ledger.target.instances.is_empty()
}

/// A node's parts in one task.
struct World {
    node: Node,
    queue: VecDeque<Event>,
    log: LogNode,
    log_status: watch::Receiver<rhizo_log::LogStatus>,
    entries_in: mpsc::UnboundedReceiver<Event>,
    input: mpsc::Sender<Event>,
    inputs: mpsc::Receiver<Event>,
    journal: File,
    notices: BufWriter<File>,
    origin: Instant,
    folder: PathBuf,
    core_s: f64,
    events: u64,
    syncs: u64,
    entries: u64,
    entry_bytes: usize,
}

impl World {
    /// A node that leads its log and has nothing placed yet.
    async fn found(shape: Shape) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("rhizo-bench-instances-{}", std::process::id()));
        let failed = |error: io::Error| format!("write into {}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let journal = File::create(folder.join("journal")).map_err(failed)?;
        let notices = BufWriter::new(File::create(folder.join("node.log")).map_err(failed)?);
        let (entries, entries_in) = mpsc::unbounded_channel();
        let (input, inputs) = mpsc::channel(QUEUE_LEN);
        let ledger = ledger::of(shape);
        let machine = machine::Applied::new(ledger.clone(), entries);
        let storage = Storage::Disk { dir: folder.join("raft"), must_exist: false };
        let config = LogConfig::new(ME, Lineage(1), storage, Timers::LOCAL);
        let log = LogNode::open(config, Box::new(machine), Arc::new(machine::Nobody)).await;
        let log = log.map_err(|error| format!("open the log: {error}"))?;
        log.initialise().await.map_err(|error| format!("found the log: {error}"))?;
        let config = NodeConfig { me: ME, ledger, records: Vec::new(), genesis: None };
        let mut world = Self {
            node: Node::new(config),
            queue: VecDeque::new(),
            log_status: log.watch(),
            log,
            entries_in,
            input,
            inputs,
            journal,
            notices,
            origin: Instant::now(),
            folder,
            core_s: 0.0,
            events: 0,
            syncs: 0,
            entries: 0,
            entry_bytes: 0,
        };
        // This node becomes the coordinator with the first status that names it as the leader.
        let leads = |status: &rhizo_log::LogStatus| {
            status.leader == Some(ME) && status.last_applied_term == Some(status.term)
        };
        let led = tokio::time::timeout(WATCHDOG, world.log_status.wait_for(leads)).await;
        drop(led.map_err(|_| "lead the log in time".to_owned())?.map_err(|_| "follow the log".to_owned())?);
        Ok(world)
    }

    /// Handles events until a condition holds.
    async fn run(&mut self, done: impl Fn(&Node) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        self.log_changed().await?;
        loop {
            while let Some(event) = self.queue.pop_front() {
                self.feed(event).await?;
            }
            if done(&self.node) {
                return Ok(());
            }
            if begun.elapsed() > WATCHDOG {
                return Err(format!("see the end of it within {} s", WATCHDOG.as_secs()));
            }
            self.wait(WATCHDOG).await?;
        }
    }

    /// Handles events for a while without new requests.
    async fn rest(&mut self, period: Duration) -> Result<(), String> {
        let end = Instant::now() + period;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.wait(left).await?;
            while let Some(event) = self.queue.pop_front() {
                self.feed(event).await?;
            }
        }
        Ok(())
    }

    /// Waits for the next input, with the priorities of a node's event loop.
    async fn wait(&mut self, longest: Duration) -> Result<(), String> {
        let due = self.node.deadline().map(|at| self.origin + Duration::from_micros(at.0));
        let due = due.unwrap_or_else(|| Instant::now() + longest).min(Instant::now() + longest);
        tokio::select! {
            biased;
            entry = self.entries_in.recv() => self.queue.extend(entry),
            changed = self.log_status.changed() => {
                changed.map_err(|_| "follow the log".to_owned())?;
                self.log_changed().await?;
            }
            input = self.inputs.recv() => self.queue.extend(input),
            () = tokio::time::sleep_until(due.into()) => self.queue.push_back(Event::Tick),
        }
        Ok(())
    }

    async fn log_changed(&mut self) -> Result<(), String> {
        let status = self.log_status.borrow_and_update().clone();
        let status = LogStatus {
            term: status.term,
            leader: status.leader,
            quorum: status.quorum,
            last_index: status.last_log.unwrap_or(0),
            voters: status.voters,
            changing: status.joint,
            learners: status.learners,
            matched: BTreeMap::new(),
            ..LogStatus::default()
        };
        self.feed(Event::LogStatus(status)).await
    }

    async fn feed(&mut self, event: Event) -> Result<(), String> {
        let now = Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX));
        let begun = Instant::now();
        let turn = self.node.handle(now, event);
        self.core_s += begun.elapsed().as_secs_f64();
        self.events += 1;
        self.execute(turn).map_err(|error| format!("keep the node's records: {error}"))?;
        if self.queue.len() > QUEUE_LEN {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn execute(&mut self, turn: Turn) -> io::Result<()> {
        for effect in turn.now {
            self.carry_out(effect)?;
        }
        if !turn.durable.is_empty() {
            let bytes: Vec<u8> = turn.durable.iter().flat_map(codec::encode_record).collect();
            self.journal.write_all(&bytes)?;
            self.journal.sync_data()?;
            self.syncs += 1;
        }
        for effect in turn.after_durable {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Propose { id, command } => {
                let bytes = codec::encode_command(&command);
                self.entries += 1;
                self.entry_bytes += bytes.len();
                let (log, input) = (self.log.clone(), self.input.clone());
                tokio::spawn(async move {
                    let result = match machine::propose(&log, &bytes, PROPOSE_MAX).await {
                        Some(index) => ProposeResult::Committed { index },
                        None => ProposeResult::Unknown,
                    };
                    // The receiver lives as long as the bench.
                    let _ended = input.send(Event::Proposed { id, result }).await;
                });
            }
            Effect::Solve(request) => {
                let outcome = SolveOutcome::Proposal(Box::new(everything_here(&self.node)));
                self.queue.push_back(Event::Solved { id: request.id, outcome });
            }
            Effect::Start(call) => {
                self.report(Event::Started { run: call.run.clone(), exports: BTreeMap::new() });
            }
            Effect::Stop { run } => self.report(Event::Stopped { run }),
            Effect::Notice { notice, .. } => writeln!(self.notices, "{notice}")?,
            _ => {}
        }
        Ok(())
    }

    /// An action that takes no time: a task that reports its end.
    fn report(&self, event: Event) {
        let input = self.input.clone();
        tokio::spawn(async move {
            let _ended = input.send(event).await;
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A directory that cannot be removed is only a temporary one.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The plan for a deployment with one host.
fn everything_here(node: &Node) -> Proposal {
    let names: BTreeSet<_> =
        node.ledger().spec().into_iter().flat_map(|spec| spec.components.keys()).collect();
    Proposal {
        placement: names.into_iter().map(|name| (name.clone(), vec![Slot::Node(ME)])).collect(),
        orders: Vec::new(),
        worth: Worth::full(),
        reasons: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_deployed_durably_and_taken_down() {
        for form in ["chain", "star", "tree"] {
            let figures = measure(Shape::new(form, 40).unwrap(), 1).unwrap();
            assert_eq!(figures["instances"], 40, "{form}: {figures:#}");
            // The entries for the plan, the target and its completion, and the agent's records.
            assert!(figures["entries"].as_u64() >= Some(3), "{form}: {figures:#}");
            assert!(figures["syncs"].as_u64() >= Some(1), "{form}: {figures:#}");
        }
    }
}
