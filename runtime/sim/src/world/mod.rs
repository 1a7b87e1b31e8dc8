//! The event loop of a world: virtual time, one queue, and the shell's part for every process.
//!
//! All random decisions are drawn from one seeded generator, in the order of events. `faults` and `heal` are in
//! `run`. This file has the normal behaviour of the world, and the small random faults that need no plan.

mod clouds;
mod elections;
mod instances;
mod links;
mod recovery;

use crate::check;
use crate::consensus::{Log, Pending};
use crate::failure_policy::FailureFacts;
use crate::fault::{Coverage, Fault};
use crate::hash::TraceHash;
use crate::market::Market;
use crate::network::Network;
use crate::process::Process;
use crate::provider::Provider;
use crate::scenario::{Scenario, TIMERS};
use crate::violation::Violation;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rhizo_protocol::{
    AcquireCall, ActionId, Effect, Event, Ledger, MembershipChange, RequestId, RunId, SolveRequest,
};
use rhizo_types::id::{HostId, IntentId, Lineage, NodeId, PeerKey, ProviderName, RegionName};
use rhizo_types::ledger::{FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec};
use rhizo_types::message::{LogEntry, Message};
use rhizo_types::{Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A future event of the world.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// An event reaches a core.
    Deliver { to: NodeId, life: u64, event: Event },
    /// A core may need to be woken.
    Wake { node: NodeId, life: u64, at: Time },
    /// A message arrives, if its link is still the same.
    Arrive { from: NodeId, to: NodeId, link: u64, message: Message },
    /// Two nodes try to set up a link.
    Dial { from: NodeId, to: NodeId },
    /// A link is found to be dead.
    Notice { one: NodeId, other: NodeId, link: u64 },
    /// The log makes progress.
    Pump { again: bool },
    /// A proposal is resolved.
    Resolve { pending: Box<Pending> },
    /// A membership change is made, if that is possible.
    Change { life: u64 },
    /// A provider call reaches the provider.
    Acquire { by: NodeId, life: u64, call: Box<AcquireCall> },
    /// A release reaches the provider.
    Release { by: NodeId, life: u64, intent: IntentId, provider: ProviderName, host: HostId },
    /// A list reaches the provider.
    List { by: NodeId, life: u64, provider: ProviderName },
    /// A host asks to join.
    Join { provider: ProviderName, host: HostId },
    /// An action on an instance ends.
    Act { node: NodeId, life: u64, run: RunId, act: Act },
    /// An action of a life-cycle ends.
    ActionEnds { node: NodeId, life: u64, action: ActionId },
    /// A planned fault strikes.
    Strike(Fault),
    /// A process starts again.
    StartAgain { node: NodeId },
    /// The link between two nodes is healed.
    Heal { one: NodeId, other: NodeId },
}

/// The event of an instance that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Its start is completed.
    Start,
    /// Its stop is completed.
    Stop,
    /// It exits by itself.
    Exit,
    /// Its health check fails.
    Health,
}

/// A world.
pub struct World {
    /// The seed.
    pub seed: u64,
    /// Virtual time.
    pub now: Time,
    pub(crate) rng: StdRng,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    /// Every process that ever existed, by node.
    pub processes: BTreeMap<NodeId, Process>,
    /// The replicated log.
    pub log: Log,
    /// The network.
    pub network: Network,
    /// The providers.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// The offers of the providers.
    pub(crate) market: Market,
    /// The scenario.
    pub scenario: Scenario,
    /// The faults that have occurred so far.
    pub coverage: Coverage,
    trace: TraceHash,
    /// Lines for a replay; none when no reader wants them.
    pub lines: Option<Vec<String>>,
    /// The first safety violation.
    pub violation: Option<Violation>,
    /// Whether random faults occur.
    pub faulty: bool,
    /// A service that is started with this variable in its environment does not work.
    pub(crate) bad: Option<String>,
    /// A node on which no service starts.
    pub(crate) bad_host: Option<NodeId>,
    /// Facts for the checks of the failure policy.
    pub(crate) failures: FailureFacts,
    requests: BTreeMap<RequestId, (ProviderName, HostId)>,
    request_count: u64,
    host_count: u64,
    /// The coordinator of each term.
    pub(crate) coordinators: BTreeMap<Term, NodeId>,
    /// The key of every node id that was ever used.
    pub(crate) keys: BTreeMap<NodeId, PeerKey>,
    /// Number of events handled.
    pub events: u64,
}

