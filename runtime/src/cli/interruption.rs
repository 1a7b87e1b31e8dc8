//! Ctrl-C and requests to end, as a command hears them while it does something else.
//!
//! It does not decide what is ended: that is `up.rs`. A process that was asked to end before it listened ends at once, as the
//! system has it.

use super::exit::{Exit, Failure};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was asked of this process since [`Interruptions::listen`].
///
/// A future that is made anew for every look hears nothing between two looks, and the handler that the first one installed stays:
/// the signal would be lost. This keeps it until it is asked for.
pub(super) struct Interruptions {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
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
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Resolves when something was asked that was not yet told here; nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// `kill` returns when the signal is pending; the runtime takes it up while nobody asks.
    async fn interrupt_this_process() {
        let pid = std::process::id();
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status();
        assert!(sent.unwrap().success());
        tokio::time::sleep(Duration::from_millis(200)).await;
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
