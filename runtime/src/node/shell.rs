//! The event loop of a node: one closed set of sources in, the core's turns executed out.
//!
//! It has no branch on what the application should look like: every decision is in `rhizo-protocol`. It
//! persists before it sends, as [`Turn`] says. Read next: [`super::effects`], which carries effects out,
//! and [`super::inbound`], which turns what links say into events.

use super::catalogue::{self, Catalogue};
use super::input::Input;
use super::journal::Journal;
use super::logbook::{self, Directory, Logbook};
use super::peers::{self, Peers};
use super::record::RecentPast;
use super::sense::Sense;
use super::{NodeError, solving};
use crate::component::Components;
use crate::pose::{self, Situation};
use rhizo_actuators::Provider;
use rhizo_knowledge::{Knowledge, Snapshot};
use rhizo_overlay::{Overlay, OverlayEvents, Reply};
use rhizo_protocol::Node as Core;
use rhizo_protocol::event::Event;
use rhizo_protocol::turn::{HaltReason, RequestId, Turn};
use rhizo_types::ledger::Timers;
use rhizo_types::{InstanceId, Lineage, NodeId, ProviderName, RegionName, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};

/// How often the loop looks whether it has something to say to the others. Statements are spaced by a second
/// or more anyway.
const SENSE_MS: u64 = 1_000;

/// How often the coordinator asks providers what they sell, besides before every solver run.
const CATALOGUE_TICKS: u32 = 5;

/// Turns executed for one input at most before others are looked at again.
const LOCAL_EVENTS_MAX: usize = 64;

/// What a question is answered through.
pub(super) enum Asker {
    /// A link.
    Link(Reply),
    /// This process.
    Local(oneshot::Sender<crate::admin::Answer>),
    /// A node that wants to join.
    Joiner(Reply),
}

/// What the embedding program can see of a running node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// This node's id.
    pub node: Option<NodeId>,
    /// The state of the application as this node sees it, in one word of the JSON contract.
    pub state: String,
    /// Who coordinates, as far as this node knows.
    pub coordinator: Option<NodeId>,
}

/// Parts that exist before the loop does.
pub(super) struct Parts {
    pub(super) core: Core,
    pub(super) dir: PathBuf,
    pub(super) journal: Journal,
    pub(super) overlay: Overlay,
    pub(super) events: OverlayEvents,
    pub(super) components: Components,
    pub(super) input: mpsc::Sender<Input>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) make_provider: super::ProviderMaker,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) view: watch::Sender<View>,
    /// Called whenever the members changed: the founder notes them for the command line.
    pub(super) members_changed: Box<dyn FnMut(&rhizo_protocol::ledger::Ledger) + Send>,
}

/// A node's event loop and all it works with.
pub(super) struct Shell {
    pub(super) core: Core,
    pub(super) dir: PathBuf,
    pub(super) overlay: Overlay,
    pub(super) components: Components,
    pub(super) input: mpsc::Sender<Input>,
    pub(super) logbook: Logbook,
    pub(super) providers: BTreeMap<ProviderName, Arc<dyn Provider>>,
    pub(super) catalogue: Catalogue,
    pub(super) knowledge: Knowledge,
    pub(super) sense: Sense,
    pub(super) peers: Peers,
    pub(super) past: RecentPast,
    pub(super) asked: BTreeMap<RequestId, Asker>,
    pub(super) next_request: u64,
    /// Events the shell makes for the core while it executes a turn.
    pub(super) local: std::collections::VecDeque<Event>,
    pub(super) halting: Option<HaltReason>,
    journal: Journal,
    directory: Directory,
    origin: Instant,
    make_provider: super::ProviderMaker,
    members_changed: Box<dyn FnMut(&rhizo_protocol::ledger::Ledger) + Send>,
    view: watch::Sender<View>,
    seen: Seen,
    /// Ticks until the next look at the catalogue.
    catalogue_in: u32,
}

/// The versions of the ledger that derived state was made from.
#[derive(Default)]
struct Seen {
    index: u64,
    spec: Revision,
    epoch: u64,
}

