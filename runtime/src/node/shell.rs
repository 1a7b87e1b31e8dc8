//! The event loop of a node: takes its input from a closed set of sources and executes the core's turns.
//!
//! It decides nothing about the application: every decision is made in `rhizo-protocol`. It persists before it sends,
//! as [`Turn`] requires. Its state is divided by owner, one part and file each: [`Links`], [`ReplicatedLog`],
//! [`Journal`], [`Facts`], [`Providers`], [`Planning`], [`Admin`] and [`Components`]. Read next: [`super::effects`],
//! which passes effects to the parts, and [`super::inbound`], which converts the input from links into events.

use super::NodeError;
use super::admin::{Admin, Asker};
use super::entries::Entries;
use super::facts::{Facts, ProblemKind};
use super::identity::{Identity, LedgerCopy};
use super::input::Input;
use super::journal::Journal;
use super::limits;
use super::links::Links;
use super::log_stores::forget_stores;
use super::persistence::Persistence;
use super::planning::Planning;
use super::providers::Providers;
use super::replicated_log::{self, ENTRIES_MAX, ReplicatedLog};
use super::sensing::Sensing;
use crate::component::Components;
use rhizo_actuators::process::EndingFile;
use rhizo_knowledge::Snapshot;
use rhizo_overlay::{Overlay, OverlayEvents};
use rhizo_protocol::event::{Event, LogStatus};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::{HaltReason, Node as Core, Turn};
use rhizo_traffic::{Lookup, Traffic};
use rhizo_types::ledger::Timers;
use rhizo_types::secret::SealingKey;
use rhizo_types::{InstanceId, Lineage, ProviderName, Time};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};

/// Time between two ticks, in milliseconds. At a tick the loop gossips this node's statements if a batch is due, which
/// is once a second at most.
const TICK_MS: u64 = 1_000;

/// Number of ticks between two looks at the limits of the operating system. A look reads one directory of `/proc`.
const LIMITS_TICKS: u64 = 5;

/// Number of ticks between two collections of unused closures. Those of an earlier version are kept at least until the
/// next collection, and as long as the ledger has its spec.
const COLLECT_TICKS: u64 = 600;

/// Number of events that are executed in a row before other tasks of this thread run.
const EVENTS_PER_TURN_MAX: usize = 64;

/// The parts of a node before its loop runs.
pub(super) struct Parts {
    pub(super) core: Core,
    pub(super) dir: PathBuf,
    pub(super) journal: Journal,
    pub(super) overlay: Overlay,
    pub(super) events: OverlayEvents,
    pub(super) components: Components,
    pub(super) traffic: Arc<Traffic>,
    /// The questions of the data plane.
    pub(super) lookups: mpsc::Receiver<Lookup>,
    pub(super) providers: Providers,
    pub(super) input: mpsc::Sender<Input>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) identity: Identity,
    /// The key that opens the application's secrets, for the nodes that join.
    pub(super) sealing_key: Option<SealingKey>,
    /// Where the node announces how long its end may take; none at the founder, which has no supervisor.
    pub(super) ending: Option<EndingFile>,
    /// Called when the members have changed. The founder writes them down for the command line.
    pub(super) members_changed: Box<dyn FnMut(&Ledger) + Send>,
}

/// How a node gets its log.
pub(super) enum Opening {
    /// The founder of a new lineage begins the log. The timers come from here because the genesis entry, which has
    /// them, is not committed yet.
    Found(Lineage, Timers),
    /// A restarted node opens the log that it had.
    Reopen,
    /// A new node has no log before a leader sends it entries.
    Wait,
}

/// A node: its core and the parts that do input and output for it.
pub(super) struct Shell {
    pub(super) core: Core,
    pub(super) links: Links,
    entries: Entries,
    pub(super) log: ReplicatedLog,
    pub(super) facts: Facts,
    pub(super) providers: Providers,
    pub(super) planning: Planning,
    pub(super) components: Components,
    sensing: Sensing,
    pub(super) admin: Admin,
    /// The key that opens the application's secrets.
    pub(super) sealing_key: Option<SealingKey>,
    /// Events that the shell makes for the core while it executes a turn.
    pub(super) local: VecDeque<Event>,
    /// Set when the core has halted.
    pub(super) halting: Option<HaltReason>,
    persistence: Persistence,
    pub(super) copy: LedgerCopy,
    /// Why the log's store cannot be written.
    log_problem: Option<String>,
    /// The status of the log that the core has; none before the log of this lineage was opened.
    pub(super) log_status: Option<LogStatus>,
    /// The node's directory.
    pub(super) dir: PathBuf,
    /// The lineage of the links and of the log.
    pub(super) lineage: Lineage,
    /// The queue of the next lineage's entries, until the loop reads it in place of the former one.
    pub(super) next_entries: Option<mpsc::Receiver<Event>>,
    /// The queue for the results of spawned work.
    pub(super) input: mpsc::Sender<Input>,
    /// The core's time is counted from here.
    origin: Instant,
    /// Number of ticks so far.
    ticks: u64,
    ending: Option<EndingFile>,
    members_changed: Box<dyn FnMut(&Ledger) + Send>,
    /// The ledger's index and epoch at the last update of the parts.
    followed: (u64, u64),
}

