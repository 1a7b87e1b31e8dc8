//! The thread that owns a store's database: it commits the waiting writes, and survives a disk that refuses to write.
//!
//! Every commit is synced before it is acknowledged; writes that arrive meanwhile share the next commit. If the disk is
//! full, read-only or faulty, the thread acknowledges no write and drops none: it keeps the writes in order, publishes
//! a [`StorageFault`], and tries again at growing intervals until the disk works. The engine then continues where it
//! stopped. Writes fail for good only if the file is damaged, or if the member is stopped while the disk fails.

use super::change::{Acknowledge, Write};
use super::database::{self, BALLOT, COMMITTED, ENTRIES, HEAD, PURGED, Place, SINGLES, SNAPSHOT, STATE};
use super::fault::StoreFault;
use super::mirror::Mirror;
use crate::error::OpenError;
use crate::status::StorageFault;
use crate::wire::{Kept, Position, encode};
use redb::{Database, WriteTransaction};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Writes that may wait for the disk; beyond this number the engine itself waits.
const WRITES_WAITING_MAX: usize = 256;

/// First pause before a failed commit is tried again: long enough that a full disk costs no processor time.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// Longest pause. The member resumes within this time after the disk has room again.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A commit that takes longer is logged as a warning: the disk is overloaded or failing.
const SLOW: Duration = Duration::from_secs(2);

/// Sends changes to the thread that owns the database; clones share it.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Task>,
    stopping: Arc<AtomicBool>,
    thread: Thread,
    fault: watch::Receiver<Option<StorageFault>>,
}

enum Task {
    Write(Write, Acknowledge),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Opens the database at `place`, reads it, and starts its thread.
    ///
    /// # Errors
    /// As [`database::open`].
    pub(super) fn open(place: Place, must_exist: bool) -> Result<(Self, Mirror), OpenError> {
        let (database, mirror) = database::open(&place, must_exist)?;
        let (queue, tasks) = mpsc::channel(WRITES_WAITING_MAX);
        let (fault_sender, fault) = watch::channel(None);
        let stopping = Arc::new(AtomicBool::new(false));
        let dir = place.dir.clone();
        let owner = Owner {
            place,
            database: Some(database),
            tasks,
            committed: None,
            stopping: Arc::clone(&stopping),
            fault: fault_sender,
        };
        let thread = thread::Builder::new()
            .name("rhizo-log-store".to_owned())
            .spawn(move || owner.run())
            .map_err(|source| OpenError::Directory { dir, source })?
            .thread()
            .clone();
        Ok((Self { queue, stopping, thread, fault }, mirror))
    }

    pub(super) async fn send(&self, write: Write, acknowledge: Acknowledge) -> io::Result<()> {
        let task = Task::Write(write, acknowledge);
        self.queue.send(task).await.map_err(|_| io::Error::other("the store is closed"))
    }

    /// Watches why the disk cannot be written at the moment; `None` while it can.
    pub(super) fn fault(&self) -> watch::Receiver<Option<StorageFault>> {
        self.fault.clone()
    }

    /// Makes writes that wait for a failing disk fail now; a working disk is not affected.
    pub(super) fn give_up(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }

    pub(super) async fn close(&self) {
        self.give_up();
        let (done, closed) = oneshot::channel();
        if self.queue.send(Task::Close(done)).await.is_ok() {
            // An error means that the thread ended without answering; then the database is closed too.
            let _ = closed.await;
        }
    }
}

/// The state of the thread.
struct Owner {
    place: Place,
    /// `None` after a failed write, until the file could be opened again.
    database: Option<Database>,
    tasks: mpsc::Receiver<Task>,
    /// The newest commit index that is not on the disk yet.
    committed: Option<Position>,
    stopping: Arc<AtomicBool>,
    fault: watch::Sender<Option<StorageFault>>,
}

/// Writes that are committed together.
struct Batch {
    writes: Vec<(Write, Acknowledge)>,
    /// Receives a message after this batch, which is then the last one.
    closing: Option<oneshot::Sender<()>>,
}

