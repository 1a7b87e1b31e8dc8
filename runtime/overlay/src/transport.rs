//! From an address to an admitted, multiplexed link: TCP, delay queue, Noise, credentials, yamux, in that order.
//!
//! One future per connection performs all the steps under one deadline, so that no part of a later step exists while
//! an earlier step can still refuse. [`crate::gate`] decides which peers are admitted. Read next: the gate.

use crate::gate::{ExchangeError, Purpose};
use crate::key;
use crate::muxer::{End, Muxer};
use crate::permit::{Pending, Permit};
use crate::raw_stream::{RawStream, StreamUse};
use crate::shaper::{LinkShaper, ShapedStream};
use crate::shared::Shared;
use futures::future::BoxFuture;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, noise};
use rhizo_types::PeerKey;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Sleep;

/// Time limit of a whole set-up, from the first byte to the verdict. The slowest real path (450 ms) needs 2 s.
pub(crate) const SET_UP_MAX: Duration = Duration::from_secs(5);
/// Pause after the kernel refused to accept a connection, usually because no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The reason why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    #[error("understand the address {0}")]
    Address(Multiaddr),
    #[error("connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("set up the link in time")]
    TimedOut,
    #[error("authenticate the other end")]
    Noise(#[source] noise::Error),
    #[error("use the other end's key, which is not Ed25519")]
    KeyKind,
    #[error("reach {expected}: {found} answered")]
    WrongKey { expected: PeerKey, found: PeerKey },
    #[error("admit or be admitted as {peer}")]
    Exchange { peer: PeerKey, source: ExchangeError },
    #[error("listen on a second address")]
    Listening,
    /// Not a fault: the connection is a stream, and the part of the node that accepts streams has it now.
    #[error("make a link of a connection that carries a stream")]
    Stream,
    #[error("accept a stream: too many wait, or this node accepts none")]
    StreamRefused,
}

/// The transport of one overlay: at most one listener, any number of dials.
pub(crate) struct GatedTcp {
    set_up: SetUp,
    listener: Option<TcpListener>,
    /// Events for the swarm that are not connections.
    announced: VecDeque<TransportEvent<BoxFuture<'static, Outcome>, SetUpError>>,
    listener_id: Option<ListenerId>,
    pause: Option<Pin<Box<Sleep>>>,
    pending: Pending,
}

type Outcome = Result<(PeerId, StreamMuxerBox), SetUpError>;

/// The parts that every set-up needs; cheap to clone.
#[derive(Clone)]
pub(crate) struct SetUp {
    pub(crate) shared: Arc<Shared>,
    keypair: Keypair,
    shaper: Option<Arc<dyn LinkShaper>>,
    /// The source address of dials to loopback addresses, so that listeners can identify the dialling host.
    source: Option<IpAddr>,
}

impl GatedTcp {
    pub(crate) fn new(set_up: SetUp, listener: Option<TcpListener>) -> Self {
        Self {
            set_up,
            listener,
            announced: VecDeque::new(),
            listener_id: None,
            pause: None,
            pending: Pending::default(),
        }
    }

    fn incoming(&mut self, stream: TcpStream, remote: SocketAddr) -> Option<BoxFuture<'static, Outcome>> {
        let Some(permit) = Permit::take(&self.pending, remote.ip()) else {
            tracing::debug!(%remote, "connection dropped: too many set-ups in progress");
            self.set_up.shared.gate.count_refused();
            return None;
        };
        let set_up = self.set_up.clone();
        Some(Box::pin(async move {
            let outcome = in_time(set_up.inbound(stream, remote, permit)).await;
            if !matches!(outcome, Ok(_) | Err(SetUpError::Stream)) {
                set_up.shared.gate.count_refused();
            }
            outcome
        }))
    }
}

async fn in_time(set_up: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(SET_UP_MAX, set_up).await.unwrap_or(Err(SetUpError::TimedOut))
}

impl fmt::Debug for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetUp").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Returns the use of a stream if the other end's first bytes announce one. Leaves the bytes in the socket.
///
/// A Noise handshake begins with the length of its first message, 32 bytes as a big-endian number of two bytes, so the
/// first byte of a link is zero.
async fn announced_stream(stream: &TcpStream) -> io::Result<Option<StreamUse>> {
    let mut first = [0; 1];
    let count = stream.peek(&mut first).await?;
    Ok(if count == 1 { StreamUse::announced_by(first[0]) } else { None })
}

impl SetUp {
    pub(crate) fn new(
        shared: Arc<Shared>,
        keypair: Keypair,
        source: Option<IpAddr>,
        shaper: Option<Arc<dyn LinkShaper>>,
    ) -> Self {
        Self { shared, keypair, shaper, source }
    }

    pub(crate) fn noise(&self, purpose: Purpose) -> Result<noise::Config, SetUpError> {
        let config = noise::Config::new(&self.keypair).map_err(SetUpError::Noise)?;
        Ok(config.with_prologue(self.shared.gate.noise_prologue(purpose).to_vec()))
    }

