//! The state of one instance on its node, and what can be seen of it from outside.
//!
//! Only data and questions. `play` moves the tokens upwards, `lower` downwards, `actions` has what runs.

use super::importer::Binding;
use super::kind::Kind;
use crate::sabotage::{self, Sabotage};
use crate::turn::{BoundImports, RunId};
use litemap::LiteMap;
use rhizo_types::Time;
use rhizo_types::id::{InstanceId, PlaceName, PortName};
use rhizo_types::lifecycle::{Action, Values};
use rhizo_types::message::InstancePhase;
use rhizo_types::net::{Marking, Net, TransitionIx};
use rhizo_types::spec::Component;
use rhizo_types::target::{Placed, Push};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where the tokens are going.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Mode {
    /// As the target says: `deploy`, then what was pushed.
    Up,
    /// On the way down as far as its users let it: `pause` or `retire` is executed, and a place is left when nobody
    /// uses what is exported there.
    Draining,
    /// On the way down at once: nobody uses it, and what it uses itself may be gone.
    Lowering,
    /// Running actions are cancelled, then the steps of `reset` from this one on are executed.
    Clearing {
        /// The next step.
        next: usize,
    },
}

/// The long-running service of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Service {
    /// Nothing of it runs.
    Off,
    /// Something of it may run.
    On,
}

/// What an action is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Purpose {
    /// A transition.
    Transition(TransitionIx),
    /// Ending the service before a reset.
    EndService,
    /// A step of the reset.
    Reset(usize),
    /// Telling of changed imports.
    Notify,
}

/// An action that was begun.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Doing {
    pub(super) purpose: Purpose,
    /// Whether its answers are those of the service: `Started`, `Stopped` and the like.
    pub(super) service: bool,
    /// How often it failed.
    pub(super) failed: u32,
    /// When it is cancelled.
    pub(super) deadline: Option<Time>,
    /// It was cancelled, for this reason if that is a failure.
    pub(super) cancelled: Option<Option<String>>,
    /// It failed, nothing of it runs, and it begins again then.
    pub(super) again_at: Option<Time>,
}

/// An instance of this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Local {
    pub(super) placed: Placed,
    pub(super) kind: Arc<Kind>,
    /// Whether the target in force has this generation of it here.
    pub(super) wanted: bool,
    pub(super) marking: Marking,
    pub(super) mode: Mode,
    /// Whether `pause` or `retire` is queued, while it drains.
    pub(super) descends: bool,
    /// Runs of this generation so far: from the first action to the end of a pause or reset.
    pub(super) attempt: u32,
    /// Whether an action of the run has begun.
    pub(super) begun: bool,
    /// Whether the run has reached where it counts as started.
    pub(super) was_up: bool,
    pub(super) service: Service,
    /// What runs, or waits to be repeated, by its number in the run.
    pub(super) actions: LiteMap<u32, Doing>,
    pub(super) actions_begun: u32,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) failure: Option<String>,
    /// Whether the end of the run was told as a failure.
    pub(super) failure_told: bool,
    /// No run begins before this.
    pub(super) retry_at: Option<Time>,
    pub(super) started_at: Option<Time>,
    pub(super) addresses: LiteMap<PortName, SocketAddr>,
    pub(super) values: Values,
    /// Whether what is served changed since the users were told.
    pub(super) values_changed: bool,
    pub(super) imports: LiteMap<PortName, Binding>,
    /// What the run was told of its imports.
    pub(super) bound_imports: BoundImports,
    /// Whether it goes on without its exports, because a mandatory import was lost.
    pub(super) suspended: bool,
    /// Whether it keeps an exporter that wants to leave, because another one may be there soon.
    pub(super) keeps: bool,
    /// Until when it does.
    pub(super) keeps_until: Option<Time>,
    /// Exports that take no new users, because their place is to be left.
    pub(super) refusing: BTreeSet<PortName>,
    pub(super) notify_due: bool,
    /// Behaviours that the target asks for beyond `deploy`.
    pub(super) pushes: Vec<Push>,
    /// The last of them that is done.
    pub(super) pushed: u64,
    /// When something of it is due, as the agent's timers have it.
    pub(super) timer: Option<Time>,
}

