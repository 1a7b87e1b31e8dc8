//! The store against the engine's own conformance suite, and against restarts.

use super::file::faults::{Fault, fail};
use super::*;
use crate::config::Timers;
use crate::engine::{Command, Engine, LogEntry, LogId, Payload, Vote};
use crate::machine::{Entry, Machine, RestoreError};
use crate::member::Member;
use crate::wire::{Members, Position, SnapshotHead};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{RaftLogReader, StorageError};
use rhizo_types::{Lineage, NodeId, Term};
use std::path::Path;

/// A machine whose state is the number of entries it has applied.
struct Counter(u64);

impl Machine for Counter {
    fn apply(&mut self, _index: u64, _term: Term, _entry: Entry<'_>) {
        self.0 += 1;
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&mut self, _index: u64, _term: Term, bytes: &[u8]) -> Result<(), RestoreError> {
        let wrong = |_| RestoreError { bytes: bytes.len(), reason: "not a count".to_owned() };
        self.0 = u64::from_le_bytes(bytes.try_into().map_err(wrong)?);
        Ok(())
    }
}

fn config(dir: &Path, must_exist: bool) -> LogConfig {
    let storage = Storage::Disk { dir: dir.to_owned(), must_exist };
    LogConfig::new(NodeId(1), Lineage(1), storage, Timers::LOCAL)
}

struct OnDisk;

impl StoreBuilder<Engine, Store, Member, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, Store, Member), StorageError<Engine>> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&config(dir.path(), false)).unwrap();
        let member = Member::new(Box::new(Counter(0)), store.clone());
        Ok((dir, store, member))
    }
}

struct InMemory;

impl StoreBuilder<Engine, Store, Member, ()> for InMemory {
    async fn build(&self) -> Result<((), Store, Member), StorageError<Engine>> {
        let config = LogConfig::new(NodeId(1), Lineage(1), Storage::Memory, Timers::LOCAL);
        let store = Store::open(&config).unwrap();
        let member = Member::new(Box::new(Counter(0)), store.clone());
        Ok(((), store, member))
    }
}

#[tokio::test]
async fn the_store_on_disk_passes_the_engines_suite() {
    Suite::test_all(OnDisk).await.unwrap();
}

#[tokio::test]
async fn the_store_in_memory_passes_the_engines_suite() {
    Suite::test_all(InMemory).await.unwrap();
}

fn command(term: u64, index: u64) -> LogEntry {
    let bytes = index.to_le_bytes().to_vec();
    LogEntry { log_id: LogId::new_term_index(term, index), payload: Payload::Normal(Command(bytes.into())) }
}

async fn indices(store: &mut Store) -> Vec<(u64, u64)> {
    let entries = store.try_get_log_entries(..).await.unwrap();
    entries.into_iter().map(|entry| (entry.log_id.leader_id.term, entry.log_id.index)).collect()
}

#[tokio::test]
async fn every_change_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&config(dir.path(), false)).unwrap();
    store.save_vote(&Vote::new_committed(3, 7)).await.unwrap();
    store.blocking_append((0..10).map(|index| command(1, index))).await.unwrap();
    store.truncate_after(Some(LogId::new_term_index(1, 5))).await.unwrap();
    store.blocking_append([command(3, 6), command(3, 7)]).await.unwrap();
    store.purge(LogId::new_term_index(1, 2)).await.unwrap();
    store.save_committed(Some(LogId::new_term_index(3, 6))).await.unwrap();
    let here = Position { term: 1, index: 2 };
    let members = Members { voters: vec![[1].into()], nodes: [1].into() };
    let head = SnapshotHead { last: Some(here), members_at: Some(here), members };
    store.keep_snapshot((head.clone(), Arc::from([4, 5].as_slice()))).await.unwrap();
    store.close().await;
    assert!(store.save_vote(&Vote::new(4, 7)).await.is_err(), "a closed store takes nothing");

    let mut store = Store::open(&config(dir.path(), true)).unwrap();
    assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new_committed(3, 7)));
    assert_eq!(indices(&mut store).await, [(1, 3), (1, 4), (1, 5), (3, 6), (3, 7)]);
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(LogId::new_term_index(1, 2)));
    assert_eq!(state.last_log_id, Some(LogId::new_term_index(3, 7)));
    assert_eq!(store.read_committed().await.unwrap(), Some(LogId::new_term_index(3, 6)));
    assert_eq!(store.snapshot(), Some((head, Arc::from([4, 5].as_slice()))));
    store.close().await;
}

