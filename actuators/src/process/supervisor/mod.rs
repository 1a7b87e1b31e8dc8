//! The supervisor: the small process that is the host, parent of its node, and gone when the node is gone.
//!
//! It is the application's own binary run with a hidden subcommand, has one thread and no async runtime, and
//! does not depend on the process that ordered it. Here: becoming a supervisor. [`watch`]: being one.
//!
//! ```text
//!  acquiring node ──spawn──► supervise ──fork──► supervisor (own session, child subreaper)
//!                     ▲          │                  │ lock, leave the cgroup of the host it was started from,
//!                     │          │◄── one byte ─────┤ make an own cgroup, write its identity
//!                     └── exit 0 ┘                  └──fork+exec──► node (dies with the supervisor)
//! ```

mod node;
mod watch;

use super::cgroup;
use super::identity::ProcessIdentity;
use super::layout::{HostFiles, Layout, Lock};
use super::records::{self, Cause, Confinement, OrderRecord, SupervisorRecord};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, fork, pipe, setsid};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// How long the process that was spawned waits for the supervisor it forked to be ready, in milliseconds.
///
/// Being ready takes a few file writes; the bound only keeps the caller from waiting for a stuck disk.
const READY_MS_MAX: u16 = 10_000;

/// How long a supervisor waits for the lock of its host: a lister holds it only while it looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Why a process could not become a supervisor. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
enum SuperviseError {
    #[error("supervise `{}`: {step}", path.display())]
    Step {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("supervise `{}`: {problem}", path.display())]
    Refused { path: PathBuf, problem: &'static str },
}

/// Becomes the supervisor of a host directory; the body of the hidden subcommand.
///
/// Call it first in `main`: it forks, which is sound only while the process has a single thread. The process that
/// called returns as soon as the supervisor runs; the supervisor returns when the host has ended.
#[must_use]
pub fn supervise(directory: &Path) -> ExitCode {
    match try_supervise(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The supervisor has no logger; its standard error is a file of the host.
            let mut line = format!("failed to {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                line.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

fn try_supervise(directory: &Path) -> Result<(), SuperviseError> {
    let step = |step: &'static str| {
        let path = directory.to_owned();
        move |source: io::Error| SuperviseError::Step { step, path, source }
    };
    let refused = |problem| SuperviseError::Refused { path: directory.to_owned(), problem };
    let directory = directory.canonicalize().map_err(step("find the host directory"))?;
    let threads = fs::read_dir("/proc/self/task").map_err(step("count threads"))?.count();
    if threads != 1 {
        return Err(refused("it must be called before the program starts a second thread"));
    }
    // Blocked before the fork: from its first moment the supervisor is told by signals, never killed by them.
    let signals = watched_signals();
    signals.thread_block().map_err(io::Error::from).map_err(step("block signals"))?;
    let (ready, tell) = pipe().map_err(io::Error::from).map_err(step("make a pipe"))?;
    // SAFETY: the process has one thread, so the child may do whatever the parent could.
    match unsafe { fork() }.map_err(io::Error::from).map_err(step("fork"))? {
        ForkResult::Parent { .. } => {
            drop(tell);
            await_ready(ready).map_err(step("wait for the supervisor"))
        }
        ForkResult::Child => {
            drop(ready);
            detach().map_err(step("detach from the caller"))?;
            let Some(host) = Supervised::claim(directory.clone(), signals).map_err(step("claim the host"))?
            else {
                // Another supervisor has it, or it has ended: for the caller that is as good.
                return tell_ready(tell).map_err(step("answer the caller"));
            };
            tell_ready(tell).map_err(step("answer the caller"))?;
            watch::until_the_end(host);
            Ok(())
        }
    }
}

/// The signals a supervisor waits for: its children's, and the requests to stop.
fn watched_signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

fn await_ready(ready: OwnedFd) -> io::Result<()> {
    let mut descriptors = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
    if poll(&mut descriptors, PollTimeout::from(READY_MS_MAX))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it is not ready in time"));
    }
    let mut byte = [0];
    match nix::unistd::read(&ready, &mut byte)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was ready")),
        _ => Ok(()),
    }
}

fn tell_ready(tell: OwnedFd) -> io::Result<()> {
    match nix::unistd::write(&tell, &[1]) {
        // The caller stopped waiting; the host is listed all the same.
        Ok(_) | Err(nix::errno::Errno::EPIPE) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Leaves session, directory and process tree of the caller, and adopts the orphans of the host to come.
fn detach() -> io::Result<()> {
    setsid()?;
    std::env::set_current_dir("/")?;
    prctl::set_child_subreaper(true)?;
    Ok(())
}

/// A host that this process supervises.
pub(crate) struct Supervised {
    pub(crate) layout: Layout,
    pub(crate) files: HostFiles,
    pub(crate) order: OrderRecord,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) signals: SigSet,
    _lock: Lock,
}

impl Supervised {
    /// Takes the host; `None` when it has, or had, another supervisor: a host lives once.
    fn claim(directory: PathBuf, signals: SigSet) -> io::Result<Option<Self>> {
        let files = HostFiles { directory };
        let Some(lock) = patient_lock(&files)? else { return Ok(None) };
        let Some(order) = files.order()? else { return Ok(None) };
        if files.terminated()?.is_some() || files.supervisor()?.is_some() {
            return Ok(None);
        }
        let absent =
            || io::Error::new(io::ErrorKind::NotFound, "the directory is not inside a state directory");
        let provider = files.directory.ancestors().nth(2).ok_or_else(absent)?.to_owned();
        let state = files.directory.ancestors().nth(4).ok_or_else(absent)?.to_owned();
        let layout = Layout { state, provider };
        let cgroup = own_cgroup(&files.directory, order.launch.confinement);
        let identity = ProcessIdentity::of(std::process::id().cast_signed())?.ok_or_else(absent)?;
        let record = SupervisorRecord { identity, cgroup: cgroup.clone() };
        records::write_first(&files.path("supervisor.json"), &record)?;
        Ok(Some(Self { layout, files, order, cgroup, signals, _lock: lock }))
    }

    /// Ends the host, however often that has to be tried: a host that is not dead is never reported dead.
    fn end(&self, cause: &Cause) {
        let own = std::process::id().cast_signed();
        loop {
            let ended = super::ending::end(
                &self.layout,
                &self.files,
                &self.order,
                self.cgroup.as_deref(),
                Some(own),
                cause.clone(),
            );
            match ended {
                Ok(true) => return,
                Ok(false) => eprintln!("something of the host cannot be killed yet"),
                Err(error) => eprintln!("failed to end the host: {error}"),
            }
            // A second between attempts: what blocks is a disk or a stuck system call, not us.
            thread::sleep(Duration::from_secs(1));
        }
    }
}

fn patient_lock(files: &HostFiles) -> io::Result<Option<Lock>> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match files.try_supervisor_lock() {
            Ok(Some(lock)) => return Ok(Some(lock)),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            Ok(None) => return Ok(None),
            Err(error) if records::is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Leaves the cgroup of the host this supervisor was ordered from, and makes one for its own host.
///
/// Leaving matters even without an own group: the other host's end would otherwise be ours.
fn own_cgroup(directory: &Path, confinement: Confinement) -> Option<PathBuf> {
    let base = cgroup::base()?;
    if let Err(error) = cgroup::enter(&base) {
        eprintln!("failed to leave the caller's cgroup: {error}");
        return None;
    }
    match confinement {
        Confinement::ProcessTree => None,
        Confinement::Auto => cgroup::create(&base, directory).ok(),
    }
}
