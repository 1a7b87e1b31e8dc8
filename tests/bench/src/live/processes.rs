//! The processes of one application on this machine: found by its directory, and all killed at one moment.
//!
//! A process belongs to the application if its arguments, environment or working directory name the directory. This
//! program itself is never one of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Time after which killed processes that are still there are an error.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kernel ticks per second that `/proc/PID/stat` counts in: fixed by the kernel's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Stops all processes of the application and then kills them, so that none sees the end of another one.
///
/// # Errors
/// When one is left after a while.
pub(super) fn kill_all(dir: &Path) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let all = of(dir);
        if all.is_empty() {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("kill the processes {all:?}"));
        }
        // A process may have started another one meanwhile; the next look finds it.
        signal(&all, "STOP")?;
        signal(&all, "KILL")?;
    }
}

/// The directories of all hosts that emulated providers of the application have made.
pub(super) fn host_directories(dir: &Path) -> Vec<PathBuf> {
    let entries =
        |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let providers = entries(dir.join(".rhizo/providers"));
    let hosts = providers.flat_map(|provider| entries(provider.join("hosts")));
    hosts.filter(|host| host.join("order.json").exists()).collect()
}

/// The processes of the application in this directory.
pub(super) fn of(dir: &Path) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id() && belongs(*pid, dir)).collect()
}

/// A zombie has ended, and its parent has not reaped it yet.
fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

fn belongs(pid: u32, dir: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let name = dir.as_os_str().as_encoded_bytes();
    let names = |file| {
        fs::read(proc.join(file)).is_ok_and(|bytes| bytes.windows(name.len()).any(|window| window == name))
    };
    let works_there = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    !is_zombie(pid) && (works_there || names("cmdline") || names("environ"))
}

/// The arguments of a process, separated by spaces; empty when it has ended.
pub(super) fn command(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// The time at which a process started, in ticks since the machine was started. A process that has the same number
/// later has another one.
pub(super) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The 22nd field, of which the name in parentheses is the second.
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

/// User and system time that a process has used, in seconds.
pub(super) fn seconds(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
    // The name in parentheses may hold anything; the 14th and 15th fields are the 12th and 13th after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    let sum = field(11).zip(field(12)).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    sum.ok_or_else(|| format!("read the times of process {pid}"))
}

/// The processes of the application's hosts: supervisors, nodes, and programs with all their children.
pub(super) fn of_hosts(dir: &Path) -> Vec<u32> {
    let mark = format!("RHIZO_HOST={}/.rhizo/", dir.display());
    let is_marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    of(dir).into_iter().filter(is_marked).collect()
}

/// Whether a process exists and is no zombie.
pub(super) fn lives(pid: u32) -> bool {
    !is_zombie(pid) && Path::new(&format!("/proc/{pid}")).exists()
}

/// Sends a signal to processes, by the name that `kill` knows. A process that has ended is no error.
pub(super) fn signal(pids: &[u32], name: &str) -> Result<(), String> {
    let mut command = Command::new("kill");
    command.arg(format!("-{name}")).args(pids.iter().map(u32::to_string));
    // Processes that have ended already need no signal.
    let sent = command.stderr(std::process::Stdio::null()).status();
    sent.map(drop).map_err(|error| format!("run kill: {error}"))
}
