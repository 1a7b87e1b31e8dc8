//! A member's view of its group, published whenever it changes.
//!
//! The engine reports the last leader it knew, not whether a leader exists now. This module adds that: the status of a
//! follower that has heard no leader for several leases, or of a leader that has heard no quorum, names no leader.

use crate::config::Timers;
use crate::engine::{Engine, LogId};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant as _, RaftMetrics, ServerState};
use rhizo_types::{NodeId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The part of a member in its group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Writes the log for the others. A newer leader may have replaced it already: see
    /// [`read_barrier`](crate::LogNode::read_barrier).
    /// [`read_barrier`](crate::LogNode::read_barrier).
    Leader,
    /// Campaigns, or waits to campaign.
    Candidate,
    /// Votes, and follows a leader.
    Follower,
    /// Receives the log and does not vote; also a node that is in no group yet.
    Learner,
    /// Has stopped, on request or because of a fault.
    Stopped,
}

/// Why a member cannot write its log at the moment. It tries again until the disk works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageFault {
    /// The directory of the store.
    pub dir: PathBuf,
    /// The system's error, for example that no space is left on the device.
    pub problem: String,
}

/// A member's view of its group. It may be out of date by a message or two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogStatus {
    /// The current term.
    pub term: Term,
    /// The leader that this member knows; `None` without a [`quorum`](Self::quorum).
    pub leader: Option<NodeId>,
    /// This member's part in the group.
    pub role: Role,
    /// Whether the group works as far as this member knows: within four leases and one heartbeat a leader has heard a
    /// quorum, or another member has heard a leader that has one.
    pub quorum: bool,
    /// Index of the last entry the machine has applied.
    pub last_applied: Option<u64>,
    /// Term of that entry: equal to `term` once an entry of the current leader has committed.
    pub last_applied_term: Option<Term>,
    /// Index up to which the log is known here to be committed.
    pub committed: Option<u64>,
    /// Index of the last entry in the log, committed or not.
    pub last_log: Option<u64>,
    /// Every voter; while `joint`, those of the old and of the new set.
    pub voters: BTreeSet<NodeId>,
    /// Members that do not vote.
    pub learners: BTreeSet<NodeId>,
    /// Whether a change of the voters is half done; the same request completes it.
    pub joint: bool,
    /// How far each other member's log is known to reach; empty unless this member leads.
    pub matched: BTreeMap<NodeId, Option<u64>>,
    /// Why the member cannot write its log at the moment: it casts no vote and acknowledges nothing until it can.
    pub storage: Option<StorageFault>,
    /// Why the member stopped without a request to stop.
    pub fault: Option<String>,
}

/// When this member last heard its leader, and whether it leads with a quorum itself.
pub(crate) struct Contact {
    opened: Instant,
    /// Milliseconds after `opened`, plus one; zero means never.
    heard_ms: AtomicU64,
    /// When a leader that had a quorum at that time last sent a message, in milliseconds after `opened`, plus one.
    heard_quorum_ms: AtomicU64,
    /// Whether this member leads and has a quorum, by its last published status. Its messages say so.
    leads_with_quorum: AtomicBool,
    /// Wakes the publisher when silence may have ended.
    resumed: Notify,
}

impl Contact {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            heard_ms: AtomicU64::new(0),
            heard_quorum_ms: AtomicU64::new(0),
            leads_with_quorum: AtomicBool::new(false),
            resumed: Notify::new(),
        }
    }

    /// Records that this member heard the leader now, and whether that leader has a quorum. `quiet` is true if the
    /// published status still names no leader.
    pub(crate) fn hear(&self, has_quorum: bool, quiet: bool) {
        let now_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard_ms.store(now_ms + 1, Ordering::Relaxed);
        if has_quorum {
            self.heard_quorum_ms.store(now_ms + 1, Ordering::Relaxed);
            if quiet {
                self.resumed.notify_one();
            }
        }
    }

    /// The moment the leader was last heard, to the millisecond.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        self.moment(&self.heard_ms)
    }

    /// The moment a leader with a quorum was last heard, to the millisecond.
    fn heard_quorum_at(&self) -> Option<Instant> {
        self.moment(&self.heard_quorum_ms)
    }

    fn moment(&self, ms: &AtomicU64) -> Option<Instant> {
        match ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(self.opened + Duration::from_millis(ms - 1)),
        }
    }

    /// Whether this member leads and has a quorum.
    pub(crate) fn leads_with_quorum(&self) -> bool {
        self.leads_with_quorum.load(Ordering::Relaxed)
    }
}

