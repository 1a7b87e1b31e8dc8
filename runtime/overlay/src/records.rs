//! The bytes of a stream after its set-up: sealed records.
//!
//! A record is a length of two bytes, big-endian, and that many sealed bytes. Records are sealed and opened in place, and
//! a whole one is written or read by one system call; libp2p's Noise transport copies each byte four times and reads
//! 8 KiB at a time (docs/decisions/1001). A connection at rest holds no buffer. The end of the stream is not
//! authenticated. Read next: [`crate::cipher`], [`crate::stream`], which exchanges the keys.

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::cipher::{Cipher, TAG_BYTES};
use futures::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

const HEADER_BYTES: usize = 2;
/// Most bytes that a record carries.
pub(crate) const PLAIN_BYTES_MAX: usize = BUFFER_BYTES - HEADER_BYTES - TAG_BYTES;

/// A sealed stream over a plain one.
pub(crate) struct Records<T> {
    io: T,
    sending: Cipher,
    /// A sealed record that the plain stream has not taken yet.
    unsent: Option<Unsent>,
    receiving: Cipher,
    received: Option<Received>,
}

struct Unsent {
    buffer: Buffer,
    from: usize,
    to: usize,
}

/// Received bytes: what is left of the opened record, then bytes that are still sealed.
struct Received {
    buffer: Buffer,
    plain_from: usize,
    plain_to: usize,
    sealed_from: usize,
    sealed_to: usize,
}

impl<T> Records<T> {
    pub(crate) fn new(io: T, sending: Cipher, receiving: Cipher) -> Self {
        Self { io, sending, unsent: None, receiving, received: None }
    }
}

impl Received {
    fn new() -> Self {
        Self { buffer: Buffer::take(), plain_from: 0, plain_to: 0, sealed_from: 0, sealed_to: 0 }
    }

    /// Opens the next record if all of it is here.
    fn open(&mut self, cipher: &mut Cipher) -> io::Result<bool> {
        let sealed = &mut self.buffer[self.sealed_from..self.sealed_to];
        let Some((header, rest)) = sealed.split_at_mut_checked(HEADER_BYTES) else { return Ok(false) };
        let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
        let Some(record) = rest.get_mut(..length) else { return Ok(false) };
        let plain = cipher.open(header, record)?;
        self.plain_from = self.sealed_from + HEADER_BYTES;
        self.plain_to = self.plain_from + plain;
        self.sealed_from += HEADER_BYTES + length;
        Ok(true)
    }

    /// Moves the sealed bytes to the start of the buffer, which has room for any record.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.sealed_from..self.sealed_to, 0);
        self.sealed_to -= self.sealed_from;
        self.sealed_from = 0;
    }
}

impl<T: AsyncRead + Unpin> Records<T> {
    /// Waits for plain bytes and returns those that are here; none at the end of the stream.
    pub(crate) fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        loop {
            let received = self.received.get_or_insert_with(Received::new);
            if received.plain_from < received.plain_to || received.open(&mut self.receiving)? {
                if received.plain_from == received.plain_to {
                    continue;
                }
                break;
            }
            received.make_room();
            let room = &mut received.buffer[received.sealed_to..];
            let polled = Pin::new(&mut self.io).poll_read(cx, room);
            let is_empty = received.sealed_to == 0;
            match polled {
                Poll::Ready(Ok(0)) if is_empty => {
                    self.received = None;
                    return Poll::Ready(Ok(&[]));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(count)) => received.sealed_to += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if is_empty {
                        self.received = None;
                    }
                    return Poll::Pending;
                }
            }
        }
        let received = self.received.as_ref();
        Poll::Ready(Ok(
            received.map_or(&[], |received| &received.buffer[received.plain_from..received.plain_to])
        ))
    }
}

