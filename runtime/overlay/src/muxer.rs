//! Our yamux connection as libp2p's stream multiplexer, with a bound on streams **and** on received bytes.
//!
//! libp2p's own adapter can bound streams only: its receive window may grow to 1 GiB per connection.

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use yamux::{Config, Connection, ConnectionError, Mode};

/// Streams per connection: five classes, ping and gossip, each one way, make 14; the rest is for replacements.
const STREAMS_MAX: usize = 24;
/// Bytes that yamux reserves for every stream that may exist.
const STREAM_WINDOW_BYTES: usize = 256 * 1024;
/// Bytes that busy streams may use beyond the reserve, so that a long path carries as much as the delay queue holds.
const SHARED_WINDOW_BYTES: usize = 8 * 1024 * 1024;
/// Most received and unread bytes per connection.
const RECEIVE_WINDOW_BYTES: usize = STREAMS_MAX * STREAM_WINDOW_BYTES + SHARED_WINDOW_BYTES;

/// The end of the connection that this node is.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Dialer,
    Listener,
}

pub(crate) struct Muxer<S> {
    connection: Connection<S>,
    /// Streams the other end opened while only progress was asked for; yamux bounds them by `STREAMS_MAX`.
    arrived: VecDeque<yamux::Stream>,
    waiting: Option<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Muxer<S> {
    pub(crate) fn new(io: S, end: End) -> Self {
        let mut config = Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config.set_max_connection_receive_window(Some(RECEIVE_WINDOW_BYTES));
        let mode = match end {
            End::Dialer => Mode::Client,
            End::Listener => Mode::Server,
        };
        Self { connection: Connection::new(io, config, mode), arrived: VecDeque::new(), waiting: None }
    }

    /// Drives the connection; yamux makes progress only while it is asked for the next inbound stream.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<yamux::Stream, ConnectionError>> {
        self.connection.poll_next_inbound(cx).map(|next| next.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<S> {
    type Substream = yamux::Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        if let Some(stream) = this.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = this.poll_next(cx);
        if next.is_pending() {
            this.waiting = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.get_mut().connection.poll_new_outbound(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().connection.poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let this = self.get_mut();
        loop {
            match this.poll_next(cx) {
                Poll::Ready(Ok(stream)) => {
                    this.arrived.push_back(stream);
                    if let Some(waker) = this.waiting.take() {
                        waker.wake();
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
