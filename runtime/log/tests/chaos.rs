//! Random faults from a fixed seed, followed by a check of the group's guarantees.
//!
//! Five members receive proposals all the time. Meanwhile links fail in one or both directions, members are killed and
//! restarted on their disks, and the voters change. Three properties are checked without asking the engine. No two
//! members applied different entries at one index. No term had two leaders. Every acknowledged command is at its index
//! when only a majority of the final voters is started again from the disks.

#![expect(clippy::unwrap_used, reason = "a failure here is the test's failure")]

mod support;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use rhizo_log::{ProposeError, Proposed, Role, Timers};
use rhizo_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Cluster, PATIENCE, Running};

/// Fast clocks: more elections in the same time.
const FAST: Timers = Timers { heartbeat_ms: 40, election_ms_min: 80, election_ms_max: 140 };
/// Steps between two points at which all faults are healed and the group has to work again.
const STEPS: u32 = 25;
const ROUNDS: u32 = 4;

/// How often each event happened in a run, to prove that every fault occurred.
#[derive(Default, Debug)]
struct EventCounts {
    cuts: u32,
    one_way_cuts: u32,
    heals: u32,
    kills: u32,
    restarts: u32,
    changes_asked: u32,
    changes: u32,
    transfers: u32,
    acknowledged: u32,
    unknown: u32,
}

/// Commands whose proposers learnt where they committed.
type Acknowledged = Arc<Mutex<Vec<(Vec<u8>, Proposed)>>>;

struct Chaos {
    cluster: Cluster,
    random: StdRng,
    counts: EventCounts,
    acknowledged: Acknowledged,
    unknown: Arc<Mutex<u32>>,
    next_command: u64,
}

impl Chaos {
    /// Proposes a command on every running member; only a leader can commit it.
    fn propose_everywhere(&mut self) {
        for running in self.cluster.running.values() {
            self.next_command += 1;
            let command = self.next_command.to_le_bytes().to_vec();
            let (node, acknowledged, unknown) =
                (running.node.clone(), self.acknowledged.clone(), self.unknown.clone());
            tokio::spawn(async move {
                match node.propose(command.clone(), Duration::from_secs(2)).await {
                    Ok(proposed) => acknowledged.lock().unwrap().push((command, proposed)),
                    Err(ProposeError::Unknown | ProposeError::Stopped) => *unknown.lock().unwrap() += 1,
                    Err(_) => {}
                }
            });
        }
    }

    fn any_running(&mut self) -> Option<NodeId> {
        self.cluster.running.keys().copied().choose(&mut self.random)
    }

