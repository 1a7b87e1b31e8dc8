//! Many callers and many deaths at once: the list is correct at every moment, and nothing is left at the end.
//!
//! The seed decides the steps of each caller. The machine decides the order of calls of different callers. A failure
//! prints the seed; `RHIZO_SEED` runs it again.

use crate::world::{World, is_alive, marked_processes};
use rhizo_actuators::process::ProcessProvider;
use rhizo_actuators::{HostState, Order, Owner, Provider, ProviderError};
use rhizo_types::HostId;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Callers at once: more than there are voters in the largest group.
const CALLERS: u64 = 6;

/// Steps of each caller.
const STEPS: u32 = 25;

/// Tokens they share, so that most orders meet another one with the same token.
const TOKENS: u64 = 12;

/// A small generator: each caller needs a sequence of its own, nothing more.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Caller {
    provider: ProcessProvider,
    orders: Vec<Order>,
    owner: Owner,
    hosts: PathBuf,
    dice: Dice,
}

impl Caller {
    async fn run(mut self) {
        for _ in 0..STEPS {
            self.step().await;
            self.check().await;
        }
    }

    async fn step(&mut self) {
        match self.dice.roll(6) {
            0..=2 => {
                let order = &self.orders[usize::try_from(self.dice.roll(TOKENS)).unwrap()];
                match self.provider.acquire(order).await {
                    Ok(host) => assert_eq!(host.token, order.token),
                    // A supervisor that is killed while it starts makes the outcome unknown, never refused.
                    Err(ProviderError::UnknownOutcome { .. } | ProviderError::NoCapacity { .. }) => {}
                    Err(error) => panic!("failed to {error}"),
                }
            }
            3 => {
                let hosts = self.provider.list(&self.owner).await.unwrap();
                if !hosts.is_empty() {
                    let host = self.dice.roll(u64::try_from(hosts.len()).unwrap());
                    self.provider.release(&hosts[usize::try_from(host).unwrap()].id).await.unwrap();
                }
            }
            victim => {
                let record = if victim == 4 { "node.json" } else { "supervisor.json" };
                let directories: Vec<_> = fs::read_dir(&self.hosts).into_iter().flatten().flatten().collect();
                if !directories.is_empty() {
                    let host = self.dice.roll(u64::try_from(directories.len()).unwrap());
                    kill(&directories[usize::try_from(host).unwrap()].path().join(record));
                }
            }
        }
    }

    /// Checks that terminated hosts have no process, no token has two hosts, and no two living hosts share an
    /// address.
    async fn check(&self) {
        let hosts = self.provider.list(&self.owner).await.unwrap();
        // Examined after the list was read: a host that the list shows as terminated has ended before.
        let processes = marked_processes();
        let (mut tokens, mut addresses) = (BTreeMap::new(), BTreeMap::new());
        for host in &hosts {
            if let Some(other) = tokens.insert(&host.token, &host.id) {
                panic!("token {} has hosts {other} and {}", host.token, host.id);
            }
            if host.state == HostState::Terminated {
                let left = processes_below(&self.hosts.join(host.id.as_str()), &processes);
                let told: Vec<String> = left.iter().map(|pid| told(*pid)).collect();
                assert!(left.is_empty(), "{} is listed as terminated and has {told:?}", host.id);
            } else if let Some(other) = addresses.insert(host.address, &host.id) {
                // One of the two may have ended since the list was made.
                let again = self.provider.list(&self.owner).await.unwrap();
                let alive = |id: &HostId| {
                    again.iter().any(|host| host.id == *id && host.state != HostState::Terminated)
                };
                assert!(!(alive(other) && alive(&host.id)), "{other} and {} share an address", host.id);
            }
        }
    }
}

/// Processes of a host without its supervisor, which records the end and then ends itself.
fn processes_below(host: &Path, processes: &[(i32, PathBuf)]) -> Vec<i32> {
    let supervisor = fs::read(host.join("supervisor.json")).unwrap_or_default();
    let supervisor: serde_json::Value = serde_json::from_slice(&supervisor).unwrap_or_default();
    let supervisor = supervisor["identity"]["pid"].as_i64();
    let below = processes.iter().filter(|(_, owner)| owner == host).map(|(pid, _)| *pid);
    below.filter(|pid| Some(i64::from(*pid)) != supervisor && is_alive(*pid)).collect()
}

/// Describes a process, so that the reader of a failure can find its origin.
fn told(pid: i32) -> String {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (line, stat) = (read("cmdline"), read("stat"));
    format!("{pid}: {} ({})", String::from_utf8_lossy(&line), String::from_utf8_lossy(&stat))
}

/// Kills the process of a record, if it is still the one that was recorded.
fn kill(record: &Path) {
    let Ok(bytes) = fs::read(record) else { return };
    let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let identity: rhizo_actuators::process::ProcessIdentity =
        serde_json::from_value(record["identity"].clone()).unwrap();
    identity.signal(rustix::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_concurrent_callers_and_deaths_the_list_tells_the_truth() {
    let seed = std::env::var("RHIZO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("reproduce: RHIZO_SEED={seed}");
    for confinement in ["auto", "process-tree"] {
        let world = World::new(json!({ "confinement": confinement }));
        let orders: Vec<Order> =
            (0..TOKENS).map(|token| world.order(&format!("t{token}"), "join\norphan")).collect();
        let mut callers = tokio::task::JoinSet::new();
        for number in 0..CALLERS {
            let caller = Caller {
                provider: world.another("lab", |_| {}),
                orders: orders.clone(),
                owner: world.owner.clone(),
                hosts: world.state().join("providers/lab/hosts"),
                dice: Dice(seed * 1_000 + number),
            };
            callers.spawn(caller.run());
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        world.close().await;
    }
}
