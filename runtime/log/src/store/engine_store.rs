//! The engine's view of the store.
//!
//! A change is visible in memory as soon as the engine makes it. It reaches the disk in the order of the changes, and
//! is acknowledged to the engine when it is on the disk. A vote is different: it can be read only when it is durable,
//! because a replication task that reads a vote may act on it at once.

use super::Store;
use super::change::Write;
use crate::convert;
use crate::engine::{Engine, LogEntry, LogId, Vote};
use crate::wire::APPEND_BYTES_TARGET;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

/// Estimates the bytes that an entry takes in a message.
fn message_bytes(entry: &LogEntry) -> usize {
    match &entry.payload {
        // Term, index, kind and length are varints.
        EntryPayload::Normal(command) => command.0.len() + 24,
        EntryPayload::Blank => 24,
        EntryPayload::Membership(membership) => 64 + 20 * membership.nodes().count(),
    }
}

impl RaftLogReader<Engine> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, io::Error> {
        Ok(self.mirror().read(bounds(&range)).cloned().collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.mirror().ballot.map(convert::vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, io::Error> {
        let mut bytes = 0;
        let within = |entry: &&LogEntry| {
            let first = bytes == 0;
            bytes += message_bytes(entry);
            first || bytes <= APPEND_BYTES_TARGET
        };
        Ok(self.mirror().read(start..end).take_while(within).cloned().collect())
    }
}

impl RaftLogStorage<Engine> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Engine>, io::Error> {
        let mirror = self.mirror();
        let last_purged_log_id = mirror.purged.map(convert::log_id);
        let last_log_id = mirror.last().map(|entry| entry.log_id).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let ballot = convert::ballot(vote);
        self.write_through(Write::Ballot(ballot)).await?;
        self.mirror().ballot = Some(ballot);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let committed = committed.map(convert::position);
        self.mirror().committed = committed;
        self.write(Write::Committed(committed), Box::new(drop)).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.mirror().committed.map(convert::log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Engine>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = LogEntry> + Send,
        I::IntoIter: Send,
    {
        let mut records = Vec::new();
        {
            let mut mirror = self.mirror();
            for entry in entries {
                records.push(convert::record(&entry));
                if !mirror.append(entry) {
                    return Err(io::Error::other("the engine left a hole in the log"));
                }
            }
        }
        self.write(Write::Append(records), Box::new(|result| callback.io_completed(result))).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let last = last.map(|at| at.index);
        self.mirror().truncate(last.map_or(0, |index| index + 1));
        self.write_through(Write::Truncate(last)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let at = convert::position(upto);
        self.mirror().purge(at);
        // A crash may bring purged entries back. The snapshot that covers them is durable, so there is no need to wait.
        self.write(Write::Purge(at), Box::new(drop)).await
    }
}
