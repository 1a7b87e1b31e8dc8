//! The store of a member whose group lost its quorum for good: reading it whole, and beginning the log of a new group.
//!
//! Both functions work on the files of a member that does not run. They do not decide who may begin a new group, nor
//! with which state: the caller does, by an operator's order. Read next: `store/database.rs` for the files.

use crate::config::LogConfig;
use crate::engine::Payload;
use crate::error::{BeginError, ReplayError};
use crate::machine::{Entry, Machine};
use crate::member::members_entry;
use crate::node::Proposed;
use crate::store;
use crate::wire::{Ballot, COUNTER_MAX, Members, Position, SnapshotHead};
use rhizo_types::Term;
use std::collections::BTreeSet;

/// The content of a store, apart from the entries themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredLog {
    /// The place of the last entry; none in an empty log.
    pub last: Option<Proposed>,
    /// The newest term in which the member voted or that an entry has.
    pub term: Term,
    /// Number of entries at the end that the member does not know to be committed.
    pub uncommitted: u64,
}

/// Passes the last snapshot and every entry of a store to `machine`, also the entries that are not known to be
/// committed: a majority that is lost may have committed them. [`Machine::ready`] is not called.
///
/// # Errors
/// When the store is missing, damaged, foreign or in use, or the machine refuses the snapshot.
pub fn replay(config: &LogConfig, machine: &mut dyn Machine) -> Result<StoredLog, ReplayError> {
    let stored = store::read(config)?;
    let mut last = None;
    if let Some((head, state)) = &stored.snapshot
        && let Some(at) = head.last
    {
        machine.restore(at.index, Term(at.term), state)?;
        last = Some(Proposed { index: at.index, term: Term(at.term) });
    }
    for entry in stored.entries() {
        let at = Proposed { index: entry.log_id.index, term: Term(entry.log_id.leader_id.term) };
        if last.is_some_and(|last| at.index <= last.index) {
            continue;
        }
        let seen = match &entry.payload {
            Payload::Blank => Entry::Blank,
            Payload::Normal(command) => Entry::Command(&command.0),
            Payload::Membership(membership) => members_entry(membership),
        };
        machine.apply(at.index, at.term, seen);
        last = Some(at);
    }
    let voted = stored.ballot.map_or(0, |ballot| ballot.term);
    let committed = stored.committed.max(stored.snapshot.and_then(|(head, _)| head.last));
    let unknown = |last: Proposed| committed.map_or(last.index + 1, |at| last.index.saturating_sub(at.index));
    Ok(StoredLog {
        last,
        term: Term(voted.max(last.map_or(0, |last| last.term.0))),
        uncommitted: last.map_or(0, unknown),
    })
}

/// Makes the store of the first member and only voter of a new group. Its log begins after a snapshot of `state`, which
/// covers everything up to the place `at`. A store that is there already is replaced.
///
/// Blocks until the store is on the disk.
///
/// # Errors
/// When the configuration is not on disk, the place is beyond the limits of the engine, or the store cannot be written.
pub fn begin(config: &LogConfig, at: Proposed, state: &[u8]) -> Result<(), BeginError> {
    if at.index > COUNTER_MAX || at.term.0 > COUNTER_MAX {
        return Err(BeginError::Place { index: at.index, term: at.term });
    }
    let position = Position { term: at.term.0, index: at.index };
    let alone = BTreeSet::from([config.id.0]);
    let head = SnapshotHead {
        last: Some(position),
        members_at: Some(position),
        members: Members { voters: vec![alone.clone()], nodes: alone },
    };
    // The engine refuses a vote that is older than the last entry. The member campaigns in the next term.
    let ballot = Ballot { term: at.term.0, node: config.id.0, committed: false };
    store::begin(config, ballot, &(head, state.into()))
}
