//! The spec: components, rules, utilities, costs and providers that the user asked for in one `rhizo.toml`.
//!
//! Only data. `rhizo-config` makes it from text and checks it, the quorum stores it with a revision, and the control
//! loop states a problem from it. Durations are in milliseconds, memory is in bytes, prices are per hour.

use crate::digest::Digest;
use crate::expr::Expr;
use crate::id::{AppName, ComponentName, ProviderName, RegionName, RuleName};
use crate::lifecycle::{Lifecycle, Values};
use crate::number::Number;
pub use crate::policy::{Migration, Optimise};
pub use crate::port::{Export, Import, OnLoss, Pick, Ports, Via};
pub use crate::probe::{Health, Probe};
use crate::secret::Secret;
use crate::state::State;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A complete, checked spec.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The application's name: the overlay's name.
    pub app: AppName,
    /// The application's own version text; it is only displayed.
    pub version: String,
    /// The components; shared, because every agent keeps those of its instances.
    pub components: BTreeMap<ComponentName, Arc<Component>>,
    /// The hard rules, in the order of the file. Names are unique among rules and utilities.
    pub requires: Vec<Require>,
    /// The utilities to maximise, in the order of the file.
    pub utilities: Vec<Utility>,
    /// The cost of a change, in the unit of utility (0..1).
    pub migration: Migration,
    /// When to optimise and how large a gain a voluntary move needs.
    pub optimise: Optimise,
    /// The limit of spending; none means no limit.
    pub budget: Option<Budget>,
    /// The providers of hosts.
    pub providers: BTreeMap<ProviderName, ProviderSpec>,
    /// Sites of users, as regions of the catalogue; `anchors` in expressions.
    pub anchors: Vec<RegionName>,
    /// A member that has lost contact with the group keeps serving for this long and then halts its host. Zero: without
    /// end.
    pub orphan_after_ms: u64,
}

impl Spec {
    /// A spec of components alone: no rule, utility, cost, budget or provider; optimised every second.
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

    /// Returns true if copies may be placed on hosts of this provider: the spec names it.
    ///
    /// A spec that names no provider allows all of them. No config yields such a spec; code that needs no hosts makes
    /// one.
    #[must_use]
    pub fn allows_provider(&self, provider: &ProviderName) -> bool {
        self.providers.is_empty() || self.providers.contains_key(provider)
    }
}

/// Wraps components the way a spec stores them.
#[must_use]
pub fn share(components: BTreeMap<ComponentName, Component>) -> BTreeMap<ComponentName, Arc<Component>> {
    components.into_iter().map(|(name, component)| (name, Arc::new(component))).collect()
}

/// A deployable unit.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Component {
    /// The program or function of an instance.
    pub run: Run,
    /// The allowed number of copies; the optimiser decides within the range.
    pub replicas: Replicas,
    /// The resources that one copy needs: `cpu` in cores, `memory` in bytes, others as the provider names them.
    pub needs: BTreeMap<String, Number>,
    /// The ports that other components may import.
    pub exports: Ports<Export>,
    /// The exports of other components that it uses.
    pub imports: Ports<Import>,
    /// The check of a started instance; none means that it works while its process is alive.
    pub health: Option<Health>,
    /// How an instance is stopped.
    pub stop: Stop,
    /// Environment variables; their values are templates like those of the command.
    pub env: BTreeMap<String, String>,
    /// Environment variables with secret values.
    pub secrets: BTreeMap<String, Secret>,
    /// The declared life-cycle; none means the usual one of `run` ([`Component::lifecycle`]).
    pub lifecycle: Option<Box<Lifecycle>>,
    /// Named texts for templates and actions. A change of these alone restarts no instance: running ones are notified.
    pub attributes: Values,
    /// At most one process per instance name runs, even during a partition: a replacement waits until the provider
    /// confirms the death of the old host.
    pub exclusive: bool,
    /// The data of a copy that has to survive its process.
    pub state: State,
    /// A change of version takes down at most this many copies at the same time; at least 1.
    pub unavailable_max: u32,
    /// The reaction to a new version that keeps failing.
    pub on_failure: OnFailure,
    /// The files that its copies run with; none if all of them belong to the system of the hosts.
    pub closure: Option<Closure>,
}

