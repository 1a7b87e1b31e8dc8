//! The shape of a `rhizo.toml`, for editors: the JSON Schema and the list of known fields come from here.
//!
//! Nothing is deserialised into these types, since serde stops at the first mistake. `read` walks the document and
//! takes the known names from here. A field that is listed here and not read is reported as unknown, so that the two
//! cannot differ unnoticed.

#![expect(dead_code, reason = "only the schema is made from these types; see the file's first lines")]

mod lifecycle;

pub(crate) use lifecycle::{Lifecycle, RetryWaits, Step, Transition, Use, Wait};

use crate::slips::{self, Foreign};
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// A table of the document.
pub(crate) trait Table: JsonSchema {
    /// Fields of later versions: refused by name, not ignored and not called unknown.
    const NOT_YET: &'static [&'static str] = &[];
    /// Fields of other tools, each with the form to write in their place.
    const FOREIGN: Foreign = &[];
}

/// The names of a table's fields.
pub(crate) fn fields<T: Table>() -> Vec<String> {
    let schema = schemars::schema_for!(T);
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// Fields of the top table that several files may have parts of: tables by name, lists, and what every file may say.
pub(crate) const MERGED: [&str; 6] = ["rhizo", "include", "components", "require", "utility", "providers"];

/// The JSON Schema of a config, for editors (`#:schema ./rhizo.schema.json`).
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

/// An application that deploys and manages itself: its components, rules, utilities and providers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "rhizo config")]
pub(crate) struct Config {
    /// Version of the config language: 1.
    #[schemars(range(min = 1, max = 1))]
    rhizo: u32,
    /// Other files of the config. Paths start at the folder of the file that names them.
    #[schemars(default)]
    include: Vec<String>,
    app: App,
    /// The components, by name.
    components: BTreeMap<String, Component>,
    /// Hard rules: no placement that breaks one is chosen.
    #[schemars(default)]
    require: Vec<Require>,
    /// Utilities: each has a value in 0..1; their weighted mean is maximised.
    #[schemars(default)]
    utility: Vec<Utility>,
    migration: Option<Migration>,
    optimise: Option<Optimise>,
    budget: Option<Budget>,
    /// The providers of hosts, by name. Default: one `process` provider named `local`.
    providers: Option<BTreeMap<String, Provider>>,
    anchors: Option<Anchors>,
}

impl Table for Config {
    const NOT_YET: &'static [&'static str] = &["secrets", "lifecycles", "versions", "logs", "dashboard"];
    const FOREIGN: Foreign = slips::ROOT;
}

/// The application itself.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct App {
    /// Name of the application and of its overlay.
    name: String,
    /// The application's own version; it is only displayed. Default "0".
    version: Option<String>,
    /// A member that has lost contact with the group keeps serving for this long and then halts its host; "0s" is
    /// without end. Default "24h".
    orphan_after: Option<Time>,
}

impl Table for App {}

/// A deployable unit.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Component {
    /// The program and its arguments. Without it and without `script`: the Rust closure that the binary registered.
    exec: Option<Command>,
    /// A service script. It is called with `init`, `run`, `interrupt`, `cleanup` or `notify`, and each call ends.
    script: Option<Command>,
    /// The number of copies, or a range from which the optimiser chooses. Default 1.
    replicas: Option<Replicas>,
    /// The resources of one copy: `cpu` in cores, `memory` as "256MiB", others as the provider names them.
    #[schemars(default)]
    needs: BTreeMap<String, Amount>,
    /// The ports that other components may import.
    #[schemars(default)]
    exports: BTreeMap<String, Export>,
    /// The exports of other components that it uses.
    #[schemars(default)]
    imports: BTreeMap<String, Import>,
    health: Option<Health>,
    start: Option<Start>,
    stop: Option<Stop>,
    /// Environment variables: texts with the same placeholders as `exec`, or secrets.
    #[schemars(default)]
    env: BTreeMap<String, Variable>,
    /// Named texts, `{attribute.NAME}` in templates. A change of these alone restarts no copy: running copies are
    /// notified.
    #[schemars(default)]
    attributes: BTreeMap<String, String>,
    /// At most one process per copy's name runs, even during a partition. Default false.
    exclusive: Option<bool>,
    /// The data of a copy, `{data}` in templates: "none", or "pinned" to its host. Default "none".
    state: Option<State>,
    /// With `state`: what happens when the host with the data is lost. "wait" for an operator, or start "empty" on
    /// another host. Default "wait".
    on_loss: Option<OnDataLoss>,
    upgrade: Option<Upgrade>,
    lifecycle: Option<Lifecycle>,
    /// Further files that a copy runs with: files, folders or patterns such as "static/**", relative to the folder of
    /// the config or absolute. The programs, scripts and templates of the component are packed without being named.
    #[schemars(default)]
    files: Vec<String>,
    /// "files": programs of the system are used as each host has them. "complete": they are packed too, with the
    /// interpreters of scripts. Default "files".
    closure: Option<String>,
}

