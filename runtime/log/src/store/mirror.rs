//! The in-memory copy of the store: all reads are served from it.
//!
//! Pure data. The entries are consecutive; [`Mirror::append`] and [`Mirror::truncate`] keep them so.

use super::change::KeptSnapshot;
use crate::engine::{LogEntry, Payload};
use crate::wire::{Ballot, Position};
use std::collections::VecDeque;
use std::ops::Range;

/// Vote, log and snapshot of one member.
#[derive(Default)]
pub(super) struct Mirror {
    pub(super) ballot: Option<Ballot>,
    pub(super) committed: Option<Position>,
    /// The place of the last entry that was removed because a snapshot covers it.
    pub(super) purged: Option<Position>,
    pub(super) snapshot: Option<KeptSnapshot>,
    entries: VecDeque<LogEntry>,
    command_bytes: usize,
}

fn command_bytes(entry: &LogEntry) -> usize {
    match &entry.payload {
        Payload::Normal(command) => command.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

impl Mirror {
    /// The index that the first entry has, or would have in an empty log.
    pub(super) fn first(&self) -> u64 {
        self.entries
            .front()
            .map_or_else(|| self.purged.map_or(0, |at| at.index + 1), |entry| entry.log_id.index)
    }

    /// The index the next entry will have.
    pub(super) fn next(&self) -> u64 {
        self.first() + self.entries.len() as u64
    }

    pub(super) fn last(&self) -> Option<&LogEntry> {
        self.entries.back()
    }

    /// Appends the next entry. Returns false, without a change, for an entry with any other index.
    ///
    /// An empty log that was never purged accepts any first index. The engine starts at zero; its conformance suite
    /// does not.
    pub(super) fn append(&mut self, entry: LogEntry) -> bool {
        let fresh = self.entries.is_empty() && self.purged.is_none();
        let fits = fresh || entry.log_id.index == self.next();
        if fits {
            self.command_bytes += command_bytes(&entry);
            self.entries.push_back(entry);
        }
        fits
    }

    /// Removes every entry at `next` and after it.
    pub(super) fn truncate(&mut self, next: u64) {
        while let Some(last) = self.entries.pop_back_if(|last| last.log_id.index >= next) {
            self.command_bytes -= command_bytes(&last);
        }
    }

    /// Removes every entry up to `at`, and remembers that place.
    pub(super) fn purge(&mut self, at: Position) {
        while let Some(first) = self.entries.pop_front_if(|first| first.log_id.index <= at.index) {
            self.command_bytes -= command_bytes(&first);
        }
        self.purged = Some(at);
    }

    /// Bytes of all commands in the log.
    pub(super) fn command_bytes(&self) -> usize {
        self.command_bytes
    }

    /// Returns the entries in `range` that the log contains.
    pub(super) fn read(&self, range: Range<u64>) -> impl Iterator<Item = &LogEntry> {
        let first = self.first();
        let skip = usize::try_from(range.start.saturating_sub(first)).unwrap_or(usize::MAX);
        let until = range.end;
        self.entries.iter().skip(skip).take_while(move |entry| entry.log_id.index < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Command, LogId};

    fn entry(index: u64) -> LogEntry {
        LogEntry { log_id: LogId::new_term_index(1, index), payload: Payload::Blank }
    }

    fn indices(mirror: &Mirror, range: Range<u64>) -> Vec<u64> {
        mirror.read(range).map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn the_bytes_of_commands_are_counted_in_and_out() {
        let mut mirror = Mirror::default();
        for index in 0..10 {
            let payload = Payload::Normal(Command(vec![0; 10].into()));
            assert!(mirror.append(LogEntry { log_id: LogId::new_term_index(1, index), payload }));
        }
        mirror.purge(Position { term: 1, index: 1 });
        mirror.truncate(7);
        assert_eq!(mirror.command_bytes(), 50);
        mirror.truncate(0);
        assert_eq!(mirror.command_bytes(), 0);
    }

    #[test]
    fn entries_stay_consecutive() {
        let mut mirror = Mirror::default();
        assert!((0..10).all(|index| mirror.append(entry(index))));
        assert!(!mirror.append(entry(11)) && !mirror.append(entry(9)));
        assert_eq!(indices(&mirror, 3..6), [3, 4, 5]);
        assert_eq!(indices(&mirror, 8..99), [8, 9]);
        assert_eq!(indices(&mirror, 10..99), []);
    }

    #[test]
    fn purge_and_truncate_remove_their_end_only() {
        let mut mirror = Mirror::default();
        assert!((0..10).all(|index| mirror.append(entry(index))));
        mirror.purge(Position { term: 1, index: 3 });
        mirror.truncate(7);
        assert_eq!(indices(&mirror, 0..99), [4, 5, 6]);
        mirror.truncate(0);
        assert_eq!(mirror.next(), 4);
        assert!(mirror.append(entry(4)));
        mirror.purge(Position { term: 1, index: 20 });
        assert_eq!(mirror.next(), 21, "a snapshot beyond the log leaves no hole");
        assert!(mirror.append(entry(21)));
    }
}
