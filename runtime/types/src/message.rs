//! Messages between nodes: control messages (liveness, catch-up, reports) and the agents' binding protocol.
//!
//! Only data. Control messages may be lost, duplicated and reordered. Agents' messages are sent in a [`Frame`] of an
//! ordered channel that resends lost frames. `rhizo-protocol::node` handles both.

use crate::counter::{Generation, Revision, Term};
use crate::failure::RetryWait;
use crate::id::{InstanceId, NodeId, PlaceName, PortName};
use crate::ledger::Command;
use crate::lifecycle::Values;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A message from one node's core to another's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// A control message; it may be lost, duplicated or reordered.
    Control(Control),
    /// A frame of the ordered channel between two agents.
    Channel(Frame),
}

/// A control message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Control {
    /// A one-way heartbeat to an observer. It carries the index of the sender's ledger as well.
    Heartbeat(Heartbeat),
    /// Asks another observer when it last heard the subject.
    Check {
        /// The suspect.
        subject: NodeId,
    },
    /// Answers [`Control::Check`].
    Heard {
        /// The suspect.
        subject: NodeId,
        /// The time since a message of the subject itself reached the answering node, in milliseconds; none when that
        /// is longer than its limit of silence.
        heard_ms_ago: Option<u64>,
    },
    /// An observer does not hear its subject. Sent to every voter, and repeated while the condition lasts.
    Alert {
        /// The suspect.
        subject: NodeId,
    },
    /// The observer hears its subject again.
    Relief {
        /// The former suspect.
        subject: NodeId,
    },
    /// Asks for ledger entries after this index.
    Pull {
        /// The last index the asking node has.
        after: u64,
    },
    /// Committed entries in order, without a gap.
    Entries(Vec<CommittedEntry>),
    /// The whole ledger, sent when the requested entries are no longer kept.
    Snapshot(Vec<u8>),
    /// The state of the sender's agent; repeated until the coordinator acknowledges it.
    Report(Report),
    /// Acknowledges a [`Report`].
    ReportSeen {
        /// The report's number.
        number: u64,
    },
}

/// A heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The newest term the sender knows of.
    pub term: Term,
    /// That term's coordinator, if the sender knows it.
    pub coordinator: Option<NodeId>,
    /// How long ago that coordinator was last known to have a quorum, in milliseconds.
    pub coordinator_age_ms: u64,
    /// The last ledger index the sender applied.
    pub applied: u64,
}

/// One committed entry of the Raft log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct CommittedEntry {
    /// Its position.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: Term,
    /// Its content.
    pub entry: LogEntry,
}

/// The content of a Raft entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LogEntry {
    /// No content: a new leader's first entry.
    Blank,
    /// A change of the Raft membership.
    Membership {
        /// The voters.
        voters: BTreeSet<NodeId>,
        /// The learners.
        learners: BTreeSet<NodeId>,
    },
    /// A command of the ledger.
    Command(Command),
    /// Bytes that could not be decoded as a command; they change nothing.
    Unreadable,
}

/// The state of an agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Grows with every change of the report.
    pub number: u64,
    /// The newest target that the agent has received.
    pub target: Revision,
    /// Its instances, including those that are being removed.
    pub instances: BTreeMap<InstanceId, InstanceReport>,
}

/// The state of one instance, as its agent reports it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The generation that runs.
    pub generation: Generation,
    /// Its phase.
    pub phase: InstancePhase,
    /// Number of bindings in which the instance differs from the target.
    pub bindings_missing: u32,
    /// Failures in a row of this copy on this node.
    pub failures: u32,
    /// The text of the last failure, cut to [`FAILURE_TEXT_BYTES_MAX`].
    pub failure: Option<String>,
    /// The spec revision of the component definition that it runs.
    pub version: Revision,
    /// Whether every behaviour of the target is done and no action runs.
    pub idle: bool,
    /// The number of the last pushed behaviour that is done; zero if none is.
    pub pushed: u64,
    /// The places it rests in; empty if its component declares no life-cycle.
    pub places: BTreeSet<PlaceName>,
    /// The addresses of its active exports.
    pub addresses: LiteMap<PortName, SocketAddr>,
    /// While its service starts: the last answer of the start check, cut to [`FAILURE_TEXT_BYTES_MAX`]. None until the
    /// shell reports one, which it does once a second for a start that takes longer.
    pub not_ready: Option<String>,
    /// Set while the instance waits for its next attempt after a failure.
    pub retry: Option<RetryWait>,
}

