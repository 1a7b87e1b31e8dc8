//! Limits of the operating system that this node is close to, as a sentence for `status`.
//!
//! A node without free file descriptors accepts no link, starts no program and reads no file, and each of these fails
//! with a reason of its own; so does one that may not start a process. This names the common cause. Disks are in
//! [`super::persistence`].

use nix::sys::resource::{Resource, getrlimit};

/// Fewer open files than this are not enough for a node: one with three members and two instances has about 40 open,
/// and each start, health check or command needs some for a moment.
const FILES_MIN: u64 = 128;

/// Fewer processes and threads than this are not enough: a node has about ten threads, and each instance some
/// processes.
const TASKS_MIN: u64 = 64;

/// Part of the limit, in percent, from which the node is close to it.
const USED_PERCENT: u64 = 90;

/// Returns the limit that this process is close to; `None` when it has room.
pub(super) fn problem() -> Option<String> {
    files_problem().or_else(tasks_problem)
}

fn files_problem() -> Option<String> {
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Reading the directory needs a descriptor itself, so a failure means that none is free.
    let used = std::fs::read_dir("/proc/self/fd").map(|files| files.count() as u64 - 1).unwrap_or(limit);
    of_files(used, limit)
}

/// The limits of processes and threads: that of the control group, whose use is known, and that of the user.
fn tasks_problem() -> Option<String> {
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::"));
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup{}/{name}", group?)).ok()?.trim().parse().ok()
    };
    // `pids.max` is the word `max` when there is no limit.
    if let (Some(used), Some(limit)) = (number("pids.current"), number("pids.max"))
        && let Some(problem) = of_tasks(used, limit)
    {
        return Some(problem);
    }
    let (limit, _) = getrlimit(Resource::RLIMIT_NPROC).ok()?;
    (limit < TASKS_MIN).then(|| {
        format!("may run only {limit} processes: raise the limit (`ulimit -u`) to {TASKS_MIN} or more")
    })
}

fn of_tasks(used: u64, limit: u64) -> Option<String> {
    (limit < TASKS_MIN || used.saturating_mul(100) >= limit.saturating_mul(USED_PERCENT)).then(|| {
        format!("has {used} of {limit} processes and threads in its control group: raise `pids.max`")
    })
}

fn of_files(used: u64, limit: u64) -> Option<String> {
    if used.saturating_mul(100) >= limit.saturating_mul(USED_PERCENT) {
        return Some(format!("has {used} of {limit} files open: raise the limit (`ulimit -n`)"));
    }
    let remedy = format!("raise the limit (`ulimit -n`) to {FILES_MIN} or more");
    (limit < FILES_MIN).then(|| format!("may open only {limit} files: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_and_one_that_is_almost_used_up_are_problems() {
        assert_eq!(of_files(40, 1_024), None);
        assert!(of_files(10, 20).is_some_and(|text| text.contains("only 20 files")));
        assert!(of_files(20, 20).is_some_and(|text| text.contains("20 of 20 files")));
        assert!(of_files(922, 1_024).is_some());
        assert_eq!(problem(), None, "the tests themselves have room");
    }

    #[test]
    fn a_control_group_without_room_for_processes_is_a_problem() {
        assert_eq!(of_tasks(100, 512), None);
        assert!(of_tasks(480, 512).is_some_and(|text| text.contains("480 of 512 processes")));
        assert!(of_tasks(10, 32).is_some());
    }
}
