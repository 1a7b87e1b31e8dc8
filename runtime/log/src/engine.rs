//! The engine's types, chosen once: everything here is crate-private, so that the engine stays replaceable.
//!
//! Leader ids are those of the Raft paper: at most one leader in a term. A [`Term`](rhizo_types::Term) therefore names
//! one leadership and fences its orders. The engine's other kind of leader id lets two nodes lead in one term.

use openraft::impls::leader_id_std;
use openraft::vote::RaftLeaderId;
use std::fmt;
use std::sync::Arc;

/// The bytes of one proposal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Command(pub(crate) Arc<[u8]>);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

openraft::declare_raft_types!(
    /// rhizo's choice of the engine's types.
    pub(crate) Engine:
        D = Command,
        R = (),
        NodeId = u64,
        Node = openraft::EmptyNode,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type LeaderId = leader_id_std::LeaderId<u64, u64>;
pub(crate) type LeaderTerm = <LeaderId as RaftLeaderId>::Committed;
pub(crate) type LogId = openraft::LogId<LeaderTerm>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type Membership = openraft::Membership<u64, openraft::EmptyNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderTerm, u64, openraft::EmptyNode>;
pub(crate) type Payload = openraft::EntryPayload<Command, u64, openraft::EmptyNode>;
pub(crate) type LogEntry = openraft::Entry<LeaderTerm, Payload>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<LeaderTerm, u64, openraft::EmptyNode>;
pub(crate) type Snapshot = openraft::Snapshot<LeaderTerm, u64, openraft::EmptyNode, Arc<[u8]>>;