    async fn step(&mut self) {
        self.propose_everywhere();
        let everyone: Vec<NodeId> = (1..=5).map(NodeId).collect();
        match self.random.random_range(0..16) {
            0 | 1 => {
                let Some(victim) = self.any_running() else { return };
                self.cluster.net.isolate(victim, everyone.into_iter().filter(|id| *id != victim));
                self.counts.cuts += 1;
            }
            2 => {
                let (Some(from), Some(to)) = (self.any_running(), self.any_running()) else { return };
                self.cluster.net.cut_one_way(from, to);
                self.counts.one_way_cuts += 1;
            }
            3..=6 => {
                self.cluster.net.heal();
                self.counts.heals += 1;
            }
            7 | 8 => {
                if self.cluster.running.len() > 3
                    && let Some(victim) = self.any_running()
                {
                    self.cluster.kill(victim).await;
                    self.counts.kills += 1;
                }
            }
            9 | 10 => {
                if let Some(back) = everyone.into_iter().find(|id| !self.cluster.running.contains_key(id)) {
                    self.cluster.start(back).await;
                    self.counts.restarts += 1;
                }
            }
            11 => self.change_voters(everyone).await,
            12 => {
                let (Some(from), Some(to)) = (self.any_running(), self.any_running()) else { return };
                let handed = self.cluster.running[&from]
                    .node
                    .transfer_leadership(to, Duration::from_millis(500))
                    .await;
                self.counts.transfers += u32::from(handed.is_ok());
            }
            _ => {}
        }
        let pause = self.random.random_range(20..250);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// Requests three or five voters from a member that claims to lead; nodes that are no members become learners
    /// first.
    async fn change_voters(&mut self, everyone: Vec<NodeId>) {
        let size = if self.random.random() { 3 } else { 5 };
        let voters: BTreeSet<NodeId> =
            everyone.into_iter().sample(&mut self.random, size).into_iter().collect();
        let leads = |running: &&Running| running.node.status().role == Role::Leader;
        let Some(node) = self.cluster.running.values().find(leads).map(|running| running.node.clone()) else {
            return;
        };
        self.counts.changes_asked += 1;
        for id in &voters {
            // Refusals are expected: the member may no longer lead, or may be cut off.
            let _ = node.add_learner(*id, Duration::from_millis(300)).await;
        }
        let changed = node.change_voters(voters, Duration::from_secs(1)).await;
        self.counts.changes += u32::from(changed.is_ok());
    }

    /// Heals all faults and waits until the group works again, with all five members as voters.
    async fn settle(&mut self) {
        self.cluster.net.heal();
        for id in (1..=5).map(NodeId) {
            if !self.cluster.running.contains_key(&id) {
                self.cluster.start(id).await;
            }
        }
        let everyone: BTreeSet<NodeId> = (1..=5).map(NodeId).collect();
        support::watchdog("five voters", async {
            loop {
                let node = &self.cluster.running[&self.cluster.leader().await].node;
                for id in &everyone {
                    let _ = node.add_learner(*id, PATIENCE).await;
                }
                let status = node.status();
                if status.voters == everyone && !status.joint {
                    return;
                }
                let _ = node.change_voters(everyone.clone(), PATIENCE).await;
            }
        })
        .await;
        self.cluster.commit(*b"settled").await;
        self.cluster.converge().await;
    }
}

async fn run(seed: u64) -> EventCounts {
    let mut cluster = Cluster::new(FAST);
    cluster.snapshot_every = 32;
    cluster.start(NodeId(1)).await;
    cluster.node(1).initialise().await.unwrap();
    let mut chaos = Chaos {
        cluster,
        random: StdRng::seed_from_u64(seed),
        counts: EventCounts::default(),
        acknowledged: Arc::default(),
        unknown: Arc::default(),
        next_command: 0,
    };
    chaos.settle().await;
    for _ in 0..ROUNDS {
        for _ in 0..STEPS {
            chaos.step().await;
        }
        chaos.settle().await;
        // The next round starts with three voters and two members that do not vote.
        let three: BTreeSet<NodeId> = (1..=5).map(NodeId).sample(&mut chaos.random, 3).into_iter().collect();
        chaos.cluster.change_voters(&three).await;
        chaos.counts.changes += 1;
    }
    chaos.settle().await;
    chaos.cluster.assert_consistent();
    chaos.counts.unknown = *chaos.unknown.lock().unwrap();
    let acknowledged = chaos.acknowledged.lock().unwrap().clone();
    chaos.counts.acknowledged = u32::try_from(acknowledged.len()).unwrap();

    // Acknowledged commands are on the disks of a majority, so any three of the five voters together know all of them.
    let mut cluster = chaos.cluster;
    for id in cluster.ids() {
        cluster.kill(id).await;
    }
    for id in (1..=5).map(NodeId).sample(&mut chaos.random, 3) {
        cluster.start(id).await;
    }
    let leader = cluster.leader().await;
    let state: BTreeMap<u64, (u64, Option<Vec<u8>>)> =
        cluster.state(leader).into_iter().map(|(index, term, bytes)| (index, (term, bytes))).collect();
    for (command, at) in acknowledged {
        assert_eq!(
            state.get(&at.index),
            Some(&(at.term.0, Some(command))),
            "seed {seed}: acknowledged at {at:?}"
        );
    }
    cluster.stop().await;
    chaos.counts
}

async fn no_promise_is_broken(seed: u64) {
    let counts = run(seed).await;
    println!("seed {seed}: {counts:?}");
    let EventCounts {
        cuts, one_way_cuts, heals, kills, restarts, changes_asked, changes, acknowledged, ..
    } = counts;
    let fired = [cuts, one_way_cuts, heals, kills, restarts, changes_asked, changes];
    assert!(fired.iter().all(|count| *count > 0), "seed {seed}: a fault never happened: {fired:?}");
    assert!(acknowledged > 20, "seed {seed}: only {acknowledged} commands were acknowledged");
}

#[tokio::test]
async fn random_faults_break_no_promise_seed_1() {
    no_promise_is_broken(1).await;
}

#[tokio::test]
async fn random_faults_break_no_promise_seed_2() {
    no_promise_is_broken(2).await;
}

#[tokio::test]
async fn random_faults_break_no_promise_seed_3() {
    no_promise_is_broken(3).await;
}
