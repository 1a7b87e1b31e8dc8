//! Ends a host: kills all its processes, then records the end. Called by the host's supervisor, or by a process that
//! lists hosts and finds that the supervisor has died.
//!
//! The record of the end permits an exclusive component to start elsewhere. So it is written only after a search that
//! found no live process.

use super::layout::{HostFiles, Layout};
use super::records::{self, Cause, OrderRecord, TerminatedRecord, unix_ms};
use super::{address, cgroup, descendants};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Time for which one attempt waits for killed processes to end. A process in an uninterruptible call can take
/// longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Number of empty searches in a row after which the host counts as ended although processes ended meanwhile. All of
/// them would miss a process only if in each search it started a successor and was killed before it was examined.
const QUIET_LOOKS: u32 = 5;

/// Pause between two searches for live processes.
const POLL: Duration = Duration::from_millis(2);

/// Kills the remaining processes of a host, records the reason of its end and releases its address.
///
/// `root` is the supervisor, when the caller is the supervisor. Returns false when a process is still alive: then the
/// host has not ended, and the call has to be repeated.
///
/// # Errors
/// When processes cannot be examined or the record cannot be written.
pub(crate) fn end(
    layout: &Layout,
    files: &HostFiles,
    order: &OrderRecord,
    group: Option<&Path>,
    root: Option<i32>,
    cause: Cause,
) -> io::Result<bool> {
    if !kill_all(files, group, root)? {
        return Ok(false);
    }
    let record = TerminatedRecord { cause, at_unix_ms: unix_ms() };
    match records::write_first(&files.path("terminated.json"), &record) {
        // The host directory was removed, so the record has no reader.
        Err(error) if records::is_absent(&error) => {}
        other => {
            other?;
        }
    }
    address::release(layout, order)?;
    Ok(true)
}

/// Kills what is left of a host. Returns false when something is still alive: the call has to be repeated.
///
/// `root` is the supervisor, when the caller is the supervisor.
///
/// # Errors
/// When processes cannot be looked at.
pub(crate) fn kill_all(files: &HostFiles, group: Option<&Path>, root: Option<i32>) -> io::Result<bool> {
    if let Some(group) = group
        && !cgroup::destroy(group, PATIENCE)?
    {
        return Ok(false);
    }
    // Also with a cgroup: a process may have moved itself out of it.
    let until = Instant::now() + PATIENCE;
    let mut quiet_looks = 0;
    loop {
        let look = descendants::kill_once(&files.directory, root)?;
        if look.found == 0 {
            quiet_looks += 1;
            if look.is_whole || quiet_looks == QUIET_LOOKS {
                return Ok(true);
            }
            continue;
        }
        quiet_looks = 0;
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}
