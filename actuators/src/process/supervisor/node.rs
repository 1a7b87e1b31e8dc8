//! Starting the node: the one child whose end is the end of the host.
//!
//! The child is this program once more ([`launch`]): it prepares itself with ordinary, safe calls and then becomes
//! the node by exchanging its program. Its process id stays the same, so the record of the node is right. A pipe that
//! closes with the exchange tells the supervisor that the node runs, or why it could not be started.

use super::detach::{self, Step};
use super::host::Supervised;
use crate::process::cgroup;
use crate::process::identity::ProcessIdentity;
use crate::process::layout::HostFiles;
use crate::process::records::{self, NodeRecord};
use crate::surroundings::path_of_running;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Longest reason that is read from a child that could not become the node, in bytes.
const REASON_BYTES_MAX: u64 = 1024;

/// Starts the node of a host, records its identity and returns its process id.
///
/// # Errors
/// When its directory or its log cannot be made, or the child could not become the node.
pub(super) fn start(host: &Supervised) -> io::Result<Pid> {
    rhizo_private_files::create_dirs(&host.files.path("node"))?;
    let log = rhizo_private_files::append(&host.files.path("node.log"))?;
    let mut child = detach::again(Step::Launch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let pid = child.id().cast_signed();
    let mut reason = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(REASON_BYTES_MAX).read_to_string(&mut reason)?;
    }
    if !reason.is_empty() {
        child.wait()?;
        return Err(io::Error::other(reason));
    }
    // The node may have ended already; then its end is the next thing the supervisor sees.
    if let Some(identity) = ProcessIdentity::of(pid)? {
        records::write_first(&host.files.path("node.json"), &NodeRecord { identity })?;
    }
    Ok(Pid::from_raw(pid))
}

/// Becomes the node of the host in `directory`; returns only when that fails.
///
/// Before it returns, it has sent the reason to the supervisor.
pub(super) fn launch(directory: &Path) -> io::Error {
    // A copy of the pipe to the supervisor, which closes when this process becomes the node.
    let mut tell = match io::stdout().as_fd().try_clone_to_owned() {
        Ok(pipe) => File::from(pipe),
        Err(error) => return error,
    };
    let error = match prepare(directory) {
        Ok(mut node) => node.exec(),
        Err(error) => error,
    };
    // A supervisor that has died does not read it, and then the host ends anyway.
    let _ = write!(tell, "{error}");
    error
}

/// Makes this process die with its supervisor and belong to the host's cgroup; returns the command of the node.
fn prepare(directory: &Path) -> io::Result<Command> {
    let files = HostFiles { directory: directory.to_owned() };
    let absent = || io::Error::new(io::ErrorKind::NotFound, "the host has no supervisor");
    let order = files.order()?.ok_or_else(absent)?;
    let supervisor = files.supervisor()?.ok_or_else(absent)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The supervisor may have died before the line above took effect.
    if getppid().as_raw() != supervisor.identity.pid {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the supervisor has died"));
    }
    if let Some(group) = &supervisor.cgroup {
        cgroup::enter(group)?;
    }
    // The supervisor blocks signals, and a child inherits that.
    SigSet::empty().thread_set_mask()?;
    // The node runs the same build as the supervisor, even if the program's file has been replaced or removed.
    let mut node = Command::new(path_of_running(&order.launch.program));
    detach::forget_step(&mut node);
    node.args(&order.launch.arguments)
        .arg(&files.directory)
        .envs(&order.launch.environment)
        .current_dir(files.path("node"))
        .stdout(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(node)
}
