//! The event loop of a world: virtual time, one queue, and the shell's part for every process.
//!
//! Whatever is uncertain is drawn from one seeded generator, in the order of events. `faults` and `heal` are in
//! `run`; here is how things work, and the small misfortunes that need no plan.

use crate::check::{self, Violation};
use crate::consensus::{Log, Pending};
use crate::fault::{Coverage, Fault};
use crate::hash::TraceHash;
use crate::network::Network;
use crate::planner;
use crate::process::Process;
use crate::provider::{Host, Provider};
use crate::scenario::{Scenario, TIMERS};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rhizo_protocol::{
    AcquireCall, AcquireResult, Effect, Event, Ledger, ListError, LogStatus, MembershipChange, ProposeResult,
    RequestId, RunId, codec,
};
use rhizo_types::id::{HostId, InstanceId, IntentId, Lineage, NodeId, PeerKey, ProviderName, RegionName};
use rhizo_types::intent::BoundHost;
use rhizo_types::ledger::{FOUNDER, Genesis, MemberRecord, OverlaySecret, SetSpec};
use rhizo_types::message::{LogEntry, Message};
use rhizo_types::wire::JoinAnswer;
use rhizo_types::{Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// An event reaches a core.
    Deliver { to: NodeId, life: u64, event: Event },
    /// A core may want to be woken.
    Wake { node: NodeId, life: u64, at: Time },
    /// A message arrives, if its link is still the same.
    Arrive { from: NodeId, to: NodeId, link: u64, message: Message },
    /// Two nodes try to link up.
    Dial { from: NodeId, to: NodeId },
    /// A link is found to be dead.
    Notice { one: NodeId, other: NodeId, link: u64 },
    /// The log makes progress.
    Pump { again: bool },
    /// A proposal is resolved.
    Resolve { pending: Box<Pending> },
    /// A membership change is made, if it can be.
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
    /// A planned fault strikes.
    Strike(Fault),
    /// A process starts again.
    StartAgain { node: NodeId },
    /// Something is healed.
    Heal { one: NodeId, other: NodeId },
}

/// What ends for an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Its start.
    Start,
    /// Its stop.
    Stop,
    /// Itself.
    Exit,
    /// Its health.
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
    /// Every process there ever was, by node.
    pub processes: BTreeMap<NodeId, Process>,
    /// The replicated log.
    pub log: Log,
    /// The network.
    pub network: Network,
    /// The providers.
    pub providers: BTreeMap<ProviderName, Provider>,
    /// What the scenario is.
    pub scenario: Scenario,
    /// What went wrong so far.
    pub coverage: Coverage,
    trace: TraceHash,
    /// Lines for a replay; none when nobody reads them.
    pub lines: Option<Vec<String>>,
    /// The first safety violation.
    pub violation: Option<Violation>,
    /// Whether misfortune strikes.
    pub faulty: bool,
    requests: BTreeMap<RequestId, (ProviderName, HostId)>,
    request_count: u64,
    host_count: u64,
    /// The one coordinator of each term.
    pub(crate) coordinators: BTreeMap<Term, NodeId>,
    /// The key of every node id that was ever used.
    pub(crate) keys: BTreeMap<NodeId, PeerKey>,
    /// Events handled.
    pub events: u64,
}