impl World {
    /// Returns the world of a seed, before its first event.
    #[must_use]
    pub fn new(seed: u64, verbose: bool) -> Self {
        Self::of(Scenario::of(seed), seed, verbose)
    }

    /// Returns the world of a scenario. Its events come from a seed.
    pub(crate) fn of(scenario: Scenario, seed: u64, verbose: bool) -> Self {
        let mut world = Self {
            seed,
            now: Time(1_000_000),
            rng: StdRng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            processes: BTreeMap::new(),
            log: Log::of(FOUNDER),
            network: Network::default(),
            // A stream of its own, so that the offers do not depend on earlier events.
            market: Market::of(&scenario.providers, &mut StdRng::seed_from_u64(seed ^ 0x3a7c_e700)),
            providers: scenario.providers.iter().map(|name| (name.clone(), Provider::default())).collect(),
            scenario,
            coverage: Coverage::default(),
            trace: TraceHash::default(),
            lines: verbose.then(Vec::new),
            violation: None,
            faulty: false,
            bad: None,
            bad_host: None,
            failures: FailureFacts::default(),
            requests: BTreeMap::new(),
            request_count: 0,
            host_count: 0,
            coordinators: BTreeMap::new(),
            keys: BTreeMap::new(),
            events: 0,
        };
        world.found();
        world
    }

    fn found(&mut self) {
        let key = PeerKey([1; 32]);
        let founder = MemberRecord {
            key,
            addresses: Vec::new(),
            provider: ProviderName::from("founder"),
            region: RegionName::from("founder"),
            intent: None,
        };
        let genesis = Genesis {
            app: self.scenario.spec.app.clone(),
            lineage: Lineage(1),
            founder,
            operators: BTreeSet::from([recovery::OPERATOR]),
            timers: TIMERS,
            overlay_secret: OverlaySecret([7; 32]),
        };
        let spec = SetSpec {
            revision: Revision(1),
            spec: self.scenario.spec.clone(),
            source: "simulated".to_owned(),
        };
        self.keys.insert(FOUNDER, key);
        let process = Process::new(FOUNDER, Ledger::default(), Some(Box::new((genesis, spec))), None);
        self.processes.insert(FOUNDER, process);
        self.later(0, Happening::Pump { again: true });
    }

    /// Schedules an event in `us` microseconds.
    pub(crate) fn later(&mut self, us: u64, happening: Happening) {
        self.at(Time(self.now.0 + us), happening);
    }

    fn at(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    /// Returns true with this probability, and then counts the fault.
    pub(crate) fn mishap(&mut self, probability: f64, fault: Fault) -> bool {
        let strikes = self.faulty && self.rng.random_bool(probability);
        if strikes {
            self.coverage.fired(fault);
        }
        strikes
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if self.lines.is_some() {
            let line = format!("{:>12.6} {}", self.now.0 as f64 / 1e6, line());
            if let Some(lines) = &mut self.lines {
                lines.push(line);
            }
        }
    }

    /// Handles the next event. Returns false when a check failed or there is no further event.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return false };
        self.now = at;
        self.happen(happening);
        self.violation.is_none()
    }

