//! The database file of a store: creates it whole, opens it only if it is sound, and replaces it after a fault.
//!
//! A marker names the lineage and the node that the database was made for. A new database is made beside its final name
//! and gets that name only when the marker is durable. So a file under the final name always has a marker, and a file
//! without one is damaged, never new. Every open verifies the whole file, which has a few megabytes at most.
//!
//! Read next: `writer.rs`, the thread that owns the database.

use super::change::KeptSnapshot;
use super::fault::StoreFault;
use super::file;
use super::mirror::Mirror;
use crate::convert;
use crate::error::OpenError;
use crate::wire::{Ballot, Kept, decode, encode};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use rhizo_types::{Lineage, NodeId};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

const FILE: &str = "log.redb";
/// The name of a database that is being made; a crash may leave it behind.
const FILE_UNFINISHED: &str = "log.redb.new";

pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
pub(super) const SINGLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("singles");
pub(super) const SNAPSHOT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("snapshot");

pub(super) const MARKER: &str = "marker";
pub(super) const BALLOT: &str = "ballot";
pub(super) const COMMITTED: &str = "committed";
pub(super) const PURGED: &str = "purged";
pub(super) const HEAD: &str = "head";
pub(super) const STATE: &str = "state";

/// The directory of a store, and the node and lineage that own it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) node: NodeId,
    pub(super) lineage: Lineage,
}

fn contradiction(what: &str) -> StoreFault {
    StoreFault::Damaged(format!("the store contradicts itself: {what}"))
}

impl Place {
    fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn unfinished(&self) -> PathBuf {
        self.dir.join(FILE_UNFINISHED)
    }

    /// Removes what an earlier attempt left.
    fn remove_unfinished(&self) -> Result<(), StoreFault> {
        match fs::remove_file(self.unfinished()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreFault::Io(error)),
            _ => Ok(()),
        }
    }

    /// Makes the directory's entries durable.
    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Opens the database at `place`, or makes it unless it `must_exist`, and reads all of it.
///
/// # Errors
/// When no database exists although one was expected; when the existing one is damaged, foreign, or open elsewhere;
/// when the directory or the file cannot be read or written.
pub(super) fn open(place: &Place, must_exist: bool) -> Result<(Database, Mirror), OpenError> {
    let dir = || place.dir.clone();
    let directory = |source| OpenError::Directory { dir: dir(), source };
    let exists = place.file().try_exists().map_err(directory)?;
    if !exists && must_exist {
        return Err(OpenError::StoreMissing { node: place.node, dir: dir() });
    }
    rhizo_private_files::create_dirs(&place.dir).map_err(directory)?;
    let opened = if exists { reopen(place) } else { make(place) };
    opened.map_err(|fault| open_error(place, fault))
}

fn open_error(place: &Place, fault: StoreFault) -> OpenError {
    let dir = place.dir.clone();
    match fault {
        StoreFault::Io(source) => OpenError::Store { dir, source },
        StoreFault::InUse => OpenError::StoreInUse { dir },
        StoreFault::Damaged(problem) => OpenError::StoreDamaged { node: place.node, dir, problem },
        StoreFault::Foreign { node: found_node, lineage: found_lineage } => {
            OpenError::StoreForeign { dir, found_node, found_lineage }
        }
    }
}

/// Makes a database that holds its marker, a vote and a snapshot, in place of the one that is there.
///
/// # Errors
/// When the directory or the file cannot be written.
pub(super) fn begin(place: &Place, ballot: Ballot, snapshot: &KeptSnapshot) -> Result<(), OpenError> {
    rhizo_private_files::create_dirs(&place.dir)
        .map_err(|source| OpenError::Directory { dir: place.dir.clone(), source })?;
    let begun = || -> Result<(), StoreFault> {
        let unfinished = place.unfinished();
        place.remove_unfinished()?;
        let database = file::open(&unfinished)?;
        let (head, state) = snapshot;
        let transaction = database.begin_write()?;
        transaction.open_table(ENTRIES)?;
        {
            let mut singles = transaction.open_table(SINGLES)?;
            singles.insert(MARKER, marker(place).as_slice())?;
            singles.insert(BALLOT, encode(&Kept::Ballot(ballot)).as_slice())?;
            if let Some(at) = head.last {
                singles.insert(COMMITTED, encode(&Kept::Position(at)).as_slice())?;
                singles.insert(PURGED, encode(&Kept::Position(at)).as_slice())?;
            }
            let mut kept = transaction.open_table(SNAPSHOT)?;
            kept.insert(HEAD, encode(&Kept::SnapshotHead(head.clone())).as_slice())?;
            kept.insert(STATE, &**state)?;
        }
        transaction.commit()?;
        drop(database);
        fs::rename(&unfinished, place.file()).and_then(|()| place.sync_names()).map_err(StoreFault::Io)
    };
    begun().map_err(|fault| open_error(place, fault))
}

/// The record that names the lineage and the node of a store.
fn marker(place: &Place) -> Vec<u8> {
    let created_unix_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    encode(&Kept::Marker { lineage: place.lineage, node: place.node.0, created_unix_ms })
}