impl World {
    /// The world of a seed, before anything happens.
    #[must_use]
    pub fn new(seed: u64, verbose: bool) -> Self {
        let scenario = Scenario::of(seed);
        let mut world = Self {
            seed,
            now: Time(1_000_000),
            rng: StdRng::seed_from_u64(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            processes: BTreeMap::new(),
            log: Log::of(FOUNDER),
            network: Network::default(),
            providers: scenario.providers.iter().map(|name| (name.clone(), Provider::default())).collect(),
            scenario,
            coverage: Coverage::default(),
            trace: TraceHash::default(),
            lines: verbose.then(Vec::new),
            violation: None,
            faulty: false,
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
            operators: BTreeSet::new(),
            timers: TIMERS,
            overlay_secret: OverlaySecret([7; 32]),
        };
        let spec =
            SetSpec { revision: Revision(1), spec: self.scenario.spec.clone(), source: "simulated".to_owned() };
        self.keys.insert(FOUNDER, key);
        let process = Process::new(FOUNDER, Ledger::default(), Some(Box::new((genesis, spec))), None);
        self.processes.insert(FOUNDER, process);
        self.later(0, Happening::Pump { again: true });
    }

    /// Schedules something in `us` microseconds.
    pub(crate) fn later(&mut self, us: u64, happening: Happening) {
        self.at(Time(self.now.0 + us), happening);
    }

    fn at(&mut self, at: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    /// Whether something of that probability goes wrong; counted.
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

    /// Lets the next thing happen; false when a check failed or nothing is left.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return false };
        self.now = at;
        self.happen(happening);
        self.violation.is_none()
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The hash of everything so far.
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
        let turn = core.handle(now, event);
        process.records.extend(turn.durable);
        let here = |ledger: &Ledger| ledger.target.instances.values().any(|placed| placed.node == to);
        if self.events % 32 == 0 && here(core.ledger()) && (!here(&process.birth) || self.events % 4_096 == 0) {
            // A shell keeps a copy of the ledger now and then; a restart begins with it, however old it is.
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
                Effect::Notice(notice) => format!("“{notice}”"),
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
                let term = self.processes.get(&node).and_then(|p| p.told.as_ref()).map_or(Term::ZERO, |t| t.term);
                let pending = Box::new(Pending { by: node, life, term, id, entry });
                self.later(us, Happening::Resolve { pending });
            }
            Effect::ChangeMembership(change) => {
                if self.log.leader == Some(node) && self.log.change.is_none() {
                    self.log.change = Some((node, self.log.term, change));
                    let us = self.delay() * 2 + 1_000;
                    self.later(us, Happening::Change { life });
                } else {
                    self.later(1_000, Happening::Deliver { to: node, life, event: Event::MembershipChanged { done: false } });
                }
            }
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
            Effect::Solve(request) => {
                let Some(spec) = self.log.truth.specs.get(&request.spec).map(|set| set.spec.clone()) else { return };
                let outcome = planner::solve(&request, &spec, &mut self.rng);
                let us = self.rng.random_range(1_000..1_000_000);
                self.later(us, Happening::Deliver { to: node, life, event: Event::Solved { id: request.id, outcome } });
            }
            Effect::ReplyJoin { request, answer } => self.join_answered(request, answer),
            Effect::Start(call) => self.start_instance(node, life, call.run),
            Effect::Stop { run, .. } => {
                let us = self.rng.random_range(1_000..300_000);
                self.later(us, Happening::Act { node, life, run, act: Act::Stop });
            }
            Effect::Halt { .. } => self.halted(node),
            Effect::Rebind { .. } | Effect::Answer { .. } | Effect::Notice(_) => {}
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
        // A host without its node ends by itself: the supervisor's part.
        if let Some((provider, host)) = host {
            self.end_host(&provider, &host);
        }
    }

    // ---- instances ----

    fn start_instance(&mut self, node: NodeId, life: u64, run: RunId) {
        let Some(process) = self.processes.get_mut(&node) else { return };
        if let Some(violation) = check::before_start(process, node, &run) {
            self.violation.get_or_insert(violation);
        }
        let Some(process) = self.processes.get_mut(&node) else { return };
        process.started.insert(run.instance.clone(), run.generation);
        process.running.insert(run.instance.clone(), (run.clone(), false));
        let us = self.rng.random_range(1_000..500_000);
        self.later(us, Happening::Act { node, life, run, act: Act::Start });
    }

    fn act(&mut self, node: NodeId, life: u64, run: RunId, act: Act) {
        let failed = act == Act::Start && self.mishap(0.05, Fault::StartFails);
        let Some(process) = self.processes.get_mut(&node).filter(|process| process.life == life) else { return };
        let current = process.running.get(&run.instance).filter(|(current, _)| *current == run).cloned();
        let reason = "simulated".to_owned();
        let event = match (act, current) {
            (Act::Start, Some(_)) if failed => {
                process.running.remove(&run.instance);
                Event::StartFailed { run, reason }
            }
            (Act::Start, Some(_)) => {
                process.running.insert(run.instance.clone(), (run.clone(), true));
                let port = 10_000 + (self.events % 50_000) as u16;
                let address = SocketAddr::from(([127, 0, (node.0 % 250) as u8, 1], port));
                let exports = BTreeMap::from([(rhizo_types::id::PortName::from("main"), address)]);
                Event::Started { run, exports }
            }
            // A stop is always answered.
            (Act::Stop, _) => {
                if process.running.get(&run.instance).is_some_and(|(current, _)| *current == run) {
                    process.running.remove(&run.instance);
                }
                Event::Stopped { run }
            }
            (Act::Exit, Some(_)) => {
                process.running.remove(&run.instance);
                Event::Exited { run, reason }
            }
            (Act::Health, Some((_, true))) => Event::Unhealthy { run, reason },
            _ => return,
        };
        self.deliver(node, life, event);
    }

    // ---- network ----

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let Some(link) = self.network.link(from, to) else { return };
        if self.mishap(0.01, Fault::Loss) {
            return;
        }
        let us = self.delay();
        let mut at = Time(self.now.0 + us);
        let ordered = matches!(message, Message::Channel(_));
        if !ordered && self.mishap(0.02, Fault::Reorder) {
            at = Time(at.0 + 200_000);
        } else {
            at = self.network.in_order(from, to, at);
        }
        if self.mishap(0.01, Fault::Duplicate) {
            let again = Time(at.0 + 1_000);
            self.at(again, Happening::Arrive { from, to, link, message: message.clone() });
        }
        self.at(at, Happening::Arrive { from, to, link, message });
    }

