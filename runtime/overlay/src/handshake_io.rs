//! The socket of a stream while Noise uses it: read no further than the current message, and returned afterwards.
//!
//! libp2p's Noise transport reads ahead and keeps the socket. A stream continues with [`crate::records`] after its set-up,
//! and may have received the first records by then, so Noise must not take their bytes. Each Noise message is preceded
//! by its length as two bytes, big-endian. Read next: [`crate::stream`].

use futures::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// A socket that two owners have: Noise, and the set-up that takes it back.
pub(crate) struct HandshakeIo<T> {
    io: Arc<Mutex<T>>,
    header: [u8; 2],
    /// Bytes of the header that were read.
    header_read: usize,
    /// Bytes of the message that were not read yet.
    left: usize,
}

/// The other owner of the socket.
pub(crate) struct Lender<T>(Arc<Mutex<T>>);

impl<T> HandshakeIo<T> {
    pub(crate) fn new(io: T) -> (Self, Lender<T>) {
        let io = Arc::new(Mutex::new(io));
        let lender = Lender(Arc::clone(&io));
        (Self { io, header: [0; 2], header_read: 0, left: 0 }, lender)
    }

    /// The socket. One task uses both owners, and none can panic in the middle of a change.
    fn io(&self) -> MutexGuard<'_, T> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lender<T> {
    /// Returns the socket when its user has been dropped.
    pub(crate) fn take_back(self) -> Option<T> {
        let io = Arc::into_inner(self.0)?;
        Some(io.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HandshakeIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = if self.left > 0 { self.left } else { 2 - self.header_read };
        let room = out.len().min(most);
        let count = ready!(Pin::new(&mut *self.io()).poll_read(cx, &mut out[..room]))?;
        if self.left > 0 {
            self.left -= count;
        } else {
            let from = self.header_read;
            self.header[from..from + count].copy_from_slice(&out[..count]);
            self.header_read += count;
            if self.header_read == 2 {
                self.left = usize::from(u16::from_be_bytes(self.header));
                self.header_read = 0;
            }
        }
        Poll::Ready(Ok(count))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HandshakeIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io()).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io()).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::AsyncReadExt as _;
    use futures::io::Cursor;

    #[tokio::test]
    async fn a_reader_that_asks_for_more_gets_no_byte_beyond_a_message() {
        let bytes = b"\0\x03abc\0\0\0\x01drecords".to_vec();
        let (mut io, lender) = HandshakeIo::new(Cursor::new(bytes));
        let mut reads = Vec::new();
        for _ in 0..5 {
            let mut out = [0; 100];
            let count = io.read(&mut out).await.unwrap();
            reads.push(out[..count].to_vec());
        }
        assert_eq!(reads, [&b"\0\x03"[..], b"abc", b"\0\0", b"\0\x01", b"d"]);
        drop(io);
        let rest = lender.take_back().unwrap();
        assert_eq!(&rest.get_ref()[usize::try_from(rest.position()).unwrap()..], b"records");
    }
}
