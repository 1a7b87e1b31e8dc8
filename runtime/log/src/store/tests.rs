//! The store against the engine's own conformance suite, and against restarts.

use super::*;
use crate::config::Timers;
use crate::engine::{Command, Engine, LogEntry, LogId, Payload, Vote};
use crate::machine::{Entry, Machine, RestoreError};
use crate::member::Member;
use crate::wire::Members;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{RaftLogReader, StorageError};
use rhizo_types::{Lineage, NodeId, Term};
use std::path::Path;

/// A machine whose state is how many entries it has applied.
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
    // Nor is a log read whose beginning is gone, although no snapshot covers it.
    assert!(matches!(Store::open(&config(dir.path(), true)), Err(OpenError::Store { .. })));
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
        matches!(Store::open(&config(dir.path(), true)), Err(OpenError::Store { .. })),
        "a second process"
    );
    runtime.block_on(store.close());
    let again = Store::open(&config(dir.path(), true)).unwrap();
    runtime.block_on(again.close());
}