    fn want_links(&mut self, node: NodeId, peers: BTreeSet<NodeId>) {
        let old = self.network.wants.insert(node, peers.clone()).unwrap_or_default();
        for peer in peers.difference(&old) {
            self.later(500, Happening::Dial { from: node, to: *peer });
        }
        for peer in old.difference(&peers) {
            // A link to a stranger is closed by admission, whoever wants it.
            if self.network.wants.get(peer).is_none_or(|wants| !wants.contains(&node)) || !self.knows(node, *peer) {
                self.break_link(node, *peer);
            }
        }
    }

    fn knows(&self, node: NodeId, peer: NodeId) -> bool {
        let core = self.processes.get(&node).and_then(|process| process.core.as_ref());
        core.is_some_and(|core| core.ledger().members.contains_key(&peer))
    }

    fn dial(&mut self, from: NodeId, to: NodeId) {
        let wanted = self.network.wants.get(&from).is_some_and(|wants| wants.contains(&to));
        if !wanted || !self.is_up(from) || self.network.link(from, to).is_some() {
            return;
        }
        let again = |world: &mut Self| world.later(250_000, Happening::Dial { from, to });
        if !self.is_awake(from) {
            return again(self);
        }
        let life = self.life(from);
        let passes = self.network.both_pass(from, to);
        let silent = self.processes.get(&to).is_none_or(|process| process.silent);
        if !passes || silent {
            return again(self);
        }
        if !self.is_up(to) {
            self.deliver(from, life, Event::Unreachable { peer: to });
            return again(self);
        }
        if !self.is_awake(to) {
            return again(self);
        }
        if !self.knows(to, from) {
            let departed = self.processes.get(&to).and_then(|process| process.core.as_ref());
            if departed.is_some_and(|core| core.ledger().departed.contains_key(&from)) {
                self.deliver(from, life, Event::Expelled { by: to });
            }
            return again(self);
        }
        self.network.connect(from, to);
        let other = self.life(to);
        self.deliver(from, life, Event::LinkUp { peer: to });
        self.deliver(to, other, Event::LinkUp { peer: from });
    }

    pub(crate) fn break_link(&mut self, one: NodeId, other: NodeId) {
        if !self.network.disconnect(one, other) {
            return;
        }
        for (node, peer) in [(one, other), (other, one)] {
            let life = self.life(node);
            self.later(1_000, Happening::Deliver { to: node, life, event: Event::LinkDown { peer } });
            self.later(60_000, Happening::Dial { from: node, to: peer });
        }
    }

    // ---- the log ----

    /// Whether a node reaches a majority of the voters, and of those of a change under way.
    pub(crate) fn has_quorum(&self, node: NodeId) -> bool {
        let majority = |voters: &BTreeSet<NodeId>| {
            let reached = voters.iter().filter(|voter| {
                **voter == node || (self.is_awake(**voter) && self.network.both_pass(node, **voter))
            });
            reached.count() * 2 > voters.len()
        };
        // While a change is half done, nothing is committed without a majority of both configurations.
        let voters = self.log.voters.contains(&node) && majority(&self.log.voters);
        self.is_awake(node) && voters && self.log.next_voters().is_none_or(majority)
    }

