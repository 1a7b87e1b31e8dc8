//! The questions that the command line asks a node, and the answers: versioned records in JSON.
//!
//! This file contains data only. The command line prints text and JSON from the same record, so that both have the
//! same content. The JSON form is a contract with scripts. Read next: `node::admin`, which composes the answers, and
//! `cli`, which prints them.

pub(crate) mod facts;

use crate::closures::Closures;
use crate::component::log_reader::LogPosition;
use crate::secrets::ByVariable;
use rhizo_config::Finding;
use rhizo_planning::Record;
use rhizo_protocol::Survival;
use rhizo_protocol::ledger::Recovery;
use rhizo_types::Number;
use rhizo_types::secret::Sealed;
use rhizo_types::{HostId, Lineage, NodeId, ProviderName, Revision, Term};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The longest question in bytes: the text of a config and little else.
pub(crate) const ASK_BYTES_MAX: usize = 1 << 20;

/// A question as it is sent, with the version of its form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "v")]
pub(crate) enum AskRecord {
    /// First form.
    #[serde(rename = "1")]
    V1 {
        /// The question.
        ask: Ask,
        /// Whether a member passed the question on; it is then not passed on again.
        #[serde(default)]
        passed_on: bool,
    },
}

/// A question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// The state of the application.
    Status,
    /// The events that the asker has not seen yet.
    Events {
        /// The last event number seen of each node. Of a node that is not named, all kept events are wanted.
        after: BTreeMap<String, u64>,
        /// Whether the answering node asks the other members for their events as well.
        everyone: bool,
    },
    /// The reasons for the configuration in force, or for the place of an instance.
    Why {
        /// An instance or a node; `None` for the last decisions.
        subject: Option<String>,
    },
    /// The facts that the answering node believes.
    Facts {
        /// A node, copy, component, provider, offer or region; `None` for all facts.
        subject: Option<String>,
    },
    /// The output of an instance, or of all copies of a component.
    Logs {
        /// The instance, for example `web.0`, or the component.
        subject: String,
        /// The length of the answer in bytes at most.
        bytes_max: u64,
        /// The positions up to which the asker has read logs, by name. A log that is not named is read from its
        /// beginning. `None` for an asker that has had no answer yet, which gets the last lines of all logs.
        #[serde(default)]
        after: Option<BTreeMap<String, LogPosition>>,
        /// Whether the answering node asks the other members that have such logs as well.
        everyone: bool,
    },
    /// The plan for a config, without carrying it out.
    Plan {
        /// The config; `None` for the one in force.
        config: Option<ConfigText>,
    },
    /// Order: put this config in force.
    Apply {
        /// The config.
        config: ConfigText,
        /// The revision of the spec that the operator's plan started from; any when absent.
        #[serde(default)]
        after: Option<Revision>,
    },
    /// Order: set the weight of a utility in the spec in force.
    SetWeight {
        /// The utility's name.
        utility: String,
        /// The weight; finite, not negative.
        weight: Number,
    },
    /// Order: carry out this reconfiguration script.
    RunScript {
        /// The script's text and file.
        script: ConfigText,
    },
    /// Order: end the running script at the statement that it has reached.
    EndScript,
    /// Order: give up the data of a copy whose host is lost, and place the copy again without it.
    GiveUpData {
        /// The copy, for example `db.0`.
        instance: String,
    },
    /// Order: stop all instances and release all hosts.
    TakeDown,
    /// Order: node 0 transfers its leadership and leaves.
    Detach,
    /// How far the answering node's own log reaches. The question is never passed on.
    Standing,
    /// Order to the survivor: begin a new lineage. The order is never passed on.
    Recover(Box<Recovery>),
}