/// Opens an existing database and reads all of it.
fn reopen(place: &Place) -> Result<(Database, Mirror), StoreFault> {
    // The library takes an empty file for a new database.
    if fs::metadata(place.file()).map_err(StoreFault::Io)?.len() == 0 {
        return Err(StoreFault::Damaged("the file is empty".to_owned()));
    }
    let database = file::open(&place.file())?;
    match read_marker(&database)? {
        Some((lineage, node)) if (lineage, node) != (place.lineage, place.node) => {
            return Err(StoreFault::Foreign { node, lineage });
        }
        Some(_) => {}
        None => return Err(StoreFault::Damaged("it does not tell whose it is".to_owned())),
    }
    let mirror = read_all(&database)?;
    Ok((database, mirror))
}

/// Makes a database that holds its marker and nothing else.
fn make(place: &Place) -> Result<(Database, Mirror), StoreFault> {
    let unfinished = place.unfinished();
    let database = match file::open(&unfinished) {
        // A start that crashed left this file. It never got its final name, so no write in it was acknowledged.
        Err(StoreFault::Damaged(_)) => {
            fs::remove_file(&unfinished).map_err(StoreFault::Io)?;
            file::open(&unfinished)?
        }
        other => other?,
    };
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(SNAPSHOT)?;
    transaction.open_table(SINGLES)?.insert(MARKER, marker(place).as_slice())?;
    transaction.commit()?;
    // Unlike a rename this fails when another process has made a store meanwhile.
    fs::hard_link(&unfinished, place.file())
        .and_then(|()| fs::remove_file(&unfinished))
        .and_then(|()| place.sync_names())
        .map_err(StoreFault::Io)?;
    Ok((database, Mirror::default()))
}

/// Opens a database whose last write failed, and copies it to a new file that takes its place.
///
/// After a failed sync the page cache may hold pages that the disk does not have: the old file could be read now and be
/// gone after a power cut. In the copy every page is written and synced anew. The last write is in the copy either
/// whole or not at all; writing it again has the same result in both cases.
///
/// # Errors
/// As [`open`]; the old file then remains in its place.
pub(super) fn renew(place: &Place) -> Result<Database, StoreFault> {
    let (old, _) = reopen(place)?;
    let unfinished = place.unfinished();
    place.remove_unfinished()?;
    let new = file::open(&unfinished)?;
    copy(&old, &new)?;
    drop(old);
    fs::rename(&unfinished, place.file()).and_then(|()| place.sync_names()).map_err(StoreFault::Io)?;
    Ok(new)
}

/// Copies all tables in one commit.
fn copy(old: &Database, new: &Database) -> Result<(), StoreFault> {
    let from = old.begin_read()?;
    let to = new.begin_write()?;
    {
        let mut entries = to.open_table(ENTRIES)?;
        for row in from.open_table(ENTRIES)?.iter()? {
            let (key, value) = row?;
            entries.insert(key.value(), value.value())?;
        }
        for table in [SINGLES, SNAPSHOT] {
            let mut copied = to.open_table(table)?;
            for row in from.open_table(table)?.iter()? {
                let (key, value) = row?;
                copied.insert(key.value(), value.value())?;
            }
        }
    }
    to.commit()?;
    Ok(())
}

fn kept(bytes: &[u8], what: &str) -> Result<Kept, StoreFault> {
    decode(bytes).ok_or_else(|| contradiction(what))
}

/// The marker, if there is one.
fn read_marker(database: &Database) -> Result<Option<(Lineage, NodeId)>, StoreFault> {
    let read = database.begin_read()?;
    let singles = match read.open_table(SINGLES) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let Some(value) = singles.get(MARKER)? else { return Ok(None) };
    match kept(value.value(), MARKER)? {
        Kept::Marker { lineage, node, .. } => Ok(Some((lineage, NodeId(node)))),
        _ => Err(contradiction(MARKER)),
    }
}

/// Reads the whole database.
fn read_all(database: &Database) -> Result<Mirror, StoreFault> {
    let mut mirror = Mirror::default();
    let read = database.begin_read()?;
    let singles = read.open_table(SINGLES)?;
    for row in singles.iter()? {
        let (key, value) = row?;
        match (key.value(), kept(value.value(), key.value())?) {
            (MARKER, Kept::Marker { .. }) => {}
            (BALLOT, Kept::Ballot(ballot)) => mirror.ballot = Some(ballot),
            (COMMITTED, Kept::Position(at)) => mirror.committed = Some(at),
            (PURGED, Kept::Position(at)) => mirror.purge(at),
            (key, _) => return Err(contradiction(key)),
        }
    }
    let entries = read.open_table(ENTRIES)?;
    for row in entries.iter()? {
        let (key, value) = row?;
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

fn read_snapshot(read: &redb::ReadTransaction) -> Result<Option<KeptSnapshot>, StoreFault> {
    let table = read.open_table(SNAPSHOT)?;
    match (table.get(HEAD)?, table.get(STATE)?) {
        (None, None) => Ok(None),
        (Some(head), Some(state)) => match kept(head.value(), HEAD)? {
            Kept::SnapshotHead(head) => Ok(Some((head, state.value().into()))),
            _ => Err(contradiction(HEAD)),
        },
        _ => Err(contradiction("half a snapshot")),
    }
}
