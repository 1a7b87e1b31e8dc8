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
        write(&mut io::stderr(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes all bytes to a stream, and to the log of the instance whose task writes. If the stream took a part only, the
/// caller would repeat the rest, which is in the log already.
fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    // A task of the node itself has no instance.
    let _of_node = LOG.try_with(|log| log.write(bytes));
    stream.write_all(bytes).map(|()| bytes.len())
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

    /// A stream that takes a few bytes at a time, as a full pipe does.
    struct Narrow(Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(&bytes[..bytes.len().min(3)])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_stream_that_takes_a_part_does_not_repeat_the_rest_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(InstanceLog::new(dir.path().to_owned()));
        let (mut stream, mut rest) = (Narrow(Vec::new()), b"one line\n".as_slice());
        kept(log, async {
            while !rest.is_empty() {
                rest = &rest[write(&mut stream, rest).unwrap()..];
            }
        })
        .await;
        let lines = log_reader::last_lines(dir.path(), 1_000).unwrap();
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["one line"]);
        assert_eq!(stream.0, b"one line\n");
    }
}
