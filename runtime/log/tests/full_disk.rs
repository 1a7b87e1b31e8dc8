//! A member whose disk is full loses no acknowledged entry, takes no part in decisions, and recovers.
//!
//! The disk is a real one: a temporary file system of 32 MiB, mounted in a mount namespace that the test
//! makes for itself by starting its own binary again. Where neither root nor user namespaces are available, the
//! test fails and says so.

#![expect(clippy::unwrap_used, reason = "a failure here is the test's failure")]

mod support;

use rhizo_log::{ProposeError, Role, Timers};
use rhizo_types::NodeId;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::Cluster;

/// Set in the process that runs inside the mount namespace.
const INSIDE: &str = "RHIZO_LOG_TEST_INSIDE_NAMESPACE";

/// Runs the test named `name` again in a mount namespace of its own; true when this process is already inside.
fn is_inside_namespace(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare of util-linux is installed");
    assert!(
        status.success(),
        "the test failed in its namespace, or user namespaces are not available: {status}"
    );
    false
}

fn mount_small_disk(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "small"]).arg(dir).status().unwrap();
    assert!(mounted.success(), "a file system can be mounted in the namespace");
}

/// Fills the remaining space.
fn fill(dir: &Path) {
    let mut ballast = File::create(dir.join("ballast")).unwrap();
    let mut block = vec![1_u8; 64 * 1024];
    while block.len() > 1 {
        match ballast.write_all(&block) {
            Ok(()) => {}
            Err(_) => block.truncate(block.len() / 2),
        }
    }
}

fn empty(dir: &Path) {
    fs::remove_file(dir.join("ballast")).unwrap();
}

#[test]
fn a_leader_with_a_full_disk_hands_over_and_comes_back_when_there_is_room() {
    if !is_inside_namespace("a_leader_with_a_full_disk_hands_over_and_comes_back_when_there_is_room") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let small = NodeId(1);
        let mut cluster = Cluster::new(Timers::LOCAL);
        mount_small_disk(&cluster.dir(small));
        cluster.found(3).await;
        for round in 0..3_u8 {
            cluster.lead(small).await;
            fill(&cluster.dir(small));
            // Larger than the free space inside the database file.
            let large = vec![round; 128 * 1024];
            let mut committed = BTreeSet::new();
            for number in 0..4 {
                committed.insert(cluster.commit([vec![number], large.clone()].concat()).await.index);
            }
            let status =
                cluster.until(small, "the disk in the status", |status| status.storage.is_some()).await;
            let fault = status.storage.unwrap();
            assert_eq!(fault.dir, cluster.dir(small));
            assert!(fault.problem.contains("No space left"), "{}", fault.problem);
            let others = [NodeId(2), NodeId(3)];
            support::watchdog("another leader", async {
                while !others.iter().any(|id| cluster.running[id].node.status().role == Role::Leader) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            empty(&cluster.dir(small));
            cluster.until(small, "a working disk", |status| status.storage.is_none()).await;
            cluster.converge().await;
            let applied: BTreeSet<u64> = cluster.state(small).iter().map(|(index, _, _)| *index).collect();
            assert!(committed.is_subset(&applied), "everything is on the member that was full");
        }
        // Acknowledged entries are in its file, not only in its memory.
        cluster.kill(small).await;
        cluster.start(small).await;
        cluster.converge().await;
        cluster.stop().await;
    });
}

#[test]
fn a_group_of_one_waits_for_room_and_loses_nothing() {
    if !is_inside_namespace("a_group_of_one_waits_for_room_and_loses_nothing") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let alone = NodeId(1);
        let mut cluster = Cluster::new(Timers::LOCAL);
        mount_small_disk(&cluster.dir(alone));
        cluster.found(1).await;
        fill(&cluster.dir(alone));
        let node = cluster.node(1).clone();
        let large = vec![7_u8; 200 * 1024];
        let waiting = tokio::spawn({
            let node = node.clone();
            let large = large.clone();
            async move { node.propose(large, support::WATCHDOG).await }
        });
        cluster.until(alone, "the disk in the status", |status| status.storage.is_some()).await;
        // A caller may stop waiting; the outcome is then unknown to it, which is not a failure.
        let impatient = node.propose(vec![8], Duration::from_millis(50)).await;
        assert_eq!(impatient, Err(ProposeError::Unknown));
        empty(&cluster.dir(alone));
        let proposed = waiting.await.unwrap().unwrap();
        cluster.until(alone, "a working disk", |status| status.storage.is_none()).await;
        fill(&cluster.dir(alone));
        let stuck = tokio::spawn(async move { node.propose(vec![9; 200 * 1024], support::WATCHDOG).await });
        cluster.until(alone, "the disk in the status", |status| status.storage.is_some()).await;
        // A member can be stopped although its disk is full.
        cluster.kill(alone).await;
        assert!(stuck.await.unwrap().is_err());
        empty(&cluster.dir(alone));
        cluster.start(alone).await;
        cluster.leader().await;
        let kept = cluster.state(alone).into_iter().find(|(index, _, _)| *index == proposed.index).unwrap();
        assert_eq!(kept.2, Some(large));
        cluster.stop().await;
    });
}
