//! Deployment and change of a real application, with durations from its own logs.
//!
//! With a process for each host, the hosts are acquired first and run an idle component, so that the boot of hosts is
//! not measured. `total` is the time from the first *target in force* in any node's log to *target reached*; for a
//! change it is the time from *script begins* to *script is carried out*. `critical_path` uses the measured durations
//! of the actions, and `overhead` is the difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::assembly::Assembly;
use super::config;
use super::nap::{NAPS, Nap};
use super::order::Order;
use super::usage::Usage;
use crate::live::application::{Application, Member, is_at_rest, members, timed};

/// Seconds of a day: logs have the time of day.
const DAY_S: f64 = 86_400.0;

/// Time-out of `up` in seconds: dozens of hosts start on a busy machine.
const PATIENCE_S: &str = "170";

struct Stage {
    /// Dropped before the folder, because the processes that take the application down read the folder's files.
    application: Application,
    _folder: Folder,
    log: PathBuf,
    /// Usage of each process when the phase began.
    used: BTreeMap<u32, f64>,
    /// Number of log lines that belong to earlier phases.
    past: BTreeMap<String, usize>,
}

/// One deployment from nothing, and the change, if the assembly has one.
pub(super) fn deploy(assembly: &Assembly, scale: f64, processes: bool) -> Result<Value, String> {
    let mut stage = Stage::set(assembly, scale, processes)?;
    let up = ["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", PATIENCE_S];
    stage.application.run(&up)?;
    if processes {
        stage.application.until("at rest", is_at_rest)?;
        stage.begin()?;
        stage.application.write("rhizo.toml", &config::whole(assembly, true)?)?;
        stage.application.run(&up)?;
    }
    stage.application.until("at rest", is_at_rest)?;
    let mut deployed = stage.end(&Order::of_deployment(assembly)?, None)?;
    deployed["scale"] = json!(scale);
    let mut changed = Value::Null;
    if !assembly.change.is_empty() {
        stage.begin()?;
        stage.application.write("change.rhs", &config::script(assembly))?;
        stage.application.run(&["run", "change.rhs", "--no-wait"])?;
        let ended = |status: &Value| status["script"]["state"] != "running";
        let status = stage.application.until("the script has ended", ended)?;
        if status["script"]["state"] != "done" {
            return Err(format!("carry out the change: {}", status["script"]));
        }
        stage.application.until("at rest", is_at_rest)?;
        let words = ("script 1 begins", "script 1 is carried out");
        changed = stage.end(&Order::of_change(assembly)?, Some(words))?;
    }
    Ok(json!({ "deploy": deployed, "change": changed }))
}