    /// Returns the time of the next event.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns the hash of all events so far.
    #[must_use]
    pub fn trace(&self) -> String {
        self.trace.text()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { to, life, event } => self.deliver(to, life, event),
            Happening::Wake { node, life, at } => {
                if self.processes.get(&node).is_some_and(|process| process.wake == Some(at)) {
                    self.deliver(node, life, Event::Tick);
                }
            }
            Happening::Arrive { from, to, link, message } => {
                let (same, life) = (self.network.link(from, to) == Some(link), self.life(to));
                if same && self.network.passes(from, to) {
                    self.deliver(to, life, Event::Received { from, message });
                }
            }
            Happening::Dial { from, to } => self.dial(from, to),
            Happening::Notice { one, other, link } => {
                let dead = !self.network.both_pass(one, other) || !self.answers(one) || !self.answers(other);
                if dead && self.network.link(one, other) == Some(link) {
                    self.break_link(one, other);
                }
            }
            Happening::Pump { again } => self.pump(again),
            Happening::Resolve { pending } => self.resolve(*pending),
            Happening::Change { life } => self.change_membership(life),
            Happening::Acquire { by, life, call } => self.provider_acquire(by, life, &call),
            Happening::Release { by, life, intent, provider, host } => {
                self.provider_release(by, life, intent, &provider, &host);
            }
            Happening::List { by, life, provider } => self.provider_list(by, life, provider),
            Happening::Join { provider, host } => self.ask_to_join(provider, host),
            Happening::Act { node, life, run, act } => self.act(node, life, run, act),
            Happening::ActionEnds { node, life, action } => self.end_action(node, life, action),
            Happening::Strike(fault) => self.strike(fault),
            Happening::StartAgain { node } => self.start_again(node),
            Happening::Heal { one, other } => {
                self.network.heal(one, other);
                self.later(1_000, Happening::Dial { from: one, to: other });
            }
        }
    }

    fn life(&self, node: NodeId) -> u64 {
        self.processes.get(&node).map_or(0, |process| process.life)
    }

    /// Whether a node's process runs (halted ones do not).
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.processes.get(&node).is_some_and(Process::is_up)
    }

    fn answers(&self, node: NodeId) -> bool {
        self.processes.get(&node).is_some_and(|process| process.is_up() && !process.silent)
    }

    pub(crate) fn is_awake(&self, node: NodeId) -> bool {
        self.processes.get(&node).is_some_and(|process| process.is_awake(self.now))
    }

    // ---- the shell's part ----

    fn deliver(&mut self, to: NodeId, life: u64, event: Event) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&to) else { return };
        if process.life != life {
            return;
        }
        if now < process.paused_until {
            let until = process.paused_until;
            return self.at(until, Happening::Deliver { to, life, event });
        }
        if process.core.is_none() {
            return;
        }
        self.events += 1;
        self.trace.add(&(now, to, &event));
        if self.lines.is_some() && !matches!(event, Event::Tick) {
            let text = format!("{event:?}");
            let text: String = text.chars().take(400).collect();
            self.say(|| format!("{to} ← {text}"));
        }
        let Some(process) = self.processes.get_mut(&to) else { return };
        let Some(core) = process.core.as_mut() else { return };
        let lineage = core.ledger().lineage();
        let turn = core.handle(now, event);
        let changes_lineage = core.ledger().lineage() != lineage && lineage != Lineage(0);
        process.records.extend(turn.durable);
        let here = |ledger: &Ledger| ledger.target.instances.values().any(|placed| placed.node == to);
        if self.events.is_multiple_of(32)
            && here(core.ledger())
            && (!here(&process.birth) || self.events.is_multiple_of(4_096))
        {
            // A shell keeps a copy of the ledger now and then. A restart begins with that copy, even if it is old.
            process.birth = core.ledger().clone();
        }
        let wake = core.deadline();
        if wake.is_some() && wake != process.wake {
            process.wake = wake;
            let at = wake.unwrap_or(now).max(Time(now.0 + 1));
            process.wake = Some(at);
            self.at(at, Happening::Wake { node: to, life, at });
        } else if wake.is_some_and(|at| at <= now) {
            let at = Time(now.0 + 1);
            process.wake = Some(at);
            self.at(at, Happening::Wake { node: to, life, at });
        }
        for effect in turn.now.into_iter().chain(turn.after_durable) {
            self.execute(to, life, effect);
        }
        if changes_lineage {
            self.follow_lineage(to);
        }
        if self.violation.is_none() {
            self.violation = check::after_event(self, to);
        }
    }

    fn delay(&mut self) -> u64 {
        let (low, high) = self.scenario.delay_us;
        self.rng.random_range(low..=high)
    }

    fn execute(&mut self, node: NodeId, life: u64, effect: Effect) {
        if self.lines.is_some() && !matches!(effect, Effect::Send { .. }) {
            let text = match &effect {
                Effect::Notice { notice, .. } => format!("“{notice}”"),
                effect => format!("{effect:?}").chars().take(300).collect(),
            };
            self.say(|| format!("{node} → {text}"));
        }
        match effect {
            Effect::Send { to, message } => self.send(node, to, message),
            Effect::Links(peers) => self.want_links(node, peers),
            Effect::Propose { id, command } => {
                let us = self.delay() * 2 + if self.rng.random_bool(0.05) { 500_000 } else { 1_000 };
                let entry = LogEntry::Command(command);
                let term =
                    self.processes.get(&node).and_then(|p| p.told.as_ref()).map_or(Term::ZERO, |t| t.term);
                let pending = Box::new(Pending { by: node, life, term, id, entry });
                self.later(us, Happening::Resolve { pending });
            }
            Effect::ChangeMembership(change) => self.begin_change(node, life, change),
            Effect::TransferLeadership { to } => {
                if self.log.leader == Some(node) && self.log.voters.contains(&to) && self.is_awake(to) {
                    self.elect(Some(to));
                }
            }
            Effect::Acquire(call) => {
                if let Some(violation) = check::before_acquire(self, node, &call) {
                    self.violation.get_or_insert(violation);
                }
                let us = self.rng.random_range(1_000..100_000);
                self.later(us, Happening::Acquire { by: node, life, call });
            }
            Effect::Release { intent, provider, host } => {
                let us = self.rng.random_range(1_000..100_000);
                self.later(us, Happening::Release { by: node, life, intent, provider, host });
            }
            Effect::List { provider } => {
                let us = self.rng.random_range(1_000..50_000);
                self.later(us, Happening::List { by: node, life, provider });
            }
            Effect::Solve(request) => self.solve(node, life, &request),
            Effect::ReplyJoin { request, answer } => self.join_answered(request, answer),
            Effect::Start(call) => self.start_instance(node, life, &call),
            Effect::Stop { run } => self.stop_instance(node, life, run),
            Effect::Halt { .. } => self.halted(node),
            Effect::Act(call) => self.begin_action(node, life, &call),
            Effect::Cancel { action } => self.cancel_action(node, life, action),
            // The world itself reports when an offer has changed.
            Effect::AskOffers
            | Effect::SetAttributes { .. }
            | Effect::Rebind { .. }
            | Effect::Answer { .. }
            | Effect::Notice { .. } => {}
        }
    }

    /// The shell's part of a solver run. An operator's question at the same moment has to make an equal request.
    fn solve(&mut self, node: NodeId, life: u64, request: &SolveRequest) {
        let core = self.processes.get(&node).and_then(|process| process.core.as_ref());
        let asked = core.and_then(|core| core.question(self.now, None));
        if asked.map(|asked| SolveRequest { id: request.id, ..asked }).as_ref() != Some(request) {
            let detail = format!("{node} asks planning something else than an operator would");
            self.violation.get_or_insert(Violation::new("one-question", detail));
        }
        let outcome = self.market.plan(request, &self.providers, self.now).outcome;
        let us = self.rng.random_range(1_000..1_000_000);
        let event = Event::Solved { id: request.id, outcome };
        self.later(us, Happening::Deliver { to: node, life, event });
    }

    fn begin_change(&mut self, node: NodeId, life: u64, change: MembershipChange) {
        if self.log.leader == Some(node) && self.log.change.is_none() {
            self.log.change = Some((node, self.log.term, change));
            let us = self.delay() * 2 + 1_000;
            self.later(us, Happening::Change { life });
        } else {
            let event = Event::MembershipChanged { done: false };
            self.later(1_000, Happening::Deliver { to: node, life, event });
        }
    }

    fn halted(&mut self, node: NodeId) {
        let peers = self.network.peers(node);
        for peer in peers {
            self.break_link(node, peer);
        }
        let host = self.processes.get(&node).and_then(|process| process.host.clone());
        if let Some(process) = self.processes.get_mut(&node) {
            process.running.clear();
        }
        // A host without its node ends by itself, by its supervisor.
        if let Some((provider, host)) = host {
            self.end_host(&provider, &host);
        }
    }
}
