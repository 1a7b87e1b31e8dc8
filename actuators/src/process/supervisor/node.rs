//! Starting the node: the one child whose end is the end of the host.
//!
//! Between fork and exec only calls that are safe after a fork are made; what they need is prepared before.

use super::Supervised;
use crate::process::identity::ProcessIdentity;
use crate::process::records::{self, NodeRecord};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Starts the node of a host and records who it is.
///
/// # Errors
/// When its directory, its log, its cgroup or the program itself does not allow it.
pub(super) fn start(host: &Supervised) -> io::Result<Pid> {
    let home = host.files.path("node");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&home)?;
    let log = File::options().create(true).append(true).open(host.files.path("node.log"))?;
    let membership = match &host.cgroup {
        Some(group) => Some(File::options().write(true).open(group.join("cgroup.procs"))?),
        None => None,
    };
    let launch = &host.order.launch;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.arguments)
        .arg(&host.files.directory)
        .envs(&launch.environment)
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let supervisor = std::process::id().cast_signed();
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || prepare_child(supervisor, membership.as_ref().map(AsRawFd::as_raw_fd)));
    }
    let child = command.spawn()?;
    let pid = child.id().cast_signed();
    // It may have ended already; then its end is the next thing the supervisor sees.
    if let Some(identity) = ProcessIdentity::of(pid)? {
        records::write_first(&host.files.path("node.json"), &NodeRecord { identity })?;
    }
    Ok(Pid::from_raw(pid))
}

/// Runs in the child: dies with the supervisor, hears all signals, is in the host's cgroup before it runs.
fn prepare_child(supervisor: i32, membership: Option<i32>) -> io::Result<()> {
    // SAFETY: plain system calls on values that live for the whole call; an all-zero sigset_t is filled in by
    // sigemptyset before it is used.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The supervisor may have died before the line above took effect.
        if libc::getppid() != supervisor {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        if let Some(membership) = membership
            && libc::write(membership, b"0".as_ptr().cast(), 1) != 1
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
