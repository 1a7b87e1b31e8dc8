//! The state of the model: the ledger, the copies on the hosts, and the changes of the environment.
//!
//! A copy counts its failures as `rhizo_protocol::agent` does, and reports them in the same form. Waits have no length
//! here: an attempt is a step. Counts stop at the numbers above which the ledger and the coordinator behave the same.

use crate::fingerprint::{Fingerprint, Shared};
use rhizo_protocol::back_off::{FAILURES_MAX, back_off_ms};
use rhizo_protocol::{Applied, Ledger, Refusal};
use rhizo_types::failure::RetryWait;
use rhizo_types::id::{ComponentName, InstanceId, IntentId, NodeId};
use rhizo_types::intent::IntentState;
use rhizo_types::ledger::Command;
use rhizo_types::message::{InstancePhase, InstanceReport, LogEntry, Report};
use rhizo_types::target::Cause;
use rhizo_types::{Generation, Revision, Term};
use std::collections::{BTreeMap, BTreeSet};

/// The environment variable by which the scenarios distinguish the builds of a component's program.
pub const BUILD: &str = "BUILD";
/// Failures of a copy in a row are counted up to here. Its node is at fault or not from `FAILURES_MAX` on.
const IN_A_ROW_MAX: u32 = FAILURES_MAX;
/// Failures of a version are counted up to here. The ledger records no more of them, and the waits grow no more.
const OF_VERSION_MAX: u32 = 8;
/// The id of a node is that of its intent plus this; ids are indexes of entries, and the founder's is 1.
const NODE_BASE: u64 = 10;

/// A build of a component's program.
pub type Build = (ComponentName, String);

/// A state of the model.
#[derive(Clone, Debug)]
pub struct World {
    /// The committed ledger. Its index counts joins only, so that equal decisions are equal states.
    pub ledger: Shared<Ledger>,
    /// The copies on each member with a host.
    pub nodes: BTreeMap<NodeId, Copies>,
    /// The past of the environment.
    pub past: Past,
}

/// The changes that the environment has made so far.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Past {
    /// Specs put in force.
    pub specs: usize,
    /// Nodes on whose hosts every program fails.
    pub bad: BTreeSet<NodeId>,
    /// Hosts that have become bad.
    pub bad_count: u8,
    /// Single failures of programs on good hosts.
    pub crashes: u8,
    /// How often the time passed after which marks end.
    pub ages: u8,
    /// Builds that worked and fail on every host now.
    pub spoilt: BTreeSet<Build>,
    /// Hosts acquired because copies of a component failed, since it last ran well, its definition changed or a mark
    /// ended.
    pub replacements: BTreeMap<ComponentName, u8>,
    /// The builds of which a copy was tried.
    pub tried: BTreeSet<Build>,
    /// The builds of which a copy was started.
    pub started: BTreeSet<Build>,
}

impl Past {
    /// Counts the hosts that a committed command acquires because copies fail.
    pub(super) fn count(&mut self, command: &Command) {
        match command {
            Command::Plan(plan) if !plan.orders.is_empty() => {
                let Cause::InstanceFailed(failed) = &plan.verdict.cause else { return };
                let components: BTreeSet<&ComponentName> =
                    failed.iter().map(|copy| &copy.component).collect();
                for component in components {
                    *self.replacements.entry(component.clone()).or_default() += 1;
                }
            }
            Command::Steady { components } => {
                self.replacements.retain(|component, _| !components.contains_key(component));
            }
            Command::Batch(commands) => commands.iter().for_each(|command| self.count(command)),
            _ => {}
        }
    }
}

/// The agent of a node: the target that it follows, and its copies.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Copies {
    /// The target.
    pub target: Revision,
    /// The copies.
    pub copies: BTreeMap<InstanceId, Copy>,
}

/// One copy on a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Copy {
    /// Its generation.
    pub generation: Generation,
    /// The spec revision that defines it.
    pub version: Revision,
    /// Whether its program runs.
    pub is_started: bool,
    /// Failures in a row on this node.
    pub failures: u32,
    /// Failures in a row of its version on all hosts, as far as its agent knows.
    pub of_version: u32,
    /// Whether it waits before its next attempt.
    pub waits: bool,
}

impl Copy {
    fn new(generation: Generation, version: Revision, of_version: u32) -> Self {
        let waits = of_version >= FAILURES_MAX;
        Self { generation, version, is_started: false, failures: 0, of_version, waits }
    }

    pub(super) fn fail(&mut self, of_version: u32) {
        self.is_started = false;
        self.waits = true;
        self.failures = (self.failures + 1).min(IN_A_ROW_MAX);
        self.of_version = (self.of_version.max(of_version) + 1).min(OF_VERSION_MAX);
    }

    pub(super) fn start(&mut self) {
        self.is_started = true;
        self.waits = false;
    }

    /// Whether it failed so often in a row that the coordinator judges its host.
    pub(super) fn is_exhausted(&self) -> bool {
        !self.is_started && self.failures >= FAILURES_MAX
    }

