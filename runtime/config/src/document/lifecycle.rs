//! The shape of `[components.NAME.lifecycle]`, for editors.
//!
//! Only shape; see the first lines of [`super`] for what these types are and are not.

use super::{Command, Table, Time};
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// Places, transitions with actions, and behaviours, for components that need more than start and stop.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Lifecycle {
    /// The places a copy can rest in; a new copy is in the first one.
    places: Vec<String>,
    /// A copy counts as started while it rests in these places only.
    started: Vec<String>,
    transitions: BTreeMap<String, Transition>,
    /// Sets of transitions by name; a behaviour executes the transitions of its set.
    behaviours: BTreeMap<String, Vec<String>>,
    /// Behaviours that bring a copy up, in this order. Default: the behaviour `deploy`.
    deploy: Option<Vec<String>>,
    /// Behaviours that release the imports. Default: the behaviour `pause`, else `retire`.
    pause: Option<Vec<String>>,
    /// Behaviours that remove the copy; they end in the first place. Default: the behaviour `retire`.
    retire: Option<Vec<String>>,
    /// Steps after a failure: they bring the copy to the first place from any place.
    #[schemars(default)]
    reset: Vec<Step>,
    /// Executed when an import with `notify = true` has changed.
    notify: Option<Step>,
    /// The places in which an export is active. Default: `started`.
    #[schemars(default)]
    exports: BTreeMap<String, Vec<String>>,
    /// When an import is in use. Default: in `started`, and in the transitions that enter or leave it.
    #[schemars(default)]
    imports: BTreeMap<String, Use>,
}

impl Table for Lifecycle {}

/// The places and transitions in which an import is in use.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Use {
    /// In use while the copy is in one of these.
    #[schemars(default)]
    places: Vec<String>,
    /// In use while one of these runs.
    #[schemars(default)]
    transitions: Vec<String>,
}

impl Table for Use {}

/// A transition from one place to another, with at most one action.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Transition {
    from: String,
    to: String,
    /// The dock set of `to` that it belongs to: the place is entered when all transitions of one set have arrived.
    /// Default 0.
    dock: Option<u32>,
    #[schemars(flatten)]
    step: Action,
}

impl Table for Transition {}

/// An action with its time-out and repetitions.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Step {
    #[schemars(flatten)]
    step: Action,
}

impl Table for Step {}

/// The action: one of `command`, `script`, `http`, `write`, `call`, `wait`, `start` and `stop`.
#[derive(JsonSchema)]
struct Action {
    /// Runs a program to its end; lines `KEY=VALUE` of its output become values.
    command: Option<Command>,
    /// Environment variables of `command`, in addition to the component's.
    #[schemars(default)]
    env: BTreeMap<String, String>,
    /// Calls the component's `script` with this verb.
    script: Option<Verb>,
    /// Sends a request such as "POST http://{import.registry.addr}/add"; a 2xx answer is success.
    http: Option<String>,
    /// The body of `http`.
    body: Option<String>,
    /// Writes a file below the directory of the copy, with the content of `text` or `template`.
    write: Option<String>,
    /// The content for `write`; placeholders are filled in.
    text: Option<String>,
    /// The path of a file with the content for `write`, relative to the config file; placeholders in the file are
    /// filled in.
    template: Option<String>,
    /// The permissions of the written file, in octal. Default "600".
    mode: Option<String>,
    /// Calls the Rust function that the binary registered under the component's name and this name.
    call: Option<String>,
    /// Waits until a probe succeeds.
    wait: Option<Wait>,
    /// Starts the program of `exec`, or the closure.
    start: Option<bool>,
    /// Stops the program or closure that `start` started.
    stop: Option<bool>,
    /// After this time the action is cancelled and counts as failed. Default: no limit.
    timeout: Option<Time>,
    /// Repetitions after a failure: a number, or with waits. Default: none.
    retry: Option<Retry>,
}

/// Exactly one of `http`, `tcp` and `exec`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Wait {
    /// Succeeds if `GET` answers 2xx: "export:/path" or ":port/path".
    http: Option<String>,
    /// Succeeds if a connection is accepted: "export" or ":port".
    tcp: Option<String>,
    /// Succeeds if this program exits with 0.
    exec: Option<Command>,
    /// Time between two probes. Default "1s".
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
    /// Number of repetitions after the first attempt.
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
