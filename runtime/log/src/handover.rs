//! A leader whose disk has stopped writing hands its leadership to a voter whose disk works.
//!
//! Such a leader still sends heartbeats, so no other voter replaces it. It cannot acknowledge an entry itself, and
//! after a restart it may lack entries. A group of one has no other voter and waits for its disk.

use crate::config::Timers;
use crate::engine::Engine;
use crate::member::Member;
use crate::status::{LogStatus, Role, StorageFault};
use openraft::Raft;
use rhizo_types::NodeId;
use std::time::Duration;
use tokio::sync::watch;

/// The voter whose log reaches furthest, this leader not counted.
fn heir(leader: NodeId, status: &LogStatus) -> Option<NodeId> {
    let followers = status.voters.iter().filter(|voter| **voter != leader);
    followers
        .filter_map(|voter| Some((status.matched.get(voter)?.as_ref()?, *voter)))
        .max()
        .map(|(_, voter)| voter)
}

/// Hands leadership over whenever this member leads and its disk fails, until the member stops.
pub(crate) async fn hand_over_while_disk_fails(
    me: NodeId,
    raft: Raft<Engine, Member>,
    mut fault: watch::Receiver<Option<StorageFault>>,
    mut status: watch::Receiver<LogStatus>,
    timers: Timers,
) {
    // A lease between two attempts: a transfer takes an election, and the heir may refuse the first one.
    let pause = Duration::from_millis(timers.election_ms_max);
    loop {
        let failing = fault.borrow_and_update().is_some();
        let (role, heir) = {
            let now = status.borrow_and_update();
            (now.role, heir(me, &now))
        };
        if role == Role::Stopped {
            return;
        }
        if failing && role == Role::Leader {
            if let Some(heir) = heir {
                tracing::warn!(%heir, "log store cannot write, handing leadership over");
                // The error means that the engine has stopped, which the status reports.
                let _ = raft.trigger().transfer_leader(heir.0).await;
            }
            tokio::time::sleep(pause).await;
            continue;
        }
        tokio::select! {
            changed = fault.changed() => if changed.is_err() { return },
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::Term;

    #[test]
    fn the_heir_is_the_voter_with_the_longest_log_and_never_the_leader() {
        let status = |matched: &[(u64, Option<u64>)]| LogStatus {
            term: Term(1),
            leader: Some(NodeId(1)),
            role: Role::Leader,
            quorum: true,
            last_applied: None,
            last_applied_term: None,
            committed: None,
            last_log: Some(9),
            voters: [1, 2, 3].map(NodeId).into(),
            learners: [NodeId(4)].into(),
            joint: false,
            matched: matched.iter().map(|(id, at)| (NodeId(*id), *at)).collect(),
            storage: None,
            fault: None,
        };
        assert_eq!(heir(NodeId(1), &status(&[(2, Some(7)), (3, Some(9)), (4, Some(9))])), Some(NodeId(3)));
        assert_eq!(heir(NodeId(1), &status(&[(1, Some(9)), (2, None), (3, None)])), None);
    }
}
