//! The part of the store that is on the disk: one redb database, written by one thread.
//!
//! Every commit is synced before anyone is told; writes that wait meanwhile share the next commit. A
//! marker names the lineage and the node the database was made for: it is part of the database, so both are
//! there or neither is, and a store of another node, another lineage, or none where one is expected, is refused.

use super::mirror::Mirror;
use super::{Acknowledge, KeptSnapshot, Write};
use crate::convert;
use crate::error::{EngineFault, OpenError};
use crate::wire::{Kept, Position, decode, encode};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use rhizo_types::{Lineage, NodeId};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

const FILE: &str = "log.redb";
/// The log is mirrored in memory, so the database needs little more than the pages of one commit.
const CACHE_BYTES: usize = 2 * 1024 * 1024;
/// Writes that may wait for the disk; the engine itself waits when there are more.
const WRITES_WAITING_MAX: usize = 256;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const SINGLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("singles");
const SNAPSHOT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshot");

const MARKER: &str = "marker";
const BALLOT: &str = "ballot";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";
const HEAD: &str = "head";
const STATE: &str = "state";

/// Sends changes to the thread that owns the database; clones share it.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Task>,
}

enum Task {
    Write(Write, Acknowledge),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(super) async fn send(&self, write: Write, acknowledge: Acknowledge) -> io::Result<()> {
        let task = Task::Write(write, acknowledge);
        self.queue.send(task).await.map_err(|_| io::Error::other("the store is closed"))
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Task::Close(done)).await.is_ok() {
            // An error means that the thread ended without answering; then the database is closed too.
            let _ = closed.await;
        }
    }
}

/// Opens the database in `dir`, or makes it unless it `must_exist`, and reads it.
pub(super) fn open(
    dir: &Path,
    must_exist: bool,
    node: NodeId,
    lineage: Lineage,
) -> Result<(Writer, Mirror), OpenError> {
    let fault = |source: EngineFault| OpenError::Store { dir: dir.to_owned(), source };
    let missing = || OpenError::StoreMissing { node, dir: dir.to_owned() };
    let path = dir.join(FILE);
    if must_exist && !path.exists() {
        return Err(missing());
    }
    let directory = |source| OpenError::Directory { dir: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(directory)?;
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create(&path)
        .map_err(|e| fault(EngineFault::new(&e)))?;
    match read_marker(&database).map_err(fault)? {
        Some((found_lineage, found_node)) if (found_lineage, found_node) != (lineage, node) => {
            return Err(OpenError::StoreForeign { dir: dir.to_owned(), found_node, found_lineage });
        }
        Some(_) => {}
        None if must_exist => return Err(missing()),
        None => {
            write_marker(&database, lineage, node).map_err(|e| fault(EngineFault::new(&e)))?;
            // The new file's name must survive a power cut like its contents.
            std::fs::File::open(dir).and_then(|opened| opened.sync_all()).map_err(directory)?;
        }
    }
    let mirror = read_all(&database).map_err(fault)?;
    let (queue, tasks) = mpsc::channel(WRITES_WAITING_MAX);
    std::thread::Builder::new()
        .name("rhizo-log-store".to_owned())
        .spawn(move || write_until_closed(database, tasks))
        .map_err(directory)?;
    Ok((Writer { queue }, mirror))
}

fn contradiction(what: &str) -> EngineFault {
    EngineFault(format!("the store contradicts itself: {what}"))
}

fn kept(bytes: &[u8], what: &str) -> Result<Kept, EngineFault> {
    decode(bytes).ok_or_else(|| contradiction(what))
}

/// The marker, unless the database is new.
fn read_marker(database: &Database) -> Result<Option<(Lineage, NodeId)>, EngineFault> {
    let read = database.begin_read().map_err(|e| EngineFault::new(&e))?;
    let singles = match read.open_table(SINGLES) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(fault) => return Err(EngineFault::new(&fault)),
    };
    let Some(value) = singles.get(MARKER).map_err(|e| EngineFault::new(&e))? else { return Ok(None) };
    match kept(value.value(), MARKER)? {
        Kept::Marker { lineage, node, .. } => Ok(Some((lineage, NodeId(node)))),
        _ => Err(contradiction(MARKER)),
    }
}

/// Makes the tables and the marker in one commit.
fn write_marker(database: &Database, lineage: Lineage, node: NodeId) -> Result<(), redb::Error> {
    let created_unix_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let marker = encode(&Kept::Marker { lineage, node: node.0, created_unix_ms });
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(SNAPSHOT)?;
    transaction.open_table(SINGLES)?.insert(MARKER, marker.as_slice())?;
    transaction.commit()?;
    Ok(())
}

