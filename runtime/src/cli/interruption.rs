//! Ctrl-C and other requests to end, which a command receives while it does something else.
//!
//! [`super::up`] decides about the reaction. Until [`Interruptions::listen`] is called, a signal ends the process.

use super::exit::{Exit, Failure};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The requests to end this process since [`Interruptions::listen`].
///
/// A signal future that is made anew for each wait would lose the signals between two waits, because the handler that
/// the first one installed stays. This type keeps such signals until the next call.
pub(super) struct Interruptions {
    interrupt: Signal,
    terminate: Signal,
    /// None when the process was started to survive its terminal (`nohup`).
    hang_up: Option<Signal>,
}

impl Interruptions {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Failed, format!("listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: if ignores_hang_up() { None } else { Some(listen(SignalKind::hangup())?) },
        })
    }

    /// Resolves at the next request that was not returned yet. A dropped future loses none.
    pub(super) async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
        }
    }
}

/// Returns true if this process ignores the hang-up of its terminal. A handler would undo that.
fn ignores_hang_up() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, SignalKind::hangup()))
}

/// Whether the kernel's status of a process has a signal among those ignored.
fn ignores(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Sends SIGINT to this process. `kill` returns when the signal is pending; the runtime stores it although no
    /// future waits.
    async fn interrupt_this_process() {
        let pid = std::process::id();
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status();
        assert!(sent.unwrap().success());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    #[test]
    fn a_process_started_by_nohup_ignores_the_hang_up() {
        let command = "trap '' HUP; exec cat /proc/self/status";
        let output = std::process::Command::new("sh").args(["-c", command]).output().expect("a shell");
        assert!(ignores(&String::from_utf8_lossy(&output.stdout), SignalKind::hangup()));
        // The tests themselves may run under `nohup`, which a shell cannot undo for its children.
        let only_interrupt =
            format!("SigIgn:\t{:016x}\n", 1_u64 << (SignalKind::interrupt().as_raw_value() - 1));
        assert!(!ignores(&only_interrupt, SignalKind::hangup()));
    }

    #[tokio::test]
    async fn what_is_asked_between_two_looks_is_heard_at_the_next() {
        let mut interruptions = Interruptions::listen().unwrap();
        let look = tokio::time::timeout(Duration::from_millis(20), interruptions.next());
        assert!(look.await.is_err(), "nothing was asked yet");
        interrupt_this_process().await;
        tokio::time::timeout(Duration::from_secs(60), interruptions.next()).await.unwrap();
        let look = tokio::time::timeout(Duration::from_millis(20), interruptions.next());
        assert!(look.await.is_err(), "each is told once");
    }
}
