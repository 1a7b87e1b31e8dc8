//! Nodes with a store, a listener on loopback and an uplink of a fixed rate.

use rhizo_artifacts::Peers;
use rhizo_artifacts::share::Exchange;
use rhizo_artifacts::store::Store;
use rhizo_types::PeerKey;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Bytes that the uplink takes at a time.
const CHUNK: usize = 16 * 1024;
/// An uplink sleeps when it is this far ahead of its rate: longer than the resolution of the timer.
const AHEAD: Duration = Duration::from_millis(5);
/// A node that flips bits flips one in each stretch of this many bytes.
const FLIP_EVERY: u64 = 50_000_000;

/// One node.
pub(super) struct Node {
    pub(super) key: PeerKey,
    pub(super) address: SocketAddr,
    pub(super) exchange: Exchange,
    /// Bytes that it has sent to peers.
    pub(super) sent: AtomicU64,
    /// Whether it flips bits.
    pub(super) flips: AtomicBool,
    bytes_per_s: f64,
    /// The time at which the uplink is free.
    free: Mutex<Instant>,
}

impl Node {
    /// Opens the store of a node and serves its peers.
    pub(super) async fn start(dir: &Path, number: u8, bytes_per_s: f64) -> Result<Arc<Self>, String> {
        let store = Store::open(&dir.join(number.to_string())).map_err(|error| error.to_string())?;
        let listening = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listening.map_err(|error| format!("listen: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("listen: {error}"))?;
        let node = Arc::new(Self {
            key: PeerKey([number; 32]),
            address,
            exchange: Exchange::new(store),
            sent: AtomicU64::new(0),
            flips: AtomicBool::new(false),
            bytes_per_s,
            free: Mutex::new(Instant::now()),
        });
        let serving = Arc::downgrade(&node);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(node) = serving.upgrade() else { return };
                tokio::spawn(node.serve(stream));
            }
        });
        Ok(node)
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let (server, link) = tokio::io::duplex(CHUNK);
        let exchange = self.exchange.clone();
        tokio::spawn(async move { rhizo_artifacts::serve(&exchange, server, false).await });
        let (mut requests, mut to_peer) = stream.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(link);
        tokio::spawn(async move {
            let _closed = tokio::io::copy(&mut requests, &mut to_server).await;
            to_server.shutdown().await
        });
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
            self.pass(count).await;
            let before = self.sent.fetch_add(count as u64, Ordering::Relaxed);
            let crosses = (before / FLIP_EVERY) != (before + count as u64) / FLIP_EVERY;
            if crosses && self.flips.load(Ordering::Relaxed) {
                chunk[count / 2] ^= 1;
            }
            if to_peer.write_all(&chunk[..count]).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the uplink has carried this many bytes.
    async fn pass(&self, bytes: usize) {
        let until = {
            let mut free = self.free.lock().await;
            *free = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
            *free
        };
        if until > Instant::now() + AHEAD {
            tokio::time::sleep_until(until).await;
        }
    }
}

/// The nodes as one of them sees them.
pub(super) struct View {
    me: PeerKey,
    known: BTreeMap<PeerKey, SocketAddr>,
}

impl View {
    pub(super) fn of(me: PeerKey, known: &[(PeerKey, SocketAddr)]) -> Arc<Self> {
        Arc::new(Self { me, known: known.iter().copied().collect() })
    }
}

impl Peers for View {
    type Stream = TcpStream;

    fn candidates(&self) -> Vec<PeerKey> {
        self.known.keys().filter(|key| **key != self.me).copied().collect()
    }

    async fn open(&self, peer: PeerKey) -> io::Result<TcpStream> {
        let address = self.known.get(&peer).ok_or(io::ErrorKind::NotFound)?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