impl Stage {
    /// A folder with all files of the application, which is not started yet.
    fn set(assembly: &Assembly, scale: f64, processes: bool) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
        let folder = std::env::temp_dir().join(format!("rhizo-bench-assembly-{}", std::process::id()));
        let (naps, log) = (folder.join("naps.json"), folder.join("naps.log"));
        let text = if processes { config::hosts_alone(assembly) } else { config::whole(assembly, false)? };
        let naps_text = assembly.naps(scale, &log)?.to_string();
        let wrote = std::fs::create_dir_all(folder.join("data"))
            .and_then(|()| std::fs::write(folder.join("rhizo.toml"), text))
            .and_then(|()| std::fs::write(folder.join("data/offers.csv"), config::offers(assembly)))
            .and_then(|()| std::fs::write(&naps, naps_text))
            .and_then(|()| std::fs::write(&log, ""));
        wrote.map_err(|error| format!("write into {}: {error}", folder.display()))?;
        let application =
            Application::prepare(&own)?.with_config(&folder.join("rhizo.toml"))?.with_variable(NAPS, &naps);
        let (used, past) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { application, _folder: Folder(folder), log, used, past })
    }

    fn members(&self) -> Result<Vec<Member>, String> {
        Ok(members(&self.application.status().ok_or("ask for the status")?))
    }

    fn lines(&self, member: &Member) -> Vec<String> {
        match member.host {
            Some(_) => self.application.log(member),
            None => self.application.founder_log(),
        }
    }

    /// Begins a new phase, without the log lines and the usage until now.
    fn begin(&mut self) -> Result<(), String> {
        for member in self.members()? {
            self.used.insert(member.pid, Usage::of(member.pid)?.cpu_s);
            self.past.insert(member.id.clone(), self.lines(&member).len());
        }
        std::fs::write(&self.log, "").map_err(|error| format!("write {}: {error}", self.log.display()))
    }

    /// Returns the figures of this phase; without the words of a script it is the deployment of a target.
    fn end(&self, order: &Order, words: Option<(&str, &str)>) -> Result<Value, String> {
        // The last lines may not be in the files yet.
        std::thread::sleep(Duration::from_millis(100));
        let members = self.members()?;
        let mut lines = Vec::new();
        for member in &members {
            let past = self.past.get(&member.id).copied().unwrap_or(0);
            let log = self.lines(member);
            lines.extend(log.iter().skip(past).filter_map(|line| timed(line)));
        }
        let targets = targets(&lines);
        let first = targets.first().ok_or("find a target in the logs")?;
        let last = targets.last().unwrap_or(first);
        let (begin, end) = match words {
            Some((begin, end)) => (begin.to_owned(), end.to_owned()),
            None => (format!("target {first} is in force"), format!("target {last} is reached")),
        };
        let begin = earliest(&lines, &begin)?;
        let since = |at: f64| (at - begin + DAY_S) % DAY_S;
        let total = since(earliest(&lines, &end)?);
        let done = self.done()?;
        let measured: BTreeMap<String, f64> =
            done.iter().map(|nap| (nap.name.clone(), nap.end_s - nap.begin_s)).collect();
        if done.len() != order.actions().len()
            || !order.actions().iter().all(|name| measured.contains_key(name))
        {
            let (wanted, seen) = (order.actions().len(), done.len());
            return Err(format!("see each of {wanted} actions done once: {seen} were"));
        }
        let (critical_path, path) = order.critical_path(&measured)?;
        let (cpu, rss) = self.used(&members)?;
        let mut figures = json!({
            "actions": done.len(), "processes": members.len(), "targets": targets.len(),
            "critical_path": critical_path, "path": path, "total": total, "overhead": total - critical_path,
            "cpu": cpu, "rss": rss,
        });
        if let Some(hops) = hops(&lines, since) {
            figures["per_hop"] = json!(hops);
            figures["started_first"] = json!(since(earliest(&lines, " started node=")?));
        }
        Ok(figures)
    }

    fn done(&self) -> Result<Vec<Nap>, String> {
        let text = read(&self.log)?;
        Ok(text.lines().filter_map(Nap::parse).collect())
    }

    /// Processor time of all nodes since the phase began, and the resident memory of the largest.
    fn used(&self, members: &[Member]) -> Result<(f64, u64), String> {
        let (mut cpu, mut rss) = (0.0, 0);
        // The process of `up` hosts no instance.
        for member in members.iter().filter(|member| member.host.is_some()) {
            let usage = Usage::of(member.pid)?;
            cpu += usage.cpu_s - self.used.get(&member.pid).copied().unwrap_or(0.0);
            rss = rss.max(usage.rss_max_bytes);
        }
        Ok((cpu, rss))
    }
}

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // A directory that cannot be removed is only a temporary one.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// The numbers of the targets that came into force, in order.
fn targets(lines: &[(f64, String)]) -> Vec<u64> {
    let number = |(_, text): &(f64, String)| {
        let (before, _) = text.split_once(" is in force")?;
        before.rsplit_once("target ")?.1.parse::<u64>().ok()
    };
    let mut all: Vec<u64> = lines.iter().filter_map(number).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn earliest(lines: &[(f64, String)], words: &str) -> Result<f64, String> {
    let told = lines.iter().filter(|(_, text)| text.contains(words)).map(|(at, _)| *at);
    told.min_by(f64::total_cmp).ok_or_else(|| format!("find `{words}` in a log"))
}

/// Mean time between two starts, for instances of a chain, each of which waits for the one before; none for a single
/// start.
fn hops(lines: &[(f64, String)], since: impl Fn(f64) -> f64) -> Option<f64> {
    let is_link = |text: &str| text.contains(" started node=") && text.contains(super::shape::LINK);
    let mut all: Vec<f64> =
        lines.iter().filter(|(_, text)| is_link(text)).map(|(at, _)| since(*at)).collect();
    all.sort_by(f64::total_cmp);
    let (first, last) = all.first().zip(all.last())?;
    let between = u32::try_from(all.len() - 1).ok().filter(|between| *between > 0)?;
    Some((last - first) / f64::from(between))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_times_are_read_from_lines_of_any_member() {
        let line = |at: f64, text: &str| (at, text.to_owned());
        let lines = [
            line(2.0, "record: target 3 is in force node=n2"),
            line(1.5, "record: target 3 is in force node=n1"),
            line(1.9, "record: link-1.0 started node=n2"),
            line(1.7, "record: link-0.0 started node=n1"),
            line(1.8, "record: other.0 started node=n1"),
            line(2.2, "record: target 4 is in force node=n1"),
        ];
        assert_eq!(targets(&lines), [3, 4]);
        assert_eq!(earliest(&lines, "target 3 is in force"), Ok(1.5));
        assert!(earliest(&lines, "target 5").is_err());
        let hop = hops(&lines, |at| at).unwrap();
        assert!((hop - 0.2).abs() < 1e-9, "{hop}");
    }
}