    fn barrier(&self, node: NodeId, life: u64) -> bool {
        let applied = self.processes.get(&node).and_then(|p| p.core.as_ref()).map_or(0, |c| c.ledger().index);
        let same = self.life(node) == life && self.log.leader == Some(node);
        same && self.has_quorum(node) && applied == self.log.last()
    }

    fn pump(&mut self, again: bool) {
        if again {
            self.later(100_000, Happening::Pump { again });
        }
        match self.log.leader {
            Some(leader) if self.has_quorum(leader) => {
                self.log.without_quorum = None;
                if self.mishap(0.0005, Fault::LeaderLost) {
                    self.elect(None);
                }
            }
            Some(_) | None => {
                let since = *self.log.without_quorum.get_or_insert(self.now);
                if self.now.ms_since(since) >= 300 {
                    self.elect(None);
                }
            }
        }
        if self.log.change.is_some() {
            let life = self.log.change.as_ref().map_or(0, |(node, ..)| self.life(*node));
            self.later(1_000, Happening::Change { life });
        }
        self.replicate();
        self.tell_status();
    }

    /// A voter with a majority becomes leader of a new term.
    pub(crate) fn elect(&mut self, wish: Option<NodeId>) {
        let mut fit: Vec<NodeId> = self.log.voters.iter().copied().filter(|node| self.has_quorum(*node)).collect();
        if let Some(wish) = wish {
            fit.retain(|node| *node == wish);
        }
        if fit.is_empty() {
            return;
        }
        let leader = fit[self.rng.random_range(0..fit.len())];
        // The successor may find its predecessor's last proposals in its log, or not.
        for (term, entry) in std::mem::take(&mut self.log.orphans) {
            if self.rng.random_bool(0.5) {
                self.log.commit_as(term, entry);
            } else {
                self.coverage.fired(Fault::UnknownDropped);
            }
        }
        self.log.term = self.log.term.next();
        self.log.leader = Some(leader);
        self.log.change = None;
        self.log.without_quorum = None;
        self.log.commit(LogEntry::Blank);
        let term = self.log.term;
        self.say(|| format!("-- {leader} leads term {term}"));
        self.later(1_000, Happening::Pump { again: false });
    }

    fn resolve(&mut self, pending: Pending) {
        let (to, life, id) = (pending.by, pending.life, pending.id);
        let leads = self.log.leader == Some(to) && self.log.term == pending.term;
        let event = |result| Event::Proposed { id, result };
        if !leads {
            // Appended by a leader that is lost, or never appended.
            let appended = pending.term != Term::ZERO && self.rng.random_bool(0.5);
            let result = if appended { ProposeResult::Unknown } else { ProposeResult::Refused };
            if appended && pending.term < self.log.term {
                // Its term is over: the successor has decided already, against it.
                self.coverage.fired(Fault::UnknownDropped);
            } else if appended {
                self.log.orphans.push((pending.term, pending.entry));
            }
            return self.deliver(to, life, event(result));
        }
        if !self.has_quorum(to) {
            self.log.orphans.push((pending.term, pending.entry));
            return self.later(500_000, Happening::Deliver { to, life, event: event(ProposeResult::Unknown) });
        }
        if let Some(violation) = check::before_commit(self, &pending.entry) {
            self.violation.get_or_insert(violation);
        }
        let (index, applied) = self.log.commit(pending.entry);
        self.say(|| format!("-- committed {index}: {applied:?}"));
        if self.violation.is_none() {
            self.violation = check::after_commit(self);
        }
        let unknown = self.mishap(0.03, Fault::UnknownCommitted);
        let result = if unknown { ProposeResult::Unknown } else { ProposeResult::Committed { index } };
        self.replicate();
        self.later(1_000, Happening::Deliver { to, life, event: event(result) });
    }

    fn change_membership(&mut self, life: u64) {
        let Some((by, term, change)) = self.log.change.clone() else { return };
        let leads = self.log.leader == Some(by) && self.log.term == term && self.has_quorum(by);
        if !leads {
            return;
        }
        if let MembershipChange::SetVoters(voters) = &change {
            let reached =
                voters.iter().filter(|voter| self.is_awake(**voter) && self.network.both_pass(by, **voter));
            if reached.count() * 2 <= voters.len() {
                return;
            }
            if let Some(violation) = check::before_voters(voters) {
                self.violation.get_or_insert(violation);
            }
        }
        self.log.change = None;
        self.log.change_membership(change);
        let done = !self.mishap(0.1, Fault::MembershipUnknown);
        self.replicate();
        self.tell_status();
        self.later(1_000, Happening::Deliver { to: by, life, event: Event::MembershipChanged { done } });
    }

