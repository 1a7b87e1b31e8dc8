//! What the user wants: components, rules, utilities, costs, providers. The typed form of one `rhizo.toml`.
//!
//! It is only data. `rhizo-config` makes it from text and checks it; the quorum stores it with a revision;
//! the control loop poses a problem from it. Durations are milliseconds, memory is bytes, prices are per hour.

use crate::expr::Expr;
use crate::id::{AppName, ComponentName, PortName, ProviderName, RegionName, RuleName, ValueName};
use crate::lifecycle::{Lifecycle, Values};
use crate::number::Number;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The whole of what the user wants, complete and checked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The application's name: the overlay's name.
    pub app: AppName,
    /// The application's own version text; only shown.
    pub version: String,
    /// The deployable units; shared, because every agent keeps those of its instances.
    pub components: BTreeMap<ComponentName, Arc<Component>>,
    /// What must hold, in the order of the file. Names are unique among rules and utilities.
    pub requires: Vec<Require>,
    /// What is to be maximised, in the order of the file.
    pub utilities: Vec<Utility>,
    /// What a change costs, in the unit of utility (0..1).
    pub migration: Migration,
    /// When to optimise and how eagerly to move.
    pub optimise: Optimise,
    /// The most that may be spent; none means no limit was set.
    pub budget: Option<Budget>,
    /// Where hosts come from.
    pub providers: BTreeMap<ProviderName, ProviderSpec>,
    /// Sites of users, as regions of the catalogue; `anchors` in expressions.
    pub anchors: Vec<RegionName>,
    /// A member that lost the group serves on this long, then halts its host. Zero: for ever.
    pub orphan_after_ms: u64,
}

impl Spec {
    /// Components and nothing else: no rule, no goal, no cost, no budget, no provider; a look every second.
    #[must_use]
    pub fn new(app: &str, components: BTreeMap<ComponentName, Component>) -> Self {
        Self {
            app: AppName::from(app),
            version: String::new(),
            components: share(components),
            requires: Vec::new(),
            utilities: Vec::new(),
            migration: Migration { add: Number::ZERO, remove: Number::ZERO },
            optimise: Optimise {
                every_ms: 1_000,
                min_gain: Number::ZERO,
                max_moves: None,
                settle_ms: 0,
                deadline_ms: 1_000,
            },
            budget: None,
            providers: BTreeMap::new(),
            anchors: Vec::new(),
            orphan_after_ms: 0,
        }
    }
}

/// Something for each of a few ports: a sorted list, because there are as many of them as instances.
pub type Ports<V> = LiteMap<PortName, V>;

/// Components as a spec has them.
#[must_use]
pub fn share(components: BTreeMap<ComponentName, Component>) -> BTreeMap<ComponentName, Arc<Component>> {
    components.into_iter().map(|(name, component)| (name, Arc::new(component))).collect()
}

/// A deployable unit.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Component {
    /// What is run.
    pub run: Run,
    /// How many copies; a decision of the optimiser within the range.
    pub replicas: Replicas,
    /// Resources of one copy: `cpu` in cores, `memory` in bytes, others as the provider names them.
    pub needs: BTreeMap<String, Number>,
    /// Ports others may import.
    pub exports: Ports<Export>,
    /// What it uses of others.
    pub imports: Ports<Import>,
    /// How to see that a started instance still works; none means the process being alive.
    pub health: Option<Health>,
    /// How an instance is stopped.
    pub stop: Stop,
    /// Environment variables, with the same templates as the command.
    pub env: BTreeMap<String, String>,
    /// Places, transitions, behaviours; none means the usual one for what is run ([`Lifecycle::of`]).
    pub lifecycle: Option<Box<Lifecycle>>,
    /// Named texts for templates and actions. A change of them alone restarts nothing: running instances are notified.
    pub attributes: Values,
    /// At most one instance under a name runs, also during a partition: a replacement waits for the provider's word.
    pub exclusive: bool,
    /// At most so many copies are down at the same time because of a change of version; at least 1.
    pub unavailable_max: u32,
    /// What is done when a new version keeps failing.
    pub on_failure: OnFailure,
}

