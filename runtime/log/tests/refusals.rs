//! The inputs that a member must refuse: foreign, wiped and damaged stores, oversized or malformed messages, and a
//! second foundation of the group.
//!
//! Read next: `group.rs` for the guarantees of a group.

mod support;

use rhizo_log::{
    CallError, ChangeError, HandleError, InitialiseError, LogConfig, LogNode, OpenError, ProposeError,
    ReadError, Role, Storage, Timers, Transport,
};
use rhizo_types::{Lineage, NodeId};
use std::sync::Arc;
use support::{Cluster, LINEAGE, Net, PATIENCE, Wire, watchdog};

#[tokio::test]
async fn a_wiped_disk_is_refused() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    cluster.kill(NodeId(2)).await;
    std::fs::remove_dir_all(cluster.dir(NodeId(2))).unwrap();
    let refused = open(cluster.config(NodeId(2))).await;
    assert!(matches!(refused, Err(OpenError::StoreMissing { node: NodeId(2), .. })), "{:?}", refused.err());
    // An empty file in place of a store is a damaged store, never a new one.
    std::fs::create_dir_all(cluster.dir(NodeId(2))).unwrap();
    std::fs::write(cluster.dir(NodeId(2)).join("log.redb"), []).unwrap();
    let refused = open(cluster.config(NodeId(2))).await;
    assert!(matches!(refused, Err(OpenError::StoreDamaged { .. })), "{:?}", refused.err());
    cluster.stop().await;
}

#[tokio::test]
async fn the_store_of_another_node_or_lineage_is_refused() {
    let mut cluster = Cluster::grown(1, Timers::LOCAL).await;
    let config = cluster.config(NodeId(1));
    cluster.kill(NodeId(1)).await;
    let other_node = open(LogConfig { id: NodeId(2), ..config.clone() }).await;
    assert!(matches!(other_node, Err(OpenError::StoreForeign { found_node: NodeId(1), .. })));
    let other_lineage = open(LogConfig { lineage: Lineage(2), ..config.clone() }).await;
    assert!(matches!(other_lineage, Err(OpenError::StoreForeign { found_lineage: LINEAGE, .. })));
    // A damaged file is an error that names its place, not a fresh start.
    let Storage::Disk { dir, .. } = &config.storage else { unreachable!("the test uses disks") };
    std::fs::write(dir.join("log.redb"), vec![7; 64 * 1024]).unwrap();
    assert!(matches!(open(config).await, Err(OpenError::StoreDamaged { .. })));
    cluster.stop().await;
}

async fn open(config: LogConfig) -> Result<LogNode, OpenError> {
    let mut other = Cluster::new(Timers::LOCAL);
    other.start(NodeId(99)).await;
    let machine = support::recorder(config.id, &other);
    let wire = Wire { net: Arc::new(Net::default()), from: config.id };
    LogNode::open(config, Box::new(machine), Arc::new(wire)).await
}

#[tokio::test]
async fn a_group_is_founded_once() {
    let mut cluster = Cluster::grown(1, Timers::LOCAL).await;
    assert_eq!(cluster.node(1).initialise().await, Err(InitialiseError::NotEmpty));
    cluster.kill(NodeId(1)).await;
    cluster.start(NodeId(1)).await;
    assert_eq!(cluster.node(1).initialise().await, Err(InitialiseError::NotEmpty));
    cluster.stop().await;
}

#[tokio::test]
async fn a_stopped_member_answers_that_it_stopped() {
    let cluster = Cluster::grown(1, Timers::LOCAL).await;
    let node = cluster.node(1).clone();
    cluster.stop().await;
    assert_eq!(node.propose(vec![1], PATIENCE).await, Err(ProposeError::Stopped));
    assert_eq!(node.read_barrier(PATIENCE).await, Err(ReadError::Stopped));
    assert_eq!(node.add_learner(NodeId(2), PATIENCE).await, Err(ChangeError::Stopped));
    assert_eq!(node.initialise().await, Err(InitialiseError::Stopped));
    let mut watch = node.watch();
    let status = watchdog("stopped", watch.wait_for(|now| now.role == Role::Stopped)).await.unwrap().clone();
    assert_eq!((status.leader, status.quorum, status.fault), (None, false, None));
    node.shutdown().await;
}

