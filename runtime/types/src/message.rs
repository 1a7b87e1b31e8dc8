//! Messages between nodes: control messages (liveness, feed, reports) and the agents' binding protocol.
//!
//! Only data. Control messages may be lost, doubled and reordered; agents' messages travel in a [`Frame`] of an
//! ordered channel that resends. `rhizo-protocol::node` handles both.

use crate::counter::{Generation, Revision, Term};
use crate::id::{InstanceId, NodeId, PlaceName, PortName};
use crate::ledger::Command;
use crate::lifecycle::Values;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Anything one node's core sends to another's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// May be lost, doubled or reordered without harm.
    Control(Control),
    /// Part of the ordered channel between two agents.
    Channel(Frame),
}

/// A control message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Control {
    /// One-way sign of life to an observer; also tells how far the sender's ledger is.
    Heartbeat(Heartbeat),
    /// Asks another observer whether it still hears the subject.
    Check {
        /// The suspect.
        subject: NodeId,
    },
    /// Answers [`Control::Check`].
    Heard {
        /// The suspect.
        subject: NodeId,
        /// Whether the answering node heard it lately.
        alive: bool,
    },
    /// An observer lost its subject; repeated while that lasts. Goes to every voter.
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
    /// The whole ledger, because the entries asked for are no longer kept.
    Snapshot(Vec<u8>),
    /// What the sender's agent does; repeated until acknowledged by the coordinator.
    Report(Report),
    /// Acknowledges a [`Report`].
    ReportSeen {
        /// The report's number.
        number: u64,
    },
}

/// A sign of life.
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
    /// What it says.
    pub entry: LogEntry,
}

/// What a Raft entry says.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LogEntry {
    /// Nothing: a new leader's first entry.
    Blank,
    /// Who votes, who learns.
    Membership {
        /// The voters.
        voters: BTreeSet<NodeId>,
        /// The learners.
        learners: BTreeSet<NodeId>,
    },
    /// A command of the ledger.
    Command(Command),
    /// Bytes that no command could be read from; they change nothing.
    Unreadable,
}

/// What an agent does at the moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Grows with every change of the report.
    pub number: u64,
    /// The newest target the agent was told.
    pub target: Revision,
    /// Its instances, those that are going away included.
    pub instances: BTreeMap<InstanceId, InstanceReport>,
}

/// What an agent says of one of its instances.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct InstanceReport {
    /// Which generation runs.
    pub generation: Generation,
    /// How far it is.
    pub phase: InstancePhase,
    /// Bindings that the target has and the instance does not have yet, or the other way round.
    pub bindings_missing: u32,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure's text, cut to [`FAILURE_TEXT_BYTES_MAX`].
    pub failure: Option<String>,
    /// The spec revision it is described by.
    pub version: Revision,
    /// Whether every behaviour that the target asks for is done, and nothing is under way.
    pub idle: bool,
    /// The number of the last pushed behaviour that is done; zero when none is.
    pub pushed: u64,
    /// Where it rests; empty with a life-cycle that its component does not declare.
    pub places: BTreeSet<PlaceName>,
}

/// Longest failure text in a report, in bytes: a line of a terminal or two.
pub const FAILURE_TEXT_BYTES_MAX: usize = 200;

/// Where an instance is, seen from outside: a projection of its life-cycle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum InstancePhase {
    /// No action of it has begun: waits for its mandatory imports, or for the next attempt.
    Waiting,
    /// Actions run, or wait for an import.
    Starting,
    /// Rests where it counts as started; its exports may be used.
    Started,
    /// To be paused or retired: its users were asked to let go.
    Draining,
    /// Is being paused, retired or reset; nobody uses it.
    Stopping,
    /// Goes on without its exports, because a mandatory import was lost.
    Suspended,
    /// Rests where a pushed behaviour took it, which does not count as started.
    Resting,
}

/// A frame of the ordered channel between two nodes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The sender's session: grows whenever the sender lost its channel state.
    pub session: u64,
    /// The receiver's session, as far as the sender knows it; zero: not yet.
    pub peer_session: u64,
    /// Everything up to this number of the receiver's session has arrived.
    pub ack: u64,
    /// The number of the first message in `messages`.
    pub first: u64,
    /// Messages in order; empty for an acknowledgement alone.
    pub messages: Vec<AgentMessage>,
}

/// What an active export gives to those who use it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Served {
    /// Where it is reached; none for an export of data.
    pub address: Option<SocketAddr>,
    /// Its data values.
    pub values: Values,
}

/// One use of an export by an import: who asked, and that node's number for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct UseId(pub u64);

/// What agents say to each other about one use. The importer's agent numbers uses, never twice the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AgentMessage {
    /// Importer → exporter: tell me when it is started.
    Bind {
        /// The importer's number for this use.
        id: UseId,
        /// Who imports.
        importer: InstanceId,
        /// Through which of its imports.
        import: PortName,
        /// Who exports.
        exporter: InstanceId,
        /// Which generation of it.
        generation: Generation,
        /// Which of its exports.
        export: PortName,
    },
    /// Exporter → importer: the export is active; from now on you use it. Said again when what is served changed.
    Bound {
        /// The use.
        id: UseId,
        /// What the export serves.
        served: Served,
    },
    /// Exporter → importer: please let go, it shall stop.
    AskUnbind {
        /// The use.
        id: UseId,
        /// The target that the exporter's agent follows: the importer, which may not know it yet, decides what to
        /// do without the export when it does, because that target may bind it to another one.
        target: Revision,
    },
    /// Exporter → importer: it failed or had to stop; you do not use it any more.
    Lost {
        /// The use.
        id: UseId,
        /// Whether the importer shall be restarted too: restarting the exporter alone did not help.
        restart: bool,
    },
    /// Importer → exporter: I do not use it (any more), and do not wait for it.
    Unbound {
        /// The use.
        id: UseId,
    },
}
