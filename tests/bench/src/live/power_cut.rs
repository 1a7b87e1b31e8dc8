//! `rhizo-bench power-cut`: all processes of an application are killed at one moment; how long `up` takes until stable.
//!
//! The moment is random within a short life: the application is founded with three copies and then grows to five. With
//! `--config` it is the application of that config, which is founded and then left alone. After the power cut and the
//! next `up`, the hosts on the disk are compared with the ledger, and every order is counted. The bench fails when a
//! host has no explanation, or when two hosts were bought for one intent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::application::{Application, median_and_max};
use super::options::Options;
use super::processes;

/// The longest time from the first command to the power cut, in milliseconds: somewhat more than both
/// commands need on two cores.
const LIFE_MS: u64 = 3_500;

/// The longest time from `up` to the power cut with `--config`, in milliseconds: a larger application needs longer.
const OWN_LIFE_MS: u64 = 12_000;

/// The copies of the first config and of the second one.
const COPIES: [u32; 2] = [3, 5];

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let rounds = options.number("rounds", 30)?;
    let seed = options.number("seed", rand::random::<u32>().into())?;
    let mut random = StdRng::seed_from_u64(seed);
    let own_config = options.text("config").is_some();
    let (mut seconds, mut kept, mut orders) = (Vec::new(), 0, 0);
    for number in 1..=rounds {
        let application = options.application()?;
        let life_ms = if own_config { OWN_LIFE_MS } else { LIFE_MS };
        let moment_ms = random.random_range(0..life_ms);
        let context =
            |error| format!("pass round {number} of seed {seed}, cut after {moment_ms} ms: {error}");
        let configs: Vec<String> =
            if own_config { vec![application.read("rhizo.toml")?] } else { COPIES.map(config).to_vec() };
        let round = one_round(&application, &configs, moment_ms).map_err(context)?;
        eprintln!(
            "round {number} of {rounds}: cut after {moment_ms} ms, stable after {:.3} s, {} of {} nodes as before",
            round.seconds, round.kept, round.before
        );
        seconds.push(round.seconds);
        kept += usize::from(round.kept == round.before);
        orders += round.orders;
    }
    let (median, max) = median_and_max(&seconds);
    Ok(json!({
        "rounds": rounds, "seed": seed, "median": median, "max": max, "rounds_with_all_nodes": kept, "hosts": orders,
    }))
}

struct Round {
    seconds: f64,
    /// Members on the disk before the second `up`, and how many of them were members after it.
    before: usize,
    kept: usize,
    /// Hosts that were ordered in the whole life.
    orders: usize,
}

fn one_round(application: &Application, configs: &[String], moment_ms: u64) -> Result<Round, String> {
    let begun = Instant::now();
    let moment = Duration::from_millis(moment_ms);
    live(application, configs, begun, moment)?;
    processes::kill_all(application.dir())?;
    let before = members(application.dir());
    let start = Instant::now();
    let up = application.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "60"]);
    if let Err(error) = up {
        let status = application.status().unwrap_or_default();
        return Err(format!("{error}; the status is {status:#}; {}", application.founder_log().join("\n")));
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = application.status().ok_or("see the status: no node answers")?;
    if status["state"] != "stable" {
        return Err(format!("be stable: {status}"));
    }
    let orders = inventory(application, &status)?;
    let after = members(application.dir());
    let kept = before.iter().filter(|(host, node)| after.get(*host) == Some(node)).count();
    Ok(Round { seconds, before: before.len(), kept, orders })
}

/// Lets the application live until the moment, with one config after the other.
fn live(
    application: &Application,
    configs: &[String],
    begun: Instant,
    moment: Duration,
) -> Result<(), String> {
    for config in configs {
        application.write("rhizo.toml", config)?;
        let mut command = application.command(&["up", "rhizo.toml", "--yes", "--wait"]);
        let up = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut up = up.map_err(|error| format!("run up: {error}"))?;
        if !ends_before(&mut up, begun, moment)? {
            // The command is in the application's directory, so that it ends with the other processes.
            processes::kill_all(application.dir())?;
            up.wait().map_err(|error| format!("await up: {error}"))?;
            return Ok(());
        }
    }
    std::thread::sleep(moment.saturating_sub(begun.elapsed()));
    Ok(())
}

fn ends_before(up: &mut Child, begun: Instant, moment: Duration) -> Result<bool, String> {
    while begun.elapsed() < moment {
        match up.try_wait().map_err(|error| format!("await up: {error}"))? {
            Some(status) if status.success() => return Ok(true),
            Some(status) => return Err(format!("run up before the power cut: {status}")),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    Ok(false)
}

/// The config of an application with this many copies, each on a host of its own.
pub(super) fn config(copies: u32) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"crew\"\nversion = \"1\"\n[components.worker]\nexec = \"sleep 100000\"\n\
         replicas = {copies}\n[optimise]\nsettle = \"1s\"\n"
    )
}

/// The hosts whose node has joined, each with the node's key.
fn members(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let joined =
        |host: &std::path::PathBuf| host.join("joined").exists() && !host.join("terminated.json").exists();
    let hosts = processes::host_directories(dir).into_iter().filter(joined);
    hosts
        .filter_map(|host| {
            let key = std::fs::read(host.join("node/node.key")).ok()?;
            Some((host.file_name()?.to_string_lossy().into_owned(), key))
        })
        .collect()
}

/// Compares the hosts on the disk with the ledger. Returns how many hosts were ever ordered.
pub(super) fn inventory(application: &Application, status: &Value) -> Result<usize, String> {
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let explained: BTreeSet<String> =
        nodes.iter().filter_map(|node| node["host"].as_str().map(str::to_owned)).collect();
    let (mut live, mut intents) = (BTreeSet::new(), BTreeMap::new());
    let all = processes::host_directories(application.dir());
    for host in &all {
        let name = host.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(host.join("order.json"))
            .map_err(|error| format!("read an order: {error}"))?;
        let order: Value = serde_json::from_str(&text).map_err(|error| format!("read an order: {error}"))?;
        let intent = order["tags"]["intent"].as_u64();
        if let Some(other) = intents.insert(intent, name.clone()) {
            return Err(format!("buy one host for {intent:?}: there are {other} and {name}"));
        }
        if !host.join("terminated.json").exists() {
            live.insert(name);
        }
    }
    if live != explained {
        return Err(format!("find the hosts of the ledger {explained:?}: there are {live:?}"));
    }
    Ok(all.len())
}