#[tokio::test]
async fn a_hole_in_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&config(dir.path(), false)).unwrap();
    store.blocking_append([command(1, 4), command(1, 5)]).await.unwrap();
    assert!(store.blocking_append([command(1, 7)]).await.is_err());
    assert!(store.blocking_append([command(1, 5)]).await.is_err());
    store.close().await;
    // A log whose beginning is missing is not opened either, unless a snapshot covers that part.
    assert!(matches!(Store::open(&config(dir.path(), true)), Err(OpenError::StoreDamaged { .. })));
}

#[tokio::test]
async fn messages_are_cut_by_size_and_never_empty() {
    let config = LogConfig::new(NodeId(1), Lineage(1), Storage::Memory, Timers::LOCAL);
    let mut store = Store::open(&config).unwrap();
    let large = |index| {
        let bytes = vec![0_u8; 100 * 1024];
        LogEntry { log_id: LogId::new_term_index(1, index), payload: Payload::Normal(Command(bytes.into())) }
    };
    store.blocking_append((0..5).map(large)).await.unwrap();
    assert_eq!(store.limited_get_log_entries(0, 5).await.unwrap().len(), 2);
    assert_eq!(store.limited_get_log_entries(4, 5).await.unwrap().len(), 1);
    let huge = LogEntry {
        log_id: LogId::new_term_index(1, 5),
        payload: Payload::Normal(Command(vec![0_u8; crate::wire::COMMAND_BYTES_MAX].into())),
    };
    store.blocking_append([huge]).await.unwrap();
    assert_eq!(store.limited_get_log_entries(5, 6).await.unwrap().len(), 1, "one is always sent");
}

#[test]
fn one_store_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Store::open(&config(dir.path(), false)).unwrap();
    assert!(
        matches!(Store::open(&config(dir.path(), true)), Err(OpenError::StoreInUse { .. })),
        "a second process"
    );
    runtime.block_on(store.close());
    let again = Store::open(&config(dir.path(), true)).unwrap();
    runtime.block_on(again.close());
}

/// Makes a store with a vote, some entries and a snapshot, closes it, and returns the bytes of its file.
async fn filled(dir: &Path) -> Vec<u8> {
    let mut store = Store::open(&config(dir, false)).unwrap();
    store.save_vote(&Vote::new_committed(3, 7)).await.unwrap();
    store.blocking_append((0..40).map(|index| command(1, index))).await.unwrap();
    let here = Position { term: 1, index: 9 };
    let members = Members { voters: vec![[1].into()], nodes: [1].into() };
    let head = SnapshotHead { last: Some(here), members_at: Some(here), members };
    store.keep_snapshot((head, Arc::from([4, 5].as_slice()))).await.unwrap();
    store.close().await;
    std::fs::read(dir.join("log.redb")).unwrap()
}

/// The contents of a store after a start: its vote, its entries, and whether it has a snapshot.
async fn contents(mut store: Store) -> (Option<Vote>, Vec<(u64, u64)>, bool) {
    let found = (store.read_vote().await.unwrap(), indices(&mut store).await, store.snapshot().is_some());
    store.close().await;
    found
}