impl Local {
    pub(super) fn new(placed: Placed, kind: Arc<Kind>) -> Self {
        let marking = Marking::at(kind.net.initial);
        let mut imports = LiteMap::with_capacity(kind.component.imports.len());
        imports.extend(kind.component.imports.keys().map(|port| (port.clone(), Binding::default())));
        let mut local = Self {
            placed,
            imports,
            kind,
            wanted: true,
            marking,
            mode: Mode::Up,
            descends: false,
            attempt: 0,
            begun: false,
            was_up: false,
            service: Service::Off,
            actions: LiteMap::new(),
            actions_begun: 0,
            failures: 0,
            failure: None,
            failure_told: false,
            retry_at: None,
            started_at: None,
            addresses: LiteMap::new(),
            values: Values::new(),
            values_changed: false,
            bound_imports: BoundImports::new(),
            suspended: false,
            keeps: false,
            keeps_until: None,
            refusing: BTreeSet::new(),
            notify_due: false,
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

    pub(super) fn run(&self, instance: &InstanceId) -> RunId {
        RunId { instance: instance.clone(), generation: self.placed.generation, attempt: self.attempt }
    }

    /// Takes an action out; what it occupied is given back, for most instances do nothing most of the time.
    pub(super) fn forget_action(&mut self, number: u32) -> Option<Doing> {
        let doing = self.actions.remove(&number);
        if self.actions.is_empty() {
            self.actions = LiteMap::new();
        }
        doing
    }

    /// Queues `deploy` and everything that was pushed.
    pub(super) fn queue_deploy(&mut self) {
        self.pushed = 0;
        for behaviour in self.kind.net.deploy.clone() {
            self.marking.push(behaviour, 0);
        }
        for push in self.pushes.clone() {
            self.queue_push(&push);
        }
    }

    fn queue_push(&mut self, push: &Push) {
        // A behaviour that this version does not have is done at once.
        if let Some(behaviour) = self.kind.net.behaviour(&push.behaviour) {
            self.marking.push(behaviour, push.number);
        }
    }

    /// Follows the target's pushes: new ones are queued, forgotten ones stay done.
    pub(super) fn follow_pushes(&mut self, pushes: &[Push]) {
        let last = self.pushes.last().map_or(0, |push| push.number).max(self.pushed);
        self.pushes = pushes.to_vec();
        if self.mode == Mode::Up {
            for push in pushes.iter().filter(|push| push.number > last) {
                self.queue_push(push);
            }
        }
    }

    /// Whether everything that the target asks for is done.
    pub(super) fn is_done(&self) -> bool {
        self.mode == Mode::Up
            && self.marking.is_idle()
            && self.actions.is_empty()
            && !self.suspended
            && self.wanted
    }

    /// Whether every token rests where the instance counts as started.
    pub(super) fn is_up(&self) -> bool {
        self.marking.is_at_rest() && self.marking.places.is_subset(&self.kind.net.started)
    }

    /// Whether an import is used: by a token in its places, or by one of its transitions until it has entered a place.
    pub(super) fn is_using(&self, port: &PortName) -> bool {
        self.kind.net.imports.get(port).is_some_and(|reach| self.marking.is_using(reach))
    }

    /// Whether what is queued ends the use of an import, without anybody asking for it.
    pub(super) fn will_let_go(&self, port: &PortName) -> bool {
        let reach = self.kind.net.imports.get(port);
        !self.marking.is_idle() && reach.is_some_and(|reach| self.kind.net.releases(&self.marking, reach))
    }

    /// Whether it failed, begins anew, and will use an import again on its way to where it lets go of it by itself.
    ///
    /// An exporter that was pushed to leave waits for that: it would be needed again otherwise, when nobody makes it serve.
    pub(super) fn uses_then_releases(&self, port: &PortName) -> bool {
        let reach = self.kind.net.imports.get(port);
        self.failures > 0
            && self.wanted
            && self.mode == Mode::Up
            && !self.pushes.is_empty()
            && !sabotage::is(Sabotage::ForgetsTheWayBack)
            && reach.is_some_and(|reach| self.kind.net.uses_then_releases(&self.marking, reach))
    }

    /// Whether a transition that uses the import runs.
    pub(super) fn is_acting_with(&self, port: &PortName) -> bool {
        let Some(reach) = self.kind.net.imports.get(port) else { return false };
        !self.marking.running.is_disjoint(&reach.transitions)
    }

    /// Whether an export's group holds a token and may be served.
    pub(super) fn is_active(&self, export: &PortName) -> bool {
        let group = self.kind.net.exports.get(export);
        matches!(self.mode, Mode::Up | Mode::Draining)
            && !self.suspended
            && group.is_some_and(|group| self.marking.is_in(&self.kind.net, group))
    }

    /// When something of it is due.
    pub(super) fn due_at(&self) -> Option<Time> {
        let actions = self.actions.values().flat_map(|doing| {
            [doing.again_at, doing.deadline.filter(|_| doing.cancelled.is_none() && doing.again_at.is_none())]
        });
        actions.chain([self.retry_at, self.keeps_until]).flatten().min()
    }

    /// Whether a behaviour stops what runs.
    fn is_ending_service(&self) -> bool {
        self.marking.running.iter().any(|way| self.kind.net.transition(*way).step.action == Action::Stop)
    }

    pub(super) fn phase(&self) -> InstancePhase {
        match self.mode {
            Mode::Draining if self.begun => InstancePhase::Draining,
            Mode::Lowering | Mode::Clearing { .. } if self.begun => InstancePhase::Stopping,
            _ if self.suspended => InstancePhase::Suspended,
            Mode::Up if self.begun && self.marking.is_idle() && self.is_up() => InstancePhase::Started,
            Mode::Up if self.begun && self.marking.is_idle() => InstancePhase::Resting,
            Mode::Up if self.begun && self.is_ending_service() => InstancePhase::Stopping,
            Mode::Up if self.begun && !self.was_up => InstancePhase::Starting,
            // A pushed behaviour runs: it stays started as long as its tokens are where it counts as that.
            Mode::Up if self.begun && self.is_up() => InstancePhase::Started,
            Mode::Up if self.begun => InstancePhase::Starting,
            _ => InstancePhase::Waiting,
        }
    }
}

/// What can be seen of an instance from outside: for checks in tests and the simulator.
#[derive(Clone, Copy, Debug)]
pub struct InstanceView<'a> {
    /// Which.
    pub instance: &'a InstanceId,
    /// Where and as what it was placed.
    pub placed: &'a Placed,
    /// What it is.
    pub component: &'a Component,
    /// How far it is.
    pub phase: InstancePhase,
    /// What the run was told of its imports.
    pub bound_imports: &'a BoundImports,
    local: &'a Local,
}

impl<'a> InstanceView<'a> {
    pub(super) fn of(instance: &'a InstanceId, local: &'a Local) -> Self {
        Self {
            instance,
            placed: &local.placed,
            component: &local.kind.component,
            phase: local.phase(),
            bound_imports: &local.bound_imports,
            local,
        }
    }

