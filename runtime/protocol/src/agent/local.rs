//! The state of one instance on its node.
//!
//! Only data and questions about it. `play` moves the tokens up, `lower` moves them down, `run` has the actions,
//! `binding` the imports; [`view`](super::view) shows it to checks.

use super::binding::{Binding, Uses};
use super::failures::Failures;
use super::kind::Kind;
use super::run::{Doing, Progress, Run};
use crate::ledger::Ledger;
use crate::turn::{BoundImports, RunId};
use litemap::LiteMap;
use rhizo_types::Time;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::message::InstancePhase;
use rhizo_types::net::{Marking, Net};
use rhizo_types::spec::Component;
use rhizo_types::target::{Placed, Push};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Whether an instance offers its exports while it stays in their places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Exports {
    /// An export is active whenever a token is in its places.
    Offered,
    /// A mandatory import with `on_loss = "suspend"` or `"rebind"` was lost: the tokens stay where they are, and no
    /// export is active until the import is served again.
    Suspended,
}

/// In which direction the tokens of an instance move.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Mode {
    /// Up: `deploy` is executed, then the behaviours that were pushed.
    Up(Exports),
    /// The instance has to go down, and first comes to rest: transitions that run are completed, because `pause` and
    /// `retire` begin where tokens rest.
    Settling(Exports),
    /// Down: `pause` or `retire` is executed, and a place is left when no export that is active there is used.
    Draining(Exports),
    /// Down without regard to users or imports: it has no users any more, and its own imports may be lost.
    Lowering,
    /// Back to the initial place after a failure: the actions that run are cancelled, the service is ended, then the
    /// steps of `reset` are executed.
    Clearing {
        /// The index of the next step of `reset`.
        next: usize,
    },
}

impl Mode {
    /// Whether the exports are offered. None when the instance has no users any more and does not depend on its
    /// imports.
    pub(super) fn exports(self) -> Option<Exports> {
        match self {
            Self::Up(exports) | Self::Settling(exports) | Self::Draining(exports) => Some(exports),
            Self::Lowering | Self::Clearing { .. } => None,
        }
    }

    pub(super) fn is_suspended(self) -> bool {
        self.exports() == Some(Exports::Suspended)
    }

    /// Returns the same direction with the exports offered or suspended.
    pub(super) fn with(self, exports: Exports) -> Self {
        match self {
            Self::Up(_) => Self::Up(exports),
            Self::Settling(_) => Self::Settling(exports),
            Self::Draining(_) => Self::Draining(exports),
            Self::Lowering | Self::Clearing { .. } => self,
        }
    }

    /// Returns the direction down instead of up; no change when the instance goes down already.
    pub(super) fn turned_down(self) -> Self {
        if let Self::Up(exports) = self { Self::Settling(exports) } else { self }
    }
}

/// The long-running program of an instance, which `Action::Start` starts and `Action::Stop` ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Service {
    /// Nothing of it runs.
    Off,
    /// Something of it may run.
    On,
}

/// The addresses and values that the actions of an instance have put out.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Outputs {
    pub(super) addresses: LiteMap<PortName, SocketAddr>,
    pub(super) values: Values,
    /// Whether something of it, or an attribute of the component, changed since the users were last told.
    pub(super) changed: bool,
}

impl Outputs {
    /// Adds addresses; one that is known already is no change.
    pub(super) fn add_addresses(&mut self, addresses: BTreeMap<PortName, SocketAddr>) {
        let known = |(port, address): (&PortName, &SocketAddr)| self.addresses.get(port) == Some(address);
        self.changed |= !addresses.iter().all(known);
        self.addresses.extend(addresses);
    }

    /// Adds values; one that is known already is no change.
    pub(super) fn add_values(&mut self, values: Values) {
        self.changed |= values.iter().any(|(name, value)| self.values.get(name) != Some(value));
        self.values.extend(values);
    }

    /// Forgets everything, because the instance is back in its initial place.
    pub(super) fn clear(&mut self) {
        self.addresses.clear();
        self.values.clear();
    }
}