/// The text of a config or script, with what is needed to read it on another machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ConfigText {
    /// The text.
    pub(crate) text: String,
    /// The file's name, for messages.
    pub(crate) file: String,
    /// The directory that relative paths start from.
    pub(crate) base: String,
    /// The sealed values of the secrets whose sources the text names.
    #[serde(default)]
    pub(crate) secrets: ByVariable<Sealed>,
    /// The closures of its components, whose files are moved apart from the text.
    #[serde(default)]
    pub(crate) closures: Closures,
}

/// An answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// To [`Ask::Events`].
    Events(Vec<EventRecord>),
    /// To [`Ask::Why`].
    Why(Box<Why>),
    /// To [`Ask::Facts`].
    Facts(facts::Facts),
    /// To [`Ask::Logs`].
    Logs(Logs),
    /// To [`Ask::Plan`].
    Plan(Box<Record>),
    /// To [`Ask::Standing`].
    Standing(Box<Standing>),
    /// To [`Ask::RunScript`]: the faults of its text; nothing was done.
    Findings(Vec<Finding>),
    /// To [`Ask::Apply`], [`Ask::RunScript`], [`Ask::EndScript`], [`Ask::TakeDown`], [`Ask::Detach`], [`Ask::GiveUpData`]:
    /// it was committed. To [`Ask::Recover`]: the survivor is of the new lineage.
    Done {
        /// The spec in force after it.
        spec: Revision,
    },
    /// No node could decide the order now, or its outcome is not known. It may be sent again.
    Later,
    /// To [`Ask::Apply`]: another spec is in force than the one that the order names. Nothing was committed.
    Overtaken,
    /// The question was not answered, or the order was not carried out.
    Refused {
        /// The reason, completing "failed to …".
        reason: String,
        /// The remedy for the operator.
        hint: Option<String>,
    },
}

/// A place in the log, in the order in which voters compare their logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The term of the entry.
    pub(crate) term: u64,
    /// Its index.
    pub(crate) index: u64,
}

/// How far one node's log reaches, and what it knows of the group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The node.
    pub(crate) node: NodeId,
    /// Its lineage.
    pub(crate) lineage: Lineage,
    /// The newest term that it knows.
    pub(crate) term: Term,
    /// Whether it knows a coordinator with a quorum.
    pub(crate) has_quorum: bool,
    /// The last entry of its log; on a node that holds no log, the last one that it has applied.
    pub(crate) last: Place,
    /// Number of its last entries that it does not know to be committed.
    pub(crate) uncommitted: u64,
    /// The voters that it knows; two sets while a change of them is half done.
    pub(crate) voter_sets: Vec<BTreeSet<NodeId>>,
    /// The members that it knows, itself included.
    pub(crate) members: Vec<MemberStanding>,
}

/// A member as another member knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct MemberStanding {
    /// The member.
    pub(crate) node: NodeId,
    /// The provider of its host.
    pub(crate) provider: ProviderName,
    /// Its host; none for node 0.
    pub(crate) host: Option<HostId>,
    /// Its key in hexadecimal digits.
    pub(crate) key: String,
    /// The addresses at which it accepts links.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The instances placed on it.
    pub(crate) instances: Vec<String>,
}

/// The state of the application.
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
    /// Weighted mean of the utilities, 0..1; absent while no instance is placed or the problem cannot be evaluated.
    pub utility: Option<f64>,
    /// Sum of the hourly prices of all hosts that may cost something, in the currency of the budget.
    pub cost_per_hour: f64,
    /// The members, and the hosts whose node has not joined yet.
    pub nodes: Vec<NodeStatus>,
    /// The placed instances.
    pub components: Vec<InstanceStatus>,
    /// Counts of the intents that may cost something and are not hosts in use.
    pub intents: IntentCounts,
    /// Sentences about what is missing, broken or not survivable.
    pub problems: Vec<String>,
    /// The first problem without its remedy, when `state` is `no-quorum`; for messages that have a remedy of their own.
    #[serde(default)]
    pub no_quorum: Option<String>,
    /// The losses that the voters survive.
    #[serde(default)]
    pub survival: Survival,
    /// Components whose new version kept failing and was rolled back.
    #[serde(default)]
    pub unwound: Vec<String>,
    /// Components whose version keeps failing.
    #[serde(default)]
    pub failing: Vec<FailingStatus>,
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

