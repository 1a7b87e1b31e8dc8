//! Emulated link delay: a queue of timestamped bytes below Noise, on the receiving side of each direction.
//!
//! Each end holds back received bytes for half the round trip. So both directions are delayed, and bytes that were in
//! flight when their sender died still arrive. Bandwidth is not limited, order is kept, and the end of the stream is
//! delayed like a byte. In production there is no shaper and no queue.

use futures::{AsyncRead, AsyncWrite};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Gives the delay of bytes to a remote address. The shell supplies it; production uses none.
pub trait LinkShaper: Send + Sync + 'static {
    /// Half of the round trip to that address; zero when nothing is known about it.
    ///
    /// Called once for each connection, when it is set up, within the overlay's task; it must not block.
    fn one_way_delay(&self, remote: SocketAddr) -> Duration;
}

/// Bytes held back in one direction of one connection before the kernel's own flow control sets in.
///
/// 8 MiB in flight is what the multiplexer's window allows, so the queue never is the bottleneck.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Cost in memory of one queue entry besides its bytes, counted against [`HELD_BYTES_MAX`].
const ENTRY_BYTES: usize = 64;
/// Most bytes taken from the socket in one call: what a default socket buffer tends to hold.
const CHUNK_BYTES: usize = 16 * 1024;

/// A TCP stream whose received bytes become readable only after a delay.
pub(crate) struct ShapedStream {
    inner: TcpStream,
    held: Option<Box<Held>>,
}

struct Held {
    delay: Duration,
    /// Entries in order of arrival; since the delay is constant also in order of release.
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// Number of bytes of the first entry that have been read.
    offset: usize,
    bytes: usize,
    /// The end of the stream and its time of release, once the socket has ended.
    end: Option<(Instant, io::Result<()>)>,
    timer: Pin<Box<Sleep>>,
}

impl ShapedStream {
    pub(crate) fn new(inner: TcpStream, delay: Duration) -> Self {
        let held = (!delay.is_zero()).then(|| {
            Box::new(Held {
                delay,
                queue: VecDeque::new(),
                offset: 0,
                bytes: 0,
                end: None,
                timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            })
        });
        Self { inner, held }
    }
}

impl Held {
    /// Takes all bytes that the socket has ready and records the time at which they may be read.
    fn fill(&mut self, inner: &mut TcpStream, cx: &mut Context<'_>) {
        while self.end.is_none() && self.bytes < HELD_BYTES_MAX {
            let mut chunk = [0; CHUNK_BYTES];
            let mut buffer = ReadBuf::new(&mut chunk);
            let Poll::Ready(outcome) = Pin::new(&mut *inner).poll_read(cx, &mut buffer) else { return };
            let release = Instant::now() + self.delay;
            match outcome {
                Ok(()) if buffer.filled().is_empty() => self.end = Some((release, Ok(()))),
                Ok(()) => {
                    self.bytes += buffer.filled().len() + ENTRY_BYTES;
                    self.queue.push_back((release, buffer.filled().to_vec()));
                }
                Err(error) => self.end = Some((release, Err(error))),
            }
        }
    }

    /// Copies the bytes whose time of release has passed.
    fn take_due(&mut self, now: Instant, out: &mut [u8]) -> usize {
        let mut copied = 0;
        while copied < out.len() {
            let Some((release, bytes)) = self.queue.front() else { break };
            if *release > now {
                break;
            }
            let rest = &bytes[self.offset..];
            let count = rest.len().min(out.len() - copied);
            out[copied..copied + count].copy_from_slice(&rest[..count]);
            copied += count;
            self.offset += count;
            if self.offset == bytes.len() {
                self.bytes -= bytes.len() + ENTRY_BYTES;
                self.offset = 0;
                self.queue.pop_front();
            }
        }
        copied
    }

    fn poll_read(
        &mut self,
        inner: &mut TcpStream,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            self.fill(inner, cx);
            let now = Instant::now();
            let copied = self.take_due(now, out);
            if copied > 0 {
                return Poll::Ready(Ok(copied));
            }
            let release = match (self.queue.front(), &mut self.end) {
                (Some((release, _)), _) => *release,
                (None, Some((release, outcome))) if *release <= now => {
                    let outcome = std::mem::replace(outcome, Ok(()));
                    return Poll::Ready(outcome.map(|()| 0));
                }
                (None, Some((release, _))) => *release,
                (None, None) => return Poll::Pending,
            };
            if self.timer.deadline() != release {
                self.timer.as_mut().reset(release);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }
}

impl AsyncRead for ShapedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        match &mut this.held {
            Some(held) if !out.is_empty() => held.poll_read(&mut this.inner, cx, out),
            _ => {
                let mut buffer = ReadBuf::new(out);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }
}

impl AsyncWrite for ShapedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair(delay: Duration) -> (ShapedStream, ShapedStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (ShapedStream::new(near, delay), ShapedStream::new(far, delay))
    }

    #[tokio::test]
    async fn bytes_and_the_end_arrive_late_and_in_order() {
        let delay = Duration::from_millis(80);
        let (mut near, mut far) = pair(delay).await;
        let started = Instant::now();
        near.write_all(b"one").await.unwrap();
        near.write_all(b"two").await.unwrap();
        near.close().await.unwrap();
        let mut first = [0; 1];
        far.read_exact(&mut first).await.unwrap();
        assert!(started.elapsed() >= delay, "the first byte came after {:?}", started.elapsed());
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!((&first[..], &rest[..]), (&b"o"[..], &b"netwo"[..]));
    }

    #[tokio::test]
    async fn bytes_under_way_survive_the_death_of_their_sender() {
        let (mut near, mut far) = pair(Duration::from_millis(40)).await;
        near.write_all(&[7; 1000]).await.unwrap();
        drop(near);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, vec![7; 1000]);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_full_one_loses_nothing() {
        let delay = Duration::from_millis(200);
        let (mut near, mut far) = pair(delay).await;
        let total = 3 * HELD_BYTES_MAX;
        let writer = tokio::spawn(async move {
            let chunk: Vec<u8> = (0..=255).collect();
            for _ in 0..total / 256 {
                near.write_all(&chunk).await.unwrap();
            }
            near.close().await.unwrap();
        });
        let mut seen = 0_usize;
        let mut buffer = vec![0; 65_536];
        loop {
            let count = far.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            for byte in &buffer[..count] {
                assert_eq!(usize::from(*byte), seen % 256, "byte {seen}");
                seen += 1;
            }
            let held = far.held.as_ref().unwrap();
            assert!(held.bytes <= HELD_BYTES_MAX + CHUNK_BYTES + ENTRY_BYTES);
        }
        assert_eq!(seen, total);
        writer.await.unwrap();
    }
}
