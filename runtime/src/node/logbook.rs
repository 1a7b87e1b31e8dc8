//! The node's part of the replicated log: opening it when it is needed, what is applied, how others are reached.
//!
//! Entries go to the event loop in order, with nothing looked at but their form. What they mean is the core's.

use rhizo_log::{
    BoxFuture, CallError, Entry, LogConfig, LogNode, Machine, OpenError, RestoreError, Storage, Timers,
};
use rhizo_overlay::{Class, Overlay, RequestError};
use rhizo_protocol::codec;
use rhizo_protocol::event::{Event, LogStatus};
use rhizo_protocol::ledger::Ledger;
use rhizo_types::message::LogEntry;
use rhizo_types::{Lineage, NodeId, PeerKey, Term, ledger};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// Which key each member has, for the log's messages; replaced whenever the ledger changes.
pub(crate) type Directory = Arc<RwLock<BTreeMap<NodeId, PeerKey>>>;

/// The log's timers for an overlay's timers.
pub(crate) fn timers(timers: &ledger::Timers) -> Timers {
    Timers {
        heartbeat_ms: timers.raft_heartbeat_ms,
        election_ms_min: timers.raft_election_ms_min,
        election_ms_max: timers.raft_election_ms_max,
    }
}

/// The log, open or not, and the queue of what it commits.
pub(crate) struct Logbook {
    me: NodeId,
    dir: PathBuf,
    overlay: Overlay,
    directory: Directory,
    log: Option<LogNode>,
    entries: mpsc::UnboundedSender<Event>,
}

impl Logbook {
    /// Not open yet. Committed entries will go to `entries`: the log applies no faster than it receives, and
    /// receives no more than its own bounded queues hold, so that this queue needs no bound of its own.
    pub(crate) fn new(
        me: NodeId,
        dir: &Path,
        overlay: Overlay,
        directory: Directory,
        entries: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self { me, dir: dir.join("raft"), overlay, directory, log: None, entries }
    }

    /// The log, if it is open.
    pub(crate) fn log(&self) -> Option<&LogNode> {
        self.log.as_ref()
    }

    /// Opens the log of this node.
    pub(crate) async fn open(&mut self, lineage: Lineage, timers: Timers) -> Result<LogNode, OpenError> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        // A host's node never restarts: its directory is new, and a store in it would be somebody else's.
        let storage = Storage::Disk { dir: self.dir.clone(), must_exist: false };
        let config = LogConfig::new(self.me, lineage, storage, timers);
        let machine = Applied { ledger: Ledger::default(), entries: self.entries.clone() };
        let transport = Links { overlay: self.overlay.clone(), directory: self.directory.clone() };
        let log = LogNode::open(config, Box::new(machine), Arc::new(transport)).await?;
        self.log = Some(log.clone());
        Ok(log)
    }

    /// Stops the log, if it is open.
    pub(crate) async fn close(&mut self) {
        if let Some(log) = self.log.take() {
            log.shutdown().await;
        }
    }
}

/// The log's own status in the core's words.
pub(crate) fn status(status: &rhizo_log::LogStatus) -> LogStatus {
    LogStatus {
        term: status.term,
        leader: status.leader,
        quorum: status.quorum,
        last_index: status.last_log.unwrap_or(0),
        voters: status.voters.clone(),
        changing: status.joint,
        learners: status.learners.clone(),
        matched: status.matched.iter().filter_map(|(node, index)| Some((*node, (*index)?))).collect(),
    }
}

/// Keeps the ledger as the log's snapshots need it, and passes every entry on.
struct Applied {
    ledger: Ledger,
    entries: mpsc::UnboundedSender<Event>,
}

impl Machine for Applied {
    fn apply(&mut self, index: u64, term: Term, entry: Entry<'_>) {
        let entry = match entry {
            Entry::Blank => LogEntry::Blank,
            Entry::Command(bytes) => codec::decode_entry(bytes),
            Entry::Membership { voters, learners, .. } => LogEntry::Membership { voters, learners },
        };
        // The outcome is the core's business; the ledger here only has to be the same.
        let _applied = self.ledger.apply(index, term, &entry);
        let _loop_ended = self.entries.send(Event::Committed { index, term, entry });
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
        let _loop_ended = self.entries.send(Event::Restored(Box::new(self.ledger.clone())));
        Ok(())
    }
}

/// Carries the log's messages over the overlay's links.
struct Links {
    overlay: Overlay,
    directory: Directory,
}

impl rhizo_log::Transport for Links {
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<Result<Vec<u8>, CallError>> {
        let key = self.directory.read().unwrap_or_else(PoisonError::into_inner).get(&target).copied();
        let overlay = self.overlay.clone();
        Box::pin(async move {
            let key = key.ok_or(CallError::Unreachable)?;
            overlay.request(key, Class::Raft, request, timeout).await.map_err(|error| match error {
                RequestError::NotSent(_) | RequestError::TooMany => CallError::Unreachable,
                RequestError::TimedOut => CallError::Timeout,
                RequestError::LinkLost | RequestError::Declined => CallError::Refused(error.to_string()),
            })
        })
    }
}