/// The queues that the loop waits on.
struct Sources {
    events: OverlayEvents,
    inputs: mpsc::Receiver<Input>,
    entries: mpsc::Receiver<Event>,
    lookups: mpsc::Receiver<Lookup>,
    log_status: Option<watch::Receiver<rhizo_log::LogStatus>>,
    stop: watch::Receiver<bool>,
    ticks: Interval,
}

/// The reason why the loop woke up.
enum Wake {
    Overlay(Option<rhizo_overlay::OverlayEvent>),
    Input(Option<Input>),
    Entry(Option<Event>),
    Lookup(Lookup),
    LogStatus,
    Deadline,
    /// A failed write of the journal is to be repeated.
    Retry,
    Tick,
    Stop,
}

impl Shell {
    /// Runs a node to its end.
    pub(super) async fn run(parts: Parts, opening: Opening) -> Result<HaltReason, NodeError> {
        let (mut shell, mut sources) = Self::new(parts);
        if let Opening::Found(lineage, _) = &opening {
            shell.lineage = *lineage;
        }
        shell.follow_ledger();
        match opening {
            Opening::Found(lineage, timers) => shell.log.found(lineage, &timers),
            Opening::Reopen => {
                let ledger = shell.core.ledger();
                let is_voter = ledger.voters.contains(&shell.core.me());
                let (lineage, timers) = (ledger.lineage(), ledger.timers());
                // The node may have been ended while it changed its lineage.
                let _ended = forget_stores(&shell.dir, lineage).await;
                shell.log.reopen(lineage, &timers, is_voter);
            }
            Opening::Wait => {}
        }
        shell.feed(Event::Tick).await?;
        let reason = shell.turn_around(&mut sources).await?;
        shell.wind_down(sources).await;
        Ok(reason)
    }

    fn new(parts: Parts) -> (Self, Sources) {
        let (me, lineage) = (parts.core.me(), parts.core.ledger().lineage());
        let open_entries = Entries::new(parts.traffic.clone(), parts.components.address());
        let links = Links::new(parts.overlay, parts.traffic);
        let (entries_in, entries) = mpsc::channel(ENTRIES_MAX);
        let input = parts.input.clone();
        let log = ReplicatedLog::new(me, &parts.dir, links.transport(), entries_in, input.clone());
        let mut ticks = interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (events, inputs, stop) = (parts.events, parts.inputs, parts.stop);
        let lookups = parts.lookups;
        let sources = Sources { events, inputs, entries, lookups, log_status: None, stop, ticks };
        let shell = Self {
            core: parts.core,
            links,
            entries: open_entries,
            log,
            facts: Facts::new(me),
            providers: parts.providers,
            planning: Planning::new(parts.input),
            components: parts.components,
            sensing: Sensing::new(input.clone()),
            admin: Admin::new(me, &parts.dir),
            dir: parts.dir,
            lineage,
            next_entries: None,
            input,
            sealing_key: parts.sealing_key,
            local: VecDeque::new(),
            halting: None,
            persistence: Persistence::new(parts.journal),
            log_problem: None,
            log_status: None,
            copy: LedgerCopy::new(parts.identity, me),
            origin: Instant::now(),
            ticks: 0,
            ending: parts.ending,
            members_changed: parts.members_changed,
            followed: (0, 0),
        };
        (shell, sources)
    }

