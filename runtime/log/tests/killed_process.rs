//! A real process is killed with a signal while it commits; every entry it acknowledged must be on its disk.
//!
//! The test starts its own binary again as the victim; an environment variable selects that role. Nothing is simulated:
//! the victim has no chance to flush.

mod support;

use rhizo_log::{LogConfig, LogNode, Storage, Timers};
use rhizo_types::NodeId;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::{Cluster, LINEAGE, Net, PATIENCE, Wire};

const DIR: &str = "RHIZO_LOG_TEST_VICTIM_DIR";
const NAME: &str = "a_killed_process_loses_nothing_it_acknowledged";

async fn open(dir: &Path, must_exist: bool) -> (LogNode, Arc<std::sync::Mutex<Vec<support::Applied>>>) {
    let storage = Storage::Disk { dir: dir.to_owned(), must_exist };
    let config =
        LogConfig { snapshot_every: 16, ..LogConfig::new(NodeId(1), LINEAGE, storage, Timers::LOCAL) };
    let cluster = Cluster::new(Timers::LOCAL);
    let (machine, state) = support::recorder_and_state(NodeId(1), &cluster);
    let wire = Wire { net: Arc::new(Net::default()), from: NodeId(1) };
    (LogNode::open(config, Box::new(machine), Arc::new(wire)).await.expect("the store is sound"), state)
}

/// Commits numbers until it is killed, and prints each one on its standard output.
async fn victim(dir: PathBuf) {
    let fresh = !dir.join("log.redb").exists();
    let (node, _) = open(&dir, !fresh).await;
    if fresh {
        node.initialise().await.expect("the store is new");
    }
    for number in 0_u64.. {
        let proposed = support::watchdog("a commit", async {
            loop {
                if let Ok(proposed) = node.propose(number.to_le_bytes().to_vec(), PATIENCE).await {
                    return proposed;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        println!("acknowledged {} {number}", proposed.index);
    }
}

/// Index and number of one acknowledgement; the test harness writes its own text before the first one.
fn parse(line: &str) -> Option<(u64, u64)> {
    let (_, numbers) = line.split_once("acknowledged ")?;
    let (index, number) = numbers.split_once(' ')?;
    Some((index.parse().ok()?, number.parse().ok()?))
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(dir) = std::env::var_os(DIR) {
        return runtime.block_on(victim(dir.into()));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(u64, u64)> = Vec::new();
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.by_ref() {
            let line = line.unwrap();
            let Some(one) = parse(&line) else { continue };
            acknowledged.push(one);
            seen += 1;
            if seen == 40 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Lines that were still in the pipe are acknowledgements too, but the last one may be incomplete.
        let mut rest = Vec::new();
        for line in lines.map_while(Result::ok) {
            rest.extend(parse(&line));
        }
        rest.pop();
        acknowledged.extend(rest);
    }
    assert!(acknowledged.len() >= 200);
    let state = runtime.block_on(async {
        let (node, state) = open(dir.path(), true).await;
        support::watchdog("an election of one", async {
            while node.read_barrier(PATIENCE).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        node.shutdown().await;
        state
    });
    let state = state.lock().unwrap().clone();
    for (index, number) in acknowledged {
        let kept = state.iter().find(|(at, _, _)| *at == index).and_then(|(_, _, bytes)| bytes.clone());
        assert_eq!(kept, Some(number.to_le_bytes().to_vec()), "acknowledged at {index}");
    }
}
