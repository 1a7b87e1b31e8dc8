//! The supervisor: a small process that represents the host, is the parent of its node, and ends when the node ends.
//!
//! It is the application's own binary run with a hidden subcommand, uses one thread and no async runtime, and does not
//! depend on the process that ordered the host. The subcommand has three steps, each a run of the same program:
//! [`detach`] starts the supervisor, [`watch`] is the supervisor, and [`node`] prepares a child and becomes the node.
//!
//! ```text
//!  acquiring node ──spawn──► detach ──spawn──► watch: the supervisor (own session, child subreaper)
//!                     ▲         │                 │ locks the host, leaves the cgroup of the host it was started from,
//!                     │         │◄── one byte ────┤ makes a cgroup of its own, records its identity
//!                     └─ exit 0 ┘                 └──spawn──► launch ──exec──► node (dies with the supervisor)
//! ```

mod detach;
mod host;
mod node;
mod watch;

use detach::Step;
use host::Supervised;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::setsid;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The reason why a process could not become a supervisor or a node. Completes "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("supervise `{}`: {step}", path.display())]
struct SuperviseError {
    step: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Carries out one step of the hidden subcommand for a host directory.
///
/// An application calls it first in `main`, before it reads anything else of its arguments. A program with several
/// threads is executed once more, so what it does before this call is done twice. Called by a provider, it
/// returns as soon as the host's supervisor runs; in the supervisor itself, it returns when the host has ended; in the
/// process that becomes the node, it returns only on failure.
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
    let failed = |step: &'static str| {
        let path = directory.to_owned();
        move |source: io::Error| SuperviseError { step, path, source }
    };
    let step = Step::current();
    // Signals are blocked before anything else. A supervisor reads its signals and is never killed by them.
    let signals = watched_signals();
    if step == Step::Watch {
        detach::block_in_all_threads(&signals).map_err(failed("block signals"))?;
    }
    let directory = directory.canonicalize().map_err(failed("find the host directory"))?;
    match step {
        Step::Detach => detach::start_supervisor().map_err(failed("start the supervisor")),
        Step::Launch => Err(failed("become the node")(node::launch(&directory))),
        Step::Watch => {
            leave_caller().map_err(failed("detach from the caller"))?;
            let host = Supervised::claim(directory.clone(), signals).map_err(failed("claim the host"))?;
            detach::tell_ready().map_err(failed("answer the caller"))?;
            // Without a claim another supervisor has the host, or the host has ended. In both cases the caller's task
            // is done.
            if let Some(host) = host {
                watch::until_the_end(host);
            }
            Ok(())
        }
    }
}

/// The signals a supervisor waits for: its children's, and the requests to stop.
fn watched_signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

/// Leaves session, directory and process tree of the caller, and becomes the parent of the host's orphans.
fn leave_caller() -> io::Result<()> {
    setsid()?;
    std::env::set_current_dir("/")?;
    prctl::set_child_subreaper(true)?;
    // The program was started through its link in `/proc`, and tools that list processes would show the name of that
    // link.
    rustix::thread::set_name(c"rhizo-supervise")?;
    Ok(())
}