/// The files that the copies of a component run with, as a tree of `rhizo-artifacts`.
///
/// Members exchange the files themselves; the ledger has only the digest.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Closure {
    /// The digest of the tree.
    pub tree: Digest,
    /// The bytes of its files.
    pub bytes: u64,
    /// The folder of the config on the operator's machine. Paths below it stand for files of the tree.
    pub folder: String,
}

impl Component {
    /// A component with one copy, no port and the defaults of the config language.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self {
            run,
            replicas: Replicas { min: 1, max: 1 },
            needs: BTreeMap::new(),
            exports: Ports::new(),
            imports: Ports::new(),
            health: None,
            // The usual signal and grace of service managers.
            stop: Stop { signal: "TERM".to_owned(), grace_ms: 10_000 },
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            lifecycle: None,
            attributes: Values::new(),
            exclusive: false,
            state: State::None,
            unavailable_max: 1,
            on_failure: OnFailure::Keep,
            closure: None,
        }
    }

    /// The keys of the config in which two definitions differ so that a running copy has to start anew.
    ///
    /// Empty when the two differ at most in replicas, needs, rollout settings and attributes.
    #[must_use]
    pub fn restarted_by(&self, other: &Self) -> Vec<&'static str> {
        // Destructured, so that a new field does not compile before it is considered here.
        let Self {
            run,
            replicas: _,
            needs: _,
            exports,
            imports,
            health,
            stop,
            env,
            secrets,
            lifecycle,
            attributes: _,
            exclusive: _,
            state: _,
            unavailable_max: _,
            on_failure: _,
            closure,
        } = self;
        let parts = [
            (run.key_changed_in(&other.run), *run != other.run),
            ("exports", *exports != other.exports),
            ("imports", *imports != other.imports),
            ("health", *health != other.health),
            ("stop", *stop != other.stop),
            ("env", *env != other.env || *secrets != other.secrets),
            ("lifecycle", *lifecycle != other.lifecycle),
            ("files", *closure != other.closure),
        ];
        parts.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Returns true if at most as many copies may run as its replicas allow, also during a partition: the spec says so,
    /// or the copies have state. Two generations of one copy must never write at the same time.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.exclusive || self.state.is_kept()
    }

    /// Whether a running instance of `self` can become one of `other` without a restart.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        self.restarted_by(other).is_empty()
    }

    /// The declared life-cycle, or the usual one: start and stop for a program or function, the verbs for a script.
    #[must_use]
    pub fn lifecycle(&self) -> Cow<'_, Lifecycle> {
        match &self.lifecycle {
            Some(lifecycle) => Cow::Borrowed(lifecycle),
            None => Cow::Owned(match &self.run {
                Run::Exec { .. } | Run::Embedded => Lifecycle::service(),
                Run::Script { .. } => Lifecycle::script(),
                Run::Nothing => Lifecycle::nothing(),
            }),
        }
    }
}

/// The reaction to a new version of a component that keeps failing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum OnFailure {
    /// The rollout stops: copies with the new version are retried, the others keep the old version.
    Keep,
    /// Copies with the new version return to the previous version.
    Unwind,
}

/// The program or function of an instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Run {
    /// A program that keeps running. Placeholders such as `{export.NAME.addr}` and `{import.NAME.addr}` are filled in.
    Exec {
        /// The program and its arguments; a relative program path is already resolved against the config file.
        argv: Vec<String>,
    },
    /// A Rust closure that the embedding binary registered under the component's name.
    Embedded,
    /// A generic service script, called with `init`, `run`, `interrupt`, `cleanup` and `notify`; each call ends.
    Script {
        /// The program and its arguments; the verb is appended.
        argv: Vec<String>,
    },
    /// No program: the actions of the life-cycle do everything, or the component only groups values.
    Nothing,
}