/// Time without a message of the leader or a quorum after which the status reports that the quorum is lost.
///
/// The value is four leases. On a machine that is overloaded for a moment answers arrive late, and a leader that steps
/// down then costs more than one that notices its isolation a second later. An isolated leader does no harm meanwhile,
/// because every action outside the group waits for a read barrier.
fn patience(timers: Timers) -> Duration {
    Duration::from_millis(4 * timers.election_ms_max + timers.heartbeat_ms)
}

fn index(at: Option<LogId>) -> Option<u64> {
    at.map(|at| at.index)
}

/// Returns the status now, and the time at which it changes if no message arrives until then.
pub(crate) fn read(
    metrics: &RaftMetrics<Engine>,
    contact: &Contact,
    timers: Timers,
    storage: Option<StorageFault>,
) -> (LogStatus, Option<Instant>) {
    let role = match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    };
    let fault = match &metrics.running_state {
        Ok(()) | Err(openraft::errors::Fatal::Stopped) => None,
        Err(fault) => Some(fault.to_string()),
    };
    let stopped = metrics.running_state.is_err();
    let role = if stopped { Role::Stopped } else { role };
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<NodeId> = membership.voter_ids().map(NodeId).collect();
    let alone = voters.len() == 1 && voters.contains(&NodeId(metrics.id));
    let now = Instant::now();
    let heard_at = match role {
        Role::Leader if alone => Some(now),
        Role::Leader => metrics.last_quorum_acked.and_then(|at| now.checked_sub(at.elapsed())),
        // A leader that lost its quorum still sends messages, and must not make its followers believe in one.
        Role::Follower | Role::Learner => contact.heard_quorum_at(),
        Role::Candidate | Role::Stopped => None,
    };
    let until = heard_at.map(|at| at + patience(timers));
    let quorum = until.is_some_and(|until| now < until);
    let status = LogStatus {
        term: Term(metrics.current_term),
        leader: metrics.current_leader.filter(|_| quorum).map(NodeId),
        role,
        quorum,
        last_applied: index(metrics.last_applied),
        last_applied_term: metrics.last_applied.map(|at| Term(at.leader_id.term)),
        committed: index(metrics.local_committed),
        last_log: metrics.last_log_index,
        voters,
        learners: membership.learner_ids().map(NodeId).collect(),
        joint: membership.get_joint_config().len() > 1,
        matched: metrics
            .replication
            .iter()
            .flatten()
            .filter(|(id, _)| **id != metrics.id)
            .map(|(id, at)| (NodeId(*id), index(*at)))
            .collect(),
        storage,
        fault,
    };
    (status, if quorum && !alone { until } else { None })
}

/// Publishes the status until the engine stops.
pub(crate) async fn publish(
    mut metrics: WatchReceiverOf<Engine, RaftMetrics<Engine>>,
    contact: std::sync::Arc<Contact>,
    timers: Timers,
    mut storage: watch::Receiver<Option<StorageFault>>,
    published: watch::Sender<LogStatus>,
) {
    let mut storage_ended = false;
    loop {
        let fault = storage.borrow_and_update().clone();
        let (status, look_again) = read(&metrics.borrow_and_update(), &contact, timers, fault);
        let stopped = status.role == Role::Stopped;
        contact.leads_with_quorum.store(status.role == Role::Leader && status.quorum, Ordering::Relaxed);
        published.send_if_modified(|last| {
            let changed = *last != status;
            *last = status;
            changed
        });
        if stopped {
            return;
        }
        let silence = async {
            match look_again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { break },
            changed = storage.changed(), if !storage_ended => storage_ended = changed.is_err(),
            () = contact.resumed.notified() => {}
            () = silence => {}
        }
    }
    published.send_modify(|last| {
        last.role = Role::Stopped;
        last.leader = None;
        last.quorum = false;
    });
}
