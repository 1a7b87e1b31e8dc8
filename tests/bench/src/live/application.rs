//! A real application for the benches that need one: started in a directory of its own, observed, killed, taken down.
//!
//! It is driven by its command line only, as by a user. No command is retried.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time after which a wait has failed; far longer than an application on two busy cores needs.
const WATCHDOG: Duration = Duration::from_secs(180);

/// Number of directories that this process has prepared.
static PREPARED: AtomicU32 = AtomicU32::new(0);

/// An application that a bench started.
pub(crate) struct Application {
    dir: PathBuf,
    program: PathBuf,
    /// Environment variables of all its commands.
    variables: Vec<(String, PathBuf)>,
}

/// A member with a process on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its node id.
    pub(crate) id: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Its host at the provider; none for the process of `up`.
    pub(crate) host: Option<String>,
}

impl Application {
    /// Prepares a directory that did not exist.
    pub(crate) fn prepare(program: &Path) -> Result<Self, String> {
        let program =
            program.canonicalize().map_err(|error| format!("find {}: {error}", program.display()))?;
        // Of a fixed width, because processes are recognised by this path: none may begin with another one.
        let number = PREPARED.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rhizo-bench-{:08}-{number:04}", std::process::id()));
        std::fs::create_dir(&dir).map_err(|error| format!("prepare {}: {error}", dir.display()))?;
        Ok(Self { dir, program, variables: Vec::new() })
    }

    /// This application, with a copy of a config and of the `data` folder beside it, if any.
    pub(crate) fn with_config(self, config: &Path) -> Result<Self, String> {
        let copied = std::fs::copy(config, self.dir.join("rhizo.toml"))
            .and_then(|_| copy_folder(&config.with_file_name("data"), &self.dir.join("data")));
        copied.map_err(|error| format!("copy {} and its data: {error}", config.display()))?;
        Ok(self)
    }

    /// This application, with a variable set to a path for its processes.
    pub(crate) fn with_variable(mut self, name: &str, value: &Path) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The application's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command of the application that the bench starts itself.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir);
        command
    }

    /// Replaces a file in the application's directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).map_err(|error| format!("write {}: {error}", path.display()))
    }

    /// The text of a file in the application's directory.
    pub(crate) fn read(&self, name: &str) -> Result<String, String> {
        let path = self.dir.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))
    }

    /// Runs a command to its end and returns its standard output if it succeeds.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let (status, out, err) = self.end_of(arguments)?;
        if status.success() {
            Ok(out)
        } else {
            Err(format!("run {arguments:?}: {status}: {}", last_lines(&err)))
        }
    }

    /// Runs a command to its end and returns its exit status, standard output and standard error.
    pub(crate) fn end_of(&self, arguments: &[&str]) -> Result<(ExitStatus, String, String), String> {
        let failed = |error: std::io::Error| format!("run {arguments:?}: {error}");
        let (out, err) = (self.dir.join("out"), self.dir.join("err"));
        // Files, not pipes: a node in the background would keep a pipe open.
        let mut child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&out).map_err(failed)?)
            .stderr(File::create(&err).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let start = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if start.elapsed() > WATCHDOG {
                // The bench fails either way; the process must not outlive it.
                drop(child.kill());
                return Err(format!("run {arguments:?}: no end after {} s", WATCHDOG.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |path| std::fs::read_to_string(path).map_err(failed);
        Ok((status, read(&out)?, read(&err)?))
    }

    /// The status; none while no node answers. (Without a quorum the command fails, but prints a status.)
    pub(crate) fn status(&self) -> Option<Value> {
        let (_, out, _) = self.end_of(&["status", "--json"]).ok()?;
        serde_json::from_str(&out).ok()
    }

    /// The lines of a member's own log. (A member passes questions on to the coordinator, so only its log has its own
    /// observations.)
    pub(crate) fn log(&self, member: &Member) -> Vec<String> {
        self.log_text(member).lines().map(str::to_owned).collect()
    }

    /// The lines of the log of node 0, when it runs in the background.
    pub(crate) fn founder_log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.join(".rhizo/founder/node.log"));
        log.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn log_text(&self, member: &Member) -> String {
        let Some(host) = &member.host else { return String::new() };
        let providers = std::fs::read_dir(self.dir.join(".rhizo/providers")).into_iter().flatten().flatten();
        let logs = providers.map(|provider| provider.path().join("hosts").join(host).join("node.log"));
        logs.filter_map(|log| std::fs::read_to_string(log).ok()).collect()
    }

    /// Waits for a status that satisfies the predicate.
    pub(crate) fn until(&self, wish: &str, property: impl Fn(&Value) -> bool) -> Result<Value, String> {
        self.until_some(wish, || self.status().filter(&property)).map_err(|error| {
            let last = self.status().map_or("nobody answers".to_owned(), |status| status.to_string());
            format!("{error}; the status is {last}")
        })
    }

    /// Waits until `look` returns a value.
    pub(crate) fn until_some<T>(&self, wish: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
        let start = Instant::now();
        while start.elapsed() < WATCHDOG {
            if let Some(seen) = look() {
                return Ok(seen);
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        Err(format!("wait until {wish}: not within {} s", WATCHDOG.as_secs()))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down", "--yes"]) {
            eprintln!(
                "failed to take the application down: {error}; its directory is {}",
                self.dir.display()
            );
        } else {
            // A directory that cannot be removed is only a temporary one.
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

/// The end of what a failed command wrote: its plan may have hundreds of lines.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The members of a status that have a process.
pub(crate) fn members(status: &Value) -> Vec<Member> {
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let member = |node: &Value| {
        let pid = u32::try_from(node["pid"].as_u64()?).ok()?;
        Some(Member {
            id: node["id"].as_str()?.to_owned(),
            pid,
            host: node["host"].as_str().map(str::to_owned),
        })
    };
    nodes.iter().filter_map(member).collect()
}

/// Whether an application is stable and the process of every member is known (which is sent by gossip).
pub(crate) fn is_at_rest(status: &Value) -> bool {
    let count = status["nodes"].as_array().map_or(0, Vec::len);
    status["state"] == "stable" && members(status).len() == count
}

/// Median and maximum of some seconds; zero for none.
pub(crate) fn median_and_max(seconds: &[f64]) -> (f64, f64) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => 0.0,
        length if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    (median, sorted.last().copied().unwrap_or(0.0))
}

/// The time of day in seconds, and the rest of a log line.
pub(crate) fn timed(line: &str) -> Option<(f64, String)> {
    let (stamp, text) = line.split_once(' ')?;
    let clock = stamp.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some((hours * 3_600.0 + minutes * 60.0 + seconds, text.to_owned()))
}

/// Copies a folder with its content; nothing when there is none.
pub(super) fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_ones() {
        assert_eq!(median_and_max(&[4.0, 1.0, 2.0, 3.0]), (2.5, 4.0));
        assert_eq!(median_and_max(&[3.0, 1.0, 2.0]), (2.0, 3.0));
        assert_eq!(median_and_max(&[]), (0.0, 0.0));
    }

    #[test]
    fn a_log_line_has_its_time_of_day() {
        let line = "2026-01-02T01:02:03.500000Z  INFO rhizo::node::admin::recent: dead: n8 node=n1";
        let (at, text) = timed(line).unwrap();
        assert!((at - 3_723.5).abs() < 1e-9 && text.contains(": dead: n8 node="), "{at} {text}");
        assert!(timed("no time").is_none());
    }
}
