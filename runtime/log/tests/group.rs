//! The guarantees of a group: it replicates, survives failures, and changes its members.
//!
//! Checks outcomes only, each under a generous watchdog. Read next: `refusals.rs`, then `chaos.rs` for random faults.

mod support;

use rhizo_log::{ChangeError, ProposeError, ReadError, Role, Timers};
use rhizo_types::NodeId;
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Cluster, PATIENCE, watchdog};

fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn commands(cluster: &Cluster, id: u64) -> Vec<Vec<u8>> {
    cluster.state(NodeId(id)).into_iter().filter_map(|(_, _, bytes)| bytes).collect()
}

#[tokio::test]
async fn every_member_applies_what_the_leader_proposes_in_order() {
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    let mut last = 0;
    for n in 0..50_u32 {
        let proposed = cluster.commit(n.to_le_bytes()).await;
        assert!(proposed.index > last);
        last = proposed.index;
    }
    cluster.converge().await;
    let expected: Vec<Vec<u8>> = (0..50_u32).map(|n| n.to_le_bytes().to_vec()).collect();
    for id in 1..=3 {
        assert_eq!(commands(&cluster, id), expected);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn one_joint_change_grows_a_founder_to_five_voters() {
    let cluster = Cluster::grown(5, Timers::LOCAL).await;
    for id in 1..=5 {
        let status = cluster.node(id).status();
        assert_eq!((status.voters, status.learners, status.joint), (ids(1..=5), ids([]), false));
    }
    // Members 1 to 5 know of two changes: the joint one and its completion.
    let leader = cluster.leader().await;
    let matched =
        cluster.until(leader, "all matched", |now| now.matched.values().all(|at| *at == now.last_log)).await;
    assert_eq!(matched.matched.len(), 4);
    cluster.stop().await;
}

/// With one of five voters dead the leader needs the answers of two others, over the longest round trip that
/// `Timers::for_round_trip` allows for.
#[tokio::test]
async fn a_leader_far_from_everybody_stays_in_office_when_a_voter_is_dead() {
    let rtt_ms = 200;
    let mut cluster = Cluster::grown(5, Timers::for_round_trip(rtt_ms)).await;
    cluster.net.set_delay(Duration::from_millis(rtt_ms / 2));
    let first = cluster.leader().await;
    cluster.kill(first).await;
    cluster.commit(*b"after").await;
    let leader = cluster.leader().await;
    let term = cluster.running[&leader].node.status().term;
    // Twenty leases. If no answer counted, the leader would step down in each of them.
    let lease = Duration::from_millis(cluster.timers.election_ms_max);
    tokio::time::sleep(20 * lease).await;
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.running[&leader].node.status().term, term, "nobody was elected meanwhile");
    cluster.stop().await;
}

#[tokio::test]
async fn a_killed_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    cluster.commit(*b"before").await;
    let first = cluster.leader().await;
    let term = cluster.running[&first].node.status().term;
    cluster.kill(first).await;
    let proposed = cluster.commit(*b"after").await;
    assert!(proposed.term > term);
    cluster.start(first).await;
    cluster.converge().await;
    for id in 1..=3 {
        assert_eq!(commands(&cluster, id), [b"before".to_vec(), b"after".to_vec()]);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_group_restarted_whole_keeps_its_log_and_goes_on() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    for n in 0..20_u8 {
        cluster.commit([n]).await;
    }
    for id in cluster.ids() {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.start(NodeId(id)).await;
    }
    cluster.commit([20]).await;
    cluster.converge().await;
    let expected: Vec<Vec<u8>> = (0..=20_u8).map(|n| vec![n]).collect();
    for id in 1..=3 {
        assert_eq!(commands(&cluster, id), expected);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_dead_voter_is_replaced_in_one_change() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    let dead = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.kill(dead).await;
    cluster.start(NodeId(4)).await;
    cluster.running[&leader].node.add_learner(NodeId(4), PATIENCE).await.unwrap();
    let voters: BTreeSet<NodeId> = ids(1..=4).into_iter().filter(|id| *id != dead).collect();
    cluster.running[&leader].node.change_voters(voters.clone(), PATIENCE).await.unwrap();
    cluster.commit(*b"repaired").await;
    cluster.converge().await;
    let status = cluster.node(4).status();
    assert_eq!((status.voters, status.learners), (voters, ids([])), "the dead voter left the group");
    assert_eq!(commands(&cluster, 4), [b"repaired".to_vec()]);
    cluster.stop().await;
}

#[tokio::test]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    for heir in [2, 3, 1, 2] {
        let leader = cluster.leader().await;
        cluster.running[&leader].node.transfer_leadership(NodeId(heir), PATIENCE).await.unwrap();
        assert_eq!(cluster.leader().await, NodeId(heir));
        cluster.commit([heir as u8]).await;
    }
    let follower = cluster.node(1).transfer_leadership(NodeId(3), PATIENCE).await;
    assert_eq!(follower, Err(ChangeError::NotLeader { leader: Some(NodeId(2)) }));
    let stranger = cluster.node(2).transfer_leadership(NodeId(9), PATIENCE).await;
    assert_eq!(stranger, Err(ChangeError::UnknownNode { node: NodeId(9) }));
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_removes_itself_and_the_rest_goes_on() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    let rest: BTreeSet<NodeId> = ids(1..=3).into_iter().filter(|id| *id != leader).collect();
    cluster.running[&leader].node.remove(leader, PATIENCE).await.unwrap();
    cluster.until(leader, "stepping down", |now| now.role != Role::Leader).await;
    cluster.kill(leader).await;
    cluster.commit(*b"without").await;
    let next = cluster.leader().await;
    assert_eq!(cluster.running[&next].node.status().voters, rest);
    cluster.stop().await;
}

