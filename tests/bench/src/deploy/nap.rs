//! Actions that only sleep, and log when they began and ended.
//!
//! A function that is registered under a component's and a transition's name sleeps. It measures its
//! real duration, so that a delay by the machine does not count as overhead of rhizo.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// The variable that makes a process of this program a part of the application; names the file with its actions.
pub(super) const NAPS: &str = "RHIZO_BENCH_NAPS";

#[derive(Deserialize)]
struct Naps {
    /// Seconds by `component.transition`.
    seconds: BTreeMap<String, f64>,
    log: PathBuf,
}

/// One executed action.
#[derive(Debug)]
pub(super) struct Nap {
    /// `component.transition`.
    pub(super) name: String,
    pub(super) begin_s: f64,
    pub(super) end_s: f64,
}

impl Nap {
    /// Reads a line of the log.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        Some(Self { name, begin_s: words.next()?.parse().ok()?, end_s: words.next()?.parse().ok()? })
    }
}

/// The application's command line, node or supervisor, if this process is one of them.
pub(super) fn application() -> Option<ExitCode> {
    let file = std::env::var_os(NAPS)?;
    let naps: Naps = match std::fs::read(&file)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()))
    {
        Ok(naps) => naps,
        Err(error) => {
            eprintln!("failed to read {}: {error}", file.display());
            return Some(ExitCode::FAILURE);
        }
    };
    let mut application = rhizo::Rhizo::bare();
    // `up` refuses code for a component that its config does not have. A config of the update of sites has some
    // components only; the nodes, which have no config beside them, need the actions of all.
    let config = std::fs::read_to_string("rhizo.toml").ok();
    let has = |component: &str| {
        config.as_ref().is_none_or(|text| text.contains(&format!("[components.{component}]")))
    };
    for (name, seconds) in naps.seconds {
        let Some((component, transition)) = name.split_once('.') else { continue };
        if !has(component) {
            continue;
        }
        let (log, named) = (naps.log.clone(), name.clone());
        application = application.action(component, transition, move |_| {
            let (log, name) = (log.clone(), named.clone());
            async move {
                let begin_s = clock_s();
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                note(&log, &name, begin_s, clock_s())
            }
        });
    }
    Some(application.run())
}

fn note(log: &Path, name: &str, begin_s: f64, end_s: f64) -> Result<(), rhizo::BoxError> {
    let mut file = OpenOptions::new().append(true).open(log)?;
    // One write for the whole line, so that lines of actions that end at the same time do not mix.
    file.write_all(format!("{name} {begin_s:.6} {end_s:.6}\n").as_bytes())?;
    Ok(())
}

fn clock_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