#[tokio::test]
async fn proposals_beyond_the_limits_are_refused() {
    let cluster = Cluster::grown(1, Timers::LOCAL).await;
    let limit = rhizo_log::COMMAND_BYTES_MAX;
    cluster.commit(vec![1; limit]).await;
    let refused = cluster.node(1).propose(vec![1; limit + 1], PATIENCE).await;
    assert_eq!(refused, Err(ProposeError::TooLarge { bytes: limit + 1, limit }));
    let node = cluster.node(1).clone();
    let many: Vec<_> = (0..400_u32)
        .map(|n| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(n.to_le_bytes().to_vec(), PATIENCE).await })
        })
        .collect();
    let mut outcomes = (0, 0);
    for one in many {
        match one.await.unwrap() {
            Ok(_) => outcomes.0 += 1,
            Err(ProposeError::Busy) => outcomes.1 += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(outcomes, (256, 144));
    cluster.stop().await;
}

#[tokio::test]
async fn garbage_and_other_lineages_are_refused_and_harmless() {
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    for heir in [2, 3] {
        let leader = cluster.leader().await;
        cluster.running[&leader].node.transfer_leadership(NodeId(heir), PATIENCE).await.unwrap();
    }
    let leader = cluster.leader().await;
    let target = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    let node = cluster.running[&target].node.clone();
    assert!(matches!(node.handle(leader, &[]).await, Err(HandleError::Malformed(_))));
    let long = vec![0; rhizo_log::MESSAGE_BYTES_MAX + 1];
    assert!(matches!(node.handle(leader, &long).await, Err(HandleError::TooLarge { .. })));
    // A pre-vote of another lineage. It differs from one of this lineage in the second byte only.
    let foreign = [0, 2, 2, 7, leader.0 as u8, 0, 0, 0];
    let refused = node.handle(leader, &foreign).await;
    assert_eq!(refused, Err(HandleError::ForeignLineage { found: Lineage(2) }));
    // Well-formed and impossible: a candidate that is not the sender, and a term that has no successor.
    let impostor = [0, 1, 2, 7, leader.0 as u8 + 1, 0, 0, 0];
    assert!(matches!(node.handle(leader, &impostor).await, Err(HandleError::Malformed(_))));
    let mut last_term = vec![0, 1, 2];
    last_term.extend([255; 9]);
    last_term.extend([1, leader.0 as u8, 0, 0, 0]);
    assert!(matches!(node.handle(leader, &last_term).await, Err(HandleError::Malformed(_))));
    // Valid messages in which each byte is replaced by every value, from every sender; some results are still messages.
    let samples: [&[u8]; 4] = [
        &[0, 1, 0, 1, leader.0 as u8, 1, 0, 0, 0],
        &[0, 1, 2, 1, leader.0 as u8, 0, 1, 1, 3, 0],
        &[0, 1, 3, 1, leader.0 as u8, 1, 1, 1, 9, 0, 1, 1, 1, 1, 1, 2, 0, 2, 5, 6],
        &[0, 1, 4, 1, leader.0 as u8, 1, target.0 as u8, 0],
    ];
    let before = node.status().term;
    let mut refusals = 0_u32;
    for sample in samples {
        for place in 0..sample.len() {
            for value in 0..=255_u8 {
                let mut bytes = sample.to_vec();
                bytes[place] = value;
                // Only a lying member names the current or a later term, and members are trusted not to lie: these are
                // left out.
                if place == 3 && u64::from(value) >= before.0 {
                    continue;
                }
                for from in [NodeId(1), NodeId(2), NodeId(3), NodeId(9)] {
                    refusals += u32::from(node.handle(from, &bytes).await.is_err());
                }
            }
        }
    }
    assert!(refusals > 10_000, "only {refusals} were refused");
    cluster.commit(*b"alive").await;
    cluster.converge().await;
    assert_eq!(node.status().role, Role::Follower);
    cluster.stop().await;
}

#[tokio::test]
async fn a_call_to_nobody_is_unreachable() {
    let wire = Wire { net: Arc::default(), from: NodeId(1) };
    assert_eq!(wire.call(NodeId(2), vec![], PATIENCE).await, Err(CallError::Unreachable));
}
