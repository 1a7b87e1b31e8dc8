//! `rhizo-bench grow`: many hosts of one provider are ordered at once, and then left alone.
//!
//! The application is one component that sleeps, with a copy on each of `--hosts N` hosts. The bench prints how long
//! `up --wait` takes, the term that the log has reached after a minute at rest, and the processor time of all processes
//! of the application during that minute. It does the same with `--compare M` hosts first, and prints the ratio of the
//! costs per node. The load averages say how busy the machine was with other work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::application::{Application, is_at_rest};
use super::options::Options;
use super::processes;

/// Pause between *stable* and the begin of the measurement: links are measured and gossiped a few times until then.
const SETTLE: Duration = Duration::from_secs(15);

/// Offers of the provider. Each has 60 hosts, so that no offer alone can serve a large application.
const OFFERS: u64 = 10;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let hosts = options.number("hosts", 100)?;
    let compare = options.number("compare", 10)?;
    let period = Duration::from_secs(options.number("seconds", 60)?);
    let mut rows = Vec::new();
    for hosts in [compare, hosts] {
        if hosts > 0 {
            rows.push(grow(options, hosts, period)?);
        }
    }
    let per_node = |row: &Value| row["percent_per_node"].as_f64().unwrap_or(f64::NAN);
    let ratio = match rows.as_slice() {
        [few, many] => Some(per_node(many) / per_node(few)),
        _ => None,
    };
    Ok(json!({"runs": rows, "ratio": ratio}))
}

/// One application: formed, observed at rest and taken down.
fn grow(options: &Options, hosts: u64, period: Duration) -> Result<Value, String> {
    let application = options.application()?;
    application.write("rhizo.toml", &config(hosts))?;
    application.write("offers.csv", &offers())?;
    let load_before = load();
    let start = Instant::now();
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let stable_s = start.elapsed().as_secs_f64();
    let formed = application.until("all nodes are known", is_at_rest)?;
    let known_s = start.elapsed().as_secs_f64();
    let term_stable = formed["term"].clone();
    eprintln!("{hosts} hosts: stable after {stable_s:.1} s, term {term_stable}, load {load_before:.1}");
    std::thread::sleep(SETTLE);
    let load_rest = load();
    let (percent, processes, ended) = use_of(&application, period);
    let status = application.status().ok_or("see the status: no node answers")?;
    let nodes = status["nodes"].as_array().map_or(0, Vec::len);
    if status["state"] != "stable" || nodes as u64 != hosts + 1 {
        return Err(format!("stay stable: {} with {nodes} nodes, term {}", status["state"], status["term"]));
    }
    let percent_per_node = percent / (hosts + 1) as f64;
    eprintln!(
        "{hosts} hosts: at rest {percent:.1} % of a core, {percent_per_node:.3} % per node, term {}, load {load_rest:.1}",
        status["term"]
    );
    Ok(json!({
        "hosts": hosts, "stable_s": stable_s, "all_nodes_known_s": known_s, "term_when_stable": term_stable,
        "term": status["term"], "percent": percent, "percent_per_node": percent_per_node, "processes": processes,
        "processes_that_ended": ended,
        "load_before": load_before, "load_at_rest": load_rest,
    }))
}

/// The processor time of all processes of the application over a period, in percent of one core, their number, and how
/// many of them ended meanwhile: their time is not counted.
fn use_of(application: &Application, period: Duration) -> (f64, usize, usize) {
    let start = Instant::now();
    let before: Vec<(u32, f64)> = processes::of(application.dir())
        .into_iter()
        .filter_map(|pid| Some((pid, processes::seconds(pid).ok()?)))
        .collect();
    std::thread::sleep(period);
    let elapsed = start.elapsed().as_secs_f64();
    let used: Vec<f64> =
        before.iter().filter_map(|(pid, earlier)| Some(processes::seconds(*pid).ok()? - earlier)).collect();
    (used.iter().sum::<f64>() / elapsed * 100.0, before.len(), before.len() - used.len())
}

/// The load average of the last minute; not a number when it cannot be read.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

fn config(hosts: u64) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"crew\"\nversion = \"1\"\n[components.worker]\nexec = \"sleep 100000\"\n\
         replicas = {hosts}\n[optimise]\nsettle = \"1s\"\n[providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n"
    )
}

fn offers() -> String {
    let rows = (1..=OFFERS).map(|number| format!("o{number},r{},0.01,60,2,2GiB\n", number % 4));
    std::iter::once("name,region,price_per_hour,available,cap.cpu,cap.memory\n".to_owned())
        .chain(rows)
        .collect()
}
