//! Catch-up of members that do not hold the log: a heartbeat shows that a peer has newer entries, and a pull gets them.
//!
//! A node keeps the last entries for its peers. A peer that needs older ones gets the whole ledger. The coordinator
//! also pushes new entries to members that do not hold the log, so that a target reaches them in one message.

use crate::codec;
use crate::ledger::Ledger;
use crate::out::Out;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::Command;
use rhizo_types::message::{CommittedEntry, Control, LogEntry};
use std::collections::VecDeque;

/// Number of applied entries that a node keeps for members that do not hold the log: more than a member can miss
/// between two heartbeats.
pub const HISTORY_MAX: usize = 512;
/// The most entries in one answer to a pull.
pub const BATCH_MAX: usize = 64;
/// The most bytes of entries in one answer, unless a single entry is larger: a quarter of the overlay's 1 MiB frame.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Time after which an unanswered pull is sent again, to any node that has newer entries by then.
const PULL_MS: u64 = 1_000;
/// The coordinator pushes to at most this many members; the others learn of new entries from heartbeats.
const PUSH_MAX: usize = 64;

/// The kept entries, and the pull that is outstanding.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CatchUp {
    history: VecDeque<CommittedEntry>,
    /// The node that was asked for entries, and until when its answer is awaited.
    pulling: Option<(NodeId, Time)>,
    /// While this node coordinates: the last index that it has pushed.
    pushed: u64,
}

impl CatchUp {
    /// Keeps an applied entry for peers.
    pub(crate) fn keep(&mut self, entry: CommittedEntry) {
        self.history.push_back(entry);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    /// Drops the kept entries, because a snapshot replaced the ledger and they do not lead up to it.
    pub(crate) fn clear(&mut self) {
        self.history.clear();
    }

    /// A peer has applied `index`: pulls the missing entries from it, unless a pull is outstanding.
    pub(crate) fn peer_is_at(&mut self, peer: NodeId, index: u64, ledger: &Ledger, now: Time, out: &mut Out) {
        let waiting = self.pulling.is_some_and(|(_, until)| now < until);
        if index > ledger.index && !waiting {
            self.pulling = Some((peer, now.after_ms(PULL_MS)));
            out.control(peer, Control::Pull { after: ledger.index });
        }
    }

    /// An answer to a pull has arrived, with or without new entries.
    pub(crate) fn answered(&mut self, from: NodeId) {
        if self.pulling.is_some_and(|(peer, _)| peer == from) {
            self.pulling = None;
        }
    }

    /// Answers a peer's pull.
    pub(crate) fn answer_pull(&self, from: NodeId, after: u64, ledger: &Ledger, out: &mut Out) {
        if after >= ledger.index {
            return;
        }
        let message = match self.batch(after) {
            Some(entries) => Control::Entries(entries),
            None => Control::Snapshot(codec::encode_ledger(ledger)),
        };
        out.control(from, message);
    }

    /// The kept entries after index `after`, in one bounded batch; none when they do not reach back that far.
    fn batch(&self, after: u64) -> Option<Vec<CommittedEntry>> {
        let first = self.history.front()?.index;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let mut entries: Vec<CommittedEntry> = Vec::new();
        for entry in self.history.iter().skip(skip).take(BATCH_MAX) {
            bytes += codec::entry_bytes(entry);
            if bytes > BATCH_BYTES_MAX && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        (!entries.is_empty()).then_some(entries)
    }

    /// As coordinator, sends new entries to members that do not hold the log.
    pub(crate) fn push_new(&mut self, me: NodeId, ledger: &Ledger, out: &mut Out) {
        if self.pushed >= ledger.index {
            return;
        }
        let entries = self.batch(self.pushed.max(ledger.index.saturating_sub(BATCH_MAX as u64)));
        self.pushed = ledger.index;
        let Some(entries) = entries else { return };
        let holds_log = |node: &NodeId| ledger.voters.contains(node) || ledger.learners.contains(node);
        let others = ledger.members.keys().filter(|node| **node != me && !holds_log(node)).copied();
        // The members that these entries remove get them as well: otherwise they learn of it only when they are
        // refused.
        let gone = entries.iter().flat_map(departing).filter(|node| *node != me && !holds_log(node));
        for node in gone.chain(others.take(PUSH_MAX)) {
            out.control(node, Control::Entries(entries.clone()));
        }
    }
}

/// The members that an entry removes from the roster.
fn departing(entry: &CommittedEntry) -> Vec<NodeId> {
    match &entry.entry {
        LogEntry::Command(Command::Leave { node }) => vec![*node],
        LogEntry::Command(Command::Dead { nodes }) => nodes.keys().copied().collect(),
        _ => Vec::new(),
    }
}