/// A component whose version keeps failing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailingStatus {
    /// The component.
    pub name: String,
    /// Failures in a row, over all hosts.
    pub failures: u32,
    /// The text of the last failure.
    pub error: String,
    /// Length of the wait before the next attempt, in milliseconds.
    pub wait_ms: u64,
    /// Time until the next attempt, in milliseconds; absent if the answering node does not know it.
    pub next_try_ms: Option<u64>,
    /// Nodes on which a copy exhausted its attempts; at most two.
    pub nodes: Vec<String>,
}

/// The state of a script.
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
    /// The reason of a failure.
    pub reason: Option<String>,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: String,
    /// The provider of its host.
    pub provider: String,
    /// The region of its host.
    pub region: String,
    /// `member`, `joining`, `draining`.
    pub state: String,
    /// Whether it votes.
    pub voter: bool,
    /// Its process id on its host, as it states it.
    pub pid: Option<u32>,
    /// The address at which it accepts links.
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
    /// The node that it is placed on.
    pub node: String,
    /// `waiting`, `starting`, `started`, `draining`, `stopping`, `suspended`, `resting`, `failed` or `unknown`.
    pub state: String,
    /// Why it does not serve, as one sentence; absent when it does, or when the answering node does not know it.
    #[serde(default)]
    pub reason: Option<String>,
    /// The addresses of its exports while they may be used.
    #[serde(default)]
    pub exports: Vec<ExportStatus>,
    /// The bindings of its imports in the target.
    pub bindings: Vec<BindingStatus>,
}

/// An export that may be used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportStatus {
    /// The export.
    pub export: String,
    /// The address at which the instance serves it.
    pub address: String,
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
    /// Those whose outcome is unknown.
    pub unknown: u32,
}

/// A notice of the core, as one node keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number at the node that saw it.
    pub number: u64,
    /// The time at which that node saw it: milliseconds of Unix time by its clock.
    pub at_unix_ms: u64,
    /// The node that saw it.
    pub node: String,
    /// The kind of notice as one word.
    pub kind: String,
    /// The notice as a sentence.
    pub text: String,
    /// The index of the committed entry that it follows from; absent if it follows from none. All nodes make the same
    /// notices of an entry, and an answer has each of them once.
    #[serde(default)]
    pub entry: Option<u64>,
}

/// Lines of logs, in the order of time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Logs {
    /// The lines.
    pub(crate) lines: Vec<LogLine>,
    /// Nodes that have such logs and did not answer, or were not asked because there are too many.
    pub(crate) missing: Vec<String>,
}

/// A line that an instance printed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// The instance.
    pub(crate) instance: String,
    /// The name of the log: the instance with its generation and node, for example `web.0-g3@n2`.
    pub(crate) log: String,
    /// The time at which the line began: milliseconds of Unix time by the clock of its node. Zero when it is not known.
    pub(crate) at_unix_ms: u64,
    /// Number of this line among those of the log with its time, from one.
    pub(crate) nth: u32,
    /// The text. A long line is cut and marked.
    pub(crate) text: String,
    /// Whether the program has not ended the line yet.
    pub(crate) is_open: bool,
}

/// The reasons for the configuration in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Why {
    /// The instance or node that was asked about.
    pub(crate) subject: Option<String>,
    /// Sentences, most important first.
    pub(crate) sentences: Vec<String>,
    /// The last decisions of the coordinator, newest first, without placements.
    pub(crate) decisions: Vec<Record>,
    /// Events that name the subject, oldest first. The command line fills them in; a node leaves them empty.
    #[serde(default)]
    pub(crate) events: Vec<EventRecord>,
}
