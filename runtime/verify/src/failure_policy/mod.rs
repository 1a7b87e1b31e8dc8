//! The model of the failure policy: the production ledger and coordinator, between hosts and programs that fail.
//!
//! The other model explores agents. This one explores who decides on their failures: the ledger with its guards, the
//! failure watch, the terms of the request, planning, and the targets that follow. Every command is that of a new
//! coordinator (`rhizo_protocol::coordinator::next_decision`), so a change of coordinator is possible at every moment.
//! The caller passes planning in, because this crate does not depend on it.
//!
//! Stand-ins: copies (see [`world`]), and a provider that delivers every host and confirms every release. Agents learn
//! of targets late and in any order; the coordinator reads their newest state. Read next: [`rule`] for the properties.

mod check;
pub mod rule;
pub mod world;

pub use check::{PolicyVerdict, PolicyViolation, check, check_only};
pub use rule::PolicyRule;

use crate::explore::Model;
use crate::fingerprint::{Fingerprint, Shared};
use crate::table::Table;
use rhizo_protocol::coordinator::next_decision;
use rhizo_protocol::{Ledger, SolveOutcome, SolveRequest};
use rhizo_types::Revision;
use rhizo_types::id::{
    AppName, HostId, InstanceId, IntentId, Lineage, NodeId, PeerKey, ProviderName, RegionName,
};
use rhizo_types::intent::{BoundHost, IntentState, Outcome};
use rhizo_types::ledger::{Command, Genesis, Join, MemberRecord, OverlaySecret, SetSpec, Timers};
use rhizo_types::spec::Spec;
use std::collections::BTreeSet;
use std::fmt;
use world::{Build, Past, World};

/// Longer than the failure window and every wait, and shorter than the age at which marks end.
const WINDOW_MS: u64 = 60_000;
/// Longer than the age at which marks end.
const AGE_MS: u64 = 700_000;

/// A scenario of the model.
#[derive(Clone, Debug)]
pub struct PolicyScenario {
    /// Its name in reports.
    pub name: String,
    /// The specs that the operator puts in force, one after the other, each at any moment.
    pub specs: Vec<Spec>,
    /// The builds that never start, on any host.
    pub broken: BTreeSet<Build>,
    /// How many hosts the application needs without failures.
    pub need: usize,
    /// The most single failures of programs.
    pub crashes_max: u8,
    /// The most hosts that become bad: no program starts there, and running programs end.
    pub bad_max: u8,
    /// The most builds that fail everywhere after they have worked: something that they need is gone.
    pub spoilt_max: usize,
    /// The error of programs on a bad host, and of those that fail everywhere after they have worked.
    pub host_error: &'static str,
    /// How often the time may pass after which marks end.
    pub ages_max: u8,
}

/// One step of the model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyStep {
    /// The operator puts the next spec in force.
    Spec(Revision),
    /// The coordinator commits a command, at once or when nothing has changed for the failure window.
    Command(Box<Command>),
    /// The ledger refuses the coordinator's command.
    Refused(String),
    /// The time passes after which marks end.
    Age(Box<Command>),
    /// The host of an order is delivered, and its node joins.
    Arrive(NodeId),
    /// The provider confirms that a host is gone.
    Gone(IntentId),
    /// An agent follows the target in force.
    Follow(NodeId),
    /// A copy is started, and works or fails.
    Try(NodeId, InstanceId, bool),
    /// A program ends because its host is bad, or because it fails everywhere now.
    End(NodeId, InstanceId),
    /// A program ends on a good host.
    Crash(NodeId, InstanceId),
    /// A host becomes bad.
    Worsen(NodeId),
    /// A build that worked fails everywhere from now on.
    Spoil(Build),
}

impl fmt::Display for PolicyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(revision) => write!(f, "the operator puts spec {revision} in force"),
            Self::Command(command) => write!(f, "committed: {command:?}"),
            Self::Refused(refusal) => write!(f, "a command is refused because {refusal}"),
            Self::Age(command) => write!(f, "ten minutes pass; committed: {command:?}"),
            Self::Arrive(node) => write!(f, "{node} joins"),
            Self::Gone(intent) => write!(f, "the host of {intent} is gone"),
            Self::Follow(node) => write!(f, "{node} follows the target"),
            Self::Try(node, instance, true) => write!(f, "{instance} starts on {node}"),
            Self::Try(node, instance, false) => write!(f, "{instance} fails to start on {node}"),
            Self::End(node, instance) => write!(f, "{instance} ends for good on {node}"),
            Self::Crash(node, instance) => write!(f, "{instance} crashes on {node}"),
            Self::Worsen(node) => write!(f, "the host of {node} becomes bad"),
            Self::Spoil((component, build)) => write!(f, "{component} fails everywhere in its build {build}"),
        }
    }
}

