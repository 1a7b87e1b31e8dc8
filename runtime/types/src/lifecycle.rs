//! The life-cycle of a component as data: places, transitions with actions, behaviours, ports.
//!
//! Only data. [`crate::net`] compiles and checks a life-cycle, the agent in `rhizo-protocol` executes it, and the shell
//! runs its actions. A component that declares none gets the one that belongs to its [`Run`](crate::spec::Run)
//! ([`crate::spec::Component::lifecycle`]).

use crate::id::{BehaviourName, PlaceName, PortName, TransitionName, ValueName};
use crate::probe::Probe;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Data values by name: outputs of actions, which exports carry and templates insert.
pub type Values = BTreeMap<ValueName, String>;

/// Most values of one instance. They are part of every message to every user of the instance.
pub const VALUES_MAX: usize = 64;
/// Longest value in bytes. Certificates and keys are shorter.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an action's output that are kept for `events` and `why`.
pub const OUTPUT_BYTES_MAX: usize = 4 * 1024;

/// A life-cycle: a net with actions.
///
/// All transitions of the active behaviour that leave a place fire together and run in parallel. A place is entered
/// when every transition of one of its dock sets has arrived. A behaviour leaves each place at most once.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lifecycle {
    /// The states an instance can rest in.
    pub places: BTreeSet<PlaceName>,
    /// The place of a new instance, and of one that is completely removed.
    pub initial: PlaceName,
    /// The transitions between places.
    pub transitions: BTreeMap<TransitionName, Transition>,
    /// Subsets of the transitions, executed one after the other from a queue.
    pub behaviours: BTreeMap<BehaviourName, BTreeSet<TransitionName>>,
    /// Executed in this order when an instance is placed, and again after a pause or a reset.
    pub deploy: Vec<BehaviourName>,
    /// Executed when the instance must release its imports and be deployed again later.
    pub pause: Vec<BehaviourName>,
    /// Executed when the instance is removed; ends in `initial`.
    pub retire: Vec<BehaviourName>,
    /// Executed after a failure, when every running action has been cancelled. Brings the instance to `initial` from
    /// any place.
    pub reset: Vec<Step>,
    /// Executed after a change of an import with `notify`, while the instance rests.
    pub notify: Option<Step>,
    /// An instance counts as started while all its tokens are in these places.
    pub started: BTreeSet<PlaceName>,
    /// Export → the group of places in which it is active. An export without an entry is active in `started`.
    pub exports: BTreeMap<PortName, BTreeSet<PlaceName>>,
    /// Import → when it is in use. An import without an entry is in use in `started`, and during the transitions that
    /// enter or leave `started`.
    pub imports: BTreeMap<PortName, Span>,
}

/// A transition from one place to another.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Transition {
    /// The place that it leaves.
    pub from: PlaceName,
    /// The place that it enters.
    pub to: PlaceName,
    /// The dock set of `to` that it belongs to: the place is entered when all transitions of one set have arrived.
    /// Usually 0.
    pub dock: u32,
    /// The action between the two.
    pub step: Step,
}

/// The places and transitions during which an import is in use.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    /// In use while the instance is in one of these.
    pub places: BTreeSet<PlaceName>,
    /// In use while one of these runs.
    pub transitions: BTreeSet<TransitionName>,
}

/// An action with its time-out and its repetitions.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// After this time the action is cancelled and counts as failed; none waits until the action ends.
    pub timeout_ms: Option<u64>,
    /// How often the action is repeated before the instance counts as failed.
    pub retry: Retry,
}

/// Repetition of a failed action, with a wait that doubles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// Number of repetitions after the first attempt.
    pub times: u32,
    /// Wait before the first repetition.
    pub wait_ms: u64,
    /// Longest wait.
    pub wait_ms_max: u64,
}

/// The action of a transition. Texts are templates: the shell fills in `{import.NAME.addr}` and the other placeholders.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Does nothing and takes no time.
    Nothing,
    /// Starts the program or function of [`crate::spec::Component::run`]. The action is done when the instance is
    /// ready; the program keeps running.
    Start,
    /// Stops the program or function that [`Action::Start`] started.
    Stop,
    /// Runs a program to its end; exit code 0 is success. Lines `KEY=VALUE` of its output become values.
    Command {
        /// The program and its arguments; a relative program path is already resolved against the config file.
        argv: Vec<String>,
        /// Variables added to the component's environment.
        env: BTreeMap<String, String>,
    },
    /// Runs the component's generic service script with this verb.
    Script(Verb),
    /// Sends one HTTP request; a 2xx answer is success.
    Http {
        /// `GET`, `POST`, `PUT` or `DELETE`.
        method: String,
        /// The URL.
        url: String,
        /// The body; empty for none.
        body: String,
    },
    /// Calls the Rust async function that the embedding binary registered under the component's name and this name.
    Function(String),
    /// Waits until the probe succeeds.
    Wait {
        /// The probe.
        probe: Probe,
        /// Time between two probes.
        every_ms: u64,
    },
    /// Writes a file; an existing file is replaced as a whole.
    Write {
        /// The path below the directory of the instance.
        to: String,
        /// The content.
        content: Content,
        /// Its permissions, such as `0o600`.
        mode: u32,
    },
}