impl Component {
    /// One copy of something without ports: what is special about a component is set on top of it.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self {
            run,
            replicas: Replicas { min: 1, max: 1 },
            needs: BTreeMap::new(),
            exports: Ports::new(),
            imports: Ports::new(),
            health: None,
            // The usual signal and patience of service managers.
            stop: Stop { signal: "TERM".to_owned(), grace_ms: 10_000 },
            env: BTreeMap::new(),
            lifecycle: None,
            attributes: Values::new(),
            exclusive: false,
            unavailable_max: 1,
            on_failure: OnFailure::Keep,
        }
    }

    /// Whether what runs of one serves as the other as well: they differ only in what is decided around it, or in
    /// attributes, which a running instance is told.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        // Taken apart, so that nobody adds a field without thinking of this.
        let Self {
            run,
            replicas: _,
            needs: _,
            exports,
            imports,
            health,
            stop,
            env,
            lifecycle,
            attributes: _,
            exclusive: _,
            unavailable_max: _,
            on_failure: _,
        } = self;
        *run == other.run
            && *exports == other.exports
            && *imports == other.imports
            && *health == other.health
            && *stop == other.stop
            && *env == other.env
            && *lifecycle == other.lifecycle
    }

    /// The declared life-cycle, or the usual one for what is run.
    #[must_use]
    pub fn lifecycle(&self) -> Cow<'_, Lifecycle> {
        match &self.lifecycle {
            Some(lifecycle) => Cow::Borrowed(lifecycle),
            None => Cow::Owned(Lifecycle::of(&self.run)),
        }
    }
}

/// What is done when a new version of a component keeps failing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum OnFailure {
    /// The rollout stops; copies that have the new version keep trying, the others keep the old one.
    Keep,
    /// Copies that have the new version go back to the one before.
    Unwind,
}

/// What an instance runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Run {
    /// A program and its arguments. `{export.NAME.addr}`, `{import.NAME.addr}` and the like are filled in.
    Exec {
        /// Program first; a relative path was resolved against the config file.
        argv: Vec<String>,
    },
    /// A Rust closure that the embedding binary registered under the component's name.
    Embedded,
    /// A generic service script, called with `init`, `run`, `interrupt`, `cleanup` and `notify`; each call ends.
    Script {
        /// Program first; the verb is added as the last argument.
        argv: Vec<String>,
    },
    /// Nothing of its own: the actions of its life-cycle do everything, or it only groups values.
    Nothing,
}

/// A range of copies, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Replicas {
    /// At least this many.
    pub min: u32,
    /// At most this many.
    pub max: u32,
}

/// A port that others may import.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Export {
    /// A fixed TCP port; none lets the agent choose a free one.
    pub port: Option<u16>,
    /// Whether it has values only and no address.
    pub data: bool,
    /// The values that its users get: outputs of actions, or attributes.
    pub values: BTreeSet<ValueName>,
}

impl Export {
    /// A service at a port of the agent's choice.
    pub const SERVICE: Self = Self { port: None, data: false, values: BTreeSet::new() };
}

/// A use of another component's export.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Import {
    /// The exporting component (its own name: its other copies).
    pub component: ComponentName,
    /// The port of that component.
    pub export: PortName,
    /// An optional import binds late and unbinds early without stopping its user.
    pub optional: bool,
    /// How many exporters are bound.
    pub pick: Pick,
    /// What the loss of a mandatory import does to its user.
    pub on_loss: OnLoss,
    /// Whether a change of its bindings or values runs the life-cycle's `notify`.
    pub notify: bool,
}

impl Import {
    /// A mandatory import of one exporter.
    #[must_use]
    pub fn of(component: ComponentName, export: PortName) -> Self {
        Self { component, export, optional: false, pick: Pick::One, on_loss: OnLoss::Stop, notify: false }
    }
}

/// What the loss of a mandatory import does to its user.
///
/// *Suspend* and *rebind* leave what counts as started: the user's exports are inactive, what it runs goes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum OnLoss {
    /// It is paused, and deployed again when the import is served again.
    Stop,
    /// Its exports are inactive until the import is as complete as for a start.
    Suspend,
    /// Its exports are inactive until any exporter is bound.
    Rebind,
}

/// How many exporters an import is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Pick {
    /// All of them. Default for an import from the component itself.
    All,
    /// One of them. Default otherwise.
    One,
    /// This many of them.
    Some(u32),
}

impl Pick {
    /// So many exporters have to serve a mandatory import before its user starts, of `named` that a target binds it to.
    #[must_use]
    pub fn needed(self, named: usize) -> usize {
        let count = match self {
            Self::All => named,
            Self::One => 1,
            Self::Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        count.max(1)
    }
}

/// A periodic look at a started instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Health {
    /// What is looked at.
    pub probe: Probe,
    /// Time between two looks.
    pub every_ms: u64,
    /// So many failures in a row make the instance failed.
    pub fail_after: u32,
}