/// The queues the loop waits on.
struct Sources {
    events: OverlayEvents,
    inputs: mpsc::Receiver<Input>,
    entries: mpsc::UnboundedReceiver<Event>,
    log_status: Option<watch::Receiver<rhizo_log::LogStatus>>,
    stop: watch::Receiver<bool>,
    ticks: Interval,
}

/// What the loop woke up for.
enum Wake {
    Overlay(Option<rhizo_overlay::OverlayEvent>),
    Input(Option<Input>),
    Entry(Option<Event>),
    LogStatus,
    Deadline,
    Tick,
    Stop,
}

impl Shell {
    /// Runs a node to its end. The founder's log is opened and initialised first.
    pub(super) async fn run(
        parts: Parts,
        founding: Option<(Lineage, Timers)>,
    ) -> Result<HaltReason, NodeError> {
        let (entries_in, entries) = mpsc::unbounded_channel();
        let directory = Directory::default();
        let me = parts.core.me();
        let logbook = Logbook::new(me, &parts.dir, parts.overlay.clone(), directory.clone(), entries_in);
        let mut ticks = interval(Duration::from_millis(SENSE_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sources = Sources {
            events: parts.events,
            inputs: parts.inputs,
            entries,
            log_status: None,
            stop: parts.stop,
            ticks,
        };
        let mut shell = Self {
            core: parts.core,
            dir: parts.dir,
            overlay: parts.overlay,
            components: parts.components,
            input: parts.input,
            logbook,
            providers: BTreeMap::new(),
            catalogue: Catalogue::default(),
            knowledge: Knowledge::new(),
            sense: Sense::new(me),
            peers: Peers::default(),
            past: RecentPast::new(me),
            asked: BTreeMap::new(),
            next_request: 0,
            local: std::collections::VecDeque::new(),
            halting: None,
            journal: parts.journal,
            directory,
            origin: Instant::now(),
            make_provider: parts.make_provider,
            members_changed: parts.members_changed,
            view: parts.view,
            seen: Seen::default(),
            catalogue_in: 0,
        };
        shell.ledger_changed();
        if let Some((lineage, timers)) = founding {
            shell.found(lineage, &timers, &mut sources).await?;
        }
        shell.feed(Event::Tick).await?;
        let reason = shell.turn_around(&mut sources).await?;
        shell.wind_down(&mut sources).await;
        Ok(reason)
    }

    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The genesis entry is not committed yet, so that lineage and timers cannot come from the ledger here.
    async fn found(
        &mut self,
        lineage: Lineage,
        timers: &Timers,
        sources: &mut Sources,
    ) -> Result<(), NodeError> {
        let log = self.logbook.open(lineage, logbook::timers(timers)).await?;
        sources.log_status = Some(log.watch());
        log.initialise().await.map_err(|error| NodeError::Found(error.to_string()))?;
        let status = logbook::status(&log.status());
        self.feed(Event::LogStatus(status)).await
    }

    async fn turn_around(&mut self, sources: &mut Sources) -> Result<HaltReason, NodeError> {
        loop {
            match self.wait(sources).await {
                Wake::Overlay(Some(event)) => self.overlay_event(event).await?,
                Wake::Input(Some(input)) => self.take(input, sources).await?,
                Wake::Entry(Some(event)) => self.feed(event).await?,
                Wake::LogStatus => {
                    let status = sources
                        .log_status
                        .as_mut()
                        .map(|status| logbook::status(&status.borrow_and_update()));
                    if let Some(status) = status {
                        self.feed(Event::LogStatus(status)).await?;
                    }
                }
                Wake::Deadline => self.feed(Event::Tick).await?,
                Wake::Tick => self.tick().await?,
                Wake::Stop => return Ok(HaltReason::Left),
                Wake::Overlay(None) | Wake::Input(None) | Wake::Entry(None) => {
                    return Err(NodeError::Ended("a queue of the event loop was closed"));
                }
            }
            if let Some(reason) = self.halting {
                return Ok(reason);
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
        let log_changed = async {
            if let Some(status) = &mut sources.log_status
                && status.changed().await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        // Local work before remote work: what is already committed or done is taken in first.
        tokio::select! {
            biased;
            () = crate::component::raised(&mut sources.stop) => Wake::Stop,
            entry = sources.entries.recv() => Wake::Entry(entry),
            () = log_changed => Wake::LogStatus,
            input = sources.inputs.recv() => Wake::Input(input),
            () = due => Wake::Deadline,
            event = sources.events.recv() => Wake::Overlay(event),
            _ = sources.ticks.tick() => Wake::Tick,
        }
    }

    /// Feeds the core one event, executes the turn, and does the same for what that brought up here.
    pub(super) async fn feed(&mut self, event: Event) -> Result<(), NodeError> {
        self.local.push_back(event);
        let mut fed = 0;
        while let Some(event) = self.local.pop_front() {
            let turn = self.core.handle(self.now(), event);
            if self.core.ledger().index != self.seen.index {
                self.ledger_changed();
            }
            self.execute(turn)?;
            fed += 1;
            if fed % LOCAL_EVENTS_MAX == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn execute(&mut self, turn: Turn) -> Result<(), NodeError> {
        for effect in turn.now {
            self.carry_out(effect);
        }
        if !turn.durable.is_empty() {
            // The records are tens of bytes; waiting for the disk here keeps "persist, then send" evident.
            self.journal.append(&turn.durable)?;
        }
        for effect in turn.after_durable {
            self.carry_out(effect);
        }
        Ok(())
    }

    fn publish_view(&self) {
        let status = self.core.status(self.now());
        let view = View {
            node: Some(self.core.me()),
            state: status.state.word().to_owned(),
            coordinator: status.coordinator,
        };
        self.view.send_if_modified(|known| {
            let differs = *known != view;
            *known = view;
            differs
        });
    }

    /// Derives what others of this crate need from the ledger.
    fn ledger_changed(&mut self) {
        let ledger = self.core.ledger();
        self.peers.update(ledger);
        self.overlay.set_admission(peers::admission(ledger));
        self.overlay.set_links(self.peers.targets());
        *self.directory.write().unwrap_or_else(std::sync::PoisonError::into_inner) = self.peers.keys();
        if ledger.epoch.0 != self.seen.epoch {
            let members: BTreeSet<NodeId> = ledger.members.keys().copied().collect();
            self.knowledge.keep_nodes(&members);
            self.sense.keep(|node| members.contains(&node));
            (self.members_changed)(ledger);
        }
        if ledger.spec_revision() != self.seen.spec {
            let made = (self.make_provider)(ledger.spec());
            for problem in made.problems {
                tracing::error!(problem, "provider cannot be used");
            }
            self.providers = made.providers;
            self.catalogue.keep(&self.providers.keys().cloned().collect());
            self.catalogue_in = 0;
        }
        self.seen = Seen { index: ledger.index, spec: ledger.spec_revision(), epoch: ledger.epoch.0 };
    }

    async fn take(&mut self, input: Input, sources: &mut Sources) -> Result<(), NodeError> {
        match input {
            Input::Core(event) => self.feed(event).await?,
            Input::Component(report) => self.component_report(report).await?,
            Input::Offered(answers) => self.offered(answers).await?,
            Input::OfferedFor(request, answers) => {
                self.offered(answers).await?;
                self.begin_solving(*request);
            }
            Input::Solved(solution) => {
                self.past.decide(solution.decision);
                self.feed(Event::Solved { id: solution.id, outcome: solution.outcome }).await?;
            }
            Input::Sampled(statements) => self.sense.state(statements),
            Input::Ask(ask, reply) => self.ask(ask, false, Asker::Local(reply)).await?,
            Input::RaftRequest(peer, body, reply) => {
                let (lineage, timers) = (self.core.ledger().lineage(), self.core.ledger().timers());
                let log = self.logbook.open(lineage, logbook::timers(&timers)).await?;
                if sources.log_status.is_none() {
                    sources.log_status = Some(log.watch());
                }
                if let Some(from) = self.peers.node(&peer) {
                    super::inbound::handle_raft(log, from, body, reply);
                }
            }
        }
        Ok(())
    }

    async fn offered(&mut self, answers: Vec<(ProviderName, catalogue::Offered)>) -> Result<(), NodeError> {
        let now = self.now();
        if self.catalogue.take(answers, &mut self.knowledge, now) {
            let latencies = self.latencies();
            self.feed(Event::Latencies(latencies)).await?;
            self.feed(Event::OffersChanged).await?;
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), NodeError> {
        let now = self.now();
        if let Some(batch) = self.sense.batch(now) {
            self.take_batch(&batch).await?;
            self.publish(&batch);
        }
        self.publish_view();
        let here: BTreeSet<&InstanceId> = self.core.agent().instances().map(|each| each.instance).collect();
        self.components.keep(|instance| here.contains(instance));
        let coordinates = self.core.status(now).coordinates;
        self.catalogue_in = self.catalogue_in.saturating_sub(1);
        if coordinates && self.catalogue_in == 0 {
            self.catalogue_in = CATALOGUE_TICKS;
            let (providers, input) = (self.provider_list(), self.input.clone());
            tokio::spawn(async move {
                let _loop_ended = input.send(Input::Offered(catalogue::ask(providers).await)).await;
            });
        }
        Ok(())
    }

    pub(super) fn provider_list(&self) -> Vec<(ProviderName, Arc<dyn Provider>)> {
        self.providers.iter().map(|(name, provider)| (name.clone(), provider.clone())).collect()
    }

    /// Round-trip times between the regions that matter: of members and of offers.
    fn latencies(&self) -> BTreeMap<(RegionName, RegionName), u32> {
        let snapshot = self.snapshot();
        let ledger = self.core.ledger();
        let regions: BTreeSet<RegionName> =
            ledger.members.values().map(|m| m.record.region.clone()).collect();
        let mut latencies = BTreeMap::new();
        for from in &regions {
            for to in &regions {
                if let Some(rhizo_types::fact::Value::Number(ms)) =
                    snapshot.path(from, to).map(|p| p.value.clone())
                {
                    // Whole milliseconds are what voters are chosen by; the cast saturates.
                    latencies.insert((from.clone(), to.clone()), ms.get().round() as u32);
                }
            }
        }
        latencies
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let ledger = self.core.ledger();
        let regions =
            ledger.members.iter().map(|(node, member)| (*node, member.record.region.clone())).collect();
        Snapshot::cut(&self.knowledge, &regions, self.now())
    }

    fn begin_solving(&mut self, request: rhizo_protocol::turn::SolveRequest) {
        let Some(spec) = self.core.ledger().spec().cloned() else { return };
        let id = request.id;
        if !self.catalogue.is_complete(&spec) {
            let outcome =
                rhizo_protocol::event::SolveOutcome::Failed { reason: "offers are not known yet".to_owned() };
            self.local.push_back(Event::Solved { id, outcome });
            return;
        }
        let snapshot = self.snapshot();
        let situation = Situation {
            spec: &spec,
            hosts: &request.hosts,
            offers: self.catalogue.offers(&spec, &request.cooling),
            avoid: &request.avoid,
            frozen: if request.forced { &BTreeSet::new() } else { &request.frozen },
            moves_max: if request.forced { None } else { request.moves_max },
            snapshot: &snapshot,
        };
        let posed = pose::pose(&situation);
        let run = solving::Run { deadline_ms: spec.optimise.deadline_ms, request, posed };
        let input = self.input.clone();
        tokio::task::spawn_blocking(move || {
            let _loop_ended = input.blocking_send(Input::Solved(Box::new(run.solve())));
        });
    }

    /// Stops the instances, then the log and the links.
    async fn wind_down(&mut self, sources: &mut Sources) {
        self.components.stop_all();
        let deadline = Instant::now() + Duration::from_millis(self.components.halt_ms_max());
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
        // What is left after the deadline is killed by the supervisor, which outlives this node.
        let _left = tokio::time::timeout_at(deadline.into(), self.components.end_all()).await;
        self.logbook.close().await;
        self.overlay.close().await;
    }
}
