//! Killing everything below a host without a cgroup: descendants, and whoever carries the host's mark.
//!
//! A supervisor adopts the orphans of its host (child subreaper), so descent finds them all while it lives. When
//! it is dead, the mark in the environment, which children inherit, still tells whose a process is. A node may
//! start supervisors of other hosts; those carry another mark and are spared, with everything below them.

use super::identity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The environment variable that tells which host directory a process belongs to.
pub(crate) const MARK: &str = "RHIZO_HOST";

/// How often an empty environment beside arguments is read before it is believed: some programs clear theirs, and
/// between the two looks the exchange may have begun.
const EMPTY_READS: u32 = 3;

/// The longest exchange of a program that is waited for: a second without the processor is a machine in trouble.
const EXCHANGE_MS_MAX: u32 = 1_000;

/// What one look at a host's processes came to.
pub(crate) struct Look {
    /// How many were found alive, and killed.
    pub(crate) found: usize,
    /// Whether nothing that was listed had ended when it was looked at.
    ///
    /// Otherwise a process of the host may have started another one after the list was made, and have been killed by
    /// somebody else before its turn came: then neither of the two was seen.
    pub(crate) is_whole: bool,
}

/// A process seen in `/proc`.
struct Seen {
    parent: i32,
    mark: Option<Vec<u8>>,
}

/// Sends SIGKILL to all that belongs to a host, and says how many were found alive.
///
/// `root` is the supervisor when it still lives; it is not killed itself. A whole look that found none means that
/// nothing was left at one moment after the last of them could still have forked.
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

/// Whether `pid` descends from `root` without another host's mark on the way.
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

/// The processes that run, and whether all that were listed still did.
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
/// While a process exchanges its program the kernel shows it without arguments and without an environment: for less
/// than a millisecond, or as long as others have the processor. To take that for an answer would overlook the
/// process. A program that was really started without an environment has arguments.
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