impl<T> Records<T> {
    /// Marks plain bytes as taken, at most those that were returned last.
    pub(crate) fn consume(&mut self, count: usize) {
        if let Some(received) = &mut self.received {
            received.plain_from = (received.plain_from + count).min(received.plain_to);
            if received.plain_from == received.plain_to && received.sealed_from == received.sealed_to {
                self.received = None;
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Records<T> {
    /// Sends what is left of the last record.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(unsent) = &mut self.unsent {
            let bytes = &unsent.buffer[unsent.from..unsent.to];
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            unsent.from += count;
            if unsent.from == unsent.to {
                self.unsent = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Seals at most one record and begins to send it. Waits until the record before it has left.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        let count = bytes.len().min(PLAIN_BYTES_MAX);
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut buffer = Buffer::take();
        let (header, rest) = buffer.split_at_mut(HEADER_BYTES);
        // PLAIN_BYTES_MAX and the tag are at most 65,535 bytes.
        let length = u16::try_from(count + TAG_BYTES).map_err(io::Error::other)?;
        header.copy_from_slice(&length.to_be_bytes());
        let (plain, rest) = rest.split_at_mut(count);
        plain.copy_from_slice(&bytes[..count]);
        rest[..TAG_BYTES].copy_from_slice(&self.sending.seal(header, plain)?);
        self.unsent = Some(Unsent { buffer, from: 0, to: HEADER_BYTES + count + TAG_BYTES });
        if let Poll::Ready(Err(error)) = self.poll_sent(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::poll_fn;
    use std::collections::VecDeque;

    /// Bytes in memory, of which each call moves at most `most`; every second call has to wait.
    #[derive(Default)]
    struct Pipe {
        bytes: VecDeque<u8>,
        most: usize,
        calls: usize,
        has_ended: bool,
    }

    impl Pipe {
        fn waits(&mut self, cx: &mut Context<'_>) -> bool {
            self.calls += 1;
            let waits = self.calls.is_multiple_of(2);
            if waits {
                cx.waker().wake_by_ref();
            }
            waits
        }
    }

    impl AsyncRead for Pipe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            out: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if self.waits(cx) {
                return Poll::Pending;
            }
            let count = out.len().min(self.most).min(self.bytes.len());
            if count == 0 && !self.has_ended {
                return Poll::Pending;
            }
            for (place, byte) in out.iter_mut().zip(self.bytes.drain(..count)) {
                *place = byte;
            }
            Poll::Ready(Ok(count))
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.waits(cx) {
                return Poll::Pending;
            }
            let count = bytes.len().min(self.most);
            self.bytes.extend(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn records(pipe: Pipe) -> Records<Pipe> {
        Records::new(pipe, Cipher::new([1; 32]), Cipher::new([1; 32]))
    }

    /// The sealed bytes of these messages, written through calls of at most `most` bytes.
    async fn written(messages: &[Vec<u8>], most: usize) -> Vec<u8> {
        let mut writer = records(Pipe { most, ..Pipe::default() });
        for message in messages {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let count = poll_fn(|cx| writer.poll_write(cx, rest)).await.unwrap();
                rest = &rest[count..];
            }
        }
        poll_fn(|cx| writer.poll_flush(cx)).await.unwrap();
        assert!(writer.unsent.is_none());
        writer.io.bytes.into()
    }

    /// The plain bytes that can be read, and the error after them.
    async fn read(sealed: &[u8], most: usize) -> (Vec<u8>, io::Result<()>) {
        let pipe = Pipe { bytes: sealed.to_vec().into(), most, has_ended: true, calls: 0 };
        let (mut reader, mut all) = (records(pipe), Vec::new());
        loop {
            let polled =
                poll_fn(|cx| reader.poll_plain(cx).map_ok(|plain| plain[..plain.len().min(999)].to_vec()));
            match polled.await {
                Ok(plain) if plain.is_empty() => return (all, Ok(())),
                Ok(plain) => {
                    reader.consume(plain.len());
                    all.extend(plain);
                }
                Err(error) => return (all, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn bytes_arrive_whole_however_calls_cut_them() {
        let messages = [vec![1; 5], vec![2; PLAIN_BYTES_MAX], vec![3; 3 * PLAIN_BYTES_MAX + 1], vec![4]];
        for most in [1_000, 70_000, usize::MAX] {
            let sealed = written(&messages, most).await;
            let (all, end) = read(&sealed, most).await;
            assert!(all == messages.concat() && end.is_ok(), "{most}: {} bytes, {end:?}", all.len());
        }
        let sealed = written(&[vec![1; 5], vec![2; 300]], 1).await;
        assert_eq!(read(&sealed, 1).await.0.len(), 305);
    }

    #[tokio::test]
    async fn a_cut_or_forged_record_is_an_error_after_the_records_before_it() {
        let sealed = written(&[vec![1; 5], vec![2; 300]], 1_000).await;
        let (all, end) = read(&sealed[..sealed.len() - 1], 1_000).await;
        assert_eq!((all.len(), end.unwrap_err().kind()), (5, io::ErrorKind::UnexpectedEof));
        let mut forged = sealed.clone();
        *forged.last_mut().unwrap() ^= 1;
        let (all, end) = read(&forged, 1_000).await;
        assert_eq!((all.len(), end.unwrap_err().kind()), (5, io::ErrorKind::InvalidData));
        let (all, end) = read(&[0, 3, 1, 2, 3], 1_000).await;
        assert_eq!((all.len(), end.unwrap_err().kind()), (0, io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn a_stream_at_rest_holds_no_buffer() {
        let sealed = written(&[vec![1; 5]], 1_000).await;
        let mut reader = records(Pipe { bytes: sealed.into(), most: 1_000, ..Pipe::default() });
        let count = poll_fn(|cx| reader.poll_plain(cx).map_ok(<[u8]>::len)).await.unwrap();
        assert!(reader.received.is_some());
        reader.consume(count);
        assert!(reader.received.is_none());
        let pending = poll_fn(|cx| Poll::Ready(reader.poll_plain(cx).is_pending())).await;
        assert!(pending && reader.received.is_none());
    }
}
