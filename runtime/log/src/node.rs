//! One member of the group: the interface of this crate for the rest of rhizo.
//!
//! Every call with a timeout returns within it, with `Unknown` when the engine has not reported an outcome by then. A
//! [`LogNode`] is a handle: clones share the member, and the member runs until [`shutdown`](LogNode::shutdown). It
//! needs a tokio runtime with timers; a current-thread runtime is enough.

use crate::config::{LogConfig, engine_config};
use crate::engine::{Command, Engine};
use crate::error::{
    ChangeError, EngineFault, HandleError, InitialiseError, OpenError, ProposeError, ReadError,
};
use crate::handover;
use crate::inbound::Inbound;
use crate::machine::Machine;
use crate::member::Member;
use crate::network::Links;
use crate::shortening;
use crate::status::{self, Contact, LogStatus, Role};
use crate::store::Store;
use crate::succession::{self, Watch};
use crate::transport::Transport;
use crate::wire::COMMAND_BYTES_MAX;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{
    ChangeMembershipError, ClientWriteError, InitializeError, LinearizableReadError, RaftError,
};
use openraft::{ChangeMembers, EmptyNode, Raft, ReadPolicy};
use rhizo_types::{NodeId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Proposals that may wait for their outcome at the same time.
const PROPOSALS_MAX: usize = 256;

/// Where a proposal was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proposed {
    /// Its place in the log.
    pub index: u64,
    /// The term in which a leader wrote it.
    pub term: Term,
}

/// How far the log of one member reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The place of its last entry, committed or not; none in an empty log.
    pub last: Option<Proposed>,
    /// Index up to which the log is known here to be committed.
    pub committed: Option<u64>,
    /// The voters; two sets while a change of them is half done. A decision then needs a majority of each.
    pub voter_sets: Vec<BTreeSet<NodeId>>,
}

/// A member of the group, as a handle; clones share it.
#[derive(Clone)]
pub struct LogNode {
    shared: Arc<Shared>,
}

struct Shared {
    config: LogConfig,
    raft: Raft<Engine, Member>,
    store: Store,
    inbound: Inbound,
    contact: Arc<Contact>,
    watched: Arc<Watch>,
    status: watch::Receiver<LogStatus>,
    proposals: Semaphore,
}

impl LogNode {
    /// Opens the member's store, restores the machine and starts taking part.
    ///
    /// A new member does nothing until [`initialise`](Self::initialise) or until a leader reaches it. Blocks the
    /// calling task while the store is read; that is milliseconds for a ledger.
    ///
    /// # Errors
    /// When the configuration, the store or its contents are refused: see [`OpenError`].
    pub async fn open(
        config: LogConfig,
        machine: Box<dyn Machine>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let settings = engine_config(&config)?;
        let store = Store::open(&config)?;
        let timers = config.timers;
        let contact = Arc::new(Contact::new());
        let links = Links {
            id: config.id,
            lineage: config.lineage,
            transport,
            append_timeout: Duration::from_millis(timers.election_ms_max.max(1_000)),
            contact: contact.clone(),
        };
        let member = Member::new(machine, store.clone());
        let started = Raft::new(config.id.0, Arc::new(settings), links, store.clone(), member).await;
        let raft = match started {
            Ok(raft) => raft,
            Err(fault) => {
                store.close().await;
                return Err(OpenError::Engine(EngineFault::new(&fault)));
            }
        };
        // This call returns only after the engine has published the state that it read from the store.
        if let Err(fault) = raft.with_raft_state(|_| ()).await {
            store.close().await;
            return Err(OpenError::Engine(EngineFault::new(&fault)));
        }
        let metrics = raft.metrics();
        let (first, _) = status::read(&metrics.borrow_watched(), &contact, timers, None);
        let (published, status) = watch::channel(first);
        tokio::spawn(status::publish(metrics, contact.clone(), timers, store.fault(), published));
        let watched = Arc::new(Watch::new(raft.clone(), contact.clone(), timers));
        tokio::spawn(succession::take_turns(watched.clone(), status.clone()));
        tokio::spawn(shortening::keep_short(raft.clone(), store.clone(), status.clone()));
        let failing = store.fault();
        let followed = status.clone();
        tokio::spawn(handover::hand_over_while_disk_fails(
            config.id,
            raft.clone(),
            failing,
            followed,
            timers,
        ));
        let inbound = Inbound::new(config.id, config.lineage, raft.clone(), watched.clone());
        let proposals = Semaphore::new(PROPOSALS_MAX);
        let shared = Shared { config, raft, store, inbound, contact, watched, status, proposals };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// This member's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared.config.id
    }