    fn replicate(&mut self) {
        let Some(leader) = self.log.leader else { return };
        if !self.has_quorum(leader) {
            return;
        }
        let holders: BTreeSet<NodeId> = self.log.holders().collect();
        for node in holders {
            if node != leader && !self.network.both_pass(leader, node) || !self.is_awake(node) {
                continue;
            }
            let Some(process) = self.processes.get(&node) else { continue };
            let (life, sent) = (process.life, process.sent);
            if sent >= self.log.last() {
                continue;
            }
            let us = if node == leader {
                500
            } else if self.mishap(0.02, Fault::LateApply) {
                1_000_000
            } else {
                self.delay() + 500
            };
            let at = self.network.in_order(leader, node, Time(self.now.0 + us));
            let from = usize::try_from(sent).unwrap_or(usize::MAX);
            let entries: Vec<_> = self.log.entries[from..].to_vec();
            // A node that is far behind gets a snapshot, as an engine would send it.
            if entries.len() > 200 {
                let ledger = Box::new(self.log.truth.clone());
                self.at(at, Happening::Deliver { to: node, life, event: Event::Restored(ledger) });
            } else {
                for entry in entries {
                    let event = Event::Committed { index: entry.index, term: entry.term, entry: entry.entry };
                    self.at(at, Happening::Deliver { to: node, life, event });
                }
            }
            let last = self.log.last();
            if let Some(process) = self.processes.get_mut(&node) {
                process.sent = last;
            }
        }
    }

    fn tell_status(&mut self) {
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        let holders: BTreeSet<NodeId> = self.log.holders().collect();
        for node in nodes {
            if !self.is_awake(node) || !(holders.contains(&node) || self.processes[&node].told.is_some()) {
                continue;
            }
            let status = self.status_of(node, &holders);
            let Some(process) = self.processes.get_mut(&node) else { continue };
            if process.told.as_ref() != Some(&status) {
                process.told = Some(status.clone());
                let life = process.life;
                self.deliver(node, life, Event::LogStatus(status));
            }
        }
    }

    fn status_of(&self, node: NodeId, holders: &BTreeSet<NodeId>) -> LogStatus {
        let log = &self.log;
        let reached = log.leader.filter(|leader| {
            *leader == node || (self.network.both_pass(*leader, node) && self.has_quorum(*leader))
        });
        let Some(leader) = reached.filter(|_| holders.contains(&node)) else {
            // It only knows what it was told last; a former leader goes on believing, without a quorum.
            let mut old = self.processes.get(&node).and_then(|process| process.told.clone()).unwrap_or_default();
            old.quorum = false;
            // Some engines say so at once, some let it believe for a while: half of the seeds each.
            if old.leader != Some(node) || self.seed % 2 == 0 {
                old.leader = None;
            }
            return old;
        };
        let applied = |node: &NodeId| {
            let core = self.processes.get(node).and_then(|process| process.core.as_ref());
            core.map_or(0, |core| core.ledger().index)
        };
        let matched = holders.iter().filter(|holder| leader == node && **holder != node && self.is_awake(**holder));
        let mut voters = log.voters.clone();
        voters.extend(log.next_voters().into_iter().flatten());
        LogStatus {
            term: log.term,
            leader: Some(leader),
            quorum: self.has_quorum(leader),
            // Only the leader needs them, and rounding spares a status for every entry.
            last_index: if leader == node { log.last() } else { 0 },
            voters,
            changing: log.change.is_some(),
            learners: log.learners.clone(),
            matched: matched.map(|holder| (*holder, applied(holder))).collect(),
        }
    }

    // ---- providers ----

    fn provider_acquire(&mut self, by: NodeId, life: u64, call: &AcquireCall) {
        let result = self.acquire_result(by, life, call);
        let intent = call.intent;
        let us = self.rng.random_range(1_000..50_000);
        self.later(us, Happening::Deliver { to: by, life, event: Event::Acquired { intent, result } });
    }