impl Table for Component {
    const NOT_YET: &'static [&'static str] =
        &["actions", "artifact", "secrets", "version", "user", "workdir", "ulimits", "enforce"];
    const FOREIGN: Foreign = slips::COMPONENT;
}

/// The data of a copy that has to survive its process.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum State {
    None,
    Pinned,
}

/// The reaction when the host with the data of a copy is lost.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum OnDataLoss {
    Wait,
    Empty,
}

/// The value of an environment variable.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Variable {
    Text(String),
    Secret(Secret),
}

/// The source of a secret, which the command line reads on the operator's machine: one of the three.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Secret {
    /// A variable of the environment of the command line.
    env: Option<String>,
    /// A file; a relative path starts at the folder of the config.
    file: Option<String>,
    /// A program, without a shell; its standard output is the value.
    command: Option<Command>,
}

impl Table for Secret {}

/// The replacement of an old version by a new one.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Upgrade {
    /// Most copies that are down at the same time. Default 1.
    unavailable_max: Option<u32>,
    /// If the new version keeps failing: "keep" the copies that have it, or "unwind" them to the old version.
    /// Default "keep".
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

/// A command line, split into words like a shell does (no shell is run), or a list of words.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Command {
    Line(String),
    Words(Vec<String>),
}

/// A number of copies, or a range.
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
    /// Fewest copies.
    min: u32,
    /// Most copies.
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

/// A port that other components may import.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Export {
    /// A fixed TCP port; without it the node allocates one.
    port: Option<u16>,
    /// Whether every node listens at `port` and relays each connection to a started copy, whose own port is allocated.
    /// Default false.
    public: Option<bool>,
    /// Whether it carries values only and has no address. Default false.
    data: Option<bool>,
    /// The values that its users receive: outputs of actions, or attributes.
    #[schemars(default)]
    values: Vec<String>,
}

impl Table for Export {
    const NOT_YET: &'static [&'static str] = &["value"];
    const FOREIGN: Foreign = slips::EXPORT;
}

/// A use of another component's export.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Import {
    /// The export, as `component.export`. A component may import from its own other copies.
    from: String,
    /// Whether it is bound and unbound without stopping its user. Default false.
    optional: Option<bool>,
    /// The number of exporters that are bound: "all", "one" or a number. Default "all" from itself, "one" otherwise.
    pick: Option<Pick>,
    /// The effect of the loss of a mandatory import: "stop", "suspend" or "rebind". Default "stop".
    on_loss: Option<OnLoss>,
    /// Whether a change of it triggers the life-cycle's `notify`. Default false.
    notify: Option<bool>,
    /// The way to the exporter: "node" gives the user a stable local address, from which its node relays each connection
    /// over an authenticated stream; "direct" gives it the exporter's own address. Default "node".
    via: Option<Via>,
}

