//! Inbound: handles one request from another member and checks it before the engine sees it.
//!
//! The engine asserts the shape of a peer's messages and stops its member when an assertion fails. So this file checks
//! the shape first: sizes, counters, order, and that the sender speaks for itself. It cannot detect a member that lies
//! (entries that contradict committed ones): members are trusted to follow the protocol, not to send well-formed bytes.

use crate::convert;
use crate::engine::{Engine, LogEntry, Snapshot};
use crate::error::HandleError;
use crate::member::Member;
use crate::snapshot::{Incoming, Piece, Progress};
use crate::succession::Watch;
use crate::wire::{
    Answer, Ballot, COUNTER_MAX, Call, Candidacy, MESSAGE_BYTES_MAX, Position, Record, Reply, Request,
    SnapshotHead, decode, encode,
};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use rhizo_types::{Lineage, NodeId};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Messages handled at the same time; a member has a handful of peers, each with a few messages under way.
const MESSAGES_MAX: usize = 64;

/// Answers the other members' requests.
pub(crate) struct Inbound {
    id: NodeId,
    lineage: Lineage,
    raft: Raft<Engine, Member>,
    watched: Arc<Watch>,
    slots: Semaphore,
    incoming: Mutex<Incoming>,
}

/// The reply to a request.
pub(crate) struct Handled {
    pub(crate) reply: Vec<u8>,
    /// Whether the request proves that the group has a leader.
    pub(crate) heard_leader: bool,
    /// Whether that leader says that it has a quorum.
    pub(crate) heard_quorum: bool,
}

impl Inbound {
    pub(crate) fn new(id: NodeId, lineage: Lineage, raft: Raft<Engine, Member>, watched: Arc<Watch>) -> Self {
        Self { id, lineage, raft, watched, slots: Semaphore::new(MESSAGES_MAX), incoming: Mutex::default() }
    }

    /// Decodes, checks and answers one request of the authenticated member `from`.
    pub(crate) async fn handle(&self, from: NodeId, bytes: &[u8]) -> Result<Handled, HandleError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(HandleError::TooLarge { bytes: bytes.len() });
        }
        let _slot = self.slots.try_acquire().map_err(|_| HandleError::Busy)?;
        let Request::V1 { lineage, call } =
            decode(bytes).ok_or(HandleError::Malformed("it is no message"))?;
        if lineage != self.lineage {
            return Err(HandleError::ForeignLineage { found: lineage });
        }
        if from == self.id {
            return Err(HandleError::Malformed("it comes from this very node"));
        }
        check(from, self.id, &call).map_err(HandleError::Malformed)?;
        let says_quorum = matches!(call, Call::Append { has_quorum: true, .. });
        let answer = self.answer(from, call).await?;
        let heard_leader = matches!(answer, Answer::Appended | Answer::Conflict)
            || matches!(&answer, Answer::Snapshot { ballot, .. } if ballot.node == from.0);
        let heard_quorum = heard_leader && says_quorum;
        Ok(Handled { reply: encode(&Reply::V1 { answer }), heard_leader, heard_quorum })
    }

    async fn answer(&self, from: NodeId, call: Call) -> Result<Answer, HandleError> {
        match call {
            Call::Append { ballot, previous, entries, committed, .. } => {
                self.append(ballot, previous, entries, committed).await
            }
            Call::Vote(candidacy) => {
                let response = self.raft.vote(vote_request(candidacy)).await;
                Ok(vote_answer(&response.map_err(|_| HandleError::Stopped)?))
            }
            Call::PreVote(candidacy) => {
                let response = self.raft.pre_vote(vote_request(candidacy)).await;
                let mut response = response.map_err(|_| HandleError::Stopped)?;
                response.vote_granted &= self.watched.may_grant();
                Ok(vote_answer(&response))
            }
            Call::Snapshot { ballot, head, total_bytes, offset, bytes } => {
                let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
                let (total_bytes, offset) = (size(total_bytes), size(offset));
                self.snapshot(Piece { from: from.0, ballot, head, total_bytes, offset, bytes }).await
            }
            Call::Transfer { ballot, to, last } => self.transfer(ballot, to, last).await,
        }
    }

    async fn append(
        &self,
        ballot: Ballot,
        previous: Option<Position>,
        entries: Vec<Record>,
        committed: Option<Position>,
    ) -> Result<Answer, HandleError> {
        let entries: Option<Vec<LogEntry>> = entries.into_iter().map(convert::entry).collect();
        let request = AppendEntriesRequest {
            vote: convert::vote(ballot),
            prev_log_id: previous.map(convert::log_id),
            entries: entries.ok_or(HandleError::Malformed("the members in an entry are inconsistent"))?,
            leader_commit: committed.map(convert::log_id),
        };
        match self.raft.append_entries(request).await.map_err(|_| HandleError::Stopped)? {
            AppendEntriesResponse::Success => Ok(Answer::Appended),
            AppendEntriesResponse::Conflict => Ok(Answer::Conflict),
            AppendEntriesResponse::HigherVote(vote) => Ok(Answer::Outvoted(convert::ballot(&vote))),
            // The engine answers a part of a request only to streams, which this crate does not use.
            AppendEntriesResponse::PartialSuccess(_) => Err(HandleError::Stopped),
        }
    }

    async fn snapshot(&self, piece: Piece) -> Result<Answer, HandleError> {
        let ballot = piece.ballot;
        let ours = convert::ballot(&self.raft.metrics().borrow_watched().vote);
        if ours.term > ballot.term {
            return Ok(Answer::Snapshot { ballot: ours, received_bytes: 0 });
        }
        if !piece.is_plausible() {
            return Err(HandleError::Malformed("the sizes of a snapshot are impossible"));
        }
        let progress = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take(piece);
        match progress {
            Progress::Received(bytes) => Ok(Answer::Snapshot { ballot, received_bytes: bytes as u64 }),
            Progress::Complete(head, state) => {
                let received_bytes = state.len() as u64;
                let meta = convert::snapshot_meta(head)
                    .ok_or(HandleError::Malformed("the members in a snapshot are inconsistent"))?;
                let snapshot = Snapshot { meta, snapshot: state.into() };
                let response = self.raft.install_full_snapshot(convert::vote(ballot), snapshot).await;
                let vote = response.map_err(|_| HandleError::Stopped)?.vote;
                Ok(Answer::Snapshot { ballot: convert::ballot(&vote), received_bytes })
            }
        }
    }

    async fn transfer(&self, ballot: Ballot, to: u64, last: Option<Position>) -> Result<Answer, HandleError> {
        let request = TransferLeaderRequest::new(convert::vote(ballot), to, last.map(convert::log_id));
        match self.raft.handle_transfer_leader(request).await.map_err(|_| HandleError::Stopped)? {
            Ok(()) => Ok(Answer::Transferring),
            Err(TransferLeaderError::VoteChanged { expected, actual }) => Ok(Answer::TransferOutvoted {
                expected: convert::ballot(&expected),
                actual: convert::ballot(&actual),
            }),
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Ok(Answer::TransferTooEarly {
                expected: expected.map(convert::position),
                actual: actual.map(convert::position),
            }),
        }
    }
}