/// Reads the whole database.
fn read_all(database: &Database) -> Result<Mirror, EngineFault> {
    let mut mirror = Mirror::default();
    let read = database.begin_read().map_err(|e| EngineFault::new(&e))?;
    let singles = read.open_table(SINGLES).map_err(|e| EngineFault::new(&e))?;
    for row in singles.iter().map_err(|e| EngineFault::new(&e))? {
        let (key, value) = row.map_err(|e| EngineFault::new(&e))?;
        match (key.value(), kept(value.value(), key.value())?) {
            (MARKER, Kept::Marker { .. }) => {}
            (BALLOT, Kept::Ballot(ballot)) => mirror.ballot = Some(ballot),
            (COMMITTED, Kept::Position(at)) => mirror.committed = Some(at),
            (PURGED, Kept::Position(at)) => mirror.purge(at),
            (key, _) => return Err(contradiction(key)),
        }
    }
    let entries = read.open_table(ENTRIES).map_err(|e| EngineFault::new(&e))?;
    for row in entries.iter().map_err(|e| EngineFault::new(&e))? {
        let (key, value) = row.map_err(|e| EngineFault::new(&e))?;
        let Kept::Entry(record) = kept(value.value(), "an entry")? else {
            return Err(contradiction("an entry"));
        };
        let entry = convert::entry(record).ok_or_else(|| contradiction("the members in an entry"))?;
        if entry.log_id.index != key.value() || !mirror.append(entry) {
            return Err(contradiction("a hole in the log"));
        }
    }
    if mirror.first() != mirror.purged.map_or(0, |at| at.index + 1) {
        return Err(contradiction("the log does not start where it should"));
    }
    mirror.snapshot = read_snapshot(&read)?;
    Ok(mirror)
}

fn read_snapshot(read: &redb::ReadTransaction) -> Result<Option<KeptSnapshot>, EngineFault> {
    let table = read.open_table(SNAPSHOT).map_err(|e| EngineFault::new(&e))?;
    let head = table.get(HEAD).map_err(|e| EngineFault::new(&e))?;
    let state = table.get(STATE).map_err(|e| EngineFault::new(&e))?;
    match (head, state) {
        (None, None) => Ok(None),
        (Some(head), Some(state)) => match kept(head.value(), HEAD)? {
            Kept::SnapshotHead(head) => Ok(Some((head, state.value().into()))),
            _ => Err(contradiction(HEAD)),
        },
        _ => Err(contradiction("half a snapshot")),
    }
}

/// The writer's thread: takes what waits, commits it once, tells everyone.
fn write_until_closed(database: Database, mut tasks: mpsc::Receiver<Task>) {
    let mut committed = None;
    let mut failed: Option<(io::ErrorKind, String)> = None;
    while let Some(first) = tasks.blocking_recv() {
        let mut writes = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(task) = next {
            match task {
                Task::Write(write, acknowledge) => writes.push((write, acknowledge)),
                Task::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            next = if writes.len() < WRITES_WAITING_MAX { tasks.try_recv().ok() } else { None };
        }
        if failed.is_none()
            && let Err(fault) = commit(&database, &writes, &mut committed, closing.is_some())
        {
            // After a failed sync nobody knows what is on the disk: nothing is acknowledged from here on.
            tracing::error!(error = %fault, "log store cannot write");
            failed = Some((io::ErrorKind::Other, fault.to_string()));
        }
        for (_, acknowledge) in writes {
            acknowledge(failed.clone().map_or(Ok(()), |(kind, text)| Err(io::Error::new(kind, text))));
        }
        if let Some(done) = closing {
            drop(database);
            // Nobody may be waiting: a dropped member closes its store too.
            let _ = done.send(());
            return;
        }
    }
}

/// Commits `writes` together, unless they are hints alone and the store stays open.
fn commit(
    database: &Database,
    writes: &[(Write, Acknowledge)],
    committed: &mut Option<Position>,
    closing: bool,
) -> Result<(), redb::Error> {
    let mut worth_a_sync = closing && committed.is_some();
    for (write, _) in writes {
        match write {
            Write::Committed(at) => *committed = *at,
            _ => worth_a_sync = true,
        }
    }
    if !worth_a_sync {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    if let Some(at) = committed.take() {
        transaction.open_table(SINGLES)?.insert(COMMITTED, encode(&Kept::Position(at)).as_slice())?;
    }
    for (write, _) in writes {
        apply(&transaction, write)?;
    }
    transaction.commit()?;
    Ok(())
}

fn apply(transaction: &WriteTransaction, write: &Write) -> Result<(), redb::Error> {
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