    /// Founds the group with this member as its only voter; once in a lineage, on one node.
    ///
    /// # Errors
    /// When the member already has a log or a vote, or has stopped.
    pub async fn initialise(&self) -> Result<(), InitialiseError> {
        let members = BTreeMap::from([(self.id().0, EmptyNode {})]);
        match self.shared.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_) | InitializeError::NotInMembers(_))) => {
                Err(InitialiseError::NotEmpty)
            }
            Err(RaftError::Fatal(_)) => Err(InitialiseError::Stopped),
        }
    }

    /// Proposes a command and waits until this member has applied it.
    ///
    /// # Errors
    /// `NotLeader`, `TooLarge` and `Busy` mean that nothing was written. `Unknown` (after `timeout`, or when
    /// leadership was lost meanwhile) means that it may still commit; so a command carries its own identity, by which
    /// the machine recognises a repetition.
    pub async fn propose(&self, command: Vec<u8>, timeout: Duration) -> Result<Proposed, ProposeError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: command.len(), limit: COMMAND_BYTES_MAX });
        }
        let _slot = self.shared.proposals.try_acquire().map_err(|_| ProposeError::Busy)?;
        let write = self.shared.raft.client_write(Command(command.into()));
        match tokio::time::timeout(timeout, write).await {
            Ok(Ok(written)) => {
                let at = written.log_id;
                Ok(Proposed { index: at.index, term: Term(at.leader_id.term) })
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(ProposeError::NotLeader { leader: self.other(forward.leader_id) })
            }
            Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
            // Another member may hold an entry that was discarded here, so the command may still commit. All other
            // refusals concern membership changes and do not occur for a proposal.
            Ok(Err(RaftError::APIError(_))) | Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Confirms with a quorum that this member leads now, and that its machine has applied all that committed.
    ///
    /// Returns the index up to which the machine is current: every command acknowledged anywhere before the call
    /// is at or below it.
    ///
    /// # Errors
    /// When this member does not lead, or no quorum answers within `timeout`.
    pub async fn read_barrier(&self, timeout: Duration) -> Result<u64, ReadError> {
        if self.shared.watched.is_isolated() {
            // The barrier would send heartbeats in the pause that lets the other voters elect another leader.
            return Err(ReadError::NoQuorum);
        }
        let read = self.shared.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(timeout, read).await {
            Ok(Ok(read)) => Ok(read.log_id().index),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                Err(ReadError::NotLeader { leader: self.other(forward.leader_id) })
            }
            Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
                Err(ReadError::NoQuorum)
            }
            Ok(Err(RaftError::Fatal(_))) => Err(ReadError::Stopped),
        }
    }

    /// Makes `node` a member that receives the log and does not vote.
    ///
    /// Returns when the change is committed, which is before the node has the log: watch [`LogStatus::matched`].
    ///
    /// # Errors
    /// See [`ChangeError`]; adding a member again is no error.
    pub async fn add_learner(&self, node: NodeId, timeout: Duration) -> Result<(), ChangeError> {
        self.change(async |raft| raft.add_learner(node.0, EmptyNode {}, false).await.map(drop), timeout).await
    }

    /// Makes `voters` the voters, by one joint change; voters that are not among them leave the group.
    ///
    /// Each must be a member already, and should have caught up: a voter that has not caught up counts in the quorum
    /// and cannot contribute to it. After `Unknown`, the same call on the current leader completes a half-finished
    /// change.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change_voters(
        &self,
        voters: BTreeSet<NodeId>,
        timeout: Duration,
    ) -> Result<(), ChangeError> {
        if voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        let ids: BTreeSet<u64> = voters.into_iter().map(|node| node.0).collect();
        let change = ChangeMembers::ReplaceAllVoters(ids);
        self.change(async |raft| raft.change_membership(change, false).await.map(drop), timeout).await
    }

    /// Removes a member, voter or not.
    ///
    /// # Errors
    /// `UnknownNode` if `node` is no member, `NoVoters` if it is the last voter; otherwise see [`ChangeError`].
    pub async fn remove(&self, node: NodeId, timeout: Duration) -> Result<(), ChangeError> {
        let status = self.status();
        if status.voters.contains(&node) {
            let voters: BTreeSet<NodeId> = status.voters.into_iter().filter(|voter| *voter != node).collect();
            return self.change_voters(voters, timeout).await;
        }
        if !status.learners.contains(&node) {
            return Err(ChangeError::UnknownNode { node });
        }
        let change = ChangeMembers::RemoveNodes(BTreeSet::from([node.0]));
        self.change(async |raft| raft.change_membership(change, false).await.map(drop), timeout).await
    }

    /// Hands leadership to the voter `to`, and waits until this member follows it.
    ///
    /// # Errors
    /// `NotLeader`, `UnknownNode`, or `Unknown` when `to` does not lead within `timeout`. After `Unknown` this member
    /// may still lead, or another one does.
    pub async fn transfer_leadership(&self, to: NodeId, timeout: Duration) -> Result<(), ChangeError> {
        let status = self.status();
        if status.role != Role::Leader {
            return Err(ChangeError::NotLeader { leader: status.leader });
        }
        if !status.voters.contains(&to) {
            return Err(ChangeError::UnknownNode { node: to });
        }
        if to == self.id() {
            return Ok(());
        }
        self.shared.raft.trigger().transfer_leader(to.0).await.map_err(|_| ChangeError::Stopped)?;
        let mut watch = self.watch();
        let followed = watch.wait_for(|now| now.leader == Some(to) && now.term > status.term);
        match tokio::time::timeout(timeout, followed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ChangeError::Stopped),
            Err(_) => Err(ChangeError::Unknown),
        }
    }

    /// Starts an election at once. The shell calls this when it has seen the leader's host die.
    ///
    /// The election begins with a pre-vote. Voters that heard the leader within the lease refuse it, and then nothing
    /// changes. A call in error is therefore harmless.
    pub async fn campaign(&self) {
        // The only error is that the member has stopped, which its status reports.
        let _ = self.shared.raft.trigger().elect(true).await;
    }

    /// Answers one request of the member `from`; the transport has authenticated it.
    ///
    /// # Errors
    /// When the bytes are no request, contradict themselves or their sender, or belong to another lineage. The
    /// transport drops the request then, or tells the sender [`CallError::Refused`](crate::CallError::Refused).
    pub async fn handle(&self, from: NodeId, request: &[u8]) -> Result<Vec<u8>, HandleError> {
        let handled = self.shared.inbound.handle(from, request).await?;
        if handled.heard_leader {
            self.shared.contact.hear(handled.heard_quorum, !self.shared.status.borrow().quorum);
        }
        Ok(handled.reply)
    }

    /// Returns the group as this member sees it now.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        self.shared.status.borrow().clone()
    }

    /// Returns how far this member's log reaches, for the choice of a survivor after the quorum was lost for good.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let metrics = self.shared.raft.metrics();
        let sets = metrics.borrow_watched().membership_config.membership().get_joint_config().clone();
        let ids = |set: BTreeSet<u64>| set.into_iter().map(NodeId).collect();
        let last = self.shared.store.last();
        Standing {
            last: last.map(|at| Proposed { index: at.index, term: Term(at.term) }),
            committed: self.status().committed,
            voter_sets: sets.into_iter().map(ids).collect(),
        }
    }

    /// Returns a receiver of every change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<LogStatus> {
        self.shared.status.clone()
    }

    /// Stops taking part, and closes the store once everything is on the disk.
    ///
    /// If the disk cannot be written, writes that were not acknowledged are discarded.
    pub async fn shutdown(&self) {
        self.shared.store.give_up();
        // The only error of this call is that the engine's task has ended already.
        let _ = self.shared.raft.shutdown().await;
        self.shared.store.close().await;
    }

    /// The leader that a refusal names, unless it is this member: a leader whose lease ran out names itself.
    fn other(&self, leader: Option<u64>) -> Option<NodeId> {
        leader.map(NodeId).filter(|leader| *leader != self.id())
    }

    async fn change(
        &self,
        change: impl AsyncFnOnce(&Raft<Engine, Member>) -> Result<(), RaftError<Engine, ClientWriteError<Engine>>>,
        timeout: Duration,
    ) -> Result<(), ChangeError> {
        let refused = match tokio::time::timeout(timeout, change(&self.shared.raft)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(RaftError::APIError(refused))) => refused,
            Ok(Err(RaftError::Fatal(_))) => return Err(ChangeError::Stopped),
            Err(_) => return Err(ChangeError::Unknown),
        };
        Err(match refused {
            ClientWriteError::ForwardToLeader(forward) => {
                ChangeError::NotLeader { leader: self.other(forward.leader_id) }
            }
            ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
            ClientWriteError::ChangeMembershipError(refused) => match refused {
                ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => {
                    ChangeError::InProgress
                }
                ChangeMembershipError::EmptyMembership(_) => ChangeError::NoVoters,
                ChangeMembershipError::LearnerNotFound(missing) => {
                    ChangeError::UnknownNode { node: NodeId(missing.node_id) }
                }
                other => ChangeError::Refused(EngineFault::new(&other)),
            },
            ClientWriteError::PreconditionFailed(other) => ChangeError::Refused(EngineFault::new(&other)),
        })
    }
}