    /// The compiled life-cycle.
    #[must_use]
    pub fn net(&self) -> &'a Net {
        &self.local.kind.net
    }

    /// Where its tokens are.
    #[must_use]
    pub fn marking(&self) -> &'a Marking {
        &self.local.marking
    }

    /// The places that hold a token.
    pub fn places(&self) -> impl Iterator<Item = &'a PlaceName> {
        let net = &self.local.kind.net;
        self.local.marking.places.iter().map(|place| net.place(*place))
    }

    /// Whether an import is used, so that it has to be bound if it is mandatory.
    ///
    /// Not while it is suspended, paused, retired or reset: then it does without what it lost.
    #[must_use]
    pub fn relies_on(&self, import: &PortName) -> bool {
        matches!(self.local.mode, Mode::Up | Mode::Draining)
            && !self.local.suspended
            && self.local.is_using(import)
    }

    /// Whether an import is used in any way.
    #[must_use]
    pub fn is_using(&self, import: &PortName) -> bool {
        self.local.is_using(import)
    }

    /// Whether an export is active: only then may anybody use it.
    #[must_use]
    pub fn is_active(&self, export: &PortName) -> bool {
        self.local.is_active(export)
    }

    /// How many exporters of an import are bound.
    #[must_use]
    pub fn bound(&self, import: &PortName) -> usize {
        self.local.imports.get(import).map_or(0, |binding| binding.bound)
    }
}