fn vote_request(candidacy: Candidacy) -> VoteRequest<Engine> {
    let mut request = VoteRequest::new(convert::vote(candidacy.ballot), candidacy.last.map(convert::log_id));
    request.leadership_transfer = candidacy.transfer;
    request
}

fn vote_answer(response: &VoteResponse<Engine>) -> Answer {
    Answer::Vote {
        ballot: convert::ballot(&response.vote),
        granted: response.vote_granted,
        last: response.last_log_id.map(convert::position),
    }
}

type Checked = Result<(), &'static str>;

/// Returns an error if the engine must not see this request of `from` to `to`.
fn check(from: NodeId, to: NodeId, call: &Call) -> Checked {
    match call {
        Call::Append { ballot, previous, entries, committed, .. } => {
            leads(from, *ballot)?;
            for at in [previous, committed].into_iter().flatten() {
                within(*at, *ballot)?;
            }
            consecutive(*previous, entries, *ballot)
        }
        Call::Vote(candidacy) | Call::PreVote(candidacy) => {
            speaks_for_itself(from, candidacy.ballot)?;
            if candidacy.ballot.committed {
                return Err("a candidate claims to lead already");
            }
            candidacy.last.map_or(Ok(()), |at| within(at, candidacy.ballot))
        }
        Call::Snapshot { ballot, head, .. } => {
            leads(from, *ballot)?;
            snapshot_head(head, *ballot)
        }
        Call::Transfer { ballot, to: heir, last } => {
            leads(from, *ballot)?;
            if *heir != to.0 {
                return Err("leadership is transferred to another node");
            }
            last.map_or(Ok(()), |at| within(at, *ballot))
        }
    }
}

fn speaks_for_itself(from: NodeId, ballot: Ballot) -> Checked {
    if ballot.node != from.0 {
        return Err("the sender speaks for another node");
    }
    if ballot.term == 0 || ballot.term > COUNTER_MAX {
        return Err("the term is out of range");
    }
    Ok(())
}

fn leads(from: NodeId, ballot: Ballot) -> Checked {
    speaks_for_itself(from, ballot)?;
    if ballot.committed { Ok(()) } else { Err("the sender does not lead") }
}

