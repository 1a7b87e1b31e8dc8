//! The output of closures: copies their `tracing` events to the log of their instance, if this crate's subscriber
//! formats them.
//!
//! A closure runs in the process of its node, so its `println!` cannot be told from that of the node and is not kept
//! here. [`Ctx::log`](super::embedded::Ctx::log) writes a line directly.

use super::instance_log::InstanceLog;
use std::io::{self, Write};
use std::sync::Arc;

tokio::task_local! {
    /// The log of the instance whose closure or function runs in this task.
    static LOG: Arc<InstanceLog>;
}

/// Runs a closure so that the events of its task reach the log of its instance. Tasks that it spawns are not included.
pub(super) async fn kept<F: Future>(log: Arc<InstanceLog>, closure: F) -> F::Output {
    LOG.scope(log, closure).await
}

/// Writes to the standard error stream of the node, and to the log of the instance whose task writes.
pub(crate) struct Tee;

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A task of the node itself has no instance.
        let _of_node = LOG.try_with(|log| log.write(bytes));
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_reader;
    use super::*;

    #[tokio::test]
    async fn an_event_of_a_closure_reaches_the_log_of_its_instance_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(InstanceLog::new(dir.path().to_owned()));
        Tee.write_all(b"of the node\n").unwrap();
        kept(log, async { Tee.write_all(b"of the closure\n").unwrap() }).await;
        let lines = log_reader::last_lines(dir.path(), 1_000).unwrap();
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["of the closure"]);
    }
}
