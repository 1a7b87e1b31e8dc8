//! Streams: authenticated, encrypted connections for the traffic of components, beside the links.
//!
//! A link multiplexes lanes over one connection, so a reader that stalls or a large transfer would delay heartbeats on
//! it. Each stream therefore is a TCP connection of its own to the same port: the kernel gives it its own flow control.
//! It passes the same Noise handshake and the same [`crate::gate`], for members and operators only. A preamble of four
//! bytes tells a stream from a link before the handshake, so that its socket can be served by another thread. Noise
//! authenticates the two ends and carries a key for each direction; [`crate::records`] carries the bytes. What
//! the bytes mean is decided by the users of this module. Read next: [`crate::transport`].

use crate::admission::{Claim, Credential, Role};
use crate::cipher::{Cipher, KEY_BYTES};
use crate::gate::{ExchangeError, Purpose};
use crate::handshake_io::{HandshakeIo, Lender};
use crate::key;
use crate::raw_stream::{RawStream, StreamUse};
use crate::records::Records;
use crate::refusal::Refusal;
use crate::shaper::ShapedStream;
use crate::transport::{SET_UP_MAX, SetUp, SetUpError};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use rhizo_types::PeerKey;
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Inbound streams that wait to be accepted, beyond which further ones are closed.
const WAITING_MAX: usize = 256;
/// A stream without traffic is probed after this time, so that the end of a host that sent no last packet is noticed.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Time between two probes; after three without an answer the stream breaks.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// Bytes that stay unacknowledged for this time break the stream. The same bound as that of an idle stream.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A stream was not opened or not accepted.
#[derive(Debug, thiserror::Error)]
#[error("set up a stream")]
pub struct StreamError(#[from] SetUpError);

impl StreamError {
    /// Why the other end refused this node's credential; none when another step failed.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match &self.0 {
            SetUpError::Exchange { source: ExchangeError::RefusedByListener(refusal), .. } => Some(*refusal),
            _ => None,
        }
    }
}

/// An authenticated stream of bytes to another node or to an operator.
///
/// Each write is at most one record of about 64 KiB, which begins to be sent at once; the next write waits until it has
/// left. The end of the stream is not authenticated: a user has to mark the end of its data by itself.
pub struct PeerStream {
    io: Records<ShapedStream>,
    peer: PeerKey,
    role: Role,
}

impl PeerStream {
    /// The key of the other end.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.peer
    }

    /// The role of the other end when the stream was set up.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }
}

impl fmt::Debug for PeerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerStream")
            .field("peer", &self.peer)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let plain = ready!(self.io.poll_plain(cx))?;
        let count = plain.len().min(buffer.remaining());
        buffer.put_slice(&plain[..count]);
        self.io.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for PeerStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().io.poll_plain(cx)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.io.consume(count);
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_close(cx)
    }
}

/// Opens streams to other nodes.
#[derive(Clone)]
pub struct StreamDialer {
    set_up: SetUp,
    purpose: StreamUse,
}

impl fmt::Debug for StreamDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamDialer")
    }
}

impl StreamDialer {
    pub(crate) fn new(set_up: SetUp, purpose: StreamUse) -> Self {
        Self { set_up, purpose }
    }

    /// Opens a stream to a node at one of its addresses, on the runtime of the caller.
    ///
    /// # Errors
    /// The node was not reached within five seconds, has another key, or refused the credential.
    pub async fn dial(
        &self,
        peer: PeerKey,
        address: SocketAddr,
        credential: &Credential,
    ) -> Result<PeerStream, StreamError> {
        let dialling = self.set_up.outbound_stream(self.purpose, address, peer, credential);
        Ok(tokio::time::timeout(SET_UP_MAX, dialling).await.unwrap_or(Err(SetUpError::TimedOut))?)
    }
}

/// The inbound streams of this node.
#[derive(Debug)]
pub struct StreamListener {
    set_up: SetUp,
    purpose: StreamUse,
    waiting: mpsc::Receiver<RawStream>,
}

impl StreamListener {
    pub(crate) fn new(set_up: SetUp, purpose: StreamUse) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        set_up.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(purpose, queue);
        Self { set_up, purpose, waiting }
    }

    /// Waits for the next inbound stream. Returns none when another listener has taken over.
    pub async fn next(&mut self) -> Option<InboundStream> {
        let raw = self.waiting.recv().await?;
        Some(InboundStream { set_up: self.set_up.clone(), purpose: self.purpose, raw })
    }
}

/// An inbound stream before its handshake.
#[derive(Debug)]
pub struct InboundStream {
    set_up: SetUp,
    purpose: StreamUse,
    raw: RawStream,
}

