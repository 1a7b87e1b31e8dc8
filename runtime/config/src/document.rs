//! The shape of a `rhizo.toml`, for editors: the JSON Schema and the list of known fields come from here.
//!
//! Nothing is deserialised into these types, since serde stops at the first mistake; `read` walks the
//! document instead and asks this file which names exist. A field that is listed here and read by nobody is
//! reported as unknown, so the two cannot drift apart unseen.

#![expect(dead_code, reason = "only the schema is made from these types; see the file's first lines")]

mod lifecycle;

pub(crate) use lifecycle::{Lifecycle, RetryWaits, Step, Transition, Use, Wait};

use schemars::JsonSchema;
use std::collections::BTreeMap;

/// A table of the document.
pub(crate) trait Table: JsonSchema {
    /// Fields of later versions: refused by name instead of being ignored or called unknown.
    const NOT_YET: &'static [&'static str] = &[];
}

/// The names of a table's fields.
pub(crate) fn fields<T: Table>() -> Vec<String> {
    let schema = schemars::schema_for!(T);
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// The JSON Schema of a config, for editors (`#:schema ./rhizo.schema.json`).
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

/// An application that deploys and manages itself: its components, rules, goals and providers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "rhizo config")]
pub(crate) struct Config {
    /// Version of the config language: 1.
    #[schemars(range(min = 1, max = 1))]
    rhizo: u32,
    app: App,
    /// The deployable units, by name.
    components: BTreeMap<String, Component>,
    /// Hard rules: a placement that breaks one is never chosen.
    #[schemars(default)]
    require: Vec<Require>,
    /// Soft goals: each is worth 0..1; their weighted mean is maximised.
    #[schemars(default)]
    utility: Vec<Utility>,
    migration: Option<Migration>,
    optimise: Option<Optimise>,
    budget: Option<Budget>,
    /// Where hosts come from, by name. Without it: one `process` provider named `local`.
    providers: Option<BTreeMap<String, Provider>>,
    anchors: Option<Anchors>,
}

impl Table for Config {
    const NOT_YET: &'static [&'static str] = &["secrets", "lifecycles", "versions", "logs", "dashboard"];
}

/// The application itself.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct App {
    /// Name of the application and of its overlay.
    name: String,
    /// The application's own version; only shown. Default "0".
    version: Option<String>,
    /// A member that lost the group serves on this long, then halts its host; "0s" is for ever. Default "24h".
    orphan_after: Option<Time>,
}

impl Table for App {}

/// A deployable unit.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Component {
    /// Program and arguments; without it (and without `script`), the Rust closure that the binary registered.
    exec: Option<Command>,
    /// A service script that is called with `init`, `run`, `interrupt`, `cleanup` or `notify`; each call ends.
    script: Option<Command>,
    /// Copies: a number, or a range from which the optimiser chooses. Default 1.
    replicas: Option<Replicas>,
    /// Resources of one copy: `cpu` in cores, `memory` as "256MiB", others as the provider names them.
    #[schemars(default)]
    needs: BTreeMap<String, Amount>,
    /// Ports that others may import.
    #[schemars(default)]
    exports: BTreeMap<String, Export>,
    /// What it uses of other components.
    #[schemars(default)]
    imports: BTreeMap<String, Import>,
    health: Option<Health>,
    stop: Option<Stop>,
    /// Environment variables, with the same templates as `exec`.
    #[schemars(default)]
    env: BTreeMap<String, String>,
    /// Named texts, `{attribute.NAME}` in templates. A change of them alone restarts nothing: instances are told.
    #[schemars(default)]
    attributes: BTreeMap<String, String>,
    /// At most one copy under a name runs, also during a partition. Default false.
    exclusive: Option<bool>,
    upgrade: Option<Upgrade>,
    lifecycle: Option<Lifecycle>,
}

impl Table for Component {
    const NOT_YET: &'static [&'static str] = &["state", "actions", "files", "artifact", "secrets", "version"];
}

/// How a new version replaces the old one.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Upgrade {
    /// At most so many copies are down at the same time. Default 1.
    unavailable_max: Option<u32>,
    /// When the new version keeps failing: "keep" what is reached, or "unwind" to the old version. Default "keep".
    on_failure: Option<OnFailure>,
}

impl Table for Upgrade {
    const NOT_YET: &'static [&'static str] = &["strategy", "canary"];
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum OnFailure {
    Keep,
    Unwind,
}

/// A command line that is split like a shell's (no shell is run), or a list of words.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Command {
    Line(String),
    Words(Vec<String>),
}

/// A number of copies or a range of it.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Replicas {
    Fixed(u32),
    Range(ReplicaRange),
}

/// A range of copies, both ends included.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ReplicaRange {
    /// At least this many.
    min: u32,
    /// At most this many.
    max: u32,
}

impl Table for ReplicaRange {}

/// A number, or a text with a unit such as "256MiB".
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Amount {
    Number(f64),
    Text(String),
}

/// A time with its unit, such as "5s", "250ms", "24h"; or 0.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Time {
    Text(String),
    Zero(u32),
}

/// A port that others may import.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Export {
    /// A fixed TCP port; without it the node chooses a free one.
    port: Option<u16>,
    /// It has values only, and no address. Default false.
    data: Option<bool>,
    /// Values that its users get: put out by actions, or attributes.
    #[schemars(default)]
    values: Vec<String>,
}

