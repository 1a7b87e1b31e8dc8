//! Kills the processes of a host without a cgroup: descendants of its supervisor, and processes with the host's mark.
//!
//! A supervisor adopts the orphans of its host (child subreaper), so all of them descend from it while it lives. When
//! it is dead, the mark in the environment, which children inherit, still names the host of a process. A node may start
//! supervisors of other hosts; they carry another mark and are spared with all their descendants.

use super::identity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The environment variable that names the host directory to which a process belongs.
pub(crate) const MARK: &str = "RHIZO_HOST";

/// Number of times that an empty environment beside arguments is read before it is believed. Some programs clear
/// their environment, and a process may have begun to exchange its program between the two reads.
const EMPTY_READS: u32 = 3;

/// The longest wait for a process that exchanges its program; an `exec` that takes a second means an overloaded
/// machine.
const EXCHANGE_MS_MAX: u32 = 1_000;

/// The result of one search for a host's processes.
pub(crate) struct Look {
    /// Number of processes that were found alive, and killed.
    pub(crate) found: usize,
    /// Whether every listed process still ran when it was examined.
    ///
    /// If not, a process of the host may have started another one after the list was made and have ended before its
    /// turn came; then the search saw neither of the two.
    pub(crate) is_whole: bool,
}

/// A process seen in `/proc`.
struct Seen {
    parent: i32,
    mark: Option<Vec<u8>>,
}

/// Sends SIGKILL to every process of a host and returns how many were found alive.
///
/// `root` is the supervisor when it still lives; it is not killed itself. A whole search that found none means that no
/// process of the host was left at one moment, and none remained that could have forked after it.
///
/// # Errors
/// When `/proc` cannot be listed. A process that ends meanwhile is no error.
pub(crate) fn kill_once(host: &Path, root: Option<i32>) -> io::Result<Look> {
    let (seen, is_whole) = processes()?;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = 0;
    for (&pid, process) in &seen {
        if pid == own || Some(pid) == root {
            continue;
        }
        let belongs = match &process.mark {
            Some(mark) if mark == host.as_os_str().as_bytes() => true,
            _ => root.is_some_and(|root| descends(&seen, pid, root, host.as_os_str())),
        };
        if belongs {
            found += 1;
            // ESRCH: it ended between the look and the kill.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    Ok(Look { found, is_whole })
}

/// Returns the live processes whose mark names a host directory below this one, each with that host directory.
///
/// # Errors
/// When `/proc` cannot be listed.
pub(crate) fn marked_below(directory: &Path) -> io::Result<Vec<(i32, PathBuf)>> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let (seen, _) = processes()?;
    let marked = seen.into_iter().filter(|(pid, _)| *pid != own).filter_map(|(pid, process)| {
        let host = PathBuf::from(OsString::from_vec(process.mark?));
        host.starts_with(directory).then_some((pid, host))
    });
    Ok(marked.collect())
}

/// Whether `pid` descends from `root` without passing a process with another host's mark.
fn descends(seen: &BTreeMap<i32, Seen>, mut pid: i32, root: i32, host: &OsStr) -> bool {
    // A chain longer than the number of processes would be a cycle, which pid reuse between reads can feign.
    for _ in 0..seen.len() {
        let Some(process) = seen.get(&pid) else { return false };
        if process.mark.as_ref().is_some_and(|mark| mark != host.as_bytes()) {
            return false;
        }
        if process.parent == root {
            return true;
        }
        pid = process.parent;
    }
    false
}

/// The running processes, and whether every listed process still ran when it was examined.
fn processes() -> io::Result<(BTreeMap<i32, Seen>, bool)> {
    let mut seen = BTreeMap::new();
    let mut is_whole = true;
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        match identity::stat(pid) {
            Ok(Some(stat)) if stat.runs => {
                seen.insert(pid, Seen { parent: stat.parent, mark: mark_of(pid) });
            }
            _ => is_whole = false,
        }
    }
    Ok((seen, is_whole))
}

/// The mark in a process's environment; `None` without one, or when it belongs to another user.
fn mark_of(pid: i32) -> Option<Vec<u8>> {
    let environment = environment(pid)?;
    environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .map(<[u8]>::to_vec)
}

/// The environment that a program was started with.
///
/// While a process exchanges its program (`exec`), the kernel shows it without arguments and without an environment:
/// usually for less than a millisecond, longer on a busy machine. Such a process would be missed if the empty
/// environment were believed. A program that was really started without an environment has arguments.
fn environment(pid: i32) -> Option<Vec<u8>> {
    let mut believed = 0;
    for _ in 0..EXCHANGE_MS_MAX {
        let has_program = fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        // Threads of the kernel never have a program, nor an environment.
        if !environment.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            return Some(environment);
        }
        believed += u32::from(has_program);
        if believed == EMPTY_READS {
            return Some(environment);
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}
