//! A member whose group lost its quorum for good begins a group of its own, with everything that its log holds.
//!
//! Read next: `rhizo_log::replay` and `rhizo_log::begin`.

mod support;

use rhizo_log::{
    BeginError, LogConfig, LogNode, OpenError, ProposeError, Proposed, ReplayError, Role, Storage, Timers,
    begin, replay,
};
use rhizo_types::{Lineage, NodeId, Term};
use std::sync::Arc;
use std::time::Duration;
use support::{Cluster, Net, PATIENCE, Wire, recorder_and_state, watchdog};

const NEXT: Lineage = Lineage(2);

/// The survivor's configuration in the next lineage: a store of its own beside the former one.
fn next(former: &LogConfig) -> LogConfig {
    let Storage::Disk { dir, .. } = &former.storage else { unreachable!("the test uses disks") };
    let storage = Storage::Disk { dir: dir.join("next"), must_exist: true };
    LogConfig { lineage: NEXT, storage, ..former.clone() }
}

#[tokio::test]
async fn the_survivor_goes_on_alone_after_everything_in_its_log() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    // Small enough that the survivor's store has a snapshot and entries after it.
    cluster.snapshot_every = 8;
    cluster.lead(NodeId(1)).await;
    for n in 0..30_u8 {
        cluster.commit(vec![n]).await;
    }
    cluster.converge().await;
    cluster.kill(NodeId(2)).await;
    cluster.kill(NodeId(3)).await;
    // The others may have committed this entry before they were lost; the survivor cannot know.
    let cut_off = cluster.node(1).propose(vec![99], Duration::from_millis(400)).await;
    assert!(matches!(cut_off, Err(ProposeError::Unknown | ProposeError::NotLeader { .. })), "{cut_off:?}");
    let last = cluster.node(1).status().last_log.unwrap();
    let former = cluster.config(NodeId(1));
    let (mut machine, state) = recorder_and_state(NodeId(1), &Cluster::new(Timers::LOCAL));
    assert!(matches!(replay(&former, &mut machine), Err(ReplayError::Store(OpenError::StoreInUse { .. }))));
    cluster.kill(NodeId(1)).await;
    let stored = replay(&former, &mut machine).unwrap();
    assert_eq!(stored.last.unwrap().index, last);
    assert!(stored.term >= stored.last.unwrap().term);
    let written = cut_off == Err(ProposeError::Unknown);
    assert_eq!(stored.uncommitted > 0, written, "{stored:?}");
    let seen = state.lock().unwrap().clone();
    assert_eq!(seen.last().map(|last| last.0), Some(last), "the machine has the content of the log");

    let at = Proposed { index: last + 1_000, term: Term(stored.term.0 + 1_000) };
    let config = next(&former);
    let bytes = rhizo_log::Machine::snapshot(&machine);
    begin(&config, at, &bytes).unwrap();
    // A command that was interrupted is repeated: the second store takes the place of the first.
    begin(&config, at, &bytes).unwrap();
    let (machine, state) = recorder_and_state(NodeId(1), &Cluster::new(Timers::LOCAL));
    let wire = Wire { net: Arc::new(Net::default()), from: NodeId(1) };
    let node = LogNode::open(config.clone(), Box::new(machine), Arc::new(wire)).await.unwrap();
    let mut watch = node.watch();
    let leads = watch.wait_for(|now| now.role == Role::Leader && now.quorum);
    let status = watchdog("leadership of the only voter", leads).await.unwrap().clone();
    assert!(status.term > at.term);
    assert_eq!(status.voters, [NodeId(1)].into());
    let proposed = node.propose(vec![100], PATIENCE).await.unwrap();
    assert!(proposed.index > at.index);
    let holds_all = || {
        let state = state.lock().unwrap();
        state.starts_with(&seen) && state.iter().any(|entry| entry.2.as_deref() == Some(&[100]))
    };
    assert!(holds_all(), "the snapshot and one command");
    node.shutdown().await;
    // And it is the same group after a restart.
    let (machine, state) = recorder_and_state(NodeId(1), &Cluster::new(Timers::LOCAL));
    let wire = Wire { net: Arc::new(Net::default()), from: NodeId(1) };
    let node = LogNode::open(config, Box::new(machine), Arc::new(wire)).await.unwrap();
    let mut watch = node.watch();
    watchdog("leadership", watch.wait_for(|now| now.role == Role::Leader && now.quorum)).await.unwrap();
    node.read_barrier(PATIENCE).await.unwrap();
    let state = state.lock().unwrap().clone();
    assert!(state.starts_with(&seen) && state.iter().any(|entry| entry.2.as_deref() == Some(&[100])));
    node.shutdown().await;
    cluster.stop().await;
}

#[test]
fn numbers_that_the_engine_cannot_count_on_from_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = |dir| Storage::Disk { dir, must_exist: false };
    let config = LogConfig::new(NodeId(1), NEXT, storage(dir.path().join("raft")), Timers::LOCAL);
    let at = Proposed { index: u64::MAX, term: Term(1) };
    assert!(matches!(begin(&config, at, &[]), Err(BeginError::Place { .. })));
    assert!(!dir.path().join("raft").exists(), "nothing was made");
    let memory = LogConfig { storage: Storage::Memory, ..config };
    assert!(matches!(begin(&memory, Proposed { index: 1, ..at }, &[]), Err(BeginError::InMemory)));
}

#[tokio::test]
async fn a_leader_without_a_quorum_does_not_make_its_followers_believe_in_one() {
    let mut cluster = Cluster::grown(5, Timers::LOCAL).await;
    cluster.lead(NodeId(1)).await;
    for id in [2, 3, 4] {
        cluster.kill(NodeId(id)).await;
    }
    for id in [1, 5] {
        let mut watch = cluster.node(id).watch();
        let lost = watch.wait_for(|now| !now.quorum && now.leader.is_none());
        watchdog("the report of a lost quorum", lost).await.unwrap();
    }
    for id in [2, 3] {
        cluster.start(NodeId(id)).await;
    }
    for id in [1, 5] {
        let mut watch = cluster.node(id).watch();
        watchdog("the quorum again", watch.wait_for(|now| now.quorum)).await.unwrap();
    }
    cluster.stop().await;
}
