//! The messages between members and the values of the store, as versioned records of this crate.
//!
//! The records contain no type of the engine. A new release of the engine, or another engine, changes `convert.rs` and
//! no byte on a wire or a disk. `inbound.rs` checks the contents of messages.

use rhizo_types::Lineage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub use rhizo_types::wire::COMMAND_BYTES_MAX;

/// Entries of one append message are collected up to this many bytes; one entry is always sent.
pub(crate) const APPEND_BYTES_TARGET: usize = 256 * 1024;

/// Bytes of a snapshot in one message.
pub(crate) const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;

/// Longest message between members, in bytes: an entry beyond the target and room for the frame around it.
pub const MESSAGE_BYTES_MAX: usize = 640 * 1024;

/// Longest snapshot, in bytes; a roster of 10,000 nodes takes about 2 MiB.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Greatest term and index that a message may name: the engine adds one to both without an overflow check.
pub(crate) const COUNTER_MAX: u64 = u64::MAX / 4;

/// A place in the log: the term whose leader wrote the entry, and the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

/// A member's last vote: the candidate it voted for, or the leader it follows when `committed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) term: u64,
    pub(crate) node: u64,
    pub(crate) committed: bool,
}

/// The group's members: one set of voters, or two while a change is under way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Members {
    pub(crate) voters: Vec<BTreeSet<u64>>,
    pub(crate) nodes: BTreeSet<u64>,
}

/// The content of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Content {
    Blank,
    Command(#[serde(with = "serde_bytes")] Vec<u8>),
    Members(Members),
}

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) at: Position,
    pub(crate) content: Content,
}

/// The place in the log that a snapshot covers, and the members at that place.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    pub(crate) last: Option<Position>,
    pub(crate) members_at: Option<Position>,
    pub(crate) members: Members,
}

/// A candidate's request for a vote, before (`PreVote`) and during (`Vote`) an election.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Candidacy {
    pub(crate) ballot: Ballot,
    pub(crate) last: Option<Position>,
    pub(crate) transfer: bool,
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Entries after `previous`, and how far the log is committed; without entries, a heartbeat.
    Append {
        ballot: Ballot,
        previous: Option<Position>,
        entries: Vec<Record>,
        committed: Option<Position>,
        /// Whether the sender had heard a quorum lately.
        has_quorum: bool,
    },
    /// Asks for a vote.
    Vote(Candidacy),
    /// Asks whether the receiver would vote for the sender; changes nothing at the receiver.
    PreVote(Candidacy),
    /// Bytes of a snapshot from `offset` on.
    Snapshot {
        ballot: Ballot,
        head: SnapshotHead,
        total_bytes: u64,
        offset: u64,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The leader hands over its leadership: the receiver, `to`, campaigns at once.
    Transfer { ballot: Ballot, to: u64, last: Option<Position> },
}

/// One reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Appended,
    /// The log differs at `previous`.
    Conflict,
    /// The receiver has seen a newer vote.
    Outvoted(Ballot),
    Vote {
        ballot: Ballot,
        granted: bool,
        last: Option<Position>,
    },
    /// How many bytes of the snapshot have arrived without a gap; when all have, it is installed.
    Snapshot {
        ballot: Ballot,
        received_bytes: u64,
    },
    Transferring,
    TransferOutvoted {
        expected: Ballot,
        actual: Ballot,
    },
    TransferTooEarly {
        expected: Option<Position>,
        actual: Option<Position>,
    },
}

/// A request in its envelope.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    V1 { lineage: Lineage, call: Call },
}

/// A reply in its envelope.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    V1 { answer: Answer },
}

/// One value of the store; all keys share this type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Kept {
    Entry(Record),
    Ballot(Ballot),
    Position(Position),
    Marker { lineage: Lineage, node: u64, created_unix_ms: u64 },
    SnapshotHead(SnapshotHead),
}

/// Encodes a record.
///
/// The only failure of the encoder is a full buffer, and a `Vec` grows.
pub(crate) fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(record).expect("records hold no type the encoder refuses, and a Vec grows")
}

