//! The order in which voters campaign when their leader falls silent.
//!
//! In the engine every voter waits a random time after the lease, so that two voters rarely campaign at once. Over a
//! long link two often do, and a split vote costs another lease. Here each voter has a turn. The voter with the lowest
//! id, not counting the silent leader, campaigns when the lease is over. The next voter campaigns when the first has
//! had time to win, and so on. In every other case the engine's random wait still applies. A turn is a pre-vote, which
//! the other voters refuse while they hear a leader, so a turn in error changes nothing.

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

/// Returns the time from the last message of the leader to the turn of the voter with this rank.
///
/// The other voters may have heard the leader up to half a heartbeat later and would refuse an earlier pre-vote. One
/// heartbeat, which is more than a round trip (see [`Timers::for_round_trip`]), covers the election of the voter
/// before.
fn turn(timers: Timers, rank: usize) -> Duration {
    let rank = u64::try_from(rank).unwrap_or(u64::MAX);
    let after_lease_ms = (timers.heartbeat_ms / 2).saturating_add(timers.heartbeat_ms.saturating_mul(rank));
    Duration::from_millis(timers.election_ms_max.saturating_add(after_lease_ms))
}

/// Returns the time of this member's turn and the term that the turn would end. Returns `None` unless the member
/// follows a leader that it has heard.
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
    // One turn in each term. If it fails, the engine's random waits prevent another split vote.
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
            // The error means that the engine has stopped, which the status reports.
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