impl Owner {
    /// Commits the waiting writes in batches and acknowledges them, until the store is closed.
    fn run(mut self) {
        let mut failed: Option<String> = None;
        while let Some(batch) = self.next_batch() {
            if failed.is_none() {
                let started = Instant::now();
                if let Err(fault) = self.commit_at_last(&batch) {
                    tracing::error!(dir = %self.place.dir.display(), error = %fault, "log store has failed");
                    failed = Some(fault.to_string());
                } else if started.elapsed() > SLOW {
                    let ms = started.elapsed().as_millis();
                    tracing::warn!(dir = %self.place.dir.display(), ms, "log store was slow to write");
                }
            }
            for (_, acknowledge) in batch.writes {
                acknowledge(failed.clone().map_or(Ok(()), |text| Err(io::Error::other(text))));
            }
            if let Some(done) = batch.closing {
                drop(self.database.take());
                // The caller of `close` may have stopped waiting.
                let _ = done.send(());
                return;
            }
        }
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch { writes: Vec::new(), closing: None };
        let mut next = self.tasks.blocking_recv();
        next.as_ref()?;
        while let Some(task) = next {
            match task {
                Task::Write(write, acknowledge) => batch.writes.push((write, acknowledge)),
                Task::Close(done) => {
                    batch.closing = Some(done);
                    break;
                }
            }
            next = if batch.writes.len() < WRITES_WAITING_MAX { self.tasks.try_recv().ok() } else { None };
        }
        Some(batch)
    }

    /// Commits a batch, with as many attempts as the disk needs.
    ///
    /// # Errors
    /// When the file is damaged, or the member is being stopped while the disk fails.
    fn commit_at_last(&mut self, batch: &Batch) -> Result<(), StoreFault> {
        let mut pause = RETRY_MIN;
        loop {
            let fault = match self.commit(batch) {
                Ok(()) => {
                    if self.fault.send_replace(None).is_some() {
                        tracing::info!(dir = %self.place.dir.display(), "log store writes again");
                    }
                    return Ok(());
                }
                Err(StoreFault::Io(fault)) => fault,
                Err(lasting) => return Err(lasting),
            };
            // After a failed access the library refuses every further one, so the file is opened anew before the next
            // attempt.
            drop(self.database.take());
            if self.stopping.load(Ordering::Relaxed) || self.tasks.is_closed() {
                return Err(StoreFault::Io(fault));
            }
            let told = StorageFault { dir: self.place.dir.clone(), problem: fault.to_string() };
            if self.fault.send_replace(Some(told)).is_none() {
                tracing::warn!(dir = %self.place.dir.display(), error = %fault, "log store cannot write, retrying");
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Commits a batch once. A batch that only changes the commit index is deferred to the next one, unless the store
    /// is closing.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreFault> {
        let mut committed = self.committed;
        let mut worth_a_sync = false;
        for (write, _) in &batch.writes {
            match write {
                Write::Committed(at) => committed = *at,
                _ => worth_a_sync = true,
            }
        }
        if worth_a_sync || (batch.closing.is_some() && committed.is_some()) {
            let database = match &mut self.database {
                Some(database) => database,
                none => none.insert(database::renew(&self.place)?),
            };
            let transaction = database.begin_write()?;
            if let Some(at) = committed.take() {
                transaction.open_table(SINGLES)?.insert(COMMITTED, encode(&Kept::Position(at)).as_slice())?;
            }
            for (write, _) in &batch.writes {
                apply(&transaction, write)?;
            }
            transaction.commit()?;
        }
        self.committed = committed;
        Ok(())
    }
}

fn apply(transaction: &WriteTransaction, write: &Write) -> Result<(), StoreFault> {
    match write {
        Write::Committed(_) => {}
        Write::Ballot(ballot) => {
            transaction.open_table(SINGLES)?.insert(BALLOT, encode(&Kept::Ballot(*ballot)).as_slice())?;
        }
        Write::Append(records) => {
            let mut entries = transaction.open_table(ENTRIES)?;
            for record in records {
                entries.insert(record.at.index, encode(&Kept::Entry(record.clone())).as_slice())?;
            }
        }
        Write::Truncate(last) => {
            let next = last.map_or(0, |index| index + 1);
            transaction.open_table(ENTRIES)?.retain_in(next.., |_, _| false)?;
        }
        Write::Purge(at) => {
            transaction.open_table(ENTRIES)?.retain_in(..=at.index, |_, _| false)?;
            transaction.open_table(SINGLES)?.insert(PURGED, encode(&Kept::Position(*at)).as_slice())?;
        }
        Write::Snapshot((head, state)) => {
            let mut snapshot = transaction.open_table(SNAPSHOT)?;
            snapshot.insert(HEAD, encode(&Kept::SnapshotHead(head.clone())).as_slice())?;
            snapshot.insert(STATE, state.as_ref())?;
        }
    }
    Ok(())
}
