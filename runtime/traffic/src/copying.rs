//! Copies the bytes of one connection within a host, in both directions.
//!
//! A direction at rest holds no buffer. The end of one direction is passed on, and the other one continues. Read next:
//! [`crate::relay`], which does the same over a stream to another node.

use rhizo_overlay::Buffer;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Copies until both directions have ended.
///
/// # Errors
/// One end broke.
pub(crate) async fn copy<A, B>(one: &mut A, other: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    std::future::poll_fn(|cx| {
        let there = there.poll(cx, one, other)?;
        let back = back.poll(cx, other, one)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

#[derive(Default)]
struct Direction {
    /// Bytes that the reader has not taken yet, with their place in the buffer.
    held: Option<(Buffer, usize, usize)>,
    has_ended: bool,
    is_shut: bool,
}

impl Direction {
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while let Some((buffer, start, end)) = &mut self.held {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &buffer[*start..*end]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                *start += count;
                if start == end {
                    self.held = None;
                }
            }
            if self.has_ended {
                if !self.is_shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.is_shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut buffer = Buffer::take();
            let mut free = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut free))?;
            let count = free.filled().len();
            if count == 0 {
                self.has_ended = true;
            } else {
                self.held = Some((buffer, 0, count));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn each_direction_ends_by_itself_and_loses_nothing() {
        let (mut client, mut near) = duplex(1_000);
        let (mut server, mut far) = duplex(700);
        let copying = tokio::spawn(async move { copy(&mut near, &mut far).await });
        let question: Vec<u8> = (0..200_000_u32).map(|place| place.to_le_bytes()[0]).collect();
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
        copying.await.expect("no panic").expect("both directions have ended");
    }
}
