//! `rhizo-bench crash-loop`: a program that never works, with twenty offers and a budget for all of them.
//!
//! Every second it counts hosts and copies. At the end the program is corrected, and the time of `up` until stable is
//! taken. The bench fails when there was a host beyond the need and one spare, or a copy beyond `replicas.max`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::application::{Application, members};
use super::options::Options;
use super::processes;

/// The hosts that the two copies need, because each region has one.
const HOSTS_NEEDED: usize = 2;
/// The copies that the component may have.
const COPIES_MAX: usize = 4;
const OFFERS: u32 = 20;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let period = Duration::from_secs(options.number("seconds", 600)?);
    let application = options.application()?;
    application.write("offers.csv", &offers())?;
    application.write("rhizo.toml", &config("sh -c 'exit 3'"))?;
    // The program never works, so that this command ends without success.
    let _unstable = application.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "5"]);
    let status = application.status().ok_or("see the status: no node answers")?;
    let nodes = members(&status);
    let processor = || nodes.iter().map(|node| processes::seconds(node.pid)).sum::<Result<f64, String>>();
    let (begun, before) = (Instant::now(), processor()?);
    let (mut hosts_max, mut copies_max, mut failures) = (0, 0, 0);
    while begun.elapsed() < period {
        hosts_max = hosts_max.max(running_hosts(&application));
        if let Some(status) = application.status() {
            copies_max = copies_max.max(copies(&status));
            failures = status["failing"][0]["failures"].as_u64().unwrap_or(failures);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let cpu_percent = (processor()? - before) / begun.elapsed().as_secs_f64() * 100.0;
    let ordered = processes::host_directories(application.dir()).len();
    if hosts_max > HOSTS_NEEDED + 1 || copies_max > COPIES_MAX {
        return Err(format!("keep the bounds: {hosts_max} hosts and {copies_max} copies at once"));
    }
    application.write("rhizo.toml", &config("sleep 100000"))?;
    let corrected = Instant::now();
    application.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "60"])?;
    Ok(json!({
        "seconds": period.as_secs(), "hosts_max": hosts_max, "hosts_ordered": ordered, "copies_max": copies_max,
        "failures": failures, "cpu_percent": cpu_percent, "corrected_seconds": corrected.elapsed().as_secs_f64(),
    }))
}

fn offers() -> String {
    let rows = (0..OFFERS).map(|number| format!("o{number},eu-{number},0.10,2,4GiB\n"));
    "name,region,price_per_hour,cap.cpu,cap.memory\n".to_owned() + &rows.collect::<String>()
}

fn config(exec: &str) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"crew\"\nversion = \"1\"\n[components.worker]\nexec = \"{exec}\"\n\
         replicas = {{ min = {HOSTS_NEEDED}, max = {COPIES_MAX} }}\n\
         [[require]]\nname = \"apart\"\ngroup = \"worker\"\nspread = {{ by = \"node.region\", max = \"1\" }}\n\
         [providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n[budget]\nmax_hourly = \"$5/h\"\n"
    )
}

/// Hosts that have not ended.
fn running_hosts(application: &Application) -> usize {
    let hosts = processes::host_directories(application.dir());
    hosts.iter().filter(|host| !host.join("terminated.json").exists()).count()
}

/// The copies that are placed; the status lists one entry for each.
fn copies(status: &Value) -> usize {
    status["components"].as_array().map_or(0, Vec::len)
}
