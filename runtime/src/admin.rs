//! What a command line (or a dashboard) can ask a node, and the answers: versioned records in JSON.
//!
//! Only data. Any node takes a question; what only the coordinator knows is passed on to it by
//! `node::admin`. Read next: `cli`, which prints the answers.

use rhizo_config::Finding;
use rhizo_types::{Lineage, Revision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest question in bytes: the text of a config and little else.
pub const ASK_BYTES_MAX: usize = 1 << 20;

/// A question with the form's version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum AskRecord {
    /// First form.
    #[serde(rename = "1")]
    V1 {
        /// The question.
        ask: Ask,
        /// Set when a member passes the question on: it is not passed on again.
        #[serde(default)]
        passed_on: bool,
    },
}

/// A question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// How the application is.
    Status,
    /// What happened, beyond what was seen already.
    Events {
        /// The last number seen of every node; all that is kept of a node that is not named.
        after: BTreeMap<String, u64>,
        /// Whether the members are asked as well, or only the answering node.
        everyone: bool,
    },
    /// Why it is as it is, or why an instance is where it is.
    Why {
        /// An instance or node; none for the last decisions.
        subject: Option<String>,
    },
    /// The last output of an instance.
    Logs {
        /// Which instance.
        instance: String,
        /// At most so many bytes.
        bytes_max: u64,
    },
    /// What would be done for this config (or for the one in force), without doing it.
    Plan {
        /// The text of a config, with the name of its file and the directory its paths start from.
        config: Option<ConfigText>,
    },
    /// Put this config in force.
    Apply {
        /// The config.
        config: ConfigText,
    },
    /// Carry out this reconfiguration script.
    RunScript {
        /// The script, in the place of a config.
        script: ConfigText,
    },
    /// End the script that runs where it is.
    EndScript,
    /// Stop everything and give all hosts back.
    TakeDown,
    /// Node 0 hands over and leaves.
    Detach,
}

/// A config as it travels.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConfigText {
    /// The text.
    pub text: String,
    /// The file's name, for messages.
    pub file: String,
    /// The directory that relative paths start from.
    pub base: String,
}

/// An answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// To [`Ask::Events`].
    Events(Vec<EventRecord>),
    /// To [`Ask::Why`].
    Why(Box<Why>),
    /// To [`Ask::Logs`].
    Logs(String),
    /// To [`Ask::Plan`].
    Plan(Box<PlanReport>),
    /// To [`Ask::RunScript`]: what is wrong with its text; nothing was done.
    Findings(Vec<Finding>),
    /// To [`Ask::Apply`], [`Ask::RunScript`], [`Ask::EndScript`], [`Ask::TakeDown`], [`Ask::Detach`]: it was committed.
    Done {
        /// The spec in force after it.
        spec: Revision,
    },
    /// The question cannot be answered, or not here.
    Refused {
        /// The reason, completing "failed to …".
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// How the application is. Its JSON form is a contract with scripts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The application.
    pub app: String,
    /// Its lineage.
    pub lineage: Lineage,
    /// The newest term that the answering node knows of.
    pub term: u64,
    /// The coordinator of that term; absent until a committed entry of it has been seen.
    pub coordinator: Option<String>,
    /// `stable`, `changing`, `degraded` or `no-quorum`.
    pub state: String,
    /// Weighted mean of the utilities; absent while nothing is placed or it is not known.
    pub utility: Option<f64>,
    /// Sum of the hourly prices of all hosts held.
    pub cost_per_hour: f64,
    /// Members.
    pub nodes: Vec<NodeStatus>,
    /// Instances.
    pub components: Vec<InstanceStatus>,
    /// How many intents can still cost anything without being a bound host in use.
    pub intents: IntentCounts,
    /// What is wrong or not survivable, in words.
    pub problems: Vec<String>,
    /// The node that answered.
    pub answered_by: String,
    /// The spec in force.
    pub spec: Revision,
    /// The target in force.
    pub target: Revision,
    /// The last ledger index that the answering node applied.
    pub applied: u64,
    /// The script that runs or ran last.
    #[serde(default)]
    pub script: Option<ScriptStatus>,
}