/// Answers a request to planning.
pub type PlanFn<'a> = dyn FnMut(&SolveRequest) -> SolveOutcome + 'a;

/// A scenario that can be explored, with the planning that answers its requests.
pub struct PolicyModel<'a> {
    scenario: &'a PolicyScenario,
    plan: &'a mut PlanFn<'a>,
    decisions: Table,
    decided: Vec<Option<Command>>,
    answers: Table,
    answered: Vec<SolveOutcome>,
}

impl<'a> PolicyModel<'a> {
    /// A model of the scenario.
    #[must_use]
    pub fn new(scenario: &'a PolicyScenario, plan: &'a mut PlanFn<'a>) -> Self {
        let (decisions, answers) = (Table::default(), Table::default());
        Self { scenario, plan, decisions, decided: Vec::new(), answers, answered: Vec::new() }
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> &PolicyScenario {
        self.scenario
    }

    /// The command of a coordinator that has seen this state for a time; computed once for each ledger and reports.
    fn decision(&mut self, world: &World, unchanged_ms: u64) -> Option<Command> {
        let reports = world.reports(self.scenario.host_error);
        let key = world.ledger.fingerprint().then(Fingerprint::of(&reports)).number(unchanged_ms);
        if let Some(number) = self.decisions.get(key) {
            return self.decided[number as usize].clone();
        }
        let (answers, answered, plan) = (&mut self.answers, &mut self.answered, &mut self.plan);
        let mut answer = |request: &SolveRequest| {
            let key = Fingerprint::of(request);
            if let Some(number) = answers.get(key) {
                return answered[number as usize].clone();
            }
            answers.insert(key, u32::try_from(answered.len()).unwrap_or(u32::MAX - 1));
            answered.push(plan(request));
            answered[answered.len() - 1].clone()
        };
        let command = next_decision(&world.ledger, &reports, unchanged_ms, &mut answer);
        self.decisions.insert(key, u32::try_from(self.decided.len()).unwrap_or(u32::MAX - 1));
        self.decided.push(command.clone());
        command
    }

    fn coordinator_steps(&mut self, world: &World, steps: &mut Vec<(PolicyStep, World)>) {
        if let Some(command) = self.decision(world, WINDOW_MS) {
            let mut after = world.clone();
            let step = match after.commit(command.clone()) {
                Ok(()) => {
                    after.past.count(&command);
                    PolicyStep::Command(Box::new(command))
                }
                Err(refusal) => PolicyStep::Refused(refusal.to_string()),
            };
            steps.push((step, after));
        } else if world.past.ages < self.scenario.ages_max
            && let Some(command) = self.decision(world, AGE_MS)
        {
            let mut after = world.clone();
            after.past.ages += 1;
            after.past.replacements.clear();
            if after.commit(command.clone()).is_ok() {
                steps.push((PolicyStep::Age(Box::new(command)), after));
            }
        }
    }

    fn operator_steps(&self, world: &World, steps: &mut Vec<(PolicyStep, World)>) {
        let Some(spec) = self.scenario.specs.get(world.past.specs) else { return };
        let revision = world.ledger.spec_revision().next();
        let mut after = world.clone();
        after.past.specs += 1;
        after.past.replacements.clear();
        let set = SetSpec { revision, spec: spec.clone(), source: String::new() };
        if after.commit(Command::SetSpec(Box::new(set))).is_ok() {
            steps.push((PolicyStep::Spec(revision), after));
        }
    }

    fn provider_steps(world: &World, steps: &mut Vec<(PolicyStep, World)>) {
        for intent in world.intents_in(IntentState::Open) {
            let mut after = world.clone();
            let host = HostId(format!("h{}", intent.0));
            let bound = Outcome::Bound(BoundHost { host: host.clone(), address: None });
            let node = world::node_of(intent);
            let key = PeerKey([u8::try_from(node.0).unwrap_or(u8::MAX); 32]);
            let join = Join { ticket: intent, host, key, addresses: Vec::new() };
            let bound = after.commit(Command::Outcome { intent, outcome: bound });
            if bound.and_then(|()| after.commit(Command::Join(join))).is_ok() {
                steps.push((PolicyStep::Arrive(node), after));
            }
        }
        for intent in world.intents_in(IntentState::Releasing) {
            let mut after = world.clone();
            if after.commit(Command::Outcome { intent, outcome: Outcome::Released }).is_ok() {
                steps.push((PolicyStep::Gone(intent), after));
            }
        }
    }

    fn node_steps(&self, world: &World, steps: &mut Vec<(PolicyStep, World)>) {
        for (node, copies) in &world.nodes {
            if copies.target != world.ledger.target.revision {
                let mut after = world.clone();
                after.follow(*node);
                steps.push((PolicyStep::Follow(*node), after));
            }
            if !world.past.bad.contains(node) && world.past.bad_count < self.scenario.bad_max {
                let mut after = world.clone();
                after.past.bad.insert(*node);
                after.past.bad_count += 1;
                steps.push((PolicyStep::Worsen(*node), after));
            }
        }
        if world.past.spoilt.len() < self.scenario.spoilt_max {
            for build in &world.past.started {
                let mut after = world.clone();
                after.past.spoilt.insert(build.clone());
                steps.push((PolicyStep::Spoil(build.clone()), after));
            }
        }
        for (node, instance, copy) in world.copies() {
            let Some(build) = world.build(&instance.component, copy.version) else { continue };
            let is_bad = world.past.bad.contains(&node) || world.past.spoilt.contains(&build);
            let mut after = world.clone();
            let failed = world.ledger.failures_of(&instance.component, copy.version);
            let Some(copies) = after.nodes.get_mut(&node) else { continue };
            let Some(changed) = copies.copies.get_mut(instance) else { continue };
            if !copy.is_started {
                let works = !is_bad && !self.scenario.broken.contains(&build);
                if works {
                    changed.start();
                    after.past.started.insert(build.clone());
                } else {
                    changed.fail(failed);
                }
                after.past.tried.insert(build);
                steps.push((PolicyStep::Try(node, instance.clone(), works), after));
            } else if is_bad || world.past.crashes < self.scenario.crashes_max {
                changed.fail(failed);
                after.past.crashes += u8::from(!is_bad);
                let end = if is_bad { PolicyStep::End } else { PolicyStep::Crash };
                steps.push((end(node, instance.clone()), after));
            }
        }
    }
}

impl Model for PolicyModel<'_> {
    type State = World;
    type Step = PolicyStep;