fn within(at: Position, ballot: Ballot) -> Checked {
    if at.index > COUNTER_MAX {
        return Err("an index is out of range");
    }
    if at.term > ballot.term {
        return Err("an entry is of a later term than its sender");
    }
    Ok(())
}

fn consecutive(previous: Option<Position>, entries: &[Record], ballot: Ballot) -> Checked {
    let first = previous.map_or(0, |at| at.index + 1);
    let mut term = previous.map_or(0, |at| at.term);
    for (index, entry) in (first..).zip(entries) {
        within(entry.at, ballot)?;
        if entry.at.index != index || entry.at.term < term {
            return Err("the entries are not consecutive");
        }
        term = entry.at.term;
    }
    Ok(())
}

fn snapshot_head(head: &SnapshotHead, ballot: Ballot) -> Checked {
    let Some(last) = head.last else { return Err("a snapshot of nothing") };
    within(last, ballot)?;
    if head.members.voters.is_empty() {
        return Err("a snapshot without voters");
    }
    match head.members_at {
        Some(at) if at.index > last.index || at.term > last.term => Err("a snapshot's members come after it"),
        Some(_) => Ok(()),
        None => Err("a snapshot without the place of its members"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Content, Members};

    const FROM: NodeId = NodeId(2);
    const TO: NodeId = NodeId(1);
    const LEADER: Ballot = Ballot { term: 7, node: 2, committed: true };
    const HERE: Position = Position { term: 6, index: 10 };

    fn entry(term: u64, index: u64) -> Record {
        Record { at: Position { term, index }, content: Content::Blank }
    }

    fn append(ballot: Ballot, previous: Option<Position>, entries: Vec<Record>) -> Checked {
        check(FROM, TO, &Call::Append { ballot, previous, entries, committed: previous, has_quorum: true })
    }

    #[test]
    fn an_append_in_order_is_let_through() {
        append(LEADER, Some(HERE), vec![entry(6, 11), entry(7, 12)]).unwrap();
        append(LEADER, None, vec![entry(0, 0), entry(7, 1)]).unwrap();
        append(LEADER, None, vec![]).unwrap();
    }

    #[test]
    fn an_append_the_engine_would_stumble_over_is_not() {
        let bad = [
            append(LEADER, Some(HERE), vec![entry(6, 12)]),
            append(LEADER, Some(HERE), vec![entry(5, 11)]),
            append(LEADER, Some(HERE), vec![entry(7, 11), entry(6, 12)]),
            append(LEADER, Some(HERE), vec![entry(8, 11)]),
            append(LEADER, None, vec![entry(1, 1)]),
            append(LEADER, Some(Position { term: 6, index: u64::MAX }), vec![]),
            append(LEADER, Some(Position { term: 8, index: 10 }), vec![]),
            append(Ballot { committed: false, ..LEADER }, None, vec![]),
            append(Ballot { node: 3, ..LEADER }, None, vec![]),
            append(Ballot { term: u64::MAX, ..LEADER }, None, vec![]),
            append(Ballot { term: 0, ..LEADER }, None, vec![]),
        ];
        for (case, checked) in bad.into_iter().enumerate() {
            assert!(checked.is_err(), "case {case}");
        }
    }

    #[test]
    fn a_candidate_speaks_for_itself_and_does_not_lead_yet() {
        let candidacy =
            |ballot| check(FROM, TO, &Call::PreVote(Candidacy { ballot, last: None, transfer: false }));
        candidacy(Ballot { committed: false, ..LEADER }).unwrap();
        assert!(candidacy(LEADER).is_err());
        assert!(candidacy(Ballot { committed: false, node: 1, ..LEADER }).is_err());
        assert!(candidacy(Ballot { committed: false, term: COUNTER_MAX + 1, ..LEADER }).is_err());
    }

    #[test]
    fn a_snapshot_names_its_place_and_its_members() {
        let members = Members { voters: vec![[1].into()], nodes: [1].into() };
        let good = SnapshotHead { last: Some(HERE), members_at: Some(HERE), members };
        snapshot_head(&good, LEADER).unwrap();
        let later = Some(Position { term: 6, index: 11 });
        for bad in [
            SnapshotHead { last: None, ..good.clone() },
            SnapshotHead { members_at: None, ..good.clone() },
            SnapshotHead { members_at: later, ..good.clone() },
            SnapshotHead { members: Members::default(), ..good.clone() },
            SnapshotHead { last: Some(Position { term: 8, index: 10 }), ..good },
        ] {
            assert!(snapshot_head(&bad, LEADER).is_err(), "{bad:?}");
        }
    }
}
