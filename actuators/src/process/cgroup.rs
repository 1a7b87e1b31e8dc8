//! A control group per host: the kernel keeps the list of the host's processes, and one write kills all of them.
//!
//! Only version 2 of the interface is used, and only the membership: no controller, no limit. A machine without
//! it, or without the right to use it, is served by [`super::descendants`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Names of host groups start with this, so that a supervisor knows the group of the host it was started from.
const PREFIX: &str = "rhizo-host-";

/// Pause between two looks at a group that is being killed; the kernel needs less than a millisecond each.
const POLL: Duration = Duration::from_millis(2);

/// The directory under which host groups are made; `None` when this machine has none for us.
///
/// It is the group of this process, or of the process that started the outermost host.
pub(crate) fn base() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, directory, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(directory))
    })?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut base = mount;
    for name in own.split('/').filter(|name| !name.is_empty()) {
        if name == ".." {
            // Our group lies outside what this mount shows.
            return None;
        }
        if name.starts_with(PREFIX) {
            break;
        }
        base.push(name);
    }
    base.join("cgroup.procs").exists().then_some(base)
}

/// Makes an empty group for a host directory.
pub(crate) fn create(base: &Path, host: &Path) -> io::Result<PathBuf> {
    // The whole path is in the name: host ids repeat between state directories.
    let digest = blake3::hash(host.as_os_str().as_encoded_bytes()).to_hex();
    let group = base.join(format!("{PREFIX}{}", &digest[..16]));
    match fs::create_dir(&group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Kernels before 5.14 lack the file that kills; the host is then served without a group.
    if !group.join("cgroup.kill").exists() {
        let _ = fs::remove_dir(&group);
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel cannot kill a cgroup"));
    }
    Ok(group)
}

/// Moves this process into a group.
pub(crate) fn enter(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// Kills everything in a group and removes it; `false` when something is still there after `patience`.
pub(crate) fn destroy(group: &Path, patience: Duration) -> io::Result<bool> {
    match fs::write(group.join("cgroup.kill"), "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other?,
    }
    let until = Instant::now() + patience;
    loop {
        match remove_tree(group) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

/// Removes a group and the groups below it; the kernel answers `ResourceBusy` while one has members.
fn remove_tree(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