/// How a script stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScriptStatus {
    /// Its number, from one.
    pub number: u64,
    /// `running`, `done`, `ended` or `failed`.
    pub state: String,
    /// The line that is next, or that failed; absent when it is done.
    pub line: Option<u32>,
    /// The statement of that line.
    pub statement: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: String,
    /// Where its host comes from.
    pub provider: String,
    /// Where its host is.
    pub region: String,
    /// `member`, `joining`, `draining`.
    pub state: String,
    /// Whether it votes.
    pub voter: bool,
    /// Its process, when the provider runs it on this machine.
    pub pid: Option<u32>,
    /// Where it accepts links.
    pub address: Option<String>,
    /// Its key in hexadecimal digits; absent while it has not joined.
    pub key: Option<String>,
    /// Its host at the provider.
    pub host: Option<String>,
    /// Instances placed on it.
    pub components: Vec<String>,
}

/// An instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its component.
    pub name: String,
    /// The instance.
    pub instance: String,
    /// Where it is placed.
    pub node: String,
    /// `waiting`, `starting`, `started`, `draining`, `stopping`, `failed` or `unknown`.
    pub state: String,
    /// What its imports are bound to.
    pub bindings: Vec<BindingStatus>,
}

/// A binding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct BindingStatus {
    /// The import.
    pub import: String,
    /// The exporting instance.
    pub to: String,
}

/// Open intents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct IntentCounts {
    /// Neither closed nor a bound host.
    pub open: u32,
    /// Of these, the ones whose outcome is unknown.
    pub unknown: u32,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number at the node that saw it.
    pub number: u64,
    /// When that node saw it: milliseconds of Unix time, by its clock.
    pub at_unix_ms: u64,
    /// The node that saw it.
    pub node: String,
    /// What happened, as one word.
    pub kind: String,
    /// What happened, as a sentence.
    pub text: String,
}

/// Why it is as it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Why {
    /// What was asked for.
    pub subject: Option<String>,
    /// Sentences, most important first.
    pub sentences: Vec<String>,
    /// The last decisions of the coordinator, newest first.
    pub decisions: Vec<DecisionRecord>,
    /// What happened to the subject, oldest first; the command line asks every node for it.
    #[serde(default)]
    pub events: Vec<EventRecord>,
}

/// A decision for or against a change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// When: milliseconds of Unix time at the coordinator.
    pub at_unix_ms: u64,
    /// What made the coordinator look.
    pub cause: String,
    /// `planned`, `kept`, `infeasible` or `failed`.
    pub verdict: String,
    /// Utility of what was in force.
    pub utility_before: Option<f64>,
    /// Utility of the best that was found.
    pub utility_after: Option<f64>,
    /// What the change to it costs, in the unit of utility.
    pub migration_cost: Option<f64>,
    /// By how much the best beats staying, before its migration cost.
    pub gain: Option<f64>,
    /// The decision as a sentence, with its numbers.
    pub text: String,
}

/// What would be done, and what it is worth.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanReport {
    /// Where each instance is now.
    pub current: Vec<PlacedReport>,
    /// Where each instance would be.
    pub proposed: Vec<PlacedReport>,
    /// Each step, with its reason.
    pub actions: Vec<ActionReport>,
    /// Each utility term, before and after.
    pub terms: Vec<TermReport>,
    /// Utility of what is in force.
    pub utility_before: Option<f64>,
    /// Utility of the proposal.
    pub utility_after: f64,
    /// What the change costs, in the unit of utility.
    pub migration_cost: f64,
    /// Utility minus migration cost.
    pub objective: f64,
    /// No configuration has a greater objective than this; absent when not known.
    pub bound: Option<f64>,
    /// Distance between objective and bound.
    pub gap: Option<f64>,
    /// Whether the proposal is proven to be the best.
    pub proven: bool,
    /// Sum of the hourly prices.
    pub cost_per_hour: f64,
    /// Currency of the price.
    pub currency: String,
    /// How long the solver ran.
    pub solver_seconds: f64,
    /// Which engine found it.
    pub engine: String,
    /// What the proposal cannot survive, and other warnings.
    pub warnings: Vec<String>,
}

/// Where an instance is or would be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlacedReport {
    /// The instance.
    pub instance: String,
    /// The node, when the host exists.
    pub node: Option<String>,
    /// The provider.
    pub provider: String,
    /// The region.
    pub region: String,
    /// The offer, when the host would have to be acquired.
    pub offer: Option<String>,
}

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActionReport {
    /// `acquire`, `start`, `move`, `stop` or `release`.
    pub action: String,
    /// What it is done to.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// One utility term.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TermReport {
    /// Its name.
    pub name: String,
    /// Its share of the weighted mean.
    pub weight: f64,
    /// Its value in what is in force.
    pub before: Option<f64>,
    /// Its value in the proposal.
    pub after: f64,
}
