//! The store of one member: its vote, its log and its last snapshot.
//!
//! The log after the last purge is mirrored in memory, so reads touch no disk. It is short, because a snapshot is taken
//! every thousand entries or so. The database is read only when the store is opened. A thread of its own makes the
//! writes in their order and acknowledges them after they are synced, so the task that drives the engine never waits in
//! a system call. A disk that refuses to write delays the acknowledgement and loses nothing.
//!
//! Read next: `mirror.rs`, `writer.rs`, `database.rs`, then `engine_store.rs`, which is the engine's view of the store.

mod change;
mod database;
mod engine_store;
mod fault;
mod file;
mod mirror;
mod writer;

use crate::config::{LogConfig, Storage};
use crate::convert;
use crate::engine::LogEntry;
use crate::error::{BeginError, OpenError, ReplayError};
use crate::status::StorageFault;
use crate::wire::{Ballot, Position};
pub(crate) use change::KeptSnapshot;
use change::{Acknowledge, Write};
use database::Place;
use mirror::Mirror;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};
use writer::Writer;

/// The store of one member; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    mirror: Arc<Mutex<Mirror>>,
    disk: Option<Writer>,
}

impl Store {
    /// Opens or makes the store that `config` asks for.
    pub(crate) fn open(config: &LogConfig) -> Result<Self, OpenError> {
        let (mirror, disk) = match &config.storage {
            Storage::Memory => (Mirror::default(), None),
            Storage::Disk { dir, must_exist } => {
                let place = Place { dir: dir.clone(), node: config.id, lineage: config.lineage };
                let (writer, mirror) = Writer::open(place, *must_exist)?;
                (mirror, Some(writer))
            }
        };
        Ok(Self { mirror: Arc::new(Mutex::new(mirror)), disk })
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        // No code panics while it holds this lock. If one did, the mirror would still hold the last completed change.
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a change to the writer; `acknowledge` is called when it is durable.
    async fn write(&self, write: Write, acknowledge: Acknowledge) -> io::Result<()> {
        match &self.disk {
            Some(writer) => writer.send(write, acknowledge).await,
            None => {
                acknowledge(Ok(()));
                Ok(())
            }
        }
    }

    /// Hands a change to the writer and waits until it is durable.
    async fn write_through(&self, write: Write) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        let acknowledge = Box::new(move |result| {
            // The engine may have stopped waiting; the write still keeps its place in the order.
            let _ = done.send(result);
        });
        self.write(write, acknowledge).await?;
        durable.await.map_err(|_| io::Error::other("the store was closed"))?
    }

    /// Bytes of all commands in the log.
    pub(crate) fn log_bytes(&self) -> usize {
        self.mirror().command_bytes()
    }

    /// The place of the last entry, or of the snapshot that the log begins with.
    pub(crate) fn last(&self) -> Option<Position> {
        let mirror = self.mirror();
        mirror.last().map(|entry| convert::position(entry.log_id)).or(mirror.purged)
    }

    /// The last snapshot.
    pub(crate) fn snapshot(&self) -> Option<KeptSnapshot> {
        self.mirror().snapshot.clone()
    }

    /// Replaces the last snapshot, durably.
    pub(crate) async fn keep_snapshot(&self, snapshot: KeptSnapshot) -> io::Result<()> {
        self.write_through(Write::Snapshot(snapshot.clone())).await?;
        self.mirror().snapshot = Some(snapshot);
        Ok(())
    }

    /// Watches why the disk cannot be written at the moment; `None` while it can.
    pub(crate) fn fault(&self) -> watch::Receiver<Option<StorageFault>> {
        match &self.disk {
            Some(writer) => writer.fault(),
            None => watch::channel(None).1,
        }
    }

    /// Makes writes that wait for a failing disk fail now, so that the engine can stop.
    pub(crate) fn give_up(&self) {
        if let Some(writer) = &self.disk {
            writer.give_up();
        }
    }

    /// Writes all pending changes, closes the database and ends its thread.
    pub(crate) async fn close(&self) {
        if let Some(writer) = &self.disk {
            writer.close().await;
        }
    }
}

/// The whole content of a store on the disk.
pub(crate) struct Stored {
    pub(crate) ballot: Option<Ballot>,
    pub(crate) committed: Option<Position>,
    pub(crate) snapshot: Option<KeptSnapshot>,
    mirror: Mirror,
}

impl Stored {
    /// The entries that the last purge left, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &LogEntry> {
        self.mirror.read(0..u64::MAX)
    }
}

/// Reads the store of a member that does not run.
pub(crate) fn read(config: &LogConfig) -> Result<Stored, ReplayError> {
    let Storage::Disk { dir, .. } = &config.storage else { return Err(ReplayError::InMemory) };
    let place = Place { dir: dir.clone(), node: config.id, lineage: config.lineage };
    let (_closed_at_return, mut mirror) = database::open(&place, true)?;
    let (ballot, committed) = (mirror.ballot, mirror.committed);
    Ok(Stored { ballot, committed, snapshot: mirror.snapshot.take(), mirror })
}

/// Makes a store that holds a vote and a snapshot, in place of the one that is there.
pub(crate) fn begin(config: &LogConfig, ballot: Ballot, snapshot: &KeptSnapshot) -> Result<(), BeginError> {
    let Storage::Disk { dir, .. } = &config.storage else { return Err(BeginError::InMemory) };
    let place = Place { dir: dir.clone(), node: config.id, lineage: config.lineage };
    Ok(database::begin(&place, ballot, snapshot)?)
}

#[cfg(test)]
mod tests;
