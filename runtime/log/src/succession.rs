//! The order in which voters campaign when their leader falls silent, and when a leader without a quorum falls silent.
//!
//! In the engine every voter waits a random time after the lease, so that two voters rarely campaign at once. Over a
//! long link two often do, and a split vote costs another lease. Here each voter has a turn. The voter with the lowest
//! id, not counting the silent leader, campaigns when the lease is over. The next voter campaigns when the first has
//! had time to win, and so on. In every other case the engine's random wait still applies. A turn is a pre-vote, which
//! the other voters refuse while they hear a leader, so a turn in error changes nothing.
//!
//! A busy processor is no reason for an election. All three decisions of a member (to campaign, to grant a pre-vote,
//! and as a leader to stop its heartbeats because no quorum answers) therefore depend on its [`Silence`], which leaves
//! out the time in which the member itself did not run.

use crate::config::Timers;
use crate::engine::Engine;
use crate::member::Member;
use crate::silence::Silence;
use crate::status::{Contact, LogStatus, Role};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, Raft, ServerState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

/// The engine's state as far as it matters here.
struct Group {
    role: ServerState,
    term: u64,
    /// Whether this member is the only voter.
    alone: bool,
    /// Whether the current term has a leader.
    led: bool,
    /// This member's place among the voters that may follow a silent leader; none for the leader and for learners.
    rank: Option<usize>,
    /// As a leader: when a quorum last answered.
    acknowledged: Option<Instant>,
}

fn group(raft: &Raft<Engine, Member>) -> Group {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let leader = metrics.current_leader;
    Group {
        role: metrics.state,
        term: metrics.current_term,
        alone: membership.voter_ids().eq([metrics.id]),
        led: leader.is_some(),
        rank: membership
            .voter_ids()
            .filter(|voter| Some(*voter) != leader)
            .position(|voter| voter == metrics.id),
        acknowledged: metrics.last_quorum_acked.and_then(|at| Instant::now().checked_sub(at.elapsed())),
    }
}

/// The silence of a member's leader, or of a leader's quorum, shared with the code that answers pre-votes.
pub(crate) struct Watch {
    raft: Raft<Engine, Member>,
    contact: Arc<Contact>,
    timers: Timers,
    silence: Mutex<Silence>,
    /// Whether this member leads, and has heard no quorum for so long that it sends no heartbeats at present.
    isolated: AtomicBool,
}

impl Watch {
    pub(crate) fn new(raft: Raft<Engine, Member>, contact: Arc<Contact>, timers: Timers) -> Self {
        let (silence, isolated) = (Mutex::new(Silence::new(Instant::now())), AtomicBool::new(false));
        Self { raft, contact, timers, silence, isolated }
    }

    /// Whether this member may grant a pre-vote. The engine refuses it during the lease, by the clock; in addition the
    /// member must have run for half of the lease without a sign of the leader, or as a leader of a quorum.
    pub(crate) fn may_grant(&self) -> bool {
        let group = group(&self.raft);
        let half = Duration::from_millis(self.timers.election_ms_max / 2);
        !group.led || self.look(&group, Instant::now()) >= half
    }

    /// Whether this member leads and sends no heartbeats, because no quorum answers them.
    pub(crate) fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Relaxed)
    }

    fn look(&self, group: &Group, now: Instant) -> Duration {
        let heard =
            if group.role == ServerState::Leader { group.acknowledged } else { self.contact.heard_at() };
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).look(heard, now)
    }

    fn next_look(&self, wanted: Duration, now: Instant) -> Instant {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).next_look(wanted, now)
    }

    /// Begins the silence anew: a new term has a leader soon, or another campaign.
    fn begin_anew(&self, now: Instant) {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Silence::new(now);
    }
}

/// The silence after which the engine may begin a campaign of its own, after one of its random waits.
///
/// It is the earliest moment at which the engine would begin one. By the clock it may begin much earlier than by the
/// silence, when this member did not run for a while.
fn engine_turn(timers: Timers, led: bool) -> Duration {
    let lease_ms = if led { timers.election_ms_max } else { 0 };
    Duration::from_millis(lease_ms.saturating_add(timers.election_ms_min))
}