/// The source of a written file; both are templates.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Content {
    /// The text itself.
    Text(String),
    /// The path of a file that is read when the action begins; already resolved against the config file.
    Template(String),
}

/// The argument that a generic service script is called with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Verb {
    /// Called first, once per version.
    Init,
    /// Starts serving.
    Run,
    /// Stops serving.
    Interrupt,
    /// Undoes `init`.
    Cleanup,
    /// Called after a change of the imports.
    Notify,
}

impl Verb {
    /// The argument of the script.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Run => "run",
            Self::Interrupt => "interrupt",
            Self::Cleanup => "cleanup",
            Self::Notify => "notify",
        }
    }
}

impl Retry {
    /// No repetition.
    pub const NONE: Self = Self { times: 0, wait_ms: 0, wait_ms_max: 0 };

    /// The wait before a repetition, in milliseconds. Repetitions are counted from 1.
    #[must_use]
    pub fn wait_ms(&self, repetition: u32) -> u64 {
        let doublings = repetition.saturating_sub(1).min(32);
        self.wait_ms.saturating_mul(1 << doublings).min(self.wait_ms_max.max(self.wait_ms))
    }
}

impl Step {
    /// A step without time-out and without repetition.
    #[must_use]
    pub fn plain(action: Action) -> Self {
        Self { action, timeout_ms: None, retry: Retry::NONE }
    }
}

impl Transition {
    /// A transition with a plain step that belongs to dock set 0.
    #[must_use]
    pub fn plain(from: &str, to: &str, action: Action) -> Self {
        Self { from: PlaceName::from(from), to: PlaceName::from(to), dock: 0, step: Step::plain(action) }
    }
}

impl Lifecycle {
    /// `stopped ⇄ started`: a service that is started and stopped.
    #[must_use]
    pub fn service() -> Self {
        Self::between("stopped", "started", &[("start", Action::Start)], &[("stop", Action::Stop)])
    }

    /// `stopped ⇄ started` without an action: a component that only groups the values of its exports.
    #[must_use]
    pub fn nothing() -> Self {
        Self::between("stopped", "started", &[("start", Action::Nothing)], &[("stop", Action::Nothing)])
    }

    /// `absent ⇄ ready ⇄ started`: the generic service script with its verbs.
    #[must_use]
    pub fn script() -> Self {
        let script = Action::Script;
        let mut cycle = Self::between(
            "ready",
            "started",
            &[("run", script(Verb::Run))],
            &[("interrupt", script(Verb::Interrupt))],
        );
        let (init, cleanup) = (TransitionName::from("init"), TransitionName::from("cleanup"));
        cycle.initial = PlaceName::from("absent");
        cycle.places.insert(cycle.initial.clone());
        cycle.transitions.insert(init.clone(), Transition::plain("absent", "ready", script(Verb::Init)));
        cycle
            .transitions
            .insert(cleanup.clone(), Transition::plain("ready", "absent", script(Verb::Cleanup)));
        let (install, uninstall) = (BehaviourName::from("install"), BehaviourName::from("uninstall"));
        cycle.behaviours.insert(install.clone(), BTreeSet::from([init]));
        cycle.behaviours.insert(uninstall.clone(), BTreeSet::from([cleanup]));
        cycle.deploy.insert(0, install);
        cycle.retire.push(uninstall);
        cycle.reset = vec![Step::plain(script(Verb::Interrupt)), Step::plain(script(Verb::Cleanup))];
        cycle.notify = Some(Step::plain(script(Verb::Notify)));
        cycle
    }

    /// Two places, with the transitions up as behaviour `start` and the transitions down as behaviour `stop`.
    fn between(low: &str, high: &str, up: &[(&str, Action)], down: &[(&str, Action)]) -> Self {
        let (start, stop) = (BehaviourName::from("start"), BehaviourName::from("stop"));
        let names =
            |ways: &[(&str, Action)]| ways.iter().map(|(name, _)| TransitionName::from(*name)).collect();
        let ups = up.iter().map(|(name, action)| {
            (TransitionName::from(*name), Transition::plain(low, high, action.clone()))
        });
        let downs = down.iter().map(|(name, action)| {
            (TransitionName::from(*name), Transition::plain(high, low, action.clone()))
        });
        Self {
            places: BTreeSet::from([PlaceName::from(low), PlaceName::from(high)]),
            initial: PlaceName::from(low),
            transitions: ups.chain(downs).collect(),
            behaviours: BTreeMap::from([(start.clone(), names(up)), (stop.clone(), names(down))]),
            deploy: vec![start],
            pause: vec![stop.clone()],
            retire: vec![stop],
            reset: Vec::new(),
            notify: None,
            started: BTreeSet::from([PlaceName::from(high)]),
            exports: BTreeMap::new(),
            imports: BTreeMap::new(),
        }
    }
}
