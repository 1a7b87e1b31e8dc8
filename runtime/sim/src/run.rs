//! One run: deployment, faults, healing, convergence, and for some seeds the take-down of the application.
//!
//! The faults of a run are planned from its seed. The node that a fault strikes is chosen when it strikes. A fault
//! that would destroy the majority of the voters for good is left out, because another promise holds then; a part of
//! the seeds tests that one separately at the end.

use crate::check;
use crate::detection::dead_in_time;
use crate::fault::{Coverage, Fault};
use crate::lost_quorum::{recovered, without_quorum};
use crate::phase::{HEAL_MS, run_until, wait};
use crate::scenario::{SHAPES, components, set_components};
use crate::violation::Violation;
use crate::world::{Act, Happening, World};
use rand::RngExt;
use rhizo_protocol::{Event, Request, RequestId};
use rhizo_types::Time;
use rhizo_types::id::{NodeId, ProviderName, ValueName};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Options of runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether every event is recorded as a line.
    pub verbose: bool,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The check that failed, if any; `converges` is one.
    pub violation: Option<Violation>,
    /// The hash of everything that happened.
    pub trace: String,
    /// Number of events handled.
    pub events: u64,
    /// The faults that fired.
    pub coverage: Coverage,
    /// Time from healing to stability, in milliseconds; none when the majority was lost for good.
    pub healed_ms: Option<u64>,
    /// The written events, if asked for.
    pub lines: Vec<String>,
}

/// Time limit of the first deployment, which has no faults.
const DEPLOY_MS: u64 = 60_000;
/// Faults strike within this time.
const FAULTS_MS: u64 = 60_000;
/// Time for which nodes hang that come back after a new lineage has begun: longer than the survivors are watched
/// before.
const HANG_MS: u64 = 45_000;
/// Time limit of the take-down.
const TAKE_DOWN_MS: u64 = 180_000;

/// The faults that are planned. The others happen at random.
const PLANNED: &[Fault] = &[
    Fault::Kill,
    Fault::Kill,
    Fault::Restart,
    Fault::PowerLoss,
    Fault::Pause,
    Fault::CoordinatorHit,
    Fault::Partition,
    Fault::OneWay,
    Fault::Flap,
    Fault::ApiDown,
    Fault::ListLag,
    Fault::ProviderLost,
    Fault::Exits,
    Fault::Unhealthy,
    Fault::SpecChange,
    Fault::SpecChange,
    Fault::Script,
    Fault::Script,
    Fault::BadVersion,
    Fault::BadHost,
    Fault::Restart,
    Fault::Drain,
    Fault::BetterAppears,
    Fault::BetterAppears,
];

/// The share of the seeds in which a node of the healed world hangs or ends. The rest before it takes as long as the
/// faults do.
const DETECTIONS: f64 = 0.3;

/// Runs one seed.
#[must_use]
pub fn run_seed(seed: u64, options: &Options) -> Outcome {
    let mut world = World::new(seed, options.verbose);
    let healed_ms = phases(&mut world);
    let violation = world.violation.take();
    Outcome {
        seed,
        violation,
        trace: world.trace(),
        events: world.events,
        healed_ms,
        lines: world.lines.take().unwrap_or_default(),
        coverage: world.coverage,
    }
}

fn phases(world: &mut World) -> Option<u64> {
    if !world.scenario.early {
        wait(world, DEPLOY_MS, "deploys", check::converged)?;
    }
    world.faulty = true;
    for _ in 0..world.scenario.faults {
        let fault = PLANNED[world.rng.random_range(0..PLANNED.len())];
        let us = world.rng.random_range(0..FAULTS_MS * 900);
        world.later(us, Happening::Strike(fault));
    }
    let end = world.now.after_ms(FAULTS_MS);
    run_until(world, end)?;
    world.heal();
    let healed = world.now;
    if !world.can_decide() {
        without_quorum(world)?;
        recovered(world);
        return None;
    }
    wait(world, HEAL_MS, "converges", check::converged)?;
    let healed_ms = world.now.ms_since(healed);
    if world.rng.random_bool(DETECTIONS) {
        dead_in_time(world)?;
    }
    if world.scenario.lonely && world.log.voters.len() >= 3 {
        world.leave_one();
        without_quorum(world)?;
        recovered(world);
    } else if world.scenario.take_down {
        let leader = world.log.leader?;
        world.request(leader, Request::TakeDown);
        let lost = check::cannot_learn(world);
        wait(world, TAKE_DOWN_MS, "is-taken-down", |world| taken_down(world, &lost))?;
    }
    Some(healed_ms)
}

