//! The life of a host in its supervisor: boot, wait for the node's end or for a reason to stop it, then end the host.
//!
//! ```text
//!  Booting ──start_at──► Running ──release, ticket expired, signal──► Stopping ──grace──► the end
//!     └──release───────────┼──────────────────node ended─────────────────┴──────────────────▲
//!                          └────────────────────────────────────────────────────────────────┘
//! ```

use super::host::Supervised;
use super::node;
use crate::process::host_directory::announced_end;
use crate::process::records::{self, Cause, unix_ms};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

/// How often the supervisor of a joined host checks that the directory still exists and the log is not too long.
///
/// Requests arrive by signal; this is only housekeeping, at a cost of a few system calls.
const TICK: Duration = Duration::from_secs(5);

/// How often the supervisor checks whether the node has joined; it delays only the end of a host that never joins.
const JOIN_TICK: Duration = Duration::from_secs(1);

/// The node's log is cut when it is longer than this, in bytes.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Length of the end of a cut log that is kept beside it, in bytes.
const LOG_BYTES_KEPT: u64 = 1024 * 1024;

enum Phase {
    Booting,
    Running {
        node: Pid,
    },
    /// The node was asked to end, for this reason, at this moment of the boot-time clock.
    Stopping {
        node: Pid,
        cause: Cause,
        asked_at: Duration,
    },
}

struct Watch<'a> {
    host: &'a Supervised,
    phase: Phase,
    started_at: Duration,
    joined: bool,
    stop_signalled: bool,
}

/// Runs a host to its end. Returns only when nothing of it is alive and that has been recorded.
pub(super) fn until_the_end(host: Supervised) {
    let cause = match SignalFd::with_flags(&host.signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) {
        Ok(signals) => Watch {
            host: &host,
            phase: Phase::Booting,
            started_at: boot_time(),
            joined: false,
            stop_signalled: false,
        }
        .run(&signals),
        Err(error) => Cause::StartFailed(format!("the supervisor cannot hear signals: {error}")),
    };
    host.end(&cause);
}

/// Time since the machine booted, suspension included, so that a ticket also expires while a laptop sleeps.
fn boot_time() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

impl Watch<'_> {
    fn run(mut self, signals: &SignalFd) -> Cause {
        loop {
            self.read_signals(signals);
            if let Some(cause) = self.step() {
                return cause;
            }
            let wait = PollTimeout::try_from(self.wait()).unwrap_or(PollTimeout::MAX);
            let mut descriptors = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            if let Err(error) = poll(&mut descriptors, wait)
                && error != nix::errno::Errno::EINTR
            {
                eprintln!("failed to wait for signals: {error}");
                thread::sleep(JOIN_TICK);
            }
        }
    }

    /// Checks the node and the files once; returns the cause when the host must end now.
    fn step(&mut self) -> Option<Cause> {
        let node_end = self.reap();
        if let Some(end) = node_end {
            return Some(match &self.phase {
                Phase::Stopping { cause, .. } => cause.clone(),
                _ => end,
            });
        }
        let now = boot_time();
        let stop = self.reason_to_stop(now);
        match &self.phase {
            Phase::Booting if stop.is_some() => return stop,
            Phase::Booting if unix_ms() >= self.host.order.start_at_unix_ms => match node::start(self.host) {
                Ok(node) => self.phase = Phase::Running { node },
                Err(error) => return Some(Cause::StartFailed(error.to_string())),
            },
            Phase::Booting => {}
            Phase::Running { node } => {
                if let Some(cause) = stop {
                    // It is our child and not yet reaped, so the pid is still its own.
                    let _ = kill(*node, Signal::SIGTERM);
                    self.phase = Phase::Stopping { node: *node, cause, asked_at: now };
                }
            }
            Phase::Stopping { cause, asked_at, .. } => {
                if now >= self.kill_at(*asked_at) {
                    return Some(cause.clone());
                }
            }
        }
        if let Err(error) = self.bound_log() {
            eprintln!("failed to cut the node's log: {error}");
        }
        None
    }

    fn reason_to_stop(&mut self, now: Duration) -> Option<Cause> {
        let files = &self.host.files;
        if files.path("release.json").exists() {
            return Some(Cause::Released);
        }
        if fs::metadata(files.path("order.json")).is_err_and(|error| records::is_absent(&error)) {
            // The directory of a running host was removed: the host has no owner any more.
            return Some(Cause::Released);
        }
        if self.stop_signalled {
            return Some(Cause::SupervisorStopped);
        }
        self.joined = self.joined || files.path("joined").exists();
        if !self.joined && now >= self.join_deadline() {
            return Some(Cause::NeverJoined);
        }
        None
    }

    /// When a node that was asked to end is killed: after the provider's grace, or the longer time that the node has
    /// announced, because the user gave one of its programs a longer grace.
    fn kill_at(&self, asked_at: Duration) -> Duration {
        let grace = Duration::from_millis(self.host.order.launch.grace_ms);
        asked_at.saturating_add(grace.max(announced_end(&self.host.files)))
    }

    fn join_deadline(&self) -> Duration {
        self.started_at.saturating_add(Duration::from_millis(self.host.order.launch.join_within_ms))
    }

    /// How long the supervisor may sleep unless a signal arrives.
    fn wait(&self) -> Duration {
        match &self.phase {
            Phase::Booting => {
                Duration::from_millis(self.host.order.start_at_unix_ms.saturating_sub(unix_ms()))
                    .min(JOIN_TICK)
            }
            Phase::Running { .. } if self.joined => TICK,
            Phase::Running { .. } => self.join_deadline().saturating_sub(boot_time()).min(JOIN_TICK),
            Phase::Stopping { asked_at, .. } => {
                self.kill_at(*asked_at).saturating_sub(boot_time()).min(JOIN_TICK)
            }
        }
    }

    fn read_signals(&mut self, signals: &SignalFd) {
        // SIGUSR1 announces a release record and SIGCHLD the end of a child; `step` checks both after every wake-up.
        while let Ok(Some(signal)) = signals.read_signal() {
            let number = signal.ssi_signo.cast_signed();
            self.stop_signalled |= number != Signal::SIGCHLD as i32 && number != Signal::SIGUSR1 as i32;
        }
    }

    /// Reaps all ended children, adopted ones included; returns how the node ended, if it did.
    fn reap(&self) -> Option<Cause> {
        let node = match &self.phase {
            Phase::Booting => None,
            Phase::Running { node } | Phase::Stopping { node, .. } => Some(*node),
        };
        let mut node_end = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if Some(pid) == node => {
                    node_end = Some(Cause::NodeExited(code));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if Some(pid) == node => {
                    node_end = Some(Cause::NodeKilled(signal as i32));
                }
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return node_end,
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => {
                    eprintln!("failed to wait for a child: {error}");
                    return node_end;
                }
            }
        }
    }

    /// Copies the end of a log that has grown too long to a second file, and empties the log.
    ///
    /// Lines that the node writes between the copy and the cut are lost. The bound on the file matters more.
    fn bound_log(&self) -> io::Result<()> {
        let path = self.host.files.path("node.log");
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if records::is_absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        if length <= LOG_BYTES_MAX {
            return Ok(());
        }
        let mut log = File::options().read(true).write(true).open(&path)?;
        log.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_KEPT)))?;
        let mut kept = rhizo_private_files::create(&self.host.files.path("node.log.old"))?;
        io::copy(&mut Read::take(&mut log, LOG_BYTES_KEPT), &mut kept)?;
        log.set_len(0)
    }
}