#[tokio::test]
async fn three_voters_shrink_to_one_that_goes_on_alone() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    cluster.running[&leader].node.change_voters([leader].into(), PATIENCE).await.unwrap();
    for id in cluster.ids().into_iter().filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    let proposed = cluster.running[&leader].node.propose(b"alone".to_vec(), PATIENCE).await;
    assert!(proposed.is_ok(), "{proposed:?}");
    assert!(cluster.running[&leader].node.status().quorum);
    let last = cluster.running[&leader].node.remove(leader, PATIENCE).await;
    assert_eq!(last, Err(ChangeError::NoVoters));
    cluster.stop().await;
}

#[tokio::test]
async fn an_isolated_leader_neither_commits_nor_passes_the_barrier() {
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    let old = cluster.leader().await;
    let others: Vec<NodeId> = cluster.ids().into_iter().filter(|id| *id != old).collect();
    cluster.net.isolate(old, others.clone());
    let node = &cluster.running[&old].node;
    // Its lease still runs, so it takes the proposal and cannot commit it.
    let proposed = node.propose(b"lost".to_vec(), Duration::from_secs(1)).await;
    assert_eq!(proposed, Err(ProposeError::Unknown));
    assert_eq!(node.read_barrier(Duration::from_secs(1)).await, Err(ReadError::NoQuorum));
    let status = cluster.until(old, "noticing", |now| !now.quorum).await;
    assert_eq!(status.leader, None);
    // Once the lease has run out, it refuses at once and does not name itself as the leader.
    let refused = node.propose(b"refused".to_vec(), Duration::from_secs(1)).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: None }));
    // Meanwhile the others elect one of their own.
    let elected = watchdog("new leader", async {
        loop {
            for id in &others {
                let status = cluster.running[id].node.status();
                if status.role == Role::Leader
                    && cluster.running[id].node.read_barrier(PATIENCE).await.is_ok()
                {
                    return *id;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    cluster.running[&elected].node.propose(b"kept".to_vec(), PATIENCE).await.unwrap();
    cluster.net.heal();
    cluster.converge().await;
    for id in cluster.ids() {
        assert_eq!(commands(&cluster, id.0), [b"kept".to_vec()]);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_lone_survivor_of_three_says_that_there_is_no_quorum() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    let survivor = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    for id in cluster.ids().into_iter().filter(|id| *id != survivor) {
        cluster.kill(id).await;
    }
    let term = cluster.running[&survivor].node.status().term;
    let status = cluster.until(survivor, "noticing", |now| !now.quorum && now.leader.is_none()).await;
    assert_ne!(status.role, Role::Leader);
    // It requests votes that no node grants, and does not raise the term meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let node = &cluster.running[&survivor].node;
    assert_eq!(node.status().term, term);
    assert!(matches!(node.propose(vec![1], PATIENCE).await, Err(ProposeError::NotLeader { leader: _ })));
    cluster.stop().await;
}

#[tokio::test]
async fn a_learner_far_behind_is_caught_up_by_a_snapshot_in_pieces() {
    let mut cluster = Cluster::new(Timers::LOCAL);
    cluster.snapshot_every = 16;
    cluster.start(NodeId(1)).await;
    cluster.node(1).initialise().await.unwrap();
    cluster.leader().await;
    // 200 commands of 8 KiB: the snapshot takes seven messages, and the log entries before it are purged.
    for n in 0..200_u8 {
        cluster.commit(vec![n; 8 * 1024]).await;
    }
    cluster.start(NodeId(2)).await;
    cluster.node(1).add_learner(NodeId(2), PATIENCE).await.unwrap();
    cluster.converge().await;
    assert_eq!(commands(&cluster, 1).len(), 200);
    assert_eq!(commands(&cluster, 2), commands(&cluster, 1));
    // The learner restarts from the snapshot it received and the entries after it.
    cluster.kill(NodeId(2)).await;
    cluster.commit(*b"meanwhile").await;
    cluster.start(NodeId(2)).await;
    cluster.converge().await;
    assert_eq!(commands(&cluster, 2), commands(&cluster, 1));
    cluster.stop().await;
}

#[tokio::test]
async fn a_group_whose_log_was_cut_short_by_snapshots_restarts() {
    let mut cluster = Cluster::new(Timers::LOCAL);
    cluster.snapshot_every = 8;
    cluster.start(NodeId(1)).await;
    cluster.node(1).initialise().await.unwrap();
    for n in 0..100_u8 {
        cluster.commit([n]).await;
    }
    for _ in 0..3 {
        cluster.kill(NodeId(1)).await;
        cluster.start(NodeId(1)).await;
        cluster.leader().await;
        let expected: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n]).collect();
        assert_eq!(commands(&cluster, 1), expected);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn large_commands_are_replicated_in_messages_within_the_limit() {
    let mut cluster = Cluster::grown(2, Timers::LOCAL).await;
    cluster.kill(NodeId(2)).await;
    cluster.start(NodeId(2)).await;
    for n in 0..12_u8 {
        cluster.commit(vec![n; rhizo_log::COMMAND_BYTES_MAX]).await;
    }
    cluster.converge().await;
    assert_eq!(commands(&cluster, 2), commands(&cluster, 1));
    cluster.stop().await;
}

#[tokio::test]
async fn a_log_of_large_commands_is_cut_by_its_bytes() {
    let mut cluster = Cluster::grown(1, Timers::LOCAL).await;
    // 10 MiB in 40 entries. Counted in entries, a snapshot would be due only after 1,024.
    for n in 0..40_u8 {
        cluster.commit(vec![n; rhizo_log::COMMAND_BYTES_MAX]).await;
    }
    cluster.start(NodeId(2)).await;
    cluster.node(1).add_learner(NodeId(2), PATIENCE).await.unwrap();
    cluster.converge().await;
    assert_eq!(commands(&cluster, 2), commands(&cluster, 1));
    assert!(*cluster.net.snapshot_pieces.lock().unwrap() > 30, "the log's beginning was gone");
    cluster.stop().await;
}

#[tokio::test]
async fn a_node_that_was_removed_does_not_disturb_the_group() {
    let mut cluster = Cluster::grown(3, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    let removed = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    // It is not running when it is removed, so its own log still says that it votes.
    cluster.kill(removed).await;
    let rest: BTreeSet<NodeId> = ids(1..=3).into_iter().filter(|id| *id != removed).collect();
    cluster.change_voters(&rest).await;
    let leader = cluster.leader().await;
    let before = cluster.running[&leader].node.status();
    cluster.start(removed).await;
    assert!(cluster.running[&removed].node.status().voters.contains(&removed), "it does not know yet");
    // Several election timeouts, in which it requests votes all the time.
    let mut campaigns = 0;
    for n in 0..30_u8 {
        cluster.running[&removed].node.campaign().await;
        campaigns += 1;
        cluster.running[&leader].node.propose(vec![n], PATIENCE).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(campaigns, 30);
    let after = cluster.running[&leader].node.status();
    assert_eq!((after.term, after.leader, after.role), (before.term, before.leader, Role::Leader));
    // It also disturbs no election when the leader dies and no lease holds the other voters back.
    let heir = *rest.iter().find(|id| **id != leader).unwrap();
    cluster.running[&leader].node.transfer_leadership(heir, PATIENCE).await.unwrap();
    cluster.commit(*b"still").await;
    assert!(rest.contains(&cluster.leader().await));
    cluster.stop().await;
}

#[tokio::test]
async fn a_returning_voter_does_not_depose_the_leader() {
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    let term = cluster.running[&leader].node.status().term;
    let away = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.net.isolate(away, cluster.ids().into_iter().filter(|id| *id != away));
    cluster.until(away, "noticing", |now| !now.quorum).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.commit(*b"without it").await;
    cluster.net.heal();
    cluster.converge().await;
    assert_eq!(cluster.leader().await, leader);
    assert_eq!(cluster.running[&leader].node.status().term, term);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn members_that_were_not_scheduled_keep_their_leader() {
    let cluster = Cluster::grown(5, Timers::LOCAL).await;
    let leader = cluster.leader().await;
    let term = cluster.running[&leader].node.status().term;
    for _ in 0..12 {
        // The members share a busy processor: their timers expire in one jump of the clock, longer than two leases, in
        // which no heartbeat is sent or read, and then they run for a moment only. The clock of the test stands still
        // while a member runs, so that the moment is long enough on any machine.
        tokio::time::advance(Duration::from_millis(1_000)).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cluster.commit(*b"after the delays").await;
    cluster.converge().await;
    assert_eq!(cluster.running[&leader].node.status().term, term, "there was no election");
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_hears_nobody_lets_the_others_elect() {
    // openraft issue 2080: its heartbeats arrive, the answers do not.
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    let deaf = cluster.leader().await;
    let others: Vec<NodeId> = cluster.ids().into_iter().filter(|id| *id != deaf).collect();
    for other in &others {
        cluster.net.cut_one_way(*other, deaf);
    }
    let elected = watchdog("another leader", async {
        loop {
            let confirmed = |id: &&NodeId| {
                let status = cluster.running[id].node.status();
                status.role == Role::Leader && status.quorum
            };
            if let Some(id) = others.iter().find(confirmed) {
                return *id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    cluster.running[&elected].node.propose(b"heard".to_vec(), PATIENCE).await.unwrap();
    cluster.net.heal();
    cluster.converge().await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_group_works_over_long_links() {
    // 75 ms each way: the heartbeat is 225 ms.
    let cluster = Cluster::grown(3, Timers::for_round_trip(150)).await;
    cluster.net.set_delay(Duration::from_millis(75));
    let leader = cluster.leader().await;
    let term = cluster.running[&leader].node.status().term;
    for n in 0..10_u8 {
        cluster.commit([n]).await;
    }
    cluster.converge().await;
    assert_eq!(cluster.running[&leader].node.status().term, term, "nobody doubted the leader");
    cluster.stop().await;
}
