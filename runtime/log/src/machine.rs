//! The trait of the state that committed entries are applied to; the shell implements it.
//!
//! The log does not look into commands or snapshots. Read next: `member.rs`, which calls this.

use rhizo_types::{NodeId, Term};
use std::collections::BTreeSet;
use std::pin::Pin;

/// One committed entry, as a [`Machine`] sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// Bytes given to [`propose`](crate::LogNode::propose) on some member.
    Command(&'a [u8]),
    /// The group's members from here on.
    Membership {
        /// Every voter; while `joint`, those of the old and of the new set.
        voters: BTreeSet<NodeId>,
        /// Members that receive the log and do not vote.
        learners: BTreeSet<NodeId>,
        /// Whether the change is half done and a second entry will complete it.
        joint: bool,
    },
    /// Written by a new leader: the first entry of its term.
    Blank,
}

/// A machine could not restore a snapshot; the member stops, so that it never runs with half a state.
#[derive(Debug, thiserror::Error)]
#[error("restore the machine from a snapshot of {bytes} bytes: {reason}")]
pub struct RestoreError {
    /// Length of the snapshot.
    pub bytes: usize,
    /// The reason for which the machine refused it.
    pub reason: String,
}

/// The state that committed entries are applied to, in log order, on every member.
///
/// One task makes all calls, one after the other. A call must not block or panic: a machine that panics stops its
/// member. Back-pressure goes through [`ready`](Self::ready). After a restart the machine starts empty and receives the
/// The state before the first call is empty, also after a restart: the machine then receives the last snapshot and the
/// entries after it again. Entries that were committed shortly before the stop may arrive only when a leader is known.
pub trait Machine: Send + 'static {
    /// Resolves when the machine can take one more entry or snapshot; by default at once.
    ///
    /// The log waits for it before each [`apply`](Self::apply) and [`restore`](Self::restore). A machine that passes
    /// entries on through a bounded queue waits here for a free place. While it waits, the member still appends and
    /// acknowledges entries of the leader; only their application, and the answers of its own proposals, are delayed.
    /// [`LogNode::open`](crate::LogNode::open) applies the entries of an existing store and so waits for this future:
    /// the task that empties the queue must not be the one that awaits `open`.
    fn ready(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// Applies the committed entry at `index`, proposed in `term`.
    fn apply(&mut self, index: u64, term: Term, entry: Entry<'_>);

    /// Returns the whole state after the last applied entry, as bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the whole state by that of a snapshot taken after the entry at `index`.
    ///
    /// # Errors
    /// When the bytes are not a state; the member then stops.
    fn restore(&mut self, index: u64, term: Term, bytes: &[u8]) -> Result<(), RestoreError>;
}