    pub(crate) fn shaped(&self, stream: TcpStream, remote: SocketAddr) -> ShapedStream {
        // Small frames dominate; a failure here costs latency only.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay not set");
        }
        ShapedStream::new(stream, self.delay(remote))
    }

    pub(crate) fn delay(&self, remote: SocketAddr) -> Duration {
        self.shaper.as_ref().map_or(Duration::ZERO, |shaper| shaper.one_way_delay(remote))
    }

    async fn inbound(&self, stream: TcpStream, remote: SocketAddr, permit: Permit) -> Outcome {
        match announced_stream(&stream).await {
            Ok(None) => {}
            Ok(Some(purpose)) => return Err(self.hand_over(purpose, stream, remote, permit)),
            Err(source) => return Err(SetUpError::Connect { address: remote, source }),
        }
        let io = self.shaped(stream, remote);
        let noise = self.noise(Purpose::Link)?;
        let (id, mut io) = noise.upgrade_inbound(io, "/noise").await.map_err(SetUpError::Noise)?;
        let peer = key::peer_key(&id).ok_or(SetUpError::KeyKind)?;
        let claim = self
            .shared
            .gate
            .admit(&mut io, peer, Purpose::Link)
            .await
            .map_err(|source| SetUpError::Exchange { peer, source })?;
        self.shared.gate.book().claims.insert(remote, claim);
        self.shared.gate.count_multiplexer();
        Ok((id, StreamMuxerBox::new(Muxer::new(io, End::Listener))))
    }

    /// Passes a stream to the part of the node that accepts streams. The stream leaves the reactor of this thread.
    fn hand_over(
        &self,
        purpose: StreamUse,
        stream: TcpStream,
        remote: SocketAddr,
        permit: Permit,
    ) -> SetUpError {
        let Ok(stream) = stream.into_std() else { return SetUpError::StreamRefused };
        let raw = RawStream { stream, remote, permit };
        if self.shared.pass_stream(purpose, raw) { SetUpError::Stream } else { SetUpError::StreamRefused }
    }

    /// Opens a TCP connection to another node; takes as long as the emulated delay says.
    pub(crate) async fn reach(&self, address: SocketAddr) -> Result<TcpStream, SetUpError> {
        let connected = self.connect(address).await;
        // The kernel's own handshake does not pass through the delay queue, so its round trip is paid here.
        tokio::time::sleep(2 * self.delay(address)).await;
        connected.map_err(|source| SetUpError::Connect { address, source })
    }

    async fn outbound(self, address: SocketAddr, expected: PeerKey) -> Outcome {
        let io = self.shaped(self.reach(address).await?, address);
        let noise = self.noise(Purpose::Link)?;
        let (id, mut io) = noise.upgrade_outbound(io, "/noise").await.map_err(SetUpError::Noise)?;
        let peer = key::peer_key(&id).ok_or(SetUpError::KeyKind)?;
        if peer != expected {
            return Err(SetUpError::WrongKey { expected, found: peer });
        }
        let credential = self.shared.gate.credential_for(&peer);
        self.shared
            .gate
            .present(&mut io, peer, &credential)
            .await
            .map_err(|source| SetUpError::Exchange { peer, source })?;
        self.shared.gate.count_multiplexer();
        Ok((id, StreamMuxerBox::new(Muxer::new(io, End::Dialer))))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source
            && source.is_ipv4() == address.is_ipv4()
            && address.ip().is_loopback()
        {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    }
}

impl Transport for GatedTcp {
    type Output = (PeerId, StreamMuxerBox);
    type Error = SetUpError;
    type ListenerUpgrade = BoxFuture<'static, Outcome>;
    type Dial = BoxFuture<'static, Outcome>;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<SetUpError>> {
        if self.listener.is_none() || self.listener_id.is_some() {
            return Err(TransportError::Other(SetUpError::Listening));
        }
        self.listener_id = Some(id);
        self.announced.push_back(TransportEvent::NewAddress { listener_id: id, listen_addr: addr });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let ours = self.listener_id == Some(id);
        if ours {
            self.listener = None;
            self.listener_id = None;
            self.announced.push_back(TransportEvent::ListenerClosed { listener_id: id, reason: Ok(()) });
        }
        ours
    }

    fn dial(&mut self, addr: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<SetUpError>> {
        let Some((address, peer)) = from_multiaddr(&addr) else {
            return Err(TransportError::Other(SetUpError::Address(addr)));
        };
        Ok(Box::pin(in_time(self.set_up.clone().outbound(address, peer))))
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.announced.pop_front() {
                return Poll::Ready(event);
            }
            if let Some(pause) = &mut this.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            let (Some(listener), Some(listener_id)) = (&this.listener, this.listener_id) else {
                return Poll::Pending;
            };
            match std::task::ready!(listener.poll_accept(cx)) {
                Ok((stream, remote)) => {
                    let local = stream.local_addr().unwrap_or(remote);
                    let Some(upgrade) = this.incoming(stream, remote) else { continue };
                    return Poll::Ready(TransportEvent::Incoming {
                        listener_id,
                        upgrade,
                        local_addr: to_multiaddr(local),
                        send_back_addr: to_multiaddr(remote),
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    this.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// The libp2p spelling of a socket address.
pub(crate) fn to_multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// The socket address in a libp2p address, if it starts with one.
pub(crate) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => IpAddr::from(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// Splits a dialled address into socket address and peer; the swarm appends the expected peer to every dial.
fn from_multiaddr(address: &Multiaddr) -> Option<(SocketAddr, PeerKey)> {
    let peer = address.iter().find_map(|part| match part {
        Protocol::P2p(id) => key::peer_key(&id),
        _ => None,
    })?;
    Some((socket_address(address)?, peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeSecret;

    #[test]
    fn a_dialled_address_names_where_and_whom() {
        let key = NodeSecret::generate().peer_key();
        let id = key::peer_id(&key).unwrap();
        for text in ["127.3.4.5:77", "[::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let dialled = to_multiaddr(address).with(Protocol::P2p(id));
            assert_eq!(from_multiaddr(&dialled), Some((address, key)));
            assert_eq!(from_multiaddr(&to_multiaddr(address)), None);
        }
    }
}