/// Checks that nothing is left but nodes that no other node can notify. Those end by `orphan_after`.
fn taken_down(world: &World, lost: &BTreeSet<NodeId>) -> Result<(), String> {
    for (name, provider) in &world.providers {
        if let Some((id, _)) = provider.hosts.iter().find(|(_, host)| host.ended.is_none()) {
            return Err(format!("{name} still has {id}"));
        }
    }
    let mut up = world.processes.iter().filter(|(_, process)| process.is_up());
    let up = up.find(|(node, _)| !lost.contains(node));
    up.map_or(Ok(()), |(node, _)| Err(format!("{node} still runs")))
}

impl World {
    /// Ends every fault. A paused process stays paused until its time, because messages that wait for it must not be
    /// overtaken.
    pub(crate) fn heal(&mut self) {
        self.faulty = false;
        self.bad = None;
        self.bad_host = None;
        self.network.heal_all();
        let now = self.now;
        for provider in self.providers.values_mut() {
            provider.down_until = now;
            provider.list_lag_ms = 0;
        }
        self.say(|| "== healed".to_owned());
    }

    /// Loses all nodes but one at once. Some of them only hang, until after an operator has begun a new lineage.
    fn leave_one(&mut self) {
        let up = self.up();
        let Some(survivor) = self.pick(&up) else { return };
        for node in up.into_iter().filter(|node| *node != survivor) {
            if self.rng.random_bool(0.25) {
                if let Some(process) = self.processes.get_mut(&node) {
                    process.paused_until = self.now.after_ms(HANG_MS);
                }
                continue;
            }
            let host = self.processes.get(&node).and_then(|process| process.host.clone());
            self.kill(node, false);
            if let Some((provider, host)) = host {
                self.end_host(&provider, &host);
            }
        }
        self.say(|| format!("== {survivor} is left alone"));
    }

    /// Returns true if a majority of the voters is left, now or after restarts that are under way.
    pub(crate) fn can_decide(&self) -> bool {
        let voters = &self.log.voters;
        let left = voters.iter().filter(|voter| {
            (self.is_up(**voter) || self.restarts(**voter)) && !self.is_declared_dead(**voter)
        });
        left.count() * 2 > voters.len()
    }

    /// Returns true if a voter was declared dead. It may run behind a partition, but it halts as soon as it learns of
    /// its removal.
    fn is_declared_dead(&self, voter: NodeId) -> bool {
        self.log.truth.departed.get(&voter).is_some_and(|departed| departed.dead)
    }

    /// Returns true if a node's process is about to restart with its disk.
    pub(crate) fn restarts(&self, node: NodeId) -> bool {
        self.processes.get(&node).is_some_and(|process| {
            process.core.is_none() && !process.silent && process.wake == Some(RESTARTING)
        })
    }

    /// Lets a node's process stand still.
    pub(crate) fn hang(&mut self, node: NodeId, ms: u64) {
        let until = self.now.after_ms(ms);
        self.hit(&[node]);
        if let Some(process) = self.processes.get_mut(&node) {
            process.paused_until = until;
        }
    }

    pub(crate) fn request(&mut self, node: NodeId, request: Request) {
        let life = self.processes.get(&node).map_or(0, |process| process.life);
        let event = Event::Request { id: RequestId(u64::MAX), request };
        self.later(0, Happening::Deliver { to: node, life, event });
    }

    fn up(&self) -> Vec<NodeId> {
        self.processes.keys().copied().filter(|node| self.is_up(*node)).collect()
    }

    pub(crate) fn pick(&mut self, nodes: &[NodeId]) -> Option<NodeId> {
        if nodes.is_empty() { None } else { Some(nodes[self.rng.random_range(0..nodes.len())]) }
    }

