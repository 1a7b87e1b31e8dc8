//! How a member is set up: its id, where it keeps its log, and the group's timers.
//!
//! The engine has some thirty settings. [`engine_config`] fixes them with the reasons; only those that differ between
//! groups are public. Read next: `node.rs`.

use crate::error::OpenError;
use openraft::{Config, SnapshotPolicy, StepDownPolicy};
use rhizo_types::{Lineage, NodeId};
use std::path::PathBuf;

/// The group's clocks, equal on every member and fixed when the group is founded.
///
/// The lease is `election_ms_max`: for that long after a voter last heard its leader, it votes for no other node. Then
/// the voters campaign in turn, the first half a heartbeat after the lease and each further one a heartbeat later. A
/// voter that has not heard of a new leader by then campaigns after a random wait between `election_ms_min` and
/// `election_ms_max` beyond the lease. So the first campaign after a leader's death usually starts `election_ms_max`
/// plus half a heartbeat after the leader's last message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// How often a leader tells every member that it leads; must exceed the round trip to them.
    pub heartbeat_ms: u64,
    /// Shortest random wait before a campaign; must exceed `heartbeat_ms`.
    pub election_ms_min: u64,
    /// Longest random wait, and the length of the lease.
    pub election_ms_max: u64,
}

/// Delay of an answer on a busy machine, in addition to the round trip. The value is the lease of [`Timers::LOCAL`]
/// without its two heartbeats. The delay does not depend on the distance, so it is the same for every round trip.
const BUSY_MS: u64 = 250;

impl Timers {
    /// For members on one host or in one room: a failover takes about half a second.
    ///
    /// Three heartbeats in a row may be lost before a voter doubts its leader. These values equal those that
    /// [`Self::for_round_trip`] returns for a round trip of 0 ms.
    pub const LOCAL: Self = Self { heartbeat_ms: 100, election_ms_min: 250, election_ms_max: 450 };

    /// Timers for voters whose longest mutual round trip is `rtt_ms_max`, never faster than [`Self::LOCAL`].
    ///
    /// The engine abandons the answer to a heartbeat when it sends the next one. A leader whose answers take longer
    /// than a heartbeat hears no quorum and steps down, even if every link works. The heartbeat is therefore a tenth
    /// longer than the longest round trip. The lease allows for one lost heartbeat and a quarter of a second of delay
    /// on a busy machine. `docs/decisions/0404-heartbeat-exceeds-the-longest-round-trip.md` says why the timers are not
    /// plain multiples of the round trip.
    #[must_use]
    pub fn for_round_trip(rtt_ms_max: u64) -> Self {
        let round_trip_ms = rtt_ms_max.saturating_mul(11).div_euclid(10).saturating_add(BUSY_MS / 10);
        let heartbeat_ms = round_trip_ms.clamp(Self::LOCAL.heartbeat_ms, 60_000);
        Self {
            heartbeat_ms,
            election_ms_min: heartbeat_ms * 3 / 2 + BUSY_MS * 2 / 5,
            election_ms_max: heartbeat_ms * 2 + BUSY_MS,
        }
    }

    fn check(self) -> Result<(), OpenError> {
        if self.heartbeat_ms < 10 {
            return Err(OpenError::Config("heartbeat_ms is below 10"));
        }
        if self.election_ms_min <= self.heartbeat_ms {
            return Err(OpenError::Config("election_ms_min does not exceed heartbeat_ms"));
        }
        if self.election_ms_max <= self.election_ms_min {
            return Err(OpenError::Config("election_ms_max does not exceed election_ms_min"));
        }
        if self.election_ms_max > 600_000 {
            return Err(OpenError::Config("election_ms_max exceeds ten minutes"));
        }
        Ok(())
    }
}

/// Where a member keeps its log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Storage {
    /// In memory only, for tests and simulations. A member that loses its log must never vote under the same id again.
    Memory,
    /// In one database file in `dir`, synced before anything is acknowledged.
    Disk {
        /// The directory, made when absent.
        dir: PathBuf,
        /// True if this node was a member before: a missing store is then an error and not a fresh start.
        must_exist: bool,
    },
}

/// The configuration that [`LogNode::open`](crate::LogNode::open) takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// This node's id, never used by another node or by this one after losing its disk.
    pub id: NodeId,
    /// The lineage; messages and stores of another one are refused.
    pub lineage: Lineage,
    /// Where the log is kept.
    pub storage: Storage,
    /// The group's clocks.
    pub timers: Timers,
    /// Entries between two snapshots; the log keeps at most about twice this number.
    pub snapshot_every: u64,
}

