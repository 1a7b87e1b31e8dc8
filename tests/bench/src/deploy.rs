//! `rhizo-bench deploy --assembly FILE`: what rhizo adds to the actions of a deployment.
//!
//! A published assembly becomes an application whose actions only take their time: each waits for its duration times
//! `--scale`. This program is the application, too: the nodes that it starts are itself. Everything else is what a user
//! has: the command line, a host of the process provider, the log on disk. `total` is from *target in force* to *target
//! reached* in the host's own log, `critical_path` is that of the durations as they were measured, and `overhead` is the
//! difference. Read next: `assembly` for the file, `config` for the application, `nap` for the actions.

mod assembly;
mod config;
mod nap;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::live::application::{Application, is_at_rest, members, timed};
use crate::live::options::Options;
use assembly::Assembly;
use nap::{NAPS, Nap};

/// Runs the bench, or this process's part of the application that an earlier one started.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let known = ["assembly", "variant", "scale", "runs"];
    let figures = Options::parse(arguments, &known).and_then(|options| measure(&options));
    match figures {
        Ok(figures) => {
            println!("{figures:#}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether this process is a part of an application that the bench started; then it is that to its end.
pub(crate) fn as_application() -> Option<ExitCode> {
    nap::application()
}

fn measure(options: &Options) -> Result<Value, String> {
    let file = options.text("assembly").ok_or("understand the options: --assembly FILE is missing")?;
    let variant = options.text("variant").unwrap_or("ecotype/cached/dag_nt4");
    let scale: f64 = match options.text("scale") {
        None => 0.01,
        Some(text) => text.parse().map_err(|error| format!("understand --scale {text}: {error}"))?,
    };
    let runs = options.number("runs", 1)?.max(1);
    let assembly = Assembly::read(file, variant)?;
    let mut measured = Vec::new();
    for run in 1..=runs {
        let figures = deploy(&assembly, scale)?;
        if runs > 1 {
            eprintln!("run {run} of {runs}: overhead {} s", figures["overhead"]);
        }
        measured.push(figures);
    }
    if runs == 1 {
        return Ok(measured.remove(0));
    }
    let overheads: Vec<f64> = measured.iter().filter_map(|figures| figures["overhead"].as_f64()).collect();
    let (median, max) = crate::live::application::median_and_max(&overheads);
    Ok(json!({ "runs": measured, "overhead_median": median, "overhead_max": max }))
}

/// One deployment from nothing.
fn deploy(assembly: &Assembly, scale: f64) -> Result<Value, String> {
    let own = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let folder = std::env::temp_dir().join(format!("rhizo-bench-assembly-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    let (toml, naps, log) = (folder.join("rhizo.toml"), folder.join("naps.json"), folder.join("naps.log"));
    let wrote = std::fs::write(&toml, config::toml(assembly))
        .and_then(|()| std::fs::write(&naps, assembly.naps(scale, &log).to_string()))
        .and_then(|()| std::fs::write(&log, ""));
    wrote.map_err(|error| format!("write into {}: {error}", folder.display()))?;
    let application = Application::prepare(&own, &toml)?.with_variable(NAPS, &naps);
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let status = application.until("at rest", is_at_rest)?;
    let host = members(&status).into_iter().find(|member| member.host.is_some());
    let host = host.ok_or("find the host that the application runs on")?;
    let (cpu, rss) = usage(host.pid)?;
    // The last lines may still be on their way into the file.
    std::thread::sleep(Duration::from_millis(100));
    let lines = application.log(&host);
    let at = |words: &str| {
        let found = lines.iter().filter_map(|line| timed(line)).find(|(_, text)| text.contains(words));
        found.map(|(at, _)| at).ok_or_else(|| format!("find `{words}` in the host's log"))
    };
    let total = at("target 1 is reached")? - at("target 1 is in force")?;
    let text = std::fs::read_to_string(&log).map_err(|error| format!("read {}: {error}", log.display()))?;
    let done: Vec<Nap> = text.lines().filter_map(Nap::parse).collect();
    if done.len() != assembly.actions() {
        return Err(format!("see each of {} actions done once: {} were", assembly.actions(), done.len()));
    }
    let (critical_path, path) = assembly.critical_path(&done)?;
    drop(application);
    // What cannot be removed is only a temporary directory.
    drop(std::fs::remove_dir_all(&folder));
    Ok(json!({
        "actions": done.len(), "scale": scale, "critical_path": critical_path, "path": path, "total": total,
        "overhead": total - critical_path, "cpu": cpu, "rss": rss,
    }))
}

/// Processor time in seconds and the largest resident set in bytes of a process, since it began.
fn usage(pid: u32) -> Result<(f64, u64), String> {
    /// Ticks of `/proc`, which every Linux has at 100 a second.
    const TICKS_PER_S: f64 = 100.0;
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))
    };
    let stat = read("stat")?;
    // The name of the program may have spaces; it ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    let status = read("status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Ok((ticks / TICKS_PER_S, kib.ok_or("find the memory of the host's process")? * 1_024))
}
