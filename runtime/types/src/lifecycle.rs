//! The life-cycle of a component as data: places, transitions with actions, behaviours, ports.
//!
//! Nothing here runs. [`crate::net`] says what a life-cycle means (the token game) and what is wrong with one;
//! `rhizo-protocol::agent` plays it, the shell executes its actions. A component that declares none gets the one
//! that [`Lifecycle::of`] generates from what it runs.

use crate::id::{BehaviourName, PlaceName, PortName, TransitionName, ValueName};
use crate::spec::{Probe, Run};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Data values: what actions put out, exports carry and templates fill in.
pub type Values = BTreeMap<ValueName, String>;

/// More values of one instance than this are a mistake: they travel in every message to every user.
pub const VALUES_MAX: usize = 64;
/// A longer value (certificates and keys are shorter) is a mistake as well.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// What is kept of an action's output for `events` and `why`.
pub const OUTPUT_BYTES_MAX: usize = 4 * 1024;

/// A life-cycle: a net with actions.
///
/// All transitions of the active behaviour that leave a place fire together, and run side by side. A place is
/// entered when every transition of one of its dock sets has arrived. No place is left twice in one behaviour.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Where an instance can rest.
    pub places: BTreeSet<PlaceName>,
    /// Where an instance begins, and where it is back when nothing of it exists any more.
    pub initial: PlaceName,
    /// The ways between places.
    pub transitions: BTreeMap<TransitionName, Transition>,
    /// Subsets of the transitions, executed one after the other from a queue.
    pub behaviours: BTreeMap<BehaviourName, BTreeSet<TransitionName>>,
    /// Executed in this order when an instance is placed, and again after a pause or a reset.
    pub deploy: Vec<BehaviourName>,
    /// Executed when the instance has to let go of what it imports and shall come back.
    pub pause: Vec<BehaviourName>,
    /// Executed when the instance shall go; leads back to `initial`.
    pub retire: Vec<BehaviourName>,
    /// After a failure, when every running action was cancelled: leads back to `initial` from anywhere.
    pub reset: Vec<Step>,
    /// Executed when an import with `notify` changed while the instance rests.
    pub notify: Option<Step>,
    /// An instance that rests in these places only counts as started.
    pub started: BTreeSet<PlaceName>,
    /// Export → the group of places in which it is active. An export that is missing: in `started`.
    pub exports: BTreeMap<PortName, BTreeSet<PlaceName>>,
    /// Import → when it is used. An import that is missing: in `started`, and on the ways to there and from there.
    pub imports: BTreeMap<PortName, Span>,
}

/// A way from one place to another.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Transition {
    /// Where it begins.
    pub from: PlaceName,
    /// Where it leads.
    pub to: PlaceName,
    /// Which dock set of `to` it arrives at: all transitions of one set have to arrive. Usually 0.
    pub dock: u32,
    /// What is done on the way.
    pub step: Step,
}

/// Places and transitions.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    /// While the instance is in one of these.
    pub places: BTreeSet<PlaceName>,
    /// While one of these runs.
    pub transitions: BTreeSet<TransitionName>,
}

/// An action, and how patient to be with it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// It is cancelled and has failed after this time; none waits as long as the action itself does.
    pub timeout_ms: Option<u64>,
    /// What follows a failure, before the instance itself counts as failed.
    pub retry: Retry,
}

/// Repetition of a failed action, with a wait that doubles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// So many times more, after the first.
    pub times: u32,
    /// Wait before the first repetition.
    pub wait_ms: u64,
    /// Longest wait.
    pub wait_ms_max: u64,
}

/// What a transition does. Texts are templates: `{import.NAME.addr}` and the like are filled in by the shell.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Nothing; takes no time.
    Nothing,
    /// Starts what [`crate::spec::Component::run`] says; it runs on, and is done when it works.
    Start,
    /// Stops what [`Action::Start`] started.
    Stop,
    /// A program that ends: with 0 when it is done. Lines `KEY=VALUE` of its output are values.
    Command {
        /// Program first; a relative path was resolved against the config file.
        argv: Vec<String>,
        /// Added to the component's environment.
        env: BTreeMap<String, String>,
    },
    /// The component's generic service script, called with this verb.
    Script(Verb),
    /// One HTTP request; done when the answer is 2xx.
    Http {
        /// `GET`, `POST`, `PUT` or `DELETE`.
        method: String,
        /// The URL.
        url: String,
        /// The body; empty for none.
        body: String,
    },
    /// A Rust async function that the embedding binary registered under the component's name and this one.
    Function(String),
    /// Waits until the probe succeeds.
    Wait {
        /// What is looked at.
        probe: Probe,
        /// Time between two looks.
        every_ms: u64,
    },
    /// Writes a file: what is there already is replaced as a whole.
    Write {
        /// Where, below the directory of the instance.
        to: String,
        /// What it says.
        content: Content,
        /// Its permissions, such as `0o600`.
        mode: u32,
    },
}

/// What a written file says: a template in either case.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Content {
    /// This text.
    Text(String),
    /// What this file says when the action begins; the path was resolved against the config file.
    Template(String),
}

/// What a generic service script is called with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Verb {
    /// Once per version, before everything else.
    Init,
    /// Begin to serve.
    Run,
    /// Stop serving.
    Interrupt,
    /// Undo `init`.
    Cleanup,
    /// What is imported has changed.
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
    /// Never again.
    pub const NONE: Self = Self { times: 0, wait_ms: 0, wait_ms_max: 0 };

    /// The wait before the repetition of that number, from one.
    #[must_use]
    pub fn wait_ms(&self, repetition: u32) -> u64 {
        let doublings = repetition.saturating_sub(1).min(32);
        self.wait_ms.saturating_mul(1 << doublings).min(self.wait_ms_max.max(self.wait_ms))
    }
}

impl Step {
    /// An action without time-out and repetition.
    #[must_use]
    pub fn plain(action: Action) -> Self {
        Self { action, timeout_ms: None, retry: Retry::NONE }
    }
}

impl Transition {
    /// A way with a plain action that arrives at dock set 0.
    #[must_use]
    pub fn plain(from: &str, to: &str, action: Action) -> Self {
        Self { from: PlaceName::from(from), to: PlaceName::from(to), dock: 0, step: Step::plain(action) }
    }
}

impl Lifecycle {
    /// The life-cycle of a component that declares none.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        match run {
            Run::Exec { .. } | Run::Embedded => Self::service(),
            Run::Script { .. } => Self::script(),
            Run::Nothing => Self::nothing(),
        }
    }

    /// `stopped ⇄ started`: a service that is started and stopped.
    #[must_use]
    pub fn service() -> Self {
        Self::between("stopped", "started", &[("start", Action::Start)], &[("stop", Action::Stop)])
    }

    /// `absent ⇄ started` without an action: a component that only groups values of its exports.
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

    /// Two places, the ways up as behaviour `start` and the ways down as behaviour `stop`.
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
