//! Messages between nodes: control messages (liveness, feed, reports) and the agents' binding protocol.
//!
//! Only data. Control messages may be lost, doubled and reordered; agents' messages travel in a [`Frame`] of an
//! ordered channel that resends. `rhizo-protocol::node` handles both.

use crate::counter::{Generation, Revision, Term};
use crate::id::{InstanceId, NodeId, PortName};
use crate::ledger::Command;
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
}

/// Longest failure text in a report, in bytes: a line of a terminal or two.
pub const FAILURE_TEXT_BYTES_MAX: usize = 200;

/// Where an instance is in its default life-cycle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum InstancePhase {
    /// Not running: waits for its mandatory imports, or for the next attempt.
    Waiting,
    /// The start action runs.
    Starting,
    /// Started; its exports may be used.
    Started,
    /// Started, but to be stopped: its users were asked to let go.
    Draining,
    /// The stop action runs.
    Stopping,
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
    /// Exporter → importer: it is started; from now on you use it.
    Bound {
        /// The use.
        id: UseId,
        /// Where the export is reached.
        address: SocketAddr,
    },
    /// Exporter → importer: please let go, it shall stop.
    AskUnbind {
        /// The use.
        id: UseId,
    },
    /// Exporter → importer: it failed or had to stop; you do not use it any more.
    Lost {
        /// The use.
        id: UseId,
    },
    /// Importer → exporter: I do not use it (any more), and do not wait for it.
    Unbound {
        /// The use.
        id: UseId,
    },
}