    fn acquire_result(&mut self, by: NodeId, life: u64, call: &AcquireCall) -> AcquireResult {
        if !self.barrier(by, life) {
            return AcquireResult::NotIssued;
        }
        let now = self.now;
        let provider_name = call.order.provider.clone();
        let Some(provider) = self.providers.get(&provider_name) else {
            return AcquireResult::Refused("no such provider".to_owned());
        };
        if !provider.answers(now) {
            return AcquireResult::Unknown("the API does not answer".to_owned());
        }
        if let Some(host) = provider.by_token(&call.token) {
            return AcquireResult::Bound(BoundHost { host, address: None });
        }
        if self.mishap(0.04, Fault::NoCapacity) {
            return AcquireResult::NoCapacity("none left".to_owned());
        }
        if self.mishap(0.01, Fault::Refused) {
            return AcquireResult::Refused("not this one".to_owned());
        }
        if self.mishap(0.03, Fault::Throttled) {
            return AcquireResult::Throttled { retry_after_ms: 1_500 };
        }
        if self.mishap(0.04, Fault::UnknownNothing) {
            return AcquireResult::Unknown("time out".to_owned());
        }
        let host = self.create_host(call, call.token.clone());
        if self.mishap(0.03, Fault::DoubleHost) {
            self.create_host(call, format!("{}-double", call.token));
        }
        if self.mishap(0.05, Fault::LateSuccess) {
            return AcquireResult::Unknown("time out, though it worked".to_owned());
        }
        AcquireResult::Bound(BoundHost { host, address: None })
    }