impl InstanceReport {
    /// The report of an instance that is idle in a phase and has neither failures nor missing bindings.
    #[must_use]
    pub fn idle(generation: Generation, version: Revision, phase: InstancePhase) -> Self {
        Self {
            generation,
            phase,
            bindings_missing: 0,
            failures: 0,
            failure: None,
            version,
            idle: true,
            pushed: 0,
            places: BTreeSet::new(),
            addresses: LiteMap::new(),
            not_ready: None,
            retry: None,
        }
    }
}

/// Longest failure text in a report, in bytes: about two lines of a terminal.
pub const FAILURE_TEXT_BYTES_MAX: usize = 200;

/// The phase of an instance: a projection of its life-cycle that is the same for all components.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum InstancePhase {
    /// No action has begun: the instance waits for its mandatory imports, or for the next attempt.
    Waiting,
    /// Actions run or wait for an import.
    Starting,
    /// The instance rests in its `started` places; its exports may be used.
    Started,
    /// The instance is to be paused or retired; its users have been asked to unbind.
    Draining,
    /// The instance is being paused, retired or reset; no user is bound to it.
    Stopping,
    /// The program runs but the exports are inactive, because a mandatory import was lost.
    Suspended,
    /// The instance rests where a pushed behaviour ended, and does not count as started.
    Resting,
}

/// A frame of the ordered channel between two nodes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The sender's session: grows each time the sender has lost its channel state.
    pub session: u64,
    /// The receiver's session as the sender knows it; zero if it does not know it yet.
    pub peer_session: u64,
    /// The sender has received every message of the receiver's session up to this number.
    pub ack: u64,
    /// The number of the first message in `messages`.
    pub first: u64,
    /// Messages in order; empty if the frame only acknowledges.
    pub messages: Vec<AgentMessage>,
}

/// The address and values of an active export, sent to its users.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Served {
    /// Its address; none for an export of values only.
    pub address: Option<SocketAddr>,
    /// Its data values.
    pub values: Values,
}

/// The number of one use of an export by an import, unique on the importer's node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct UseId(pub u64);

/// A message between two agents about one use. The importer's agent numbers the uses and repeats no number.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AgentMessage {
    /// Importer → exporter: asks for a [`AgentMessage::Bound`] as soon as the export is active.
    Bind {
        /// The importer's number for this use.
        id: UseId,
        /// The importing instance.
        importer: InstanceId,
        /// The import of that instance.
        import: PortName,
        /// The exporting instance.
        exporter: InstanceId,
        /// The generation of the exporting instance.
        generation: Generation,
        /// The export of that instance.
        export: PortName,
    },
    /// Exporter → importer: the export is active and counts as used from now on. Sent again when its address or values
    /// change.
    Bound {
        /// The use.
        id: UseId,
        /// The address and values of the export.
        served: Served,
    },
    /// Exporter → importer: asks the importer to unbind, because the exporter is to stop.
    AskUnbind {
        /// The use.
        id: UseId,
        /// The target that the exporter's agent follows. The importer waits until it has received this target before it
        /// reacts, because the target may bind it to another exporter.
        target: Revision,
    },
    /// Exporter → importer: the exporter has failed or had to stop; the use has ended.
    Lost {
        /// The use.
        id: UseId,
        /// Whether the importer must be restarted too, because a restart of the exporter alone did not help.
        restart: bool,
    },
    /// Importer → exporter: the use has ended, or the importer does not wait for it any more.
    Unbound {
        /// The use.
        id: UseId,
    },
}
