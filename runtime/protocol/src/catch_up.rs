//! How nodes that do not hold the log get its entries: heartbeats tell how far others are, a pull brings the rest.
//!
//! It keeps the last entries for others; who needs older ones gets the whole ledger. The coordinator also pushes
//! new entries to the members that do not hold the log, so that a target reaches them in one message.

use crate::codec;
use crate::ledger::Ledger;
use crate::out::Out;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::ledger::Command;
use rhizo_types::message::{CommittedEntry, Control, LogEntry};
use std::collections::VecDeque;

/// So many entries are kept for others: more than one node can miss between two heartbeats.
pub const HISTORY_MAX: usize = 512;
/// One answer has at most so many entries …
pub const BATCH_MAX: usize = 64;
/// … of so many bytes in all (a single one may be larger): a quarter of the overlay's frame of 1 MiB.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// A pull that got no answer is repeated, with whoever is ahead then, after this time.
const PULL_MS: u64 = 1_000;
/// The coordinator pushes to at most so many members; the others learn from heartbeats.
const PUSH_MAX: usize = 64;

/// The last entries, and what is being pulled.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CatchUp {
    history: VecDeque<CommittedEntry>,
    /// From whom entries are being pulled, and until when an answer is waited for.
    pulling: Option<(NodeId, Time)>,
    /// How far this node has pushed to others, while it coordinates.
    pushed: u64,
}

impl CatchUp {
    /// Keeps an applied entry for others.
    pub(crate) fn keep(&mut self, entry: CommittedEntry) {
        self.history.push_back(entry);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    /// A snapshot replaced the ledger: what was kept does not lead up to it.
    pub(crate) fn clear(&mut self) {
        self.history.clear();
    }

    /// Another node is known to have applied `index`.
    pub(crate) fn peer_is_at(&mut self, peer: NodeId, index: u64, ledger: &Ledger, now: Time, out: &mut Out) {
        let waiting = self.pulling.is_some_and(|(_, until)| now < until);
        if index > ledger.index && !waiting {
            self.pulling = Some((peer, now.after_ms(PULL_MS)));
            out.control(peer, Control::Pull { after: ledger.index });
        }
    }

    /// An answer came (whatever it brought).
    pub(crate) fn answered(&mut self, from: NodeId) {
        if self.pulling.is_some_and(|(peer, _)| peer == from) {
            self.pulling = None;
        }
    }

    /// Answers a pull.
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

    /// The kept entries after `after`, in one bounded batch; none when they do not reach back that far.
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

    /// As coordinator: sends what is new to members that do not hold the log.
    pub(crate) fn push_new(&mut self, me: NodeId, ledger: &Ledger, out: &mut Out) {
        if self.pushed >= ledger.index {
            return;
        }
        let entries = self.batch(self.pushed.max(ledger.index.saturating_sub(BATCH_MAX as u64)));
        self.pushed = ledger.index;
        let Some(entries) = entries else { return };
        let holds_log = |node: &NodeId| ledger.voters.contains(node) || ledger.learners.contains(node);
        let others = ledger.members.keys().filter(|node| **node != me && !holds_log(node)).copied();
        // Those whom these entries take off the roster hear it now or only when they are refused.
        let gone = entries.iter().flat_map(departing).filter(|node| *node != me && !holds_log(node));
        for node in gone.chain(others.take(PUSH_MAX)) {
            out.control(node, Control::Entries(entries.clone()));
        }
    }
}

/// The members that an entry takes off the roster.
fn departing(entry: &CommittedEntry) -> Vec<NodeId> {
    match &entry.entry {
        LogEntry::Command(Command::Leave { node }) => vec![*node],
        LogEntry::Command(Command::Dead { nodes }) => nodes.keys().copied().collect(),
        _ => Vec::new(),
    }
}
