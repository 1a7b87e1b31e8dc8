//! Outbound: sends the engine's messages to another member, each as one request over the [`Transport`].
//!
//! The engine trusts the replies that it receives. A malformed reply, or one that does not match the request, is
//! therefore reported to it as a network error. Read next: `inbound.rs`, the receiving side.

use crate::convert;
use crate::engine::{Engine, LogId, Snapshot, Vote};
use crate::error::CallError;
use crate::status::Contact;
use crate::transport::Transport;
use crate::wire::{
    Answer, Call, Candidacy, MESSAGE_BYTES_MAX, Reply, Request, SNAPSHOT_BYTES_MAX, SNAPSHOT_CHUNK_BYTES,
    decode, encode,
};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, RaftNetworkFactory, RaftNetworkV2};
use rhizo_types::{Lineage, NodeId};
use std::sync::Arc;
use std::time::Duration;

type Fault = RPCError<Engine>;

/// Number of times that a snapshot may start again from its beginning before the attempt ends with an error.
const SNAPSHOT_RESTARTS_MAX: u32 = 3;

/// Makes the links to the other members.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) id: NodeId,
    pub(crate) lineage: Lineage,
    pub(crate) transport: Arc<dyn Transport>,
    /// Timeout of a message that carries entries. The receiver syncs them before it answers, and a busy disk needs
    /// longer for that than the engine's own timeout, one heartbeat; a timeout would only repeat the message.
    pub(crate) append_timeout: Duration,
    /// Tells whether this member leads with a quorum.
    pub(crate) contact: Arc<Contact>,
}

/// The connection of the engine to one other member.
pub(crate) struct Link {
    links: Links,
    target: u64,
}

impl RaftNetworkFactory<Engine> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Link {
        Link { links: self.clone(), target }
    }
}

fn unfit(what: &'static str) -> Fault {
    RPCError::Network(NetworkError::from_string(what))
}

impl Link {
    async fn call(&self, action: RPCTypes, call: Call, timeout: Duration) -> Result<Answer, Fault> {
        let request = encode(&Request::V1 { lineage: self.links.lineage, call });
        if request.len() > MESSAGE_BYTES_MAX {
            return Err(unfit("the message is too long"));
        }
        let reply = self.links.transport.call(NodeId(self.target), request, timeout);
        let reply = tokio::time::timeout(timeout, reply).await.unwrap_or(Err(CallError::Timeout));
        let bytes = reply.map_err(|fault| match fault {
            CallError::Unreachable => RPCError::Unreachable(Unreachable::new(&fault)),
            CallError::Timeout => {
                RPCError::Timeout(Timeout { action, id: self.links.id.0, target: self.target, timeout })
            }
            CallError::Refused(_) => RPCError::Network(NetworkError::new(&fault)),
        })?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(unfit("the reply is too long"));
        }
        match decode(&bytes) {
            Some(Reply::V1 { answer }) => Ok(answer),
            None => Err(unfit("the reply is malformed")),
        }
    }

    async fn candidacy(
        &self,
        request: VoteRequest<Engine>,
        call: impl FnOnce(Candidacy) -> Call,
        timeout: Duration,
    ) -> Result<VoteResponse<Engine>, Fault> {
        let candidacy = Candidacy {
            ballot: convert::ballot(&request.vote),
            last: request.last_log_id.map(convert::position),
            transfer: request.leadership_transfer,
        };
        match self.call(RPCTypes::Vote, call(candidacy), timeout).await? {
            Answer::Vote { ballot, granted, last } => {
                Ok(VoteResponse::new(convert::vote(ballot), last.map(convert::log_id), granted))
            }
            _ => Err(unfit("the reply does not answer a vote")),
        }
    }

    /// Sends a snapshot piece by piece; each reply names the offset of the next piece.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        timeout: Duration,
    ) -> Result<SnapshotResponse<Engine>, Fault> {
        let head = convert::snapshot_head(&snapshot.meta);
        let state = snapshot.snapshot;
        if state.len() > SNAPSHOT_BYTES_MAX {
            return Err(RPCError::Unreachable(Unreachable::from_string(
                "the snapshot is too large to be sent",
            )));
        }
        let ballot = convert::ballot(&vote);
        let mut offset = 0;
        let mut restarts = 0;
        loop {
            let end = state.len().min(offset + SNAPSHOT_CHUNK_BYTES);
            let piece = Call::Snapshot {
                ballot,
                head: head.clone(),
                total_bytes: state.len() as u64,
                offset: offset as u64,
                bytes: state[offset..end].to_vec(),
            };
            let Answer::Snapshot { ballot: theirs, received_bytes } =
                self.call(RPCTypes::InstallSnapshot, piece, timeout).await?
            else {
                return Err(unfit("the reply does not answer a snapshot"));
            };
            let received = usize::try_from(received_bytes).unwrap_or(usize::MAX);
            if theirs != ballot || (end == state.len() && received == state.len()) {
                return Ok(SnapshotResponse::new(convert::vote(theirs)));
            }
            if received > state.len() {
                return Err(unfit("more of the snapshot was received than was sent"));
            }
            if received <= offset {
                restarts += 1;
            }
            if restarts > SNAPSHOT_RESTARTS_MAX {
                return Err(unfit("the snapshot does not get through"));
            }
            offset = received;
        }
    }
}

impl RaftNetworkV2<Engine> for Link {
    type SnapshotData = Arc<[u8]>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Engine>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Engine>, Fault> {
        let previous = request.prev_log_id;
        let timeout = if request.entries.is_empty() { option.hard_ttl() } else { self.links.append_timeout };
        let call = Call::Append {
            ballot: convert::ballot(&request.vote),
            previous: previous.map(convert::position),
            entries: request.entries.iter().map(convert::record).collect(),
            committed: request.leader_commit.map(convert::position),
            has_quorum: self.links.contact.leads_with_quorum(),
        };
        match self.call(RPCTypes::AppendEntries, call, timeout).await? {
            Answer::Appended => Ok(AppendEntriesResponse::Success),
            // Without a previous entry there is no place at which the logs could differ, and the engine relies on that.
            Answer::Conflict if previous.is_some() => Ok(AppendEntriesResponse::Conflict),
            Answer::Outvoted(ballot) => Ok(AppendEntriesResponse::HigherVote(convert::vote(ballot))),
            _ => Err(unfit("the reply does not answer an append")),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Engine>,
        option: RPCOption,
    ) -> Result<VoteResponse<Engine>, Fault> {
        self.candidacy(request, Call::Vote, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Engine>,
        option: RPCOption,
    ) -> Result<VoteResponse<Engine>, Fault> {
        self.candidacy(request, Call::PreVote, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Engine>, StreamingError<Engine>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot, option.hard_ttl()) => Ok(sent?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Engine>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Engine>, Fault> {
        let call = Call::Transfer {
            ballot: convert::ballot(request.from_leader()),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(convert::position),
        };
        let at = |position: Option<crate::wire::Position>| -> Option<LogId> { position.map(convert::log_id) };
        match self.call(RPCTypes::TransferLeader, call, option.hard_ttl()).await? {
            Answer::Transferring => Ok(Ok(())),
            Answer::TransferOutvoted { expected, actual } => Ok(Err(TransferLeaderError::VoteChanged {
                expected: convert::vote(expected),
                actual: convert::vote(actual),
            })),
            Answer::TransferTooEarly { expected, actual } => {
                Ok(Err(TransferLeaderError::LogNotFlushed { expected: at(expected), actual: at(actual) }))
            }
            _ => Err(unfit("the reply does not answer a transfer")),
        }
    }
}