/// What a health check looks at.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// `GET path` on this export answers 2xx.
    Http {
        /// The export that serves it.
        export: PortName,
        /// Path and query, starting with `/`.
        path: String,
    },
    /// This export accepts a connection.
    Tcp {
        /// The export that is connected to.
        export: PortName,
    },
    /// This program exits with 0.
    Exec {
        /// Program first; a relative path was resolved against the config file.
        argv: Vec<String>,
    },
}

/// How an instance is stopped.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Stop {
    /// Signal name without `SIG`: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2` or `KILL`.
    pub signal: String,
    /// Time until it is killed.
    pub grace_ms: u64,
}

/// A named hard rule: a placement that breaks it is never chosen.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Require {
    /// The name that `plan` and `why` print.
    pub name: RuleName,
    /// The component whose machines it speaks of.
    pub component: ComponentName,
    /// What must hold.
    pub rule: Rule,
    /// The rule as the user wrote it, for messages.
    pub source: String,
}

/// What a hard rule demands.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Rule {
    /// A boolean over `node`, for each machine that hosts the component.
    Each(Expr),
    /// A bound on a group quantity: `measure comparison limit`.
    Group {
        /// The quantity.
        measure: Measure,
        /// How it is compared.
        comparison: Comparison,
        /// A number that may depend on `size(placement)`.
        limit: Expr,
    },
    /// Machines are classed by the value of `by`.
    Spread {
        /// A text or number of `node`.
        by: Expr,
        /// At most so many machines in one class; may depend on `size(placement)`.
        max: Option<Expr>,
        /// At least so many classes; may depend on `size(placement)`.
        min_distinct: Option<Expr>,
    },
}

/// A quantity of all machines that host a component.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Measure {
    /// `size(placement)`.
    Size,
    /// `diameter_ms(placement)`: the largest round-trip time between two of them.
    DiameterMs,
    /// `max_latency_ms(anchors, placement)`: over the anchors, the round-trip time to the nearest machine.
    MaxAnchorLatencyMs,
    /// `cost_per_hour(placement)`.
    CostPerHour,
    /// `distinct(placement, node.attribute)`: how many different values.
    Distinct(Expr),
    /// `count(placement, condition)`.
    Count(Expr),
    /// `share(placement, condition)`: count divided by size.
    Share(Expr),
    /// `sum(placement, number)`.
    Sum(Expr),
    /// `avg(placement, number)`.
    Average(Expr),
}

/// How a quantity is compared with its limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

/// A named soft goal: `u(x) = clamp((worst - x) / (worst - best), 0, 1)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Utility {
    /// The name that `plan` and `why` print.
    pub name: RuleName,
    /// The component whose machines it speaks of.
    pub component: ComponentName,
    /// The quantity.
    pub of: Of,
    /// The value that is worth 1.
    pub best: Number,
    /// The value that is worth 0. Differs from `best`.
    pub worst: Number,
    /// Its share of the weighted mean; not negative.
    pub weight: Number,
    /// The quantity as the user wrote it, for messages.
    pub source: String,
}

/// The quantity of a utility.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Of {
    /// A number of `node`; its utility is averaged over the machines.
    Each(Expr),
    /// A number of the whole group.
    Group(Measure),
}

/// What a change costs, in the unit of utility (0..1).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Migration {
    /// For each machine that is added.
    pub add: Number,
    /// For each machine that is removed.
    pub remove: Number,
}

/// When to optimise and how eagerly to move.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Optimise {
    /// Time between two looks for something better.
    pub every_ms: u64,
    /// A voluntary move must gain more than this beyond its migration cost.
    pub min_gain: Number,
    /// At most so many machines are replaced voluntarily in one round; none means no limit.
    pub max_moves: Option<u32>,
    /// A machine younger than this is not moved voluntarily.
    pub settle_ms: u64,
    /// How long one solver run may take.
    pub deadline_ms: u64,
}

/// The most that may be spent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// Currency code, the same for all providers.
    pub currency: String,
    /// Sum of the hourly prices of all hosts, in the currency.
    pub max_hourly: Number,
}

/// A configured source of hosts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProviderSpec {
    /// Which provider: `process`, …
    pub kind: String,
    /// The provider's own settings, as canonical JSON; paths were resolved against the config file.
    pub settings: String,
    /// Only these regions are used; empty means all.
    pub regions: BTreeSet<RegionName>,
}
