//! Copies the bytes of one connection between a local socket and a stream to another node, in both directions.
//!
//! On the stream a direction is a sequence of frames: a length of two bytes, little-endian, then that many bytes. Length
//! zero ends the direction. So a half-closed connection stays half-closed, an end is authenticated, and a stream whose
//! directions have both ended can carry another connection. Each direction holds at most one frame, and none when it is at
//! rest: a slow reader slows the writer down through the windows of the kernels between them. A connection that breaks at
//! one end is broken at the other: it must not look complete there.

use rhizo_overlay::{BUFFER_BYTES, Buffer};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

const HEADER_BYTES: usize = 2;
/// Most bytes of a frame: with its header it fits into one record of a stream, so it is one system call at each end.
pub(crate) const FRAME_BYTES_MAX: usize = BUFFER_BYTES - 32;

/// Copies until both directions have ended.
///
/// # Errors
/// One end broke, or the other node sent a malformed frame. The stream cannot be used again.
pub(crate) async fn relay<L, S>(local: &mut L, stream: &mut S) -> io::Result<()>
where
    L: AsyncRead + AsyncWrite + Unpin,
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let (mut outward, mut inward) = (Outward::new(), Inward::new());
    std::future::poll_fn(|cx| {
        let out = outward.poll(cx, local, stream)?;
        let inn = inward.poll(cx, local, stream)?;
        if out.is_ready() && inn.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// The direction from the local socket to the stream.
struct Outward {
    /// A frame that the stream has not taken yet.
    frame: Option<Frame>,
    is_flushed: bool,
    /// Whether the local end has sent its last byte.
    ended: bool,
}

struct Frame {
    buffer: Buffer,
    from: usize,
    to: usize,
}

impl Outward {
    fn new() -> Self {
        Self { frame: None, is_flushed: true, ended: false }
    }

    fn poll<L, S>(&mut self, cx: &mut Context<'_>, local: &mut L, stream: &mut S) -> Poll<io::Result<()>>
    where
        L: AsyncRead + Unpin,
        S: AsyncWrite + Unpin,
    {
        loop {
            while let Some(frame) = &mut self.frame {
                let bytes = &frame.buffer[frame.from..frame.to];
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                frame.from += count;
                if frame.from == frame.to {
                    self.frame = None;
                }
            }
            if !self.is_flushed {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.is_flushed = true;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            // Returns to its thread if the local end has sent nothing.
            let mut buffer = Buffer::take();
            let mut free = ReadBuf::new(&mut buffer[HEADER_BYTES..HEADER_BYTES + FRAME_BYTES_MAX]);
            ready!(Pin::new(&mut *local).poll_read(cx, &mut free))?;
            let count = free.filled().len();
            // The buffer has room for FRAME_BYTES_MAX bytes, which is less than 65,536.
            let length = u16::try_from(count).map_err(io::Error::other)?;
            buffer[..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
            self.frame = Some(Frame { buffer, from: 0, to: HEADER_BYTES + count });
            self.is_flushed = false;
            self.ended = count == 0;
        }
    }
}

/// The direction from the stream to the local socket. Its bytes stay in the stream until the local socket takes them.
struct Inward {
    header: [u8; HEADER_BYTES],
    /// Number of bytes of the next header that were read.
    header_read: usize,
    /// Number of bytes of the frame that were not written yet.
    left: usize,
    /// Whether the other node has sent its last frame.
    ended: bool,
    is_shut: bool,
}

impl Inward {
    fn new() -> Self {
        Self { header: [0; HEADER_BYTES], header_read: 0, left: 0, ended: false, is_shut: false }
    }

    fn poll<L, S>(&mut self, cx: &mut Context<'_>, local: &mut L, stream: &mut S) -> Poll<io::Result<()>>
    where
        L: AsyncWrite + Unpin,
        S: AsyncBufRead + Unpin,
    {
        loop {
            if self.ended {
                if !self.is_shut {
                    ready!(Pin::new(&mut *local).poll_shutdown(cx))?;
                    self.is_shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            if self.left == 0 {
                ready!(self.poll_header(cx, stream))?;
                continue;
            }
            let bytes = ready!(poll_some(cx, stream))?;
            let bytes = &bytes[..bytes.len().min(self.left)];
            let count = ready!(Pin::new(&mut *local).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            Pin::new(&mut *stream).consume(count);
            self.left -= count;
        }
    }

    fn poll_header<S: AsyncBufRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while self.header_read < HEADER_BYTES {
            self.header[self.header_read] = ready!(poll_some(cx, stream))?[0];
            Pin::new(&mut *stream).consume(1);
            self.header_read += 1;
        }
        self.header_read = 0;
        self.left = usize::from(u16::from_le_bytes(self.header));
        self.ended = self.left == 0;
        Poll::Ready(Ok(()))
    }
}

/// Waits for at least one byte. The end of the stream is an error, because it comes before the end of the connection.
fn poll_some<'a, S: AsyncBufRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &'a mut S,
) -> Poll<io::Result<&'a [u8]>> {
    let bytes = ready!(Pin::new(stream).poll_fill_buf(cx))?;
    if bytes.is_empty() {
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    Poll::Ready(Ok(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    /// A relay in a task, which returns its outcome and its end of the stream.
    type Relaying = JoinHandle<(io::Result<()>, BufReader<DuplexStream>)>;

    /// The two ends of a stream with small buffers.
    fn stream(bytes: usize) -> (BufReader<DuplexStream>, BufReader<DuplexStream>) {
        let (one, other) = duplex(bytes);
        (BufReader::with_capacity(bytes, one), BufReader::with_capacity(bytes, other))
    }

    /// A client and a server with two relays and a stream between them. The stream and the sockets have small buffers.
    fn proxied() -> (DuplexStream, DuplexStream, [Relaying; 2]) {
        let (client, mut near) = duplex(1_000);
        let (server, mut far) = duplex(1_000);
        let (mut one, mut other) = stream(1_000);
        let near = tokio::spawn(async move { (relay(&mut near, &mut one).await, one) });
        let far = tokio::spawn(async move { (relay(&mut far, &mut other).await, other) });
        (client, server, [near, far])
    }

    #[tokio::test]
    async fn a_half_closed_connection_carries_the_answer() {
        let (mut client, mut server, relays) = proxied();
        let question = vec![7; 3 * FRAME_BYTES_MAX + 1];
        let asked = question.clone();
        let asking = tokio::spawn(async move {
            client.write_all(&asked).await.expect("it is read");
            client.shutdown().await.expect("it is open");
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.expect("it is answered");
            answer
        });
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.expect("it is asked");
        assert!(heard == question);
        server.write_all(b"answer").await.expect("it is read");
        server.shutdown().await.expect("it is open");
        assert_eq!(asking.await.expect("no panic"), b"answer");
        for ended in relays {
            let (outcome, _stream) = ended.await.expect("no panic");
            outcome.expect("both directions have ended");
        }
    }

    #[tokio::test]
    async fn a_stream_carries_the_next_connection_after_both_directions_have_ended() {
        let (mut near, mut far) = stream(100);
        for turn in 0..3_u8 {
            let (mut client, mut local) = duplex(100);
            let (mut server, mut remote) = duplex(100);
            let sending = async {
                client.write_all(&[turn; 10]).await.expect("it is read");
                client.shutdown().await.expect("it is open");
                let mut all = Vec::new();
                server.read_to_end(&mut all).await.expect("it is sent");
                server.shutdown().await.expect("it is open");
                all
            };
            let (all, one, other) =
                tokio::join!(sending, relay(&mut local, &mut near), relay(&mut remote, &mut far));
            assert_eq!(all, [turn; 10]);
            one.expect("it ended");
            other.expect("it ended");
        }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_not_an_end() {
        let (mut client, mut local) = duplex(100);
        let (mut near, far) = stream(100);
        let relaying = tokio::spawn(async move { relay(&mut local, &mut near).await });
        client.write_all(b"request").await.expect("it is read");
        drop(far);
        let outcome = relaying.await.expect("no panic");
        let kind = outcome.expect_err("the stream broke").kind();
        assert!(matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe), "{kind:?}");
    }

    #[tokio::test]
    async fn a_reader_that_stalls_stops_the_writer_after_a_bounded_number_of_bytes() {
        let (mut client, _server, _relays) = proxied();
        let mut written = 0;
        let stalled = tokio::spawn(async move {
            loop {
                match futures_write(&mut client, &[0; 500]).await {
                    Some(count) => written += count,
                    None => return written,
                }
            }
        });
        let written = stalled.await.expect("no panic");
        // Three pipes and the reader's buffer of 1,000 bytes, and a frame of the first relay.
        assert!(written <= 4 * 1_000 + FRAME_BYTES_MAX + HEADER_BYTES, "{written}");
    }

    /// Writes once; returns none when the pipe is full and stays full while every other task runs.
    async fn futures_write(pipe: &mut DuplexStream, bytes: &[u8]) -> Option<usize> {
        for _ in 0..1_000 {
            let once = std::future::poll_fn(|cx| match Pin::new(&mut *pipe).poll_write(cx, bytes) {
                Poll::Ready(written) => Poll::Ready(Some(written)),
                Poll::Pending => Poll::Ready(None),
            });
            if let Some(written) = once.await {
                return Some(written.expect("the reader is there"));
            }
            tokio::task::yield_now().await;
        }
        None
    }
}