    fn report(&self, error: &str, restart_ms: u64) -> InstanceReport {
        let phase = if self.is_started { InstancePhase::Started } else { InstancePhase::Waiting };
        let wait_ms = back_off_ms(self.of_version, restart_ms);
        InstanceReport {
            failures: self.failures,
            failure: (self.failures > 0).then(|| error.to_owned()),
            retry: self.waits.then_some(RetryWait { failures: self.of_version, wait_ms }),
            ..InstanceReport::idle(self.generation, self.version, phase)
        }
    }
}

impl World {
    /// The fingerprint of the state.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.ledger.fingerprint().then(Fingerprint::of(&(&self.nodes, &self.past)))
    }

    /// The reports of all agents. Programs on a bad host, and those that fail everywhere after they have worked, fail
    /// with `host_error`.
    pub(super) fn reports(&self, host_error: &str) -> BTreeMap<NodeId, Report> {
        let restart_ms = self.ledger.timers().restart_ms;
        let report = |(node, copies): (&NodeId, &Copies)| {
            let instances = copies.copies.iter().map(|(name, copy)| {
                let build = self.build(&name.component, copy.version);
                let is_spoilt = build.is_some_and(|build| self.past.spoilt.contains(&build));
                let is_bad = is_spoilt || self.past.bad.contains(node);
                let error = if is_bad { host_error } else { "exit code 1" };
                (name.clone(), copy.report(error, restart_ms))
            });
            (*node, Report { number: 1, target: self.nodes[node].target, instances: instances.collect() })
        };
        self.nodes.iter().map(report).collect()
    }

    /// Commits a command as every node does. An error is the ledger's refusal, with nothing changed.
    pub(super) fn commit(&mut self, command: Command) -> Result<(), Refusal> {
        let mut ledger = Ledger::clone(&self.ledger);
        // A member's id is the index of its entry. No other index is read.
        let index = match &command {
            Command::Join(join) => node_of(join.ticket).0,
            _ => NODE_BASE,
        };
        ledger.index = index - 1;
        let applied = ledger.apply(index, Term(1), &LogEntry::Command(command));
        ledger.index = NODE_BASE;
        match applied {
            Applied::Refused(refusal) => return Err(refusal),
            Applied::Done | Applied::Ignored => {}
        }
        self.nodes.retain(|node, _| ledger.members.contains_key(node));
        for node in ledger.members.keys().filter(|node| ledger.has_host(**node)) {
            self.nodes.entry(*node).or_default();
        }
        self.past.bad.retain(|node| ledger.members.contains_key(node));
        self.ledger = Shared::new(ledger);
        Ok(())
    }

    /// Lets the agent of a node follow the target in force.
    pub(super) fn follow(&mut self, node: NodeId) {
        let ledger = self.ledger.clone();
        let Some(copies) = self.nodes.get_mut(&node) else { return };
        copies.target = ledger.target.revision;
        let former = std::mem::take(&mut copies.copies);
        for (instance, placed) in ledger.target.instances.iter().filter(|(_, placed)| placed.node == node) {
            let stays = former.get(instance).filter(|copy| copy.generation == placed.generation).cloned();
            let new = || {
                let failed = ledger.failures_of(&instance.component, placed.version).min(OF_VERSION_MAX);
                Copy::new(placed.generation, placed.version, failed)
            };
            let copy = Copy { version: placed.version, ..stays.unwrap_or_else(new) };
            copies.copies.insert(instance.clone(), copy);
        }
    }

    /// The hosts that are paid for: every intent that is not closed.
    #[must_use]
    pub fn hosts_held(&self) -> usize {
        self.ledger.intents.values().filter(|intent| intent.is_open()).count()
    }

    /// The intents in a state.
    pub(super) fn intents_in(&self, state: IntentState) -> impl Iterator<Item = IntentId> {
        self.ledger.intents.values().filter(move |intent| intent.state == state).map(|intent| intent.id)
    }

    /// The build of a component in a spec revision.
    pub(super) fn build(&self, component: &ComponentName, version: Revision) -> Option<Build> {
        let defined = self.ledger.specs.get(&version)?.spec.components.get(component)?;
        Some((component.clone(), defined.env.get(BUILD)?.clone()))
    }

    /// The build of a copy of the target.
    pub(super) fn build_of(&self, instance: &InstanceId) -> Option<Build> {
        self.build(&instance.component, self.ledger.target.instances.get(instance)?.version)
    }

    /// Every copy with its node.
    pub(super) fn copies(&self) -> impl Iterator<Item = (NodeId, &InstanceId, &Copy)> {
        self.nodes
            .iter()
            .flat_map(|(node, copies)| copies.copies.iter().map(move |(name, copy)| (*node, name, copy)))
    }
}

/// The id of the node that joins with an intent's ticket.
pub(super) fn node_of(intent: IntentId) -> NodeId {
    NodeId(NODE_BASE + intent.0)
}
