//! Control groups of tasks: the kernel's own list of a task's processes, where the node may make groups.
//!
//! Only the membership is used (version 2 of the interface), no controller. A node has groups when its host has one;
//! the host's group is made and destroyed by `rhizo-actuators`, with all groups below it. Without groups,
//! [`super::processes`] finds processes by other means.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Beginning of the names of host groups, by which a node knows that its group is its host's and no other program's.
const HOST_PREFIX: &str = "rhizo-host-";

/// Returns the group of this node's host; none when the host has none.
pub(super) fn of_host() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    host_group(&mounts, &groups)
}

fn host_group(mounts: &str, groups: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, directory, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(directory)
    })?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let name = own.rsplit('/').next()?;
    name.starts_with(HOST_PREFIX).then(|| Path::new(mount).join(own))
}

/// Moves a process into a group, which is made when it does not exist.
///
/// # Errors
/// When the group cannot be made, or the process has ended.
pub(super) fn enter(group: &Path, pid: i32) -> io::Result<()> {
    fs::create_dir_all(group)?;
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Returns the processes of a group and of all groups below it; none for a group that does not exist.
pub(super) fn members(group: &Path) -> BTreeSet<i32> {
    let mut members: BTreeSet<i32> = fs::read_to_string(group.join("cgroup.procs"))
        .map(|text| text.lines().filter_map(|line| line.parse().ok()).collect())
        .unwrap_or_default();
    for below in groups_below(group) {
        members.extend(self::members(&below));
    }
    members
}

/// Removes a group and all groups below it, as far as they are empty.
pub(super) fn remove(group: &Path) {
    groups_below(group).iter().for_each(|below| remove(below));
    // A group with members stays until its run or its host ends.
    let _in_use = fs::remove_dir(group);
}

fn groups_below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_group_of_a_host_is_used() {
        let mounts = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let group = |own: &str| host_group(mounts, &format!("4:memory:/x\n0::{own}\n"));
        let host = group("/user.slice/rhizo-host-0123");
        assert_eq!(host.as_deref(), Some(Path::new("/sys/fs/cgroup/user.slice/rhizo-host-0123")));
        for other in ["/", "/user.slice", "/rhizo-host-0123/other"] {
            assert_eq!(group(other), None, "{other}");
        }
        assert_eq!(host_group("proc /proc proc rw 0 0\n", "0::/rhizo-host-0123\n"), None);
    }

    #[test]
    fn members_of_groups_below_count_and_a_missing_group_is_empty() {
        let dir = tempfile::tempdir().expect("a directory");
        let group = dir.path().join("run");
        fs::create_dir_all(group.join("service/probe")).expect("a directory");
        fs::write(group.join("service/cgroup.procs"), "7\n").expect("a file");
        fs::write(group.join("service/probe/cgroup.procs"), "8\n9\n").expect("a file");
        assert_eq!(members(&group), [7, 8, 9].into());
        assert_eq!(members(&dir.path().join("none")), BTreeSet::new());
    }
}