/// Decodes a record; bytes after it are an error too.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Some(record),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALLOT: Ballot = Ballot { term: 7, node: 2, committed: true };
    const HERE: Position = Position { term: 6, index: 300 };

    fn members() -> Members {
        Members { voters: vec![[1, 2].into(), [1, 3].into()], nodes: [1, 2, 3, 4].into() }
    }

    fn golden<T>(record: &T, bytes: &[u8])
    where
        T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug,
    {
        assert_eq!(encode(record), bytes, "{record:?}");
        assert_eq!(decode(bytes).as_ref(), Some(record));
        assert_eq!(decode::<T>(&[bytes, &[0]].concat()), None, "a byte too many");
    }

    #[test]
    fn requests_keep_their_bytes() {
        let v1 = |call| Request::V1 { lineage: Lineage(1), call };
        golden(
            &v1(Call::Append {
                ballot: BALLOT,
                previous: Some(HERE),
                entries: vec![
                    Record { at: Position { term: 7, index: 301 }, content: Content::Blank },
                    Record { at: Position { term: 7, index: 302 }, content: Content::Command(vec![9, 8]) },
                    Record { at: Position { term: 7, index: 303 }, content: Content::Members(members()) },
                ],
                committed: None,
                has_quorum: true,
            }),
            &[
                0, 1, 0, 7, 2, 1, 1, 6, 172, 2, 3, 7, 173, 2, 0, 7, 174, 2, 1, 2, 9, 8, 7, 175, 2, 2, 2, 2,
                1, 2, 2, 1, 3, 4, 1, 2, 3, 4, 0, 1,
            ],
        );
        let candidacy = Candidacy { ballot: BALLOT, last: Some(HERE), transfer: true };
        golden(&v1(Call::Vote(candidacy.clone())), &[0, 1, 1, 7, 2, 1, 1, 6, 172, 2, 1]);
        golden(&v1(Call::PreVote(candidacy)), &[0, 1, 2, 7, 2, 1, 1, 6, 172, 2, 1]);
        golden(
            &v1(Call::Snapshot {
                ballot: BALLOT,
                head: SnapshotHead { last: Some(HERE), members_at: None, members: members() },
                total_bytes: 3,
                offset: 1,
                bytes: vec![5, 6],
            }),
            &[0, 1, 3, 7, 2, 1, 1, 6, 172, 2, 0, 2, 2, 1, 2, 2, 1, 3, 4, 1, 2, 3, 4, 3, 1, 2, 5, 6],
        );
        golden(&v1(Call::Transfer { ballot: BALLOT, to: 3, last: None }), &[0, 1, 4, 7, 2, 1, 3, 0]);
    }

    #[test]
    fn replies_keep_their_bytes() {
        let v1 = |answer| Reply::V1 { answer };
        golden(&v1(Answer::Appended), &[0, 0]);
        golden(&v1(Answer::Conflict), &[0, 1]);
        golden(&v1(Answer::Outvoted(BALLOT)), &[0, 2, 7, 2, 1]);
        golden(
            &v1(Answer::Vote { ballot: BALLOT, granted: true, last: Some(HERE) }),
            &[0, 3, 7, 2, 1, 1, 1, 6, 172, 2],
        );
        golden(&v1(Answer::Snapshot { ballot: BALLOT, received_bytes: 300 }), &[0, 4, 7, 2, 1, 172, 2]);
        golden(&v1(Answer::Transferring), &[0, 5]);
        golden(&v1(Answer::TransferOutvoted { expected: BALLOT, actual: BALLOT }), &[0, 6, 7, 2, 1, 7, 2, 1]);
        golden(
            &v1(Answer::TransferTooEarly { expected: Some(HERE), actual: None }),
            &[0, 7, 1, 6, 172, 2, 0],
        );
    }

    #[test]
    fn kept_records_keep_their_bytes() {
        golden(
            &Kept::Entry(Record { at: HERE, content: Content::Command(vec![1]) }),
            &[0, 6, 172, 2, 1, 1, 1],
        );
        golden(&Kept::Ballot(BALLOT), &[1, 7, 2, 1]);
        golden(&Kept::Position(HERE), &[2, 6, 172, 2]);
        golden(&Kept::Marker { lineage: Lineage(1), node: 2, created_unix_ms: 3 }, &[3, 1, 2, 3]);
        golden(
            &Kept::SnapshotHead(SnapshotHead {
                last: None,
                members_at: Some(HERE),
                members: Members::default(),
            }),
            &[4, 0, 1, 6, 172, 2, 0, 0],
        );
    }

    #[test]
    fn a_message_at_its_limits_fits() {
        let entry = |bytes: usize| Record { at: HERE, content: Content::Command(vec![0; bytes]) };
        let call = Call::Append {
            ballot: BALLOT,
            previous: Some(HERE),
            entries: vec![entry(APPEND_BYTES_TARGET), entry(COMMAND_BYTES_MAX)],
            committed: Some(HERE),
            has_quorum: true,
        };
        assert!(encode(&Request::V1 { lineage: Lineage(u64::MAX), call }).len() < MESSAGE_BYTES_MAX);
    }
}