impl Table for Export {
    const NOT_YET: &'static [&'static str] = &["public", "value", "protocol"];
}

/// A use of another component's export.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Import {
    /// `component.export`; a component may import from its own other copies.
    from: String,
    /// An optional import is bound late and unbound early, without stopping its user. Default false.
    optional: Option<bool>,
    /// How many exporters are bound: "all", "one" or a number. Default "all" from itself, "one" otherwise.
    pick: Option<Pick>,
    /// What the loss of a mandatory import does: "stop", "suspend" or "rebind". Default "stop".
    on_loss: Option<OnLoss>,
    /// Whether a change runs the life-cycle's `notify`. Default false.
    notify: Option<bool>,
}

impl Table for Import {
    const NOT_YET: &'static [&'static str] = &["via"];
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum OnLoss {
    Stop,
    Suspend,
    Rebind,
}

/// How many exporters are bound.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Pick {
    Word(PickWord),
    Number(u32),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum PickWord {
    All,
    One,
}

/// A periodic look at a started copy; exactly one of `http`, `tcp` and `exec`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Health {
    /// `GET` answers 2xx: "export:/path" or ":port/path".
    http: Option<String>,
    /// A connection is accepted: "export" or ":port".
    tcp: Option<String>,
    /// A program exits with 0.
    exec: Option<Command>,
    /// Time between two looks. Default "5s".
    every: Option<Time>,
    /// So many failures in a row make the copy failed. Default 3.
    fail_after: Option<u32>,
}

impl Table for Health {
    const NOT_YET: &'static [&'static str] = &["timeout", "grpc"];
}

/// How a copy is stopped.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Stop {
    /// TERM, INT, QUIT, HUP, USR1, USR2 or KILL. Default TERM.
    signal: Option<Signal>,
    /// Time until it is killed. Default "10s".
    grace: Option<Time>,
}

impl Table for Stop {}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
enum Signal {
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Kill,
}

/// A named hard rule: exactly one of `each` and `group`, and one of `expr` and `spread`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Require {
    /// The name that `plan` and `why` print.
    name: String,
    /// A component; the rule holds for each machine that hosts it, which is `node`.
    each: Option<String>,
    /// A component; the rule holds for all its machines together, which are `placement`.
    group: Option<String>,
    /// What must hold.
    expr: Option<String>,
    /// Limits on machines of the same class; with `group`.
    spread: Option<Spread>,
}

impl Table for Require {
    const NOT_YET: &'static [&'static str] = &["pair"];
}

/// Machines are classed by the value of `by`; at least one of `max` and `min_distinct`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Spread {
    /// A property of a machine, such as "node.region".
    by: String,
    /// At most so many machines in a class; may use size(placement).
    max: Option<Amount>,
    /// At least so many classes; may use size(placement).
    min_distinct: Option<Amount>,
}

impl Table for Spread {}

/// A named soft goal worth `clamp((worst - x) / (worst - best), 0, 1)`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Utility {
    /// The name that `plan` and `why` print.
    name: String,
    /// A component; the utility is the mean over the machines that host it.
    each: Option<String>,
    /// A component; the quantity is one of all its machines together.
    group: Option<String>,
    /// The quantity.
    of: String,
    /// The value that is worth 1.
    best: Amount,
    /// The value that is worth 0.
    worst: Amount,
    /// Its share of the weighted mean. Default 1.
    weight: Option<f64>,
}

impl Table for Utility {
    const NOT_YET: &'static [&'static str] = &["pair", "curve"];
}

/// What a change costs, in the unit of utility (0..1).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Migration {
    /// For each machine that is added. Default 0.01.
    add: Option<f64>,
    /// For each machine that is removed. Default 0.
    remove: Option<f64>,
}

impl Table for Migration {
    const NOT_YET: &'static [&'static str] = &["move"];
}

/// When to look for a better placement and how eagerly to move.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Optimise {
    /// Time between two looks. Default "60s".
    every: Option<Time>,
    /// A voluntary move must gain more than this beyond its migration cost. Default 0.
    min_gain: Option<f64>,
    /// At most so many machines are replaced voluntarily in one round. Default: no limit.
    max_moves: Option<u32>,
    /// A machine younger than this is not moved voluntarily. Default "5m".
    settle: Option<Time>,
    /// How long one run of the solver may take. Default "2s".
    deadline: Option<Time>,
}

impl Table for Optimise {}

/// The most that may be spent: a hard rule.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Budget {
    /// Currency code, the same for all providers. Default "USD".
    currency: Option<String>,
    /// Sum of the hourly prices of all hosts.
    max_hourly: Amount,
}

impl Table for Budget {
    const NOT_YET: &'static [&'static str] = &["max_monthly", "max_daily"];
}

/// A source of hosts; all other fields are the provider's own.
#[derive(JsonSchema)]
pub(crate) struct Provider {
    /// Which provider: process, ssh, docker, qemu, ec2, hcloud.
    kind: String,
    /// Only these regions are used. Default: all.
    #[schemars(default)]
    regions: Vec<String>,
}

impl Table for Provider {}

/// Sites of users; `anchors` in expressions.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Anchors {
    /// Regions of the catalogue or addresses.
    sites: Vec<String>,
}

impl Table for Anchors {}
