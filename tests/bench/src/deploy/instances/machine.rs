//! The state machine of the bench's log, which splits long entries into pieces.
//!
//! An entry of the bench begins with one byte that says whether more of the same command follows. The command is
//! applied with the last piece, when all pieces are synced. As in a node, the machine keeps a ledger of its own for
//! snapshots, and passes everything on.

use rhizo_log::{BoxFuture, COMMAND_BYTES_MAX, CallError, Entry, LogNode, Machine, RestoreError, Transport};
use rhizo_protocol::{Event, Ledger, codec};
use rhizo_types::message::LogEntry;
use rhizo_types::{NodeId, Term};
use std::time::Duration;
use tokio::sync::mpsc;

const MORE: u8 = 1;
const LAST: u8 = 0;

/// Proposes a command and returns the index of its last piece; none when the outcome is not known.
pub(super) async fn propose(log: &LogNode, command: &[u8], patience: Duration) -> Option<u64> {
    let pieces: Vec<&[u8]> = command.chunks(COMMAND_BYTES_MAX - 1).collect();
    let mut index = None;
    for (number, piece) in (1..).zip(&pieces) {
        let mut bytes = Vec::with_capacity(piece.len() + 1);
        bytes.push(if number == pieces.len() { LAST } else { MORE });
        bytes.extend_from_slice(piece);
        index = Some(log.propose(bytes, patience).await.ok()?.index);
    }
    index
}

/// Keeps the ledger as the log's snapshots need it, and passes every entry on.
pub(super) struct Applied {
    ledger: Ledger,
    entries: mpsc::UnboundedSender<Event>,
    begun: Vec<u8>,
}

impl Applied {
    pub(super) fn new(ledger: Ledger, entries: mpsc::UnboundedSender<Event>) -> Self {
        Self { ledger, entries, begun: Vec::new() }
    }
}

impl Machine for Applied {
    fn apply(&mut self, index: u64, term: Term, entry: Entry<'_>) {
        let entry = match entry {
            Entry::Blank => LogEntry::Blank,
            Entry::Membership { voters, learners, .. } => LogEntry::Membership { voters, learners },
            Entry::Command(bytes) => {
                let (flag, piece) = bytes.split_first().unwrap_or((&LAST, &[]));
                self.begun.extend_from_slice(piece);
                if *flag == MORE {
                    LogEntry::Blank
                } else {
                    codec::decode_entry(&std::mem::take(&mut self.begun))
                }
            }
        };
        let _applied = self.ledger.apply(index, term, &entry);
        let _loop_ended = self.entries.send(Event::Committed { index, term, entry });
    }

    fn snapshot(&self) -> Vec<u8> {
        codec::encode_ledger(&self.ledger)
    }

    fn restore(&mut self, _: u64, _: Term, bytes: &[u8]) -> Result<(), RestoreError> {
        let reason = "this log is never opened twice".to_owned();
        Err(RestoreError { bytes: bytes.len(), reason })
    }
}

/// There are no other members.
pub(super) struct Nobody;

impl Transport for Nobody {
    fn call(&self, _: NodeId, _: Vec<u8>, _: Duration) -> BoxFuture<Result<Vec<u8>, CallError>> {
        Box::pin(async { Err(CallError::Unreachable) })
    }
}