impl InboundStream {
    /// Performs the handshake and the credential exchange, on the runtime of the caller.
    ///
    /// # Errors
    /// The other end is neither a member nor an operator, or the handshake took longer than five seconds.
    pub async fn admit(self) -> Result<PeerStream, StreamError> {
        let gate = self.set_up.clone();
        let admitting = gate.inbound_stream(self.purpose, self.raw);
        let admitted = tokio::time::timeout(SET_UP_MAX, admitting).await.unwrap_or(Err(SetUpError::TimedOut));
        if admitted.is_err() {
            self.set_up.shared.gate.count_refused();
        }
        Ok(admitted?)
    }
}

impl SetUp {
    async fn outbound_stream(
        &self,
        purpose: StreamUse,
        address: SocketAddr,
        expected: PeerKey,
        credential: &Credential,
    ) -> Result<PeerStream, SetUpError> {
        let mut stream = self.reach(address).await?;
        watch_for_death(&stream);
        tokio::io::AsyncWriteExt::write_all(&mut stream, &purpose.preamble())
            .await
            .map_err(|source| SetUpError::Connect { address, source })?;
        let (io, lender) = HandshakeIo::new(self.shaped(stream, address));
        let noise = self.noise(Purpose::Stream)?;
        let (id, mut io) = noise.upgrade_outbound(io, "/noise").await.map_err(SetUpError::Noise)?;
        let peer = key::peer_key(&id).ok_or(SetUpError::KeyKind)?;
        if peer != expected {
            return Err(SetUpError::WrongKey { expected, found: peer });
        }
        let exchange = |source| SetUpError::Exchange { peer, source };
        let broken = |source| SetUpError::Connect { address, source };
        // The other end is authenticated, so its key for this direction may be sent before it has decided.
        let sending: [u8; KEY_BYTES] = rand::random();
        io.write_all(&sending).await.map_err(broken)?;
        self.shared.gate.present(&mut io, peer, credential).await.map_err(exchange)?;
        let mut receiving = [0; KEY_BYTES];
        io.read_exact(&mut receiving).await.map_err(broken)?;
        drop(io);
        let io = records(lender, sending, receiving)?;
        let role = self.role_of(&peer, Claim::Pinned).unwrap_or(Role::Pinned);
        Ok(PeerStream { io, peer, role })
    }

    async fn inbound_stream(&self, purpose: StreamUse, raw: RawStream) -> Result<PeerStream, SetUpError> {
        let RawStream { stream, remote, permit: _permit } = raw;
        let broken = |source| SetUpError::Connect { address: remote, source };
        let mut stream = TcpStream::from_std(stream).map_err(broken)?;
        watch_for_death(&stream);
        let mut preamble = purpose.preamble();
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut preamble).await.map_err(broken)?;
        if preamble != purpose.preamble() {
            return Err(SetUpError::StreamRefused);
        }
        let (io, lender) = HandshakeIo::new(self.shaped(stream, remote));
        let noise = self.noise(Purpose::Stream)?;
        let (id, mut io) = noise.upgrade_inbound(io, "/noise").await.map_err(SetUpError::Noise)?;
        let peer = key::peer_key(&id).ok_or(SetUpError::KeyKind)?;
        let mut receiving = [0; KEY_BYTES];
        io.read_exact(&mut receiving).await.map_err(broken)?;
        let admitted = self.shared.gate.admit(&mut io, peer, Purpose::Stream).await;
        let (claim, _) = admitted.map_err(|source| SetUpError::Exchange { peer, source })?;
        // The roster may have changed since the exchange.
        let stranger =
            || SetUpError::Exchange { peer, source: ExchangeError::DialerRefused(Refusal::Stranger) };
        let role = self.role_of(&peer, claim).ok_or_else(stranger)?;
        let sending: [u8; KEY_BYTES] = rand::random();
        io.write_all(&sending).await.map_err(broken)?;
        io.flush().await.map_err(broken)?;
        drop(io);
        let io = records(lender, sending, receiving)?;
        Ok(PeerStream { io, peer, role })
    }

    fn role_of(&self, peer: &PeerKey, claim: Claim) -> Option<Role> {
        self.shared.gate.book().admission.role_of(peer, claim)
    }
}

/// Continues with records on the socket that Noise has used.
fn records(
    lender: Lender<ShapedStream>,
    sending: [u8; KEY_BYTES],
    receiving: [u8; KEY_BYTES],
) -> Result<Records<ShapedStream>, SetUpError> {
    // Noise's end is dropped, so the socket has one owner.
    let io = lender.take_back().ok_or(SetUpError::StreamRefused)?;
    Ok(Records::new(io, Cipher::new(sending), Cipher::new(receiving)))
}

/// Makes the kernel break the connection when its other end no longer acknowledges anything.
fn watch_for_death(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let probes =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY).with_retries(3);
    let set = socket
        .set_tcp_keepalive(&probes)
        .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)));
    if let Err(error) = set {
        tracing::debug!(%error, "time-outs of a stream not set");
    }
}
