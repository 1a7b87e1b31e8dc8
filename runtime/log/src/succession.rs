//! The order in which voters campaign when their leader falls silent.
//!
//! In the engine every voter waits a random time after the lease, so that two rarely campaign together. Over a long link
//! two often do, and a split vote costs another lease. Here each voter has a turn: the voter with the lowest id (the
//! silent leader not counted) when the lease is over, the next one when the first has had time to win, and so on. The
//! engine's random wait remains for every other case. A turn is a pre-vote, which the other voters refuse while they
//! hear a leader, so a wrong turn changes nothing.

use crate::config::Timers;
use crate::engine::Engine;
use crate::member::Member;
use crate::status::{Contact, LogStatus, Role};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Raft, ServerState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long after it last heard its leader the voter with this rank takes its turn.
///
/// Half a heartbeat covers that the others may have heard the leader a little later, and would still refuse; a
/// heartbeat (more than a round trip, see [`Timers::for_round_trip`]) covers the election of the one before.
fn turn(timers: Timers, rank: usize) -> Duration {
    let rank = u64::try_from(rank).unwrap_or(u64::MAX);
    let after_lease_ms = (timers.heartbeat_ms / 2).saturating_add(timers.heartbeat_ms.saturating_mul(rank));
    Duration::from_millis(timers.election_ms_max.saturating_add(after_lease_ms))
}

/// When this member has its turn and the term it would end; `None` unless it follows a leader it has heard.
fn next_turn(raft: &Raft<Engine, Member>, contact: &Contact, timers: Timers) -> Option<(Instant, u64)> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let leader = metrics.current_leader.filter(|leader| *leader != metrics.id)?;
    if metrics.state != ServerState::Follower {
        return None;
    }
    let mut heirs = metrics.membership_config.membership().voter_ids().filter(|voter| *voter != leader);
    let rank = heirs.position(|voter| voter == metrics.id)?;
    Some((contact.heard_at()? + turn(timers, rank), metrics.current_term))
}

/// Takes this member's turns until it stops.
pub(crate) async fn take_turns(
    raft: Raft<Engine, Member>,
    contact: Arc<Contact>,
    timers: Timers,
    mut status: watch::Receiver<LogStatus>,
) {
    // One turn in a term: when it does not succeed, the engine's random waits avoid another split vote.
    let mut taken_in = None;
    loop {
        if status.borrow_and_update().role == Role::Stopped {
            return;
        }
        let due = next_turn(&raft, &contact, timers).filter(|(_, term)| Some(*term) != taken_in);
        if let Some((at, term)) = due
            && at <= Instant::now()
        {
            tracing::debug!(term, "leader is silent, campaigning");
            taken_in = Some(term);
            // An engine that has stopped says so through the status.
            let _ = raft.trigger().elect(true).await;
            continue;
        }
        let waiting = async {
            match due {
                Some((at, _)) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = waiting => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_an_election_apart_and_the_first_precedes_the_engine() {
        for timers in [Timers::LOCAL, Timers::for_round_trip(150), Timers::for_round_trip(400)] {
            let lease = Duration::from_millis(timers.election_ms_max);
            let engine_first = lease + Duration::from_millis(timers.election_ms_min);
            assert!(turn(timers, 0) > lease, "the others still refuse within the lease");
            assert!(turn(timers, 1) < engine_first, "two turns before anybody is left to chance");
            assert_eq!(turn(timers, 2) - turn(timers, 1), Duration::from_millis(timers.heartbeat_ms));
        }
        assert!(turn(Timers::LOCAL, usize::MAX) > Duration::from_secs(1), "no overflow");
    }
}