    fn initial(&mut self) -> World {
        let founder = MemberRecord {
            key: PeerKey([0; 32]),
            addresses: Vec::new(),
            provider: ProviderName::from("founder"),
            region: RegionName::from("r"),
            intent: None,
        };
        let genesis = Genesis {
            app: AppName::from("app"),
            lineage: Lineage(1),
            founder,
            operators: BTreeSet::new(),
            timers: Timers { place_grace_ms: 0, ..Timers::LOCAL },
            overlay_secret: OverlaySecret([0; 32]),
        };
        let ledger = Shared::new(Ledger::default());
        let mut world = World { ledger, nodes: Default::default(), past: Past::default() };
        let begun = world.commit(Command::Genesis(Box::new(genesis)));
        debug_assert_eq!(begun, Ok(()), "an empty ledger takes a genesis");
        let mut steps = Vec::new();
        self.operator_steps(&world, &mut steps);
        steps.pop().map_or(world, |(_, world)| world)
    }

    fn fingerprint(&self, world: &World) -> Fingerprint {
        world.fingerprint()
    }

    fn steps(&mut self, world: &World, steps: &mut Vec<(PolicyStep, World)>) {
        self.operator_steps(world, steps);
        self.coordinator_steps(world, steps);
        Self::provider_steps(world, steps);
        self.node_steps(world, steps);
    }

    fn fairness(&self, step: &PolicyStep) -> Option<u16> {
        let of = |kind: u16, number: u64| kind + 8 * u16::try_from(number).unwrap_or(u16::MAX / 8);
        let of_copy = |kind, node: &NodeId, instance: &InstanceId| {
            // Few nodes, components and copies: the classes of different copies differ.
            let name = instance.component.as_str().bytes().map(u64::from).sum::<u64>() % 16;
            of(kind, node.0 + 32 * name + 512 * u64::from(instance.ordinal % 8))
        };
        match step {
            PolicyStep::Spec(_)
            | PolicyStep::Age(_)
            | PolicyStep::Worsen(_)
            | PolicyStep::Spoil(_)
            | PolicyStep::Crash(..) => None,
            PolicyStep::Command(_) | PolicyStep::Refused(_) => Some(0),
            PolicyStep::Arrive(node) => Some(of(1, node.0)),
            PolicyStep::Gone(intent) => Some(of(2, intent.0)),
            PolicyStep::Follow(node) => Some(of(3, node.0)),
            PolicyStep::Try(node, instance, _) => Some(of_copy(4, node, instance)),
            PolicyStep::End(node, instance) => Some(of_copy(5, node, instance)),
        }
    }
}
