//! The shape of `[components.NAME.lifecycle]`, for editors.
//!
//! Only shape; see the first lines of [`super`] for what these types are and are not.

use super::{Command, Table, Time};
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// Places, transitions with actions, and behaviours, where starting and stopping is not enough.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Lifecycle {
    /// Where a copy can rest; it begins in the first one.
    places: Vec<String>,
    /// A copy that rests in these places only counts as started.
    started: Vec<String>,
    transitions: BTreeMap<String, Transition>,
    /// Sets of transitions by name; a behaviour executes the transitions of its set.
    behaviours: BTreeMap<String, Vec<String>>,
    /// Behaviours that bring a copy up, in this order. Default: the behaviour `deploy`.
    deploy: Option<Vec<String>>,
    /// Behaviours that let go of what is imported. Default: the behaviour `pause`, else `retire`.
    pause: Option<Vec<String>>,
    /// Behaviours that lead back to the first place for good. Default: the behaviour `retire`.
    retire: Option<Vec<String>>,
    /// Steps that lead back to the first place from anywhere, after a failure.
    #[schemars(default)]
    reset: Vec<Step>,
    /// Executed when an import with `notify = true` has changed.
    notify: Option<Step>,
    /// The places in which an export is active. Default: `started`.
    #[schemars(default)]
    exports: BTreeMap<String, Vec<String>>,
    /// When an import is used. Default: in `started` and on the way to it.
    #[schemars(default)]
    imports: BTreeMap<String, Use>,
}

impl Table for Lifecycle {}

/// When an import is used.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Use {
    /// While the copy is in one of these.
    #[schemars(default)]
    places: Vec<String>,
    /// While one of these runs.
    #[schemars(default)]
    transitions: Vec<String>,
}

impl Table for Use {}

/// A way from one place to another, with at most one action.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Transition {
    from: String,
    to: String,
    /// Which dock set of `to` it arrives at: all transitions of one set have to arrive. Default 0.
    dock: Option<u32>,
    #[schemars(flatten)]
    step: Action,
}

impl Table for Transition {}

/// An action of its own, and how patient to be with it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Step {
    #[schemars(flatten)]
    step: Action,
}

impl Table for Step {}

/// What is done: one of `command`, `script`, `http`, `write`, `call`, `wait`, `start` and `stop`.
#[derive(JsonSchema)]
struct Action {
    /// A program that ends; lines `KEY=VALUE` of its output are values.
    command: Option<Command>,
    /// Environment variables of `command`, beside the component's.
    #[schemars(default)]
    env: BTreeMap<String, String>,
    /// A verb of the component's `script`.
    script: Option<Verb>,
    /// A request such as "POST http://{import.registry.addr}/add"; done when the answer is 2xx.
    http: Option<String>,
    /// The body of `http`.
    body: Option<String>,
    /// A file below the directory of the copy, written with what `text` or `template` says.
    write: Option<String>,
    /// What `write` writes; placeholders are filled in.
    text: Option<String>,
    /// A file with what `write` writes, found from the config file; placeholders are filled in.
    template: Option<String>,
    /// The permissions of what `write` writes, in octal. Default "600".
    mode: Option<String>,
    /// A Rust function that the binary registered under the component's name and this one.
    call: Option<String>,
    /// Waits until a probe succeeds.
    wait: Option<Wait>,
    /// Starts what `exec` says, or the closure.
    start: Option<bool>,
    /// Stops what `start` started.
    stop: Option<bool>,
    /// It is cancelled and has failed after this time. Default: never.
    timeout: Option<Time>,
    /// Repetitions after a failure: a number, or with waits. Default: none.
    retry: Option<Retry>,
}

/// Exactly one of `http`, `tcp` and `exec`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Wait {
    /// `GET` answers 2xx: "export:/path" or ":port/path".
    http: Option<String>,
    /// A connection is accepted: "export" or ":port".
    tcp: Option<String>,
    /// A program exits with 0.
    exec: Option<Command>,
    /// Time between two looks. Default "1s".
    every: Option<Time>,
}

impl Table for Wait {}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Retry {
    Times(u32),
    Waits(RetryWaits),
}

/// Repetitions with a wait that doubles.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RetryWaits {
    /// So many times more, after the first.
    times: u32,
    /// Wait before the first repetition. Default "1s".
    wait: Option<Time>,
    /// Longest wait. Default "30s".
    wait_max: Option<Time>,
}

impl Table for RetryWaits {}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Verb {
    Init,
    Run,
    Interrupt,
    Cleanup,
    Notify,
}