impl Run {
    /// The key of the config that says what differs between two ways to run.
    fn key_changed_in(&self, other: &Self) -> &'static str {
        match (self, other) {
            (Self::Exec { .. }, Self::Exec { .. }) => "exec",
            (Self::Script { .. }, Self::Script { .. }) => "script",
            _ => "way to run",
        }
    }
}

/// A range of copies, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Replicas {
    /// At least this many.
    pub min: u32,
    /// At most this many.
    pub max: u32,
}

/// How an instance is stopped.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Stop {
    /// Signal name without `SIG`: `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2` or `KILL`.
    pub signal: String,
    /// Time between the signal and the kill.
    pub grace_ms: u64,
}

/// A named hard rule. No placement that breaks it is ever chosen.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Require {
    /// The name that `plan` and `why` print.
    pub name: RuleName,
    /// The component that it applies to.
    pub component: ComponentName,
    /// The condition.
    pub rule: Rule,
    /// The rule as the user wrote it, for messages.
    pub source: String,
}

/// The condition of a hard rule.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Rule {
    /// A boolean expression over `node` that holds for each host of the component.
    Each(Expr),
    /// A bound on a quantity of the whole group: `measure comparison limit`.
    Group {
        /// The quantity.
        measure: Measure,
        /// How it is compared.
        comparison: Comparison,
        /// A number that may depend on `size(placement)`.
        limit: Expr,
    },
    /// Hosts are grouped into classes by the value of `by`.
    Spread {
        /// A text or number expression over `node`.
        by: Expr,
        /// Most hosts in one class; may depend on `size(placement)`.
        max: Option<Expr>,
        /// Fewest classes; may depend on `size(placement)`.
        min_distinct: Option<Expr>,
    },
}

/// A quantity of all hosts of a component.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Measure {
    /// `size(placement)`.
    Size,
    /// `diameter_ms(placement)`: the largest round-trip time between two hosts.
    DiameterMs,
    /// `max_latency_ms(anchors, placement)`: the largest, over the anchors, of the
    /// round-trip time to the nearest host.
    MaxAnchorLatencyMs,
    /// `cost_per_hour(placement)`.
    CostPerHour,
    /// `distinct(placement, node.attribute)`: the number of different values.
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

/// The operator between a quantity and its limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl Comparison {
    /// Whether `value` stands in this relation to `limit`.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Equal => value == limit,
        }
    }
}

/// A named utility: `u(x) = clamp((worst - x) / (worst - best), 0, 1)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Utility {
    /// The name that `plan` and `why` print.
    pub name: RuleName,
    /// The component that it applies to.
    pub component: ComponentName,
    /// The quantity.
    pub of: Of,
    /// The value with utility 1.
    pub best: Number,
    /// The value with utility 0. Differs from `best`.
    pub worst: Number,
    /// Its weight in the weighted mean; not negative.
    pub weight: Number,
    /// The quantity as the user wrote it, for messages.
    pub source: String,
}

/// The quantity of a utility.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Of {
    /// A number expression over `node`; the utility is averaged over the hosts.
    Each(Expr),
    /// A quantity of the whole group.
    Group(Measure),
}

/// The limit of spending.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// Currency code, the same for all providers.
    pub currency: String,
    /// Largest sum of the hourly prices of all hosts, in the currency.
    pub max_hourly: Number,
}

/// A configured source of hosts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProviderSpec {
    /// The kind of the provider, such as `process`.
    pub kind: String,
    /// The provider's own settings as canonical JSON; paths are already resolved against the config file.
    pub settings: String,
    /// The regions that may be used; empty means all.
    pub regions: BTreeSet<RegionName>,
}