/// How long a leader without answers of a quorum sends heartbeats, and how long it then stops them, in turns.
///
/// Heartbeats that arrive keep the other voters from an election even when their answers are lost (openraft issue
/// 2080). The engine can stop them itself, but does so by the clock as soon as one lease has passed: a leader that was
/// not scheduled for half a second would fall silent for a whole one, and be replaced. Two leases are enough for the
/// other voters to elect another leader in a pause.
fn isolation_phase(timers: Timers) -> Duration {
    Duration::from_millis(timers.election_ms_max.saturating_mul(2))
}

/// Takes this member's turns, and pauses its heartbeats as a leader without a quorum, until it stops.
pub(crate) async fn take_turns(watched: Arc<Watch>, mut status: watch::Receiver<LogStatus>) {
    let (raft, timers) = (&watched.raft, watched.timers);
    let mut term = 0;
    // One turn in each term. If it fails, the engine's random waits prevent another split vote.
    let mut taken_in = None;
    loop {
        if status.borrow_and_update().role == Role::Stopped {
            return;
        }
        let (group, now) = (group(raft), Instant::now());
        if group.term != term {
            term = group.term;
            watched.begin_anew(now);
        }
        let silent = watched.look(&group, now);
        let turn = (group.led && group.role == ServerState::Follower && Some(term) != taken_in)
            .then(|| group.rank.map(|rank| turn(timers, rank)))
            .flatten()
            .filter(|_| watched.contact.heard_at().is_some());
        if turn.is_some_and(|turn| turn <= silent) {
            tracing::debug!(term, "leader is silent, campaigning");
            taken_in = Some(term);
            // The error means that the engine has stopped, which the status reports.
            let _ = raft.trigger().elect(true).await;
            continue;
        }
        let engine = engine_turn(timers, group.led);
        let waits = group.rank.is_some() && !group.alone;
        let elects = !waits || silent >= engine;
        raft.runtime_config().elect(elects);
        raft.runtime_config().tick(needs_ticks(&group, elects));
        let pause = pause_heartbeats(&watched, &group, silent);
        let steps = [turn, waits.then_some(engine), pause];
        let wanted = steps.into_iter().flatten().filter(|step| *step > silent).min();
        let waiting = async {
            match wanted {
                Some(wanted) => tokio::time::sleep_until(watched.next_look(wanted, now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = waiting => {}
        }
    }
}

/// Whether the engine has something to look at in its ticks: the next heartbeat of a leader, or its own random wait
/// before a campaign. A tick wakes a member fifty times a second, which was half of the cost of a member at rest.
fn needs_ticks(group: &Group, elects: bool) -> bool {
    group.role == ServerState::Leader || (group.rank.is_some() && elects)
}

/// As a leader of other voters, sends heartbeats or stops them. Returns the silence of the quorum at which that
/// changes; none for any other member.
fn pause_heartbeats(watched: &Watch, group: &Group, silent: Duration) -> Option<Duration> {
    let leads_others = group.role == ServerState::Leader && !group.alone;
    let phase = isolation_phase(watched.timers);
    let phases = u32::try_from(silent.as_millis() / phase.as_millis().max(1)).unwrap_or(u32::MAX - 1);
    let isolated = leads_others && phases % 2 == 1;
    if watched.isolated.swap(isolated, Ordering::Relaxed) != isolated {
        tracing::debug!(isolated, "heartbeats of a leader without a quorum");
        watched.raft.runtime_config().heartbeat(!isolated);
    }
    leads_others.then(|| phase.saturating_mul(phases + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_at_rest_and_a_learner_are_not_woken_by_ticks() {
        let group = |role, rank| Group { role, term: 1, alone: false, led: true, rank, acknowledged: None };
        assert!(needs_ticks(&group(ServerState::Leader, None), false), "it sends heartbeats");
        assert!(
            !needs_ticks(&group(ServerState::Follower, Some(0)), false),
            "it takes its turn by the silence"
        );
        assert!(needs_ticks(&group(ServerState::Follower, Some(0)), true), "the engine may campaign");
        assert!(!needs_ticks(&group(ServerState::Learner, None), true), "it never campaigns");
    }

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