    fn create_host(&mut self, call: &AcquireCall, token: String) -> HostId {
        self.host_count += 1;
        let number = self.host_count;
        let id = HostId(format!("h{number}"));
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(number + 1_000).to_le_bytes());
        let host = Host {
            order: call.order.clone(),
            intent: call.intent,
            token,
            created: self.now,
            ended: None,
            node: None,
            key: PeerKey(key),
            boot: call.boot.clone(),
            asks: None,
            unexplained_since: None,
        };
        let provider = call.order.provider.clone();
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.hosts.insert(id.clone(), host);
        }
        if self.mishap(0.02, Fault::NeverBoots) {
            return id;
        }
        let slow = self.mishap(0.1, Fault::SlowBoot);
        let us = if slow { self.rng.random_range(3_000_000..25_000_000) } else { self.rng.random_range(50_000..800_000) };
        self.later(us, Happening::Join { provider, host: id.clone() });
        id
    }

    fn provider_release(&mut self, by: NodeId, life: u64, intent: IntentId, provider: &ProviderName, host: &HostId) {
        // The last member's own host is released by an entry that left nobody to hold the log.
        let last = self.log.truth.members.is_empty();
        let mut accepted = last || self.barrier(by, life);
        if accepted && let Some(violation) = check::before_release(self, intent, host) {
            self.violation.get_or_insert(violation);
        }
        accepted &= self.providers.get(provider).is_some_and(|provider| provider.answers(self.now));
        if accepted && !self.mishap(0.05, Fault::ReleaseLost) {
            self.end_host(provider, host);
        }
        self.later(5_000, Happening::Deliver { to: by, life, event: Event::Released { intent, accepted } });
    }

    fn provider_list(&mut self, by: NodeId, life: u64, provider: ProviderName) {
        let result = if !self.barrier(by, life) {
            Err(ListError::NotIssued)
        } else {
            match self.providers.get(&provider) {
                Some(state) if state.answers(self.now) => Ok(state.list(self.now)),
                _ => Err(ListError::Unavailable("the API does not answer".to_owned())),
            }
        };
        self.later(5_000, Happening::Deliver { to: by, life, event: Event::Listed { provider, result } });
    }

    /// A host ends, and its process with it.
    pub(crate) fn end_host(&mut self, provider: &ProviderName, host: &HostId) {
        let now = self.now;
        let Some(state) = self.providers.get_mut(provider).and_then(|p| p.hosts.get_mut(host)) else { return };
        if state.ended.is_none() {
            state.ended = Some(now);
            if let Some(node) = state.node {
                self.kill(node, false);
            }
        }
    }

    // ---- joining ----

    fn ask_to_join(&mut self, provider: ProviderName, id: HostId) {
        let now = self.now;
        let Some(host) = self.providers.get(&provider).and_then(|p| p.hosts.get(&id)) else { return };
        if host.ended.is_some() || host.node.is_some() {
            return;
        }
        // The dead man's switch of a host that never joined (design.md section 6).
        if now.ms_since(host.created) > TIMERS.join_ms_max + 60_000 {
            return self.end_host(&provider, &id);
        }
        let (ticket, key) = (host.intent, host.key);
        let members: Vec<NodeId> = host.boot.members.keys().copied().collect();
        let asks = host.asks.unwrap_or_else(|| members[self.rng.random_range(0..members.len())]);
        if let Some(host) = self.providers.get_mut(&provider).and_then(|p| p.hosts.get_mut(&id)) {
            host.asks = None;
        }
        self.later(700_000, Happening::Join { provider: provider.clone(), host: id.clone() });
        if self.is_awake(asks) {
            self.request_count += 1;
            let request = RequestId(self.request_count);
            self.requests.insert(request, (provider, id));
            let life = self.life(asks);
            let event = Event::JoinRequested { request, ticket, key, addresses: Vec::new() };
            self.deliver(asks, life, event);
        }
    }

    fn join_answered(&mut self, request: RequestId, answer: JoinAnswer) {
        let Some((provider, id)) = self.requests.remove(&request) else { return };
        let Some(host) = self.providers.get_mut(&provider).and_then(|p| p.hosts.get_mut(&id)) else { return };
        if host.ended.is_some() || host.node.is_some() {
            return;
        }
        match answer {
            JoinAnswer::Accepted { node, ledger } => {
                let Ok(ledger) = codec::decode_ledger(&ledger) else { return };
                host.node = Some(node);
                let key = host.key;
                if let Some(other) = self.keys.insert(node, key)
                    && other != key
                {
                    self.violation.get_or_insert(Violation::new("node-ids-are-unique", format!("{node} is used twice")));
                }
                let process = Process::new(node, ledger, None, Some((provider, id)));
                let life = process.life;
                self.processes.insert(node, process);
                self.later(1_000, Happening::Deliver { to: node, life, event: Event::Tick });
            }
            JoinAnswer::Redirect { node, .. } => {
                host.asks = Some(node);
                self.later(10_000, Happening::Join { provider, host: id });
            }
            JoinAnswer::Later => {}
            JoinAnswer::Refused { .. } => self.end_host(&provider, &id),
        }
    }

    // ---- processes ----

    /// A process ends. Its peers get a reset, unless the machine fell silent.
    pub(crate) fn kill(&mut self, node: NodeId, silent: bool) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&node) else { return };
        process.stop();
        process.silent = silent;
        process.hit = Some(now);
        let peers = self.network.peers(node);
        for peer in peers {
            if silent {
                let us = self.rng.random_range(8_000_000..20_000_000);
                if let Some(link) = self.network.link(node, peer) {
                    self.later(us, Happening::Notice { one: node, other: peer, link });
                }
            } else {
                self.break_link(node, peer);
            }
        }
    }

    fn start_again(&mut self, node: NodeId) {
        let host = self.processes.get(&node).and_then(|process| process.host.clone());
        if let Some((provider, host)) = host {
            let ended = self.providers.get(&provider).and_then(|p| p.hosts.get(&host)).is_none_or(|h| h.ended.is_some());
            if ended {
                return;
            }
        }
        let Some(process) = self.processes.get_mut(&node).filter(|process| process.core.is_none()) else { return };
        process.start_again(node);
        let life = process.life;
        self.network.wants.remove(&node);
        self.deliver(node, life, Event::Tick);
        let others: Vec<NodeId> = self.network.wants.keys().copied().collect();
        for other in others {
            self.later(20_000, Happening::Dial { from: other, to: node });
        }
    }

    /// An instance of the world, for faults.
    pub(crate) fn some_running(&mut self) -> Option<(NodeId, u64, RunId)> {
        let mut all: Vec<(NodeId, u64, RunId)> = Vec::new();
        for (node, process) in self.processes.iter().filter(|(_, process)| process.is_up()) {
            all.extend(process.running.values().map(|(run, _)| (*node, process.life, run.clone())));
        }
        if all.is_empty() { None } else { Some(all.swap_remove(self.rng.random_range(0..all.len()))) }
    }

    /// Instances that really run, with the node.
    #[must_use]
    pub fn running(&self) -> BTreeMap<InstanceId, BTreeSet<NodeId>> {
        let mut running: BTreeMap<InstanceId, BTreeSet<NodeId>> = BTreeMap::new();
        for (node, process) in self.processes.iter().filter(|(_, process)| process.is_up()) {
            for (instance, (_, started)) in &process.running {
                if *started {
                    running.entry(instance.clone()).or_default().insert(*node);
                }
            }
        }
        running
    }
}
