//! Converts between the records of `wire.rs` and the engine's types; no other file knows both.
//!
//! `inbound.rs` has checked records of other members before they get here, except for the consistency of a membership,
//! which the engine's own constructor checks.

use crate::engine::{Command, LogEntry, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Vote};
use crate::wire::{Ballot, Content, Members, Position, Record, SnapshotHead};
use openraft::EmptyNode;
use std::collections::BTreeMap;

pub(crate) fn position(at: LogId) -> Position {
    Position { term: at.leader_id.term, index: at.index }
}

pub(crate) fn log_id(at: Position) -> LogId {
    LogId::new_term_index(at.term, at.index)
}

pub(crate) fn ballot(vote: &Vote) -> Ballot {
    Ballot { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

pub(crate) fn vote(ballot: Ballot) -> Vote {
    if ballot.committed {
        Vote::new_committed(ballot.term, ballot.node)
    } else {
        Vote::new(ballot.term, ballot.node)
    }
}

pub(crate) fn members(membership: &Membership) -> Members {
    Members {
        voters: membership.get_joint_config().clone(),
        nodes: membership.nodes().map(|(id, _)| *id).collect(),
    }
}

/// The engine's membership; `None` when a voter is no node or a set of voters is empty.
pub(crate) fn membership(members: Members) -> Option<Membership> {
    let nodes: BTreeMap<u64, EmptyNode> = members.nodes.into_iter().map(|id| (id, EmptyNode {})).collect();
    Membership::new(members.voters, nodes).ok()
}

pub(crate) fn record(entry: &LogEntry) -> Record {
    let content = match &entry.payload {
        Payload::Blank => Content::Blank,
        Payload::Normal(command) => Content::Command(command.0.to_vec()),
        Payload::Membership(membership) => Content::Members(members(membership)),
    };
    Record { at: position(entry.log_id), content }
}

/// The engine's entry; `None` when its membership is inconsistent.
pub(crate) fn entry(record: Record) -> Option<LogEntry> {
    let payload = match record.content {
        Content::Blank => Payload::Blank,
        Content::Command(bytes) => Payload::Normal(Command(bytes.into())),
        Content::Members(members) => Payload::Membership(membership(members)?),
    };
    Some(LogEntry { log_id: log_id(record.at), payload })
}

pub(crate) fn snapshot_head(meta: &SnapshotMeta) -> SnapshotHead {
    SnapshotHead {
        last: meta.last_log_id.map(position),
        members_at: meta.last_membership.log_id().map(position),
        members: members(meta.last_membership.membership()),
    }
}

/// The engine's description of a snapshot; `None` when its membership is inconsistent.
pub(crate) fn snapshot_meta(head: SnapshotHead) -> Option<SnapshotMeta> {
    let membership = membership(head.members)?;
    Some(SnapshotMeta {
        last_log_id: head.last.map(log_id),
        last_membership: StoredMembership::new(head.members_at.map(log_id), membership),
    })
}