    /// Returns true if the group keeps a majority after `lost` are gone for good.
    pub(crate) fn may_lose(&self, lost: &BTreeSet<NodeId>) -> bool {
        let survives = |voters: &BTreeSet<NodeId>| {
            let left = voters.iter().filter(|voter| {
                self.is_up(**voter) && !self.is_declared_dead(**voter) && !lost.contains(voter)
            });
            left.count() * 2 > voters.len()
        };
        survives(&self.log.voters) && self.log.next_voters().is_none_or(survives)
    }

    pub(crate) fn destroy(&mut self, node: NodeId, silent: bool) -> bool {
        if !self.may_lose(&BTreeSet::from([node])) {
            return false;
        }
        let host = self.processes.get(&node).and_then(|process| process.host.clone());
        self.say(|| format!("== {node} is destroyed (silent: {silent})"));
        self.kill(node, silent);
        if let (Some((provider, host)), false) = (host, silent) {
            self.end_host(&provider, &host);
        }
        true
    }

    fn hit(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            if let Some(process) = self.processes.get_mut(node) {
                process.hit = Some(self.now);
            }
        }
    }

    /// Makes a planned fault strike, if it can.
    pub(crate) fn strike(&mut self, fault: Fault) {
        if !self.faulty {
            return;
        }
        let up = self.up();
        let struck = match fault {
            Fault::Kill => self.pick(&up).is_some_and(|node| self.destroy(node, false)),
            Fault::PowerLoss => self.pick(&up).is_some_and(|node| self.destroy(node, true)),
            Fault::CoordinatorHit => self.log.leader.is_some_and(|node| self.destroy(node, false)),
            Fault::Restart => self.pick(&up).is_some_and(|node| self.restart(node)),
            Fault::Pause => self.pick(&up).is_some_and(|node| self.pause(node)),
            Fault::Partition => self.partition(&up),
            Fault::OneWay => self.one_way(&up),
            Fault::Flap => self.flap(&up),
            Fault::ApiDown | Fault::ListLag | Fault::ProviderLost => self.hit_provider(fault),
            Fault::Exits | Fault::Unhealthy => self.hit_instance(fault),
            Fault::SpecChange => self.change_spec(),
            Fault::Script => self.run_script(),
            Fault::BadVersion => self.ship_bad_version(),
            Fault::BadHost => self.spoil(&up),
            Fault::Drain => self.drain(&up),
            Fault::BetterAppears => self.better(),
            _ => false,
        };
        if struck {
            self.coverage.fired(fault);
            self.say(|| format!("== {}", fault.name()));
        }
    }

    fn restart(&mut self, node: NodeId) -> bool {
        self.kill(node, false);
        let us = self.rng.random_range(100_000..8_000_000);
        if let Some(process) = self.processes.get_mut(&node) {
            process.wake = Some(RESTARTING);
        }
        self.later(us, Happening::StartAgain { node });
        true
    }

    fn pause(&mut self, node: NodeId) -> bool {
        let ms = self.rng.random_range(500..15_000);
        self.hang(node, ms);
        true
    }

    fn cut_for_a_while(&mut self, from: NodeId, to: NodeId, both: bool) {
        self.network.cut(from, to);
        if both {
            self.network.cut(to, from);
        }
        self.hit(&[from, to]);
        let (notice, heal) =
            (self.rng.random_range(4_000_000..15_000_000), self.rng.random_range(2_000_000..25_000_000));
        if let Some(link) = self.network.link(from, to) {
            self.later(notice, Happening::Notice { one: from, other: to, link });
        }
        self.later(heal, Happening::Heal { one: from, other: to });
    }

    fn partition(&mut self, up: &[NodeId]) -> bool {
        let side: BTreeSet<NodeId> = up.iter().copied().filter(|_| self.rng.random_bool(0.4)).collect();
        let others: Vec<NodeId> = up.iter().copied().filter(|node| !side.contains(node)).collect();
        if side.is_empty() || others.is_empty() {
            return false;
        }
        self.hit(up);
        for one in &side {
            for other in &others {
                self.cut_for_a_while(*one, *other, true);
            }
        }
        true
    }

    fn one_way(&mut self, up: &[NodeId]) -> bool {
        let (Some(from), Some(to)) = (self.pick(up), self.pick(up)) else { return false };
        if from == to {
            return false;
        }
        self.cut_for_a_while(from, to, false);
        true
    }

    fn flap(&mut self, up: &[NodeId]) -> bool {
        let (Some(one), Some(other)) = (self.pick(up), self.pick(up)) else { return false };
        if one == other || self.network.link(one, other).is_none() {
            return false;
        }
        self.break_link(one, other);
        true
    }

    fn hit_provider(&mut self, fault: Fault) -> bool {
        let names: Vec<ProviderName> = self.providers.keys().cloned().collect();
        let name = names[self.rng.random_range(0..names.len())].clone();
        let ms = self.rng.random_range(3_000..30_000);
        let until = self.now.after_ms(ms);
        if fault == Fault::ListLag {
            let lag = self.rng.random_range(500..4_000);
            if let Some(provider) = self.providers.get_mut(&name) {
                provider.list_lag_ms = lag;
            }
            return true;
        }
        let mut lost = Vec::new();
        if fault == Fault::ProviderLost {
            let hosts = self.providers.get(&name).into_iter().flat_map(|provider| provider.hosts.iter());
            lost = hosts
                .filter(|(_, host)| host.ended.is_none())
                .map(|(id, host)| (id.clone(), host.node))
                .collect();
            let nodes: BTreeSet<NodeId> = lost.iter().filter_map(|(_, node)| *node).collect();
            if names.len() == 1 || !self.may_lose(&nodes) {
                return false;
            }
        }
        for (host, _) in lost {
            self.end_host(&name, &host);
        }
        if let Some(provider) = self.providers.get_mut(&name) {
            provider.down_until = until;
        }
        true
    }

    fn hit_instance(&mut self, fault: Fault) -> bool {
        let Some((node, life, run)) = self.some_running() else { return false };
        let act = if fault == Fault::Exits { Act::Exit } else { Act::Health };
        self.later(0, Happening::Act { node, life, run, act });
        true
    }

    fn change_spec(&mut self) -> bool {
        let Some(leader) = self.log.leader else { return false };
        let mut spec = self.scenario.spec.clone();
        let (other, copies) = (self.rng.random_range(0..SHAPES), self.rng.random_range(1..=3));
        // The same shape with other copies is an upgrade in place. Another shape replaces everything.
        let shape = if self.rng.random_bool(0.5) { self.scenario.shape } else { other };
        set_components(&mut spec, components(shape, copies));
        // Half of the changes are of attributes as well, and some of a new version.
        let mark = self.rng.random_range(0..8_u32);
        for component in spec.components.values_mut().map(Arc::make_mut) {
            if mark % 2 == 0 {
                component.attributes.insert(ValueName::from("key"), mark.to_string());
            }
            if mark >= 6 {
                component.env.insert("VERSION".to_owned(), mark.to_string());
            }
        }
        self.request(
            leader,
            Request::SetSpec { spec: Box::new(spec), source: format!("{shape}-{copies}"), after: None },
        );
        true
    }

    fn drain(&mut self, up: &[NodeId]) -> bool {
        let (Some(leader), Some(node)) = (self.log.leader, self.pick(up)) else { return false };
        self.request(leader, Request::Leave { node });
        true
    }

    /// Makes a host on which nothing starts any more. Its copies end, so that they have to be started again.
    fn spoil(&mut self, up: &[NodeId]) -> bool {
        let Some(node) = self.pick(up).filter(|_| self.bad_host.is_none()) else { return false };
        self.bad_host = Some(node);
        let process = self.processes.get(&node);
        let life = process.map_or(0, |process| process.life);
        let runs = process.into_iter().flat_map(|process| process.running.values());
        let runs: Vec<_> = runs.map(|(run, _)| run.clone()).collect();
        for run in runs {
            self.later(0, Happening::Act { node, life, run, act: Act::Exit });
        }
        false
    }

    fn better(&mut self) -> bool {
        let Some(leader) = self.log.leader else { return false };
        let life = self.processes.get(&leader).map_or(0, |process| process.life);
        self.market.change(&mut self.rng);
        self.later(0, Happening::Deliver { to: leader, life, event: Event::OffersChanged });
        true
    }
}

/// Marks a process that will start again.
const RESTARTING: Time = Time(u64::MAX);
