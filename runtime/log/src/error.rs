//! The errors of this crate, one type for each operation.
//!
//! *Refusals* (not leader, change in progress) are normal outcomes and have variants of their own. *Faults* carry the
//! message of the engine or of the disk. `Unknown` always means "may still take effect". Displays complete "failed to
//! …".

use crate::machine::RestoreError;
use rhizo_types::{Lineage, NodeId, Term};
use std::path::PathBuf;

/// The message with which the Raft engine, or the store below it, stopped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineFault(pub(crate) String);

impl EngineFault {
    pub(crate) fn new(fault: &impl ToString) -> Self {
        Self(fault.to_string())
    }
}

/// Why a member could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("open the log: {0}")]
    Config(&'static str),
    /// A store was expected and none is there: this disk was wiped, and its node id must not be used again.
    #[error("open the log: no store of node {node} in {dir}; a wiped node must join under a new id")]
    StoreMissing {
        /// The node that was expected to have a store.
        node: NodeId,
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store belongs to another node or to another lineage.
    #[error("open the log: {dir} belongs to node {found_node} of lineage {found_lineage}")]
    StoreForeign {
        /// The store's directory.
        dir: PathBuf,
        /// The node the store was made for.
        found_node: NodeId,
        /// The lineage it was made in.
        found_lineage: Lineage,
    },
    /// The directory could not be made or synced.
    #[error("open the log: prepare directory {dir}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The system refused to read or write the store; a later attempt may succeed.
    #[error("open the log: read the store in {dir}")]
    Store {
        /// The store's directory.
        dir: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Another process, or another member of this process, has the store open.
    #[error("open the log: the store in {dir} is open already; end the other process first")]
    StoreInUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The store exists and its contents are wrong. It is never taken for an empty one, since a member that forgot
    /// its vote could help to elect two leaders.
    #[error(
        "open the log: the store of node {node} in {dir} is damaged ({problem}); keep the directory for a repair, \
         and let this machine join again as a new node"
    )]
    StoreDamaged {
        /// The node whose store it is.
        node: NodeId,
        /// The store's directory.
        dir: PathBuf,
        /// The fault that was found.
        problem: String,
    },
    /// The engine refused the state it found.
    #[error("open the log: start the engine")]
    Engine(#[source] EngineFault),
}

/// Why the store of a member that does not run could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration has no store on the disk.
    #[error("read the log of a member: it is kept in memory")]
    InMemory,
    /// The store could not be opened.
    #[error("read the log of a member")]
    Store(#[from] OpenError),
    /// The machine refused the snapshot.
    #[error("read the log of a member")]
    Snapshot(#[from] RestoreError),
}

/// Why the store of a new group could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The configuration has no store on the disk.
    #[error("begin the log of a new group: it is kept in memory")]
    InMemory,
    /// The log would begin at a place that the engine cannot count on from.
    #[error("begin the log of a new group at index {index} in term {term}: the numbers are used up")]
    Place {
        /// The index.
        index: u64,
        /// The term.
        term: Term,
    },
    /// The store could not be written.
    #[error("begin the log of a new group")]
    Store(#[from] OpenError),
}

/// Why a group could not be founded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InitialiseError {
    /// The member already has a log or a vote.
    #[error("initialise the group: this member already belongs to one")]
    NotEmpty,
    /// The member has stopped.
    #[error("initialise the group: the member has stopped")]
    Stopped,
}

/// Why a proposal was not seen to commit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// This member does not lead; nothing was written.
    #[error("propose: this member does not lead")]
    NotLeader {
        /// The leader, when it is known.
        leader: Option<NodeId>,
    },
    /// The command is larger than [`COMMAND_BYTES_MAX`](crate::COMMAND_BYTES_MAX).
    #[error("propose: {bytes} bytes exceed the limit of {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many proposals are waiting already; nothing was written.
    #[error("propose: too many proposals are waiting")]
    Busy,
    /// The outcome is not known: the command may still commit, at most once.
    #[error("propose: the outcome is unknown")]
    Unknown,
    /// The member has stopped; the outcome of this proposal is not known either.
    #[error("propose: the member has stopped")]
    Stopped,
}

/// Why leadership could not be confirmed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// This member does not lead.
    #[error("confirm leadership: this member does not lead")]
    NotLeader {
        /// The leader, when it is known.
        leader: Option<NodeId>,
    },
    /// No majority of the voters answered in time.
    #[error("confirm leadership: no quorum answered")]
    NoQuorum,
    /// The member has stopped.
    #[error("confirm leadership: the member has stopped")]
    Stopped,
}

/// Why the group's members were not seen to change.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError {
    /// This member does not lead; nothing was written.
    #[error("change the members: this member does not lead")]
    NotLeader {
        /// The leader, when it is known.
        leader: Option<NodeId>,
    },
    /// Another change has not committed yet.
    #[error("change the members: another change is in progress")]
    InProgress,
    /// A node that is not a member cannot become a voter, lead, or be removed.
    #[error("change the members: {node} is not a member that can do that")]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// The change would leave the group without a voter.
    #[error("change the members: no voter would remain")]
    NoVoters,
    /// The outcome is not known. Read the status and repeat the request if the change is missing.
    #[error("change the members: the outcome is unknown")]
    Unknown,
    /// The engine refused the change for an internal reason; nothing was written.
    #[error("change the members: refused")]
    Refused(#[source] EngineFault),
    /// The member has stopped.
    #[error("change the members: the member has stopped")]
    Stopped,
}

/// Why a message from another member was not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandleError {
    /// Longer than [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
    #[error("handle a message: {bytes} bytes exceed the limit")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not a message, or one that contradicts itself or its sender.
    #[error("handle a message: {0}")]
    Malformed(&'static str),
    /// The sender belongs to another lineage.
    #[error("handle a message: it is of lineage {found}")]
    ForeignLineage {
        /// The lineage it names.
        found: Lineage,
    },
    /// Too many messages are being handled.
    #[error("handle a message: too many are waiting")]
    Busy,
    /// The member has stopped.
    #[error("handle a message: the member has stopped")]
    Stopped,
}

/// Why a message could not be delivered or was not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// There is no link to the target.
    #[error("call a member: it is unreachable")]
    Unreachable,
    /// No reply came in time.
    #[error("call a member: no reply in time")]
    Timeout,
    /// The target answered that it will not handle the message, or the link broke.
    #[error("call a member: {0}")]
    Refused(String),
}