impl LogConfig {
    /// A member with the usual snapshot distance.
    ///
    /// 1,024 entries of a ledger are a few hundred kilobytes, replayed in milliseconds.
    #[must_use]
    pub fn new(id: NodeId, lineage: Lineage, storage: Storage, timers: Timers) -> Self {
        Self { id, lineage, storage, timers, snapshot_every: 1_024 }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        self.timers.check()?;
        if !(8..=65_536).contains(&self.snapshot_every) {
            return Err(OpenError::Config("snapshot_every is not between 8 and 65536"));
        }
        Ok(())
    }
}

/// Entries in one append message at most; the byte limit of `store` usually comes first.
const ENTRIES_PER_MESSAGE_MAX: u64 = 256;

/// The engine's settings for a checked configuration.
///
/// # Errors
/// When the engine rejects a configuration that [`LogConfig::check`] accepted; that would be a defect of the check.
pub(crate) fn engine_config(config: &LogConfig) -> Result<Config, OpenError> {
    let timers = config.timers;
    let settings = Config {
        cluster_name: format!("lineage-{}", config.lineage.0),
        heartbeat_interval: timers.heartbeat_ms,
        election_timeout_min: timers.election_ms_min,
        election_timeout_max: timers.election_ms_max,
        // Timeout of each message of a snapshot. A snapshot is sent in many small messages.
        install_snapshot_timeout: (4 * timers.election_ms_max).max(2_000),
        max_payload_entries: ENTRIES_PER_MESSAGE_MAX,
        replication_lag_threshold: config.snapshot_every * 2,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        // Keep a short tail, so that a briefly absent member is caught up without a whole snapshot.
        max_in_snapshot_log_to_keep: config.snapshot_every / 2,
        purge_batch_size: 16,
        // Queues of the default size would admit 65,536 waiting messages; `node` and `inbound` admit far fewer.
        api_channel_size: Some(1_024),
        notification_channel_size: Some(4_096),
        state_machine_channel_size: Some(256),
        api_batch_capacity: 256,
        max_append_entries: Some(ENTRIES_PER_MESSAGE_MAX),
        // Replicate while the leader's own disk still syncs: one sync less between a proposal and its commit.
        broadcast_submitted_on_append: Some(true),
        // Links come back within milliseconds after a restart; a second of back-off would delay every repair.
        backoff: "50ms 100ms 200ms ..500ms".to_owned(),
        // A leader that is removed from the group steps down two heartbeats after its removal has committed, so that
        // the others have learnt of the commit.
        removed_leader_step_down: StepDownPolicy::After(timers.heartbeat_ms * 2),
        // A leader that hears no quorum must pause its heartbeats (openraft issue 2080). `succession` does that: the
        // engine would do it by the clock, also when the leader itself was not scheduled.
        quorum_loss_probe_interval: None,
        // A returning or cut-off node must not depose a working leader.
        enable_pre_vote: Some(true),
        // The machine lives in memory: a leader restored without an election could serve a stale state.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    settings.validate().map_err(|fault| OpenError::Engine(crate::error::EngineFault::new(&fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(timers: Timers) -> LogConfig {
        LogConfig::new(NodeId(1), Lineage(1), Storage::Memory, timers)
    }

    #[test]
    fn timers_for_any_round_trip_are_accepted_by_the_engine() {
        for rtt_ms_max in [0, 1, 66, 67, 100, 180, 350, 2_000, 30_000, u64::MAX] {
            let config = config(Timers::for_round_trip(rtt_ms_max));
            config.check().unwrap();
            engine_config(&config).unwrap();
        }
        assert_eq!(Timers::for_round_trip(10), Timers::LOCAL);
        for rtt_ms_max in [90, 200, 430, 2_000] {
            let timers = Timers::for_round_trip(rtt_ms_max);
            assert!(timers.heartbeat_ms > rtt_ms_max, "{timers:?} gives up answers over {rtt_ms_max} ms");
        }
    }

    #[test]
    fn timers_that_contradict_themselves_are_refused() {
        let good = Timers { heartbeat_ms: 100, election_ms_min: 300, election_ms_max: 600 };
        config(good).check().unwrap();
        for bad in [
            Timers { heartbeat_ms: 9, ..good },
            Timers { election_ms_min: 100, ..good },
            Timers { election_ms_max: 300, ..good },
            Timers { election_ms_max: u64::MAX, ..good },
        ] {
            assert!(matches!(config(bad).check(), Err(OpenError::Config(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_snapshot_distance_out_of_range_is_refused() {
        for snapshot_every in [0, 7, 65_537, u64::MAX] {
            let config = LogConfig { snapshot_every, ..config(Timers::LOCAL) };
            assert!(matches!(config.check(), Err(OpenError::Config(_))));
        }
    }
}
