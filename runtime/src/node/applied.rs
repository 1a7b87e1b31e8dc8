//! The machine of this node's log: keeps the ledger of the committed entries, and passes every entry to the event loop.
//!
//! The ledger is the one that snapshots of the log are taken of. The core applies the same entries to a ledger of its
//! own. Read next: [`super::replicated_log`], which opens the log.

use rhizo_log::{Entry, Machine, RestoreError};
use rhizo_protocol::codec;
use rhizo_protocol::event::Event;
use rhizo_protocol::ledger::Ledger;
use rhizo_types::Term;
use rhizo_types::message::LogEntry;
use std::pin::Pin;
use tokio::sync::mpsc::{self, OwnedPermit};

/// Keeps the ledger that the log's snapshots are taken of, and passes every committed entry on.
pub(super) struct Applied {
    pub(super) ledger: Ledger,
    entries: mpsc::Sender<Event>,
    /// The place in the queue for the next event; taken before the log applies anything.
    place: Option<OwnedPermit<Event>>,
}

impl Applied {
    /// A machine that only keeps the ledger.
    pub(super) fn alone() -> Self {
        Self::new(mpsc::channel(1).0)
    }

    /// A machine that passes every entry to `entries`.
    pub(super) fn new(entries: mpsc::Sender<Event>) -> Self {
        Self { ledger: Ledger::default(), entries, place: None }
    }

    fn pass_on(&mut self, event: Event) {
        // The place is missing when the event loop has ended. Then the event has no reader.
        if let Some(place) = self.place.take() {
            let _sender = place.send(event);
        }
    }
}

impl Machine for Applied {
    fn ready(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.place.is_none() {
                self.place = self.entries.clone().reserve_owned().await.ok();
            }
        })
    }

    fn apply(&mut self, index: u64, term: Term, entry: Entry<'_>) {
        let entry = match entry {
            Entry::Blank => LogEntry::Blank,
            Entry::Command(bytes) => codec::decode_entry(bytes),
            Entry::Membership { voters, learners, .. } => LogEntry::Membership { voters, learners },
        };
        // The core applies the entry too and acts on the outcome. This ledger only has to stay equal.
        let _outcome = self.ledger.apply(index, term, &entry);
        self.pass_on(Event::Committed { index, term, entry });
    }

    fn snapshot(&self) -> Vec<u8> {
        codec::encode_ledger(&self.ledger)
    }

    fn restore(&mut self, _: u64, _: Term, bytes: &[u8]) -> Result<(), RestoreError> {
        let fault = |error: codec::DecodeError| RestoreError {
            bytes: bytes.len(),
            reason: crate::error::chain(&error),
        };
        self.ledger = codec::decode_ledger(bytes).map_err(fault)?;
        self.pass_on(Event::Restored(Box::new(self.ledger.clone())));
        Ok(())
    }
}
