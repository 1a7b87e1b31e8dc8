//! From an address to an admitted, multiplexed link: TCP, delay queue, Noise, credentials, yamux, in that order.
//!
//! One future per connection performs all the steps under one deadline, so that no part of a later step exists while
//! an earlier step can still refuse. [`crate::gate`] decides which peers are admitted. Read next: the gate.

use crate::gate::ExchangeError;
use crate::key;
use crate::muxer::{End, Muxer};
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
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Sleep;

/// Time limit of a whole set-up, from the first byte to the verdict. The slowest real path (450 ms) needs 2 s.
const SET_UP_MAX: Duration = Duration::from_secs(5);
/// Set-ups of inbound connections in progress: in all, and from one address.
const PENDING_MAX: u32 = 128;
const PENDING_PER_ADDRESS_MAX: u32 = 16;
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
}

/// The transport of one overlay: at most one listener, any number of dials.
pub(crate) struct GatedTcp {
    set_up: SetUp,
    listener: Option<TcpListener>,
    /// Events for the swarm that are not connections.
    announced: VecDeque<TransportEvent<BoxFuture<'static, Outcome>, SetUpError>>,
    listener_id: Option<ListenerId>,
    pause: Option<Pin<Box<Sleep>>>,
    pending: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

type Outcome = Result<(PeerId, StreamMuxerBox), SetUpError>;

/// The parts that every set-up needs; cheap to clone.
#[derive(Clone)]
struct SetUp {
    shared: Arc<Shared>,
    keypair: Keypair,
    shaper: Option<Arc<dyn LinkShaper>>,
    /// The source address of dials to loopback addresses, so that listeners can identify the dialling host.
    source: Option<IpAddr>,
}

impl GatedTcp {
    pub(crate) fn new(
        shared: Arc<Shared>,
        keypair: Keypair,
        listener: Option<TcpListener>,
        source: Option<IpAddr>,
        shaper: Option<Arc<dyn LinkShaper>>,
    ) -> Self {
        Self {
            set_up: SetUp { shared, keypair, shaper, source },
            listener,
            announced: VecDeque::new(),
            listener_id: None,
            pause: None,
            pending: Arc::default(),
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
            let _permit = permit;
            let outcome = in_time(set_up.inbound(stream, remote)).await;
            if outcome.is_err() {
                set_up.shared.gate.count_refused();
            }
            outcome
        }))
    }
}

async fn in_time(set_up: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(SET_UP_MAX, set_up).await.unwrap_or(Err(SetUpError::TimedOut))
}

impl SetUp {
    fn noise(&self) -> Result<noise::Config, SetUpError> {
        let config = noise::Config::new(&self.keypair).map_err(SetUpError::Noise)?;
        Ok(config.with_prologue(self.shared.gate.noise_prologue().to_vec()))
    }

    fn shaped(&self, stream: TcpStream, remote: SocketAddr) -> ShapedStream {
        // Small frames dominate; a failure here costs latency only.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay not set");
        }
        ShapedStream::new(stream, self.delay(remote))
    }

    fn delay(&self, remote: SocketAddr) -> Duration {
        self.shaper.as_ref().map_or(Duration::ZERO, |shaper| shaper.one_way_delay(remote))
    }

    async fn inbound(&self, stream: TcpStream, remote: SocketAddr) -> Outcome {
        let io = self.shaped(stream, remote);
        let (id, mut io) = self.noise()?.upgrade_inbound(io, "/noise").await.map_err(SetUpError::Noise)?;
        let peer = key::peer_key(&id).ok_or(SetUpError::KeyKind)?;
        let claim = self
            .shared
            .gate
            .admit(&mut io, peer)
            .await
            .map_err(|source| SetUpError::Exchange { peer, source })?;
        self.shared.gate.book().claims.insert(remote, claim);
        self.shared.gate.count_multiplexer();
        Ok((id, StreamMuxerBox::new(Muxer::new(io, End::Listener))))
    }

    async fn outbound(self, address: SocketAddr, expected: PeerKey) -> Outcome {
        let connected = self.connect(address).await;
        // The kernel's own handshake does not pass through the delay queue, so its round trip is paid here.
        tokio::time::sleep(2 * self.delay(address)).await;
        let stream = connected.map_err(|source| SetUpError::Connect { address, source })?;
        let io = self.shaped(stream, address);
        let (id, mut io) = self.noise()?.upgrade_outbound(io, "/noise").await.map_err(SetUpError::Noise)?;
        let peer = key::peer_key(&id).ok_or(SetUpError::KeyKind)?;
        if peer != expected {
            return Err(SetUpError::WrongKey { expected, found: peer });
        }
        self.shared
            .gate
            .present(&mut io, peer)
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

/// A permit for one inbound set-up; dropping it returns it.
struct Permit {
    pending: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
    ip: IpAddr,
}

impl Permit {
    fn take(pending: &Arc<Mutex<BTreeMap<IpAddr, u32>>>, ip: IpAddr) -> Option<Self> {
        let mut counts = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = counts.values().sum();
        let here = counts.get(&ip).copied().unwrap_or(0);
        if all >= PENDING_MAX || here >= PENDING_PER_ADDRESS_MAX {
            return None;
        }
        counts.insert(ip, here + 1);
        Some(Self { pending: Arc::clone(pending), ip })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.get(&self.ip).copied().unwrap_or(0);
        if here <= 1 {
            counts.remove(&self.ip);
        } else {
            counts.insert(self.ip, here - 1);
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

    #[test]
    fn set_ups_in_progress_are_bounded_for_each_address_and_in_all() {
        let pending = Arc::default();
        let mut permits = Vec::new();
        let one = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..PENDING_PER_ADDRESS_MAX {
            permits.push(Permit::take(&pending, one).unwrap());
        }
        assert!(Permit::take(&pending, one).is_none());
        for host in 2..=8 {
            for _ in 0..PENDING_PER_ADDRESS_MAX {
                permits.push(Permit::take(&pending, IpAddr::from([127, 0, 0, host])).unwrap());
            }
        }
        assert!(Permit::take(&pending, IpAddr::from([127, 0, 0, 9])).is_none());
        permits.clear();
        assert!(pending.lock().unwrap().is_empty());
    }
}