/// An instance of this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Local {
    pub(super) placed: Placed,
    pub(super) kind: Arc<Kind>,
    /// Whether the target in force places this generation of the instance on this node.
    pub(super) wanted: bool,
    pub(super) marking: Marking,
    pub(super) mode: Mode,
    /// How many runs of this generation have begun on this node.
    pub(super) attempts: u32,
    /// The run in progress; none before its first action, and none after it was paused or reset.
    pub(super) run: Option<Run>,
    pub(super) service: Service,
    pub(super) failures: Failures,
    pub(super) outputs: Outputs,
    pub(super) imports: LiteMap<PortName, Binding>,
    /// The bindings that the program was last given: at the beginning of the run, then by `Effect::Rebind`.
    pub(super) bound_imports: BoundImports,
    /// Until when an exporter that wants to leave is kept, because another one may be active soon.
    pub(super) keeps_until: Option<Time>,
    /// Exports that accept no new users, because the instance wants to leave their places.
    pub(super) refusing: BTreeSet<PortName>,
    /// The behaviours that the target wants executed after `deploy`.
    pub(super) pushes: Vec<Push>,
    /// The number of the last push that was executed.
    pub(super) pushed: u64,
    /// When the agent's timers wake the instance.
    pub(super) timer: Option<Time>,
}

impl Local {
    /// An instance in its initial place, with `deploy` queued.
    pub(super) fn new(placed: Placed, kind: Arc<Kind>, failures: Failures) -> Self {
        let marking = Marking::at(kind.net.initial);
        let mut imports = LiteMap::with_capacity(kind.component.imports.len());
        imports.extend(kind.component.imports.keys().map(|port| (port.clone(), Binding::default())));
        let mut local = Self {
            placed,
            imports,
            kind,
            wanted: true,
            marking,
            mode: Mode::Up(Exports::Offered),
            attempts: 0,
            run: None,
            service: Service::Off,
            failures,
            outputs: Outputs::default(),
            bound_imports: BoundImports::new(),
            keeps_until: None,
            refusing: BTreeSet::new(),
            pushes: Vec::new(),
            pushed: 0,
            timer: None,
        };
        local.queue_deploy();
        local
    }

    pub(super) fn net(&self) -> &Net {
        &self.kind.net
    }

    pub(super) fn component(&self) -> &Component {
        &self.kind.component
    }

    /// The identity of the run in progress, or of the last one.
    pub(super) fn run_id(&self, instance: &InstanceId) -> RunId {
        RunId { instance: instance.clone(), generation: self.placed.generation, attempt: self.attempts }
    }

    /// The actions that run or wait to be repeated, each with its number.
    pub(super) fn actions(&self) -> impl Iterator<Item = (u32, &Doing)> {
        let actions = self.run.iter().flat_map(|run| run.actions.iter());
        actions.map(|(number, doing)| (*number, doing))
    }

    pub(super) fn doing(&self, number: u32) -> Option<&Doing> {
        self.run.as_ref()?.actions.get(&number)
    }

    pub(super) fn doing_mut(&mut self, number: u32) -> Option<&mut Doing> {
        self.run.as_mut()?.actions.get_mut(&number)
    }

    pub(super) fn forget_action(&mut self, number: u32) -> Option<Doing> {
        self.run.as_mut()?.forget(number)
    }

    /// Whether an action runs or waits to be repeated.
    pub(super) fn is_acting(&self) -> bool {
        self.actions().next().is_some()
    }

    /// Queues `deploy` and every behaviour that was pushed.
    pub(super) fn queue_deploy(&mut self) {
        self.pushed = 0;
        for behaviour in self.kind.net.deploy.clone() {
            self.marking.push(behaviour, 0);
        }
        for push in self.pushes.clone() {
            self.queue_push(&push);
        }
    }

    /// Queues a pushed behaviour. One that this version does not have counts as executed.
    fn queue_push(&mut self, push: &Push) {
        if let Some(behaviour) = self.kind.net.behaviour(&push.behaviour) {
            self.marking.push(behaviour, push.number);
        }
    }

    /// Takes over the pushes of the target: new ones are queued, and those that it no longer has are not undone.
    pub(super) fn follow_pushes(&mut self, pushes: &[Push]) {
        let last = self.pushes.last().map_or(0, |push| push.number).max(self.pushed);
        self.pushes = pushes.to_vec();
        if let Mode::Up(_) = self.mode {
            for push in pushes.iter().filter(|push| push.number > last) {
                self.queue_push(push);
            }
        }
    }

