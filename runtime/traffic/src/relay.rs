//! Copies the bytes of one connection between a local socket and a stream to another node, in both directions.
//!
//! On the stream a direction is a sequence of frames: a length of two bytes, little-endian, then that many bytes. Length
//! zero ends the direction. So a half-closed connection stays half-closed, an end is authenticated, and a stream whose
//! directions have both ended can carry another connection. Each direction holds at most one frame: a slow reader slows
//! the writer down through the windows of the kernels between them. A connection that breaks at one end is broken at the
//! other: it must not look complete there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of a frame: a free choice between memory for each connection and system calls for each byte
/// (docs/decisions/1001).
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024;
const HEADER_BYTES: usize = 2;

/// Copies until both directions have ended.
///
/// # Errors
/// One end broke, or the other node sent a malformed frame. The stream cannot be used again.
pub(crate) async fn relay<L, S>(local: &mut L, stream: &mut S) -> io::Result<()>
where
    L: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
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
    buffer: Box<[u8]>,
    /// The bytes of the buffer that are not written yet.
    from: usize,
    to: usize,
    is_flushed: bool,
    /// Whether the local end has sent its last byte.
    ended: bool,
}

impl Outward {
    fn new() -> Self {
        let buffer = vec![0; HEADER_BYTES + FRAME_BYTES_MAX].into();
        Self { buffer, from: 0, to: 0, is_flushed: true, ended: false }
    }

    fn poll<L, S>(&mut self, cx: &mut Context<'_>, local: &mut L, stream: &mut S) -> Poll<io::Result<()>>
    where
        L: AsyncRead + Unpin,
        S: AsyncWrite + Unpin,
    {
        loop {
            while self.from < self.to {
                let bytes = &self.buffer[self.from..self.to];
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.from += count;
            }
            if !self.is_flushed {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.is_flushed = true;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let mut free = ReadBuf::new(&mut self.buffer[HEADER_BYTES..]);
            ready!(Pin::new(&mut *local).poll_read(cx, &mut free))?;
            let count = free.filled().len();
            // The buffer has room for FRAME_BYTES_MAX bytes, which is less than 65,536.
            let length = u16::try_from(count).map_err(io::Error::other)?;
            self.buffer[..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
            (self.from, self.to) = (0, HEADER_BYTES + count);
            self.is_flushed = false;
            self.ended = count == 0;
        }
    }
}

/// The direction from the stream to the local socket.
struct Inward {
    buffer: Box<[u8]>,
    /// The bytes of the buffer that are not written yet.
    from: usize,
    to: usize,
    header: [u8; HEADER_BYTES],
    /// Number of bytes of the next header that were read.
    header_read: usize,
    /// Number of bytes of the frame that were not read yet.
    left: usize,
    /// Whether the other node has sent its last frame.
    ended: bool,
    is_shut: bool,
}

impl Inward {
    fn new() -> Self {
        Self {
            buffer: vec![0; FRAME_BYTES_MAX].into(),
            from: 0,
            to: 0,
            header: [0; HEADER_BYTES],
            header_read: 0,
            left: 0,
            ended: false,
            is_shut: false,
        }
    }

    fn poll<L, S>(&mut self, cx: &mut Context<'_>, local: &mut L, stream: &mut S) -> Poll<io::Result<()>>
    where
        L: AsyncWrite + Unpin,
        S: AsyncRead + Unpin,
    {
        loop {
            while self.from < self.to {
                let bytes = &self.buffer[self.from..self.to];
                let count = ready!(Pin::new(&mut *local).poll_write(cx, bytes))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.from += count;
            }
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
            let room = self.left.min(self.buffer.len());
            let count = ready!(poll_some(cx, stream, &mut self.buffer[..room]))?;
            (self.from, self.to) = (0, count);
            self.left -= count;
        }
    }

    fn poll_header<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while self.header_read < HEADER_BYTES {
            let count = ready!(poll_some(cx, stream, &mut self.header[self.header_read..]))?;
            self.header_read += count;
        }
        self.header_read = 0;
        self.left = usize::from(u16::from_le_bytes(self.header));
        self.ended = self.left == 0;
        Poll::Ready(Ok(()))
    }
}

/// Reads at least one byte. The end of the stream is an error, because it comes before the end of the connection.
fn poll_some<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    bytes: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    match buffer.filled().len() {
        0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        count => Poll::Ready(Ok(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    /// A relay in a task, which returns its outcome and its end of the stream.
    type Relaying = JoinHandle<(io::Result<()>, DuplexStream)>;

    /// A client and a server with two relays and a stream between them. The stream and the sockets have small buffers.
    fn proxied() -> (DuplexStream, DuplexStream, [Relaying; 2]) {
        let (client, mut near) = duplex(1_000);
        let (server, mut far) = duplex(1_000);
        let (mut one, mut other) = duplex(1_000);
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
        let (mut near, mut far) = duplex(100);
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
        let (mut near, far) = duplex(100);
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
        // Three pipes of 1,000 bytes, and a frame in each direction of each relay.
        assert!(written <= 3 * 1_000 + 2 * (FRAME_BYTES_MAX + HEADER_BYTES), "{written}");
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
