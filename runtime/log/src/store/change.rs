//! The changes that the engine makes to a store, and how their durability is reported.

use crate::wire::{Ballot, Position, Record, SnapshotHead};
use std::io;
use std::sync::Arc;

/// A snapshot as it is kept: its head (the place in the log and the members there) and the machine's bytes.
pub(crate) type KeptSnapshot = (SnapshotHead, Arc<[u8]>);

/// Called once for each write: with success when it is on the disk, or with the reason for which it never will be.
pub(crate) type Acknowledge = Box<dyn FnOnce(io::Result<()>) + Send>;

/// A change of the store, in the order the engine made it.
pub(crate) enum Write {
    Ballot(Ballot),
    /// Consecutive entries after the last one.
    Append(Vec<Record>),
    /// Remove every entry after this index.
    Truncate(Option<u64>),
    /// Remove every entry up to this place, which a snapshot covers.
    Purge(Position),
    /// How far the log is known to be committed. It only shortens the wait after a restart, so it does not cause a sync
    /// of its own: it is written together with the next other change.
    Committed(Option<Position>),
    Snapshot(KeptSnapshot),
}