    /// Takes over from the ledger the exporters of every import.
    pub(super) fn follow_imports(&mut self, instance: &InstanceId, ledger: &Ledger, uses: &Uses) {
        for (port, binding) in &mut self.imports {
            binding.follow(instance, port, ledger, uses);
        }
    }

    /// Whether at least one exporter of the import is bound.
    pub(super) fn is_bound(&self, port: &PortName) -> bool {
        self.imports.get(port).is_some_and(|binding| binding.bound > 0)
    }

    /// Whether `deploy` and every push are executed, and no action runs.
    pub(super) fn is_done(&self) -> bool {
        self.mode == Mode::Up(Exports::Offered) && self.marking.is_idle() && !self.is_acting() && self.wanted
    }

    /// Whether every token rests in a place that counts as started.
    pub(super) fn is_up(&self) -> bool {
        self.marking.is_at_rest() && self.marking.places.is_subset(&self.kind.net.started)
    }

    /// Whether an import is used: by a token in its places, or by one of its transitions until that has entered a
    /// place.
    pub(super) fn is_using(&self, port: &PortName) -> bool {
        self.kind.net.imports.get(port).is_some_and(|reach| self.marking.is_using(reach))
    }

    /// Whether the behaviours that are queued end the use of an import.
    pub(super) fn will_let_go(&self, port: &PortName) -> bool {
        let reach = self.kind.net.imports.get(port);
        !self.marking.is_idle() && reach.is_some_and(|reach| self.kind.net.releases(&self.marking, reach))
    }

    /// Whether the instance failed and, while it is deployed again, uses an import that a later push makes it release.
    ///
    /// An exporter that was pushed to leave waits for such a user: once it has left, nothing makes it serve again.
    pub(super) fn uses_then_releases(&self, port: &PortName) -> bool {
        let reach = self.kind.net.imports.get(port);
        self.failures.in_a_row > 0
            && self.wanted
            && matches!(self.mode, Mode::Up(_))
            && !self.pushes.is_empty()
            && reach.is_some_and(|reach| self.kind.net.uses_then_releases(&self.marking, reach))
    }

    /// Whether a transition that uses the import runs.
    pub(super) fn is_acting_with(&self, port: &PortName) -> bool {
        let Some(reach) = self.kind.net.imports.get(port) else { return false };
        !self.marking.running.is_disjoint(&reach.transitions)
    }

    /// Whether an export may be used: a token is in one of its places, and the exports are offered.
    pub(super) fn is_active(&self, export: &PortName) -> bool {
        let group = self.kind.net.exports.get(export);
        self.mode.exports() == Some(Exports::Offered)
            && group.is_some_and(|group| self.marking.is_in(&self.kind.net, group))
    }

    /// When the next timer of the instance is due.
    pub(super) fn due_at(&self) -> Option<Time> {
        let actions = self.actions().map(|(_, doing)| doing.due_at());
        actions.chain([self.failures.retry_at, self.keeps_until]).flatten().min()
    }

    /// Whether a transition that stops the service runs.
    fn is_ending_service(&self) -> bool {
        self.marking.running.iter().any(|way| self.kind.net.transition(*way).step.action == Action::Stop)
    }

    /// The phase that the agent reports.
    pub(super) fn phase(&self) -> InstancePhase {
        let Some(run) = &self.run else {
            return if self.mode.is_suspended() { InstancePhase::Suspended } else { InstancePhase::Waiting };
        };
        match self.mode {
            Mode::Settling(_) | Mode::Draining(_) => InstancePhase::Draining,
            Mode::Lowering | Mode::Clearing { .. } => InstancePhase::Stopping,
            Mode::Up(Exports::Suspended) => InstancePhase::Suspended,
            Mode::Up(Exports::Offered) => self.phase_upwards(run),
        }
    }

    fn phase_upwards(&self, run: &Run) -> InstancePhase {
        let has_started = matches!(run.progress, Progress::Started { .. });
        match self.marking.is_idle() {
            true if self.is_up() => InstancePhase::Started,
            true => InstancePhase::Resting,
            false if self.is_ending_service() => InstancePhase::Stopping,
            // While a pushed behaviour is executed, it stays started as long as its tokens rest where it counts as
            // that.
            false if has_started && self.is_up() => InstancePhase::Started,
            false => InstancePhase::Starting,
        }
    }
}
