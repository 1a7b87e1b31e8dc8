//! `rhizo-bench idle`: processor time and memory of idle nodes.
//!
//! Both are read from `/proc`: user and system time over the period, and the proportional set size at its end
//! (shared pages are divided among the processes that share them). Components are counted when they run inside the
//! node.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::application::{Member, is_at_rest, median_and_max, members};
use super::options::Options;
use super::processes;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let period = Duration::from_secs(options.number("seconds", 600)?);
    let application = options.application()?;
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let status = application.until("stable", is_at_rest)?;
    let nodes = members(&status);
    let before = nodes.iter().map(|node| processes::seconds(node.pid)).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    std::thread::sleep(period);
    let elapsed = start.elapsed().as_secs_f64();
    let mut rows = Vec::new();
    let (mut shares, mut sizes) = (Vec::new(), Vec::new());
    for (node, before) in nodes.iter().zip(before) {
        let cpu_percent = (processes::seconds(node.pid)? - before) / elapsed * 100.0;
        let pss_mb = pss_kib(node.pid)? * 1024.0 / 1e6;
        shares.push(cpu_percent);
        sizes.push(pss_mb);
        rows.push(row(node, &status, cpu_percent, pss_mb));
    }
    let ((cpu_median, cpu_max), (pss_median, pss_max)) = (median_and_max(&shares), median_and_max(&sizes));
    Ok(json!({
        "seconds": elapsed, "nodes": rows, "cpu_percent_median": cpu_median, "cpu_percent_max": cpu_max,
        "pss_mb_median": pss_median, "pss_mb_max": pss_max,
    }))
}

fn row(node: &Member, status: &Value, cpu_percent: f64, pss_mb: f64) -> Value {
    let coordinates = status["coordinator"] == node.id.as_str();
    json!({"id": node.id, "coordinator": coordinates, "hosted": node.host.is_some(), "cpu_percent": cpu_percent, "pss_mb": pss_mb})
}

/// Proportional set size of a process, in KiB.
fn pss_kib(pid: u32) -> Result<f64, String> {
    let rollup = read(pid, "smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let size = line.and_then(|rest| rest.split_whitespace().next()).and_then(|text| text.parse().ok());
    size.ok_or_else(|| format!("read the memory of process {pid}"))
}

fn read(pid: u32, file: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_times_and_memory() {
        let own = std::process::id();
        assert!(processes::seconds(own).unwrap() >= 0.0);
        assert!(pss_kib(own).unwrap() > 0.0);
        assert!(processes::seconds(0).is_err());
    }
}