    /// The core's time: microseconds since this node's loop was made.
    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    async fn turn_around(&mut self, sources: &mut Sources) -> Result<HaltReason, NodeError> {
        loop {
            match self.wait(sources).await {
                Wake::Overlay(Some(event)) => self.overlay_event(event).await?,
                Wake::Input(Some(input)) => self.take(input, sources).await?,
                Wake::Entry(Some(event)) => self.feed(event).await?,
                Wake::Lookup(lookup) => self.look_up(lookup),
                Wake::LogStatus => self.log_status(sources).await?,
                Wake::Deadline => self.feed(Event::Tick).await?,
                Wake::Retry => self.retry().await?,
                Wake::Tick => self.tick().await?,
                Wake::Stop => return Ok(HaltReason::Left),
                Wake::Overlay(None) | Wake::Input(None) | Wake::Entry(None) => {
                    return Err(NodeError::Ended("a queue of the event loop was closed"));
                }
            }
            if let Some(reason) = self.halting {
                return Ok(reason);
            }
            if let Some(entries) = self.next_entries.take() {
                (sources.entries, sources.log_status) = (entries, None);
            }
        }
    }

    async fn wait(&self, sources: &mut Sources) -> Wake {
        let deadline = self.core.deadline().map(|at| self.origin + Duration::from_micros(at.0));
        let due = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let retry = async {
            match self.persistence.retry_at() {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let log_changed = async {
            if let Some(status) = &mut sources.log_status
                && status.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        // Results of local work come before messages, so that the core first learns of work that is committed or
        // done.
        tokio::select! {
            biased;
            () = crate::component::raised(&mut sources.stop) => Wake::Stop,
            entry = sources.entries.recv() => Wake::Entry(entry),
            () = log_changed => Wake::LogStatus,
            input = sources.inputs.recv() => Wake::Input(input),
            Some(lookup) = sources.lookups.recv() => Wake::Lookup(lookup),
            () = due => Wake::Deadline,
            () = retry => Wake::Retry,
            event = sources.events.recv() => Wake::Overlay(event),
            _ = sources.ticks.tick() => Wake::Tick,
        }
    }

    /// Passes one event to the core, executes the turn, and repeats this with the events that the execution made.
    pub(super) async fn feed(&mut self, event: Event) -> Result<(), NodeError> {
        self.local.push_back(event);
        let mut fed = 0;
        while let Some(event) = self.local.pop_front() {
            let turn = self.core.handle(self.now(), event);
            let ledger = self.core.ledger();
            let changed_lineage = ledger.genesis.is_some() && ledger.lineage() != self.lineage;
            if ledger.index != self.followed.0 || changed_lineage {
                self.follow_ledger();
            }
            if changed_lineage {
                self.log_status = None;
                self.follow_lineage();
            }
            self.execute(turn)?;
            fed += 1;
            if fed % EVENTS_PER_TURN_MAX == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn execute(&mut self, turn: Turn) -> Result<(), NodeError> {
        for effect in self.persistence.take(turn)? {
            self.carry_out(effect);
        }
        Ok(())
    }

    /// Repeats a failed write of the journal and executes the effects that waited for it.
    async fn retry(&mut self) -> Result<(), NodeError> {
        for effect in self.persistence.retry() {
            self.carry_out(effect);
        }
        // What was executed may have made events for the core.
        self.feed(Event::Tick).await
    }

    /// Updates the parts after a change of the ledger.
    fn follow_ledger(&mut self) {
        let ledger = self.core.ledger();
        let roster_changed = ledger.epoch.0 != self.followed.1;
        self.links.follow(ledger, roster_changed);
        if roster_changed {
            self.components.show_members(ledger);
        }
        self.entries.follow(ledger);
        if roster_changed {
            self.components.artifacts().follow(ledger);
            self.facts.keep_members(ledger);
            self.copy.members_changed(ledger);
            (self.members_changed)(ledger);
        }
        if self.providers.follow(ledger) {
            self.planning.keep(&self.providers.names());
        }
        self.followed = (ledger.index, ledger.epoch.0);
    }

    async fn take(&mut self, input: Input, sources: &mut Sources) -> Result<(), NodeError> {
        match input {
            Input::Core(event) => self.feed(event).await?,
            Input::Component(report) => {
                if self.components.reported(&report) {
                    self.feed(report.into_event()).await?;
                }
            }
            // The lineage changed while the log of the former one was being opened.
            Input::LogOpened(lineage, opened) if lineage != self.lineage => {
                if let Ok(log) = opened {
                    tokio::spawn(async move { log.shutdown().await });
                }
            }
            Input::Recovered(made) => self.recovered(made).await?,
            Input::LogOpened(_, opened) => {
                sources.log_status = Some(self.log.opened(opened?));
                self.log_status(sources).await?;
            }
            Input::Offered(answers) => self.offered(answers).await?,
            Input::OfferedFor(request, answers) => {
                self.offered(answers).await?;
                self.planning.solve(*request, self.snapshot());
            }
            Input::Solved(solution) => {
                self.admin.recent.decide(solution.record);
                self.feed(Event::Solved { id: solution.id, outcome: solution.outcome }).await?;
            }
            Input::Sampled(mut statements) => {
                statements.retain(|statement| self.sensing.accepts(statement));
                self.facts.state(statements);
            }
            Input::Ask(ask, reply) => self.ask(ask, false, Asker::Local(reply)).await?,
        }
        Ok(())
    }

    /// Passes the log's status to the core.
    async fn log_status(&mut self, sources: &mut Sources) -> Result<(), NodeError> {
        let Some(changes) = &mut sources.log_status else { return Ok(()) };
        let status = {
            let status = changes.borrow_and_update();
            self.log_problem = status.storage.as_ref().map(|fault| {
                format!("write the replicated log in `{}`: {}", fault.dir.display(), fault.problem)
            });
            replicated_log::status(&status)
        };
        let status = LogStatus { unwritable: self.facts.unwritable(self.now()), ..status };
        self.log_status = Some(status.clone());
        self.feed(Event::LogStatus(status)).await
    }

    /// Tells the core which members cannot write their disk, when that has changed.
    async fn follow_disks(&mut self) -> Result<(), NodeError> {
        let unwritable = self.facts.unwritable(self.now());
        match &mut self.log_status {
            Some(status) if status.unwritable != unwritable => {
                status.unwritable = unwritable;
                let status = status.clone();
                self.feed(Event::LogStatus(status)).await
            }
            _ => Ok(()),
        }
    }

    async fn offered(
        &mut self,
        answers: Vec<(ProviderName, rhizo_planning::Answer)>,
    ) -> Result<(), NodeError> {
        let now = self.now();
        let changed = self.planning.take(answers, &mut self.facts, now);
        if let Some(latencies) = self.facts.changed_latencies(self.core.ledger(), now) {
            self.feed(Event::Latencies(latencies)).await?;
        }
        if changed {
            self.feed(Event::OffersChanged).await?;
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), NodeError> {
        let now = self.now();
        self.copy.refresh(self.core.ledger());
        self.links.let_go(self.core.ledger());
        let journal = self.persistence.problem().map(str::to_owned);
        self.facts.state_problem(ProblemKind::Storage, journal.or_else(|| self.log_problem.clone()));
        self.ticks += 1;
        if self.ticks % LIMITS_TICKS == 1 {
            self.facts.state_problem(ProblemKind::Limit, limits::problem());
        }
        self.follow_disks().await?;
        for subject in self.sensing.follow(&self.core, &self.components) {
            self.facts.withdraw(&subject);
        }
        if let Some(batch) = self.facts.due_batch(now) {
            self.take_batch(&batch).await?;
            self.links.publish(&batch);
        }
        self.entries.retry(self.core.ledger());
        for (run, answer) in self.components.not_ready() {
            self.feed(Event::NotReady { run, answer }).await?;
        }
        let here: BTreeSet<&InstanceId> = self.core.agent().instances().map(|each| each.instance).collect();
        self.components.keep(|instance| here.contains(instance));
        if self.ticks.is_multiple_of(COLLECT_TICKS) {
            self.components.artifacts().collect(self.core.ledger());
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.facts.snapshot(self.core.ledger(), self.now())
    }

    /// Stops the instances, then the log and the links.
    async fn wind_down(&mut self, mut sources: Sources) {
        // The queue is not emptied any more, so the log must not wait for a place in it: it is stopped below.
        sources.entries.close();
        self.components.stop_all();
        let within = Duration::from_millis(self.components.halt_ms_max());
        if let Some(Err(error)) = self.ending.as_ref().map(|file| file.announce(within)) {
            tracing::warn!(error = %crate::error::chain(&error), "the time for the end was not announced");
        }
        let deadline = Instant::now() + within;
        while !self.components.is_idle() {
            let input = tokio::time::timeout_at(deadline.into(), sources.inputs.recv());
            match input.await {
                Ok(Some(Input::Component(report))) => {
                    self.components.reported(&report);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // The supervisor, which outlives this node, kills what is left after the deadline.
        let _left = tokio::time::timeout_at(deadline.into(), self.components.end_all()).await;
        self.log.close().await;
        self.links.close().await;
    }
}