#[tokio::test]
async fn a_damaged_store_is_told_and_never_opened_as_an_empty_or_a_shorter_one() {
    let dir = tempfile::tempdir().unwrap();
    let sound = filled(dir.path()).await;
    let path = dir.path().join("log.redb");
    let whole = contents(Store::open(&config(dir.path(), true)).unwrap()).await;
    let mut damaged = 0;
    // One quarter of every page is damaged in turn; further files are cut short.
    let torn = (0..sound.len()).step_by(1024).map(|at| {
        let mut bytes = sound.clone();
        bytes[at..at + 256].iter_mut().for_each(|byte| *byte ^= 0x5a);
        (format!("damaged at {at}"), bytes)
    });
    let cut = [0, 1, 100, 4096, sound.len() / 2].map(|end| (format!("cut at {end}"), sound[..end].to_vec()));
    let zeroed = [("all zero".to_owned(), vec![0; sound.len()])];
    for (what, bytes) in torn.chain(cut).chain(zeroed) {
        for must_exist in [true, false] {
            std::fs::write(&path, &bytes).unwrap();
            match Store::open(&config(dir.path(), must_exist)) {
                Err(OpenError::StoreDamaged { .. }) => damaged += 1,
                Err(other) => panic!("{what}: {other:?}"),
                // The damaged bytes were unused.
                Ok(store) => assert_eq!(contents(store).await, whole, "{what}"),
            }
        }
    }
    assert!(damaged >= 20, "only {damaged} of the damaged files were found out");
}

#[tokio::test]
async fn a_start_that_crashed_while_it_made_the_store_is_repeated() {
    for left in [&b""[..], b"half a header", &[0; 8192]] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log.redb.new"), left).unwrap();
        assert!(matches!(Store::open(&config(dir.path(), true)), Err(OpenError::StoreMissing { .. })));
        let store = Store::open(&config(dir.path(), false)).unwrap();
        store.close().await;
        assert!(!dir.path().join("log.redb.new").exists());
        Store::open(&config(dir.path(), true)).unwrap().close().await;
    }
}

#[tokio::test]
async fn writes_wait_for_a_failing_disk_in_order_and_none_is_lost() {
    for fault in [Fault::Write, Fault::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&config(dir.path(), false)).unwrap();
        store.blocking_append([command(1, 0)]).await.unwrap();
        let mut told = store.fault();
        fail(dir.path(), Some(fault));
        let mut engine = store.clone();
        let writing = tokio::spawn(async move {
            engine.save_vote(&Vote::new(2, 1)).await.unwrap();
            engine.blocking_append((1..5).map(|index| command(1, index))).await.unwrap();
            engine.truncate_after(Some(LogId::new_term_index(1, 2))).await.unwrap();
        });
        let seen = told.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert_eq!(seen.dir, dir.path());
        assert_eq!(store.read_vote().await.unwrap(), None, "a vote that is not durable cannot be read");
        fail(dir.path(), None);
        writing.await.unwrap();
        assert_eq!(*told.borrow(), None, "{fault:?}");
        store.close().await;
        let (vote, entries, _) = contents(Store::open(&config(dir.path(), true)).unwrap()).await;
        assert_eq!(vote, Some(Vote::new(2, 1)));
        assert_eq!(entries, [(1, 0), (1, 1), (1, 2)], "{fault:?}");
    }
}

#[tokio::test]
async fn after_a_failed_sync_the_whole_log_is_written_to_a_new_file() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&config(dir.path(), false)).unwrap();
    store.blocking_append([command(1, 0)]).await.unwrap();
    let inode = || std::fs::metadata(dir.path().join("log.redb")).unwrap().ino();
    let before = inode();
    let mut told = store.fault();
    fail(dir.path(), Some(Fault::Sync));
    let mut engine = store.clone();
    let writing = tokio::spawn(async move { engine.save_vote(&Vote::new(2, 1)).await });
    told.wait_for(Option::is_some).await.unwrap();
    fail(dir.path(), None);
    writing.await.unwrap().unwrap();
    assert_ne!(inode(), before, "the page cache of the old file may hold what its disk does not");
    store.close().await;
}

#[tokio::test]
async fn a_store_can_be_closed_while_its_disk_fails() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&config(dir.path(), false)).unwrap();
    let mut told = store.fault();
    fail(dir.path(), Some(Fault::Write));
    let mut engine = store.clone();
    let writing = tokio::spawn(async move { engine.save_vote(&Vote::new(2, 1)).await });
    told.wait_for(Option::is_some).await.unwrap();
    store.close().await;
    assert!(writing.await.unwrap().is_err(), "what was not written is not acknowledged");
    fail(dir.path(), None);
    let (vote, _, _) = contents(Store::open(&config(dir.path(), true)).unwrap()).await;
    assert_eq!(vote, None);
}
