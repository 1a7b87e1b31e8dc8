//! Starting a supervisor that outlives its caller, by running the same program again.
//!
//! A daemon is usually made with `fork`, which is sound only in a process with one thread. Running the program a
//! second time needs no such promise: the first process starts the second, waits until the second has recorded
//! itself, and exits, which leaves the second without its caller as parent. The program is `/proc/self/exe`, so both
//! are the same build even when the file has been replaced or removed in between.

use crate::surroundings::{OWN_PROGRAM, bundle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::unistd::execve;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Environment variable that names the step of a process started by [`again`].
const STEP: &str = "RHIZO_SUPERVISE_STEP";

/// Environment variable of a supervisor that has blocked its signals before it started a thread.
const BLOCKED: &str = "RHIZO_SUPERVISE_SIGNALS_BLOCKED";

/// Time in which the supervisor has to record itself before the first process stops waiting, in milliseconds.
///
/// Recording takes a few file writes. The limit only keeps the caller from waiting for a stuck disk.
const READY_MS_MAX: u16 = 10_000;

/// The task of one run of the hidden subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Start a supervisor and exit when it is ready.
    Detach,
    /// Be the supervisor.
    Watch,
    /// Prepare this process for the node, then become the node.
    Launch,
}

impl Step {
    /// The step of this process, from its environment.
    pub(super) fn current() -> Self {
        match std::env::var(STEP).as_deref() {
            Ok("watch") => Self::Watch,
            Ok("launch") => Self::Launch,
            _ => Self::Detach,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Detach => "detach",
            Self::Watch => "watch",
            Self::Launch => "launch",
        }
    }
}

/// A command that runs this very program with this process's arguments, to carry out `step`.
pub(super) fn again(step: Step) -> Command {
    let mut arguments = std::env::args_os();
    // The executable of a process that was started from a bundle is its loader.
    let mut command = Command::new(bundle().unwrap_or_else(|| OWN_PROGRAM.into()));
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(STEP, step.name());
    command
}

/// Removes the step from the environment of a command that is no step.
pub(super) fn forget_step(command: &mut Command) {
    command.env_remove(STEP).env_remove(BLOCKED);
}

/// Blocks signals in every thread of this process, also in threads that the program starts later.
///
/// A program that makes an async runtime before it asks for the supervisor has several threads by then. A signal that
/// one of them does not block would end the process. The program is therefore executed once more in this process, with
/// the signals blocked: all threads inherit that. The process keeps its id.
///
/// # Errors
/// When the threads cannot be counted, or the program cannot be executed.
pub(super) fn block_in_all_threads(signals: &SigSet) -> io::Result<()> {
    signals.thread_block()?;
    let is_alone = std::fs::read_dir("/proc/self/task")?.count() == 1;
    if is_alone || std::env::var_os(BLOCKED).is_some() {
        return Ok(());
    }
    let text = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::from);
    let arguments = std::env::args_os().map(text).collect::<io::Result<Vec<_>>>()?;
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os().chain([(BLOCKED.into(), "yes".into())]) {
        let mut variable = name;
        variable.push("=");
        variable.push(value);
        environment.push(text(variable)?);
    }
    // Not `Command::exec`, which unblocks all signals.
    match execve(&text(OWN_PROGRAM.into())?, &arguments, &environment)? {}
}

/// Starts the supervisor and returns when it has recorded itself.
///
/// # Errors
/// When it cannot be started, ends before it is ready, or is not ready in time.
pub(super) fn start_supervisor() -> io::Result<()> {
    let mut supervisor = again(Step::Watch).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let Some(mut ready) = supervisor.stdout.take() else {
        return Err(io::Error::other("the supervisor has no output"));
    };
    let mut descriptors = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
    if poll(&mut descriptors, PollTimeout::from(READY_MS_MAX))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it is not ready in time"));
    }
    match ready.read(&mut [0])? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was ready")),
        _ => Ok(()),
    }
}

/// Notifies the process in [`start_supervisor`] that this supervisor is ready, and closes the pipe to it.
///
/// # Errors
/// When standard output cannot be written or replaced. A caller that stopped waiting is no error: the provider's list
/// shows the host all the same.
pub(super) fn tell_ready() -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(&[1]).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(())
}