impl Table for Import {
    const NOT_YET: &'static [&'static str] = &[];
    const FOREIGN: Foreign = slips::IMPORTED;
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum OnLoss {
    Stop,
    Suspend,
    Rebind,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Via {
    Node,
    Direct,
}

/// The number of exporters that are bound.
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

/// The periodic check of a started copy; exactly one of `http`, `tcp` and `exec`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Health {
    /// Succeeds if `GET` answers 2xx: "export:/path" or ":port/path".
    http: Option<String>,
    /// Succeeds if a connection is accepted: "export" or ":port".
    tcp: Option<String>,
    /// Succeeds if this program exits with 0.
    exec: Option<Command>,
    /// Time between two checks. Default "5s".
    every: Option<Time>,
    /// The copy counts as failed after this many failed checks in a row. Default 3.
    fail_after: Option<u32>,
}

impl Table for Health {
    const NOT_YET: &'static [&'static str] = &["timeout", "grpc"];
    const FOREIGN: Foreign = slips::CHECKED;
}

/// The time that a start may take.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Start {
    /// Time after which a start that is not finished has failed. Default "60s".
    timeout: Option<Time>,
}

impl Table for Start {}

/// The signal and grace with which a copy is stopped.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Stop {
    /// The signal: TERM, INT, QUIT, HUP, USR1, USR2 or KILL. Default TERM.
    signal: Option<Signal>,
    /// Time between the signal and the kill. Default "10s".
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
    /// A component; the rule applies to each of its hosts, as `node`.
    each: Option<String>,
    /// A component; the rule applies to all its hosts together, as `placement`.
    group: Option<String>,
    /// The condition.
    expr: Option<String>,
    /// Limits on the hosts of one class; with `group`.
    spread: Option<Spread>,
}

impl Table for Require {
    const NOT_YET: &'static [&'static str] = &["pair"];
}

/// Hosts are grouped into classes by the value of `by`; at least one of `max` and `min_distinct`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Spread {
    /// An attribute of a host, such as "node.region".
    by: String,
    /// Most hosts in one class; may use size(placement).
    max: Option<Amount>,
    /// Fewest classes; may use size(placement).
    min_distinct: Option<Amount>,
}

impl Table for Spread {}

/// A named utility with the value `clamp((worst - x) / (worst - best), 0, 1)`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Utility {
    /// The name that `plan` and `why` print.
    name: String,
    /// A component; the utility is the mean over its hosts.
    each: Option<String>,
    /// A component; the quantity is one of all its hosts together.
    group: Option<String>,
    /// The quantity.
    of: String,
    /// The value with utility 1.
    best: Amount,
    /// The value with utility 0.
    worst: Amount,
    /// Its weight in the weighted mean. Default 1.
    weight: Option<f64>,
}

impl Table for Utility {
    const NOT_YET: &'static [&'static str] = &["pair", "curve"];
}

/// The cost of a change, in the unit of utility (0..1).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Migration {
    /// Cost per host that is added. Default 0.01.
    add: Option<f64>,
    /// Cost per host that is removed. Default 0.
    remove: Option<f64>,
}

impl Table for Migration {
    const NOT_YET: &'static [&'static str] = &["move"];
}

/// When to search for a better placement, and how large a gain a voluntary move needs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Optimise {
    /// Time between two searches. Default "60s".
    every: Option<Time>,
    /// The gain that a voluntary move must exceed, beyond its migration cost. Default 0.
    min_gain: Option<f64>,
    /// Most running copies that one voluntary change moves or ends. Default: no limit.
    max_moves: Option<u32>,
    /// A host younger than this is not replaced voluntarily. Default "5m".
    settle: Option<Time>,
    /// Longest time of one run of the solver. Default "2s".
    deadline: Option<Time>,
}

impl Table for Optimise {}

/// The limit of spending: a hard rule.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Budget {
    /// Currency code, the same for all providers. Default "USD".
    currency: Option<String>,
    /// Largest sum of the hourly prices of all hosts.
    max_hourly: Amount,
}

impl Table for Budget {
    const NOT_YET: &'static [&'static str] = &["max_monthly", "max_daily"];
    const FOREIGN: Foreign = slips::SPENT;
}

/// A source of hosts; all other fields are the provider's own.
#[derive(JsonSchema)]
pub(crate) struct Provider {
    /// The kind: `process`, hosts that are emulated on this machine.
    kind: String,
    /// The regions that may be used. Default: all.
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
