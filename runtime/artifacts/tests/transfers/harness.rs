//! Nodes in one process: each has a store and serves its peers over in-memory streams with a limited rate.

use rhizo_artifacts::manifest::{Entry, Manifest};
use rhizo_artifacts::pieces::PIECE_BYTES;
use rhizo_artifacts::share::Exchange;
use rhizo_artifacts::store::{Lease, Store};
use rhizo_artifacts::{FetchError, Peers, Progress};
use rhizo_types::{Digest, PeerKey};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;

/// Bytes that a link takes at a time.
const CHUNK: usize = 16 * 1024;

/// A fault of the bytes that a node sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// Every stream flips one bit after this many bytes.
    FlipsAfter(u64),
    /// Every stream breaks after this many bytes.
    BreaksAfter(u64),
    /// The node cannot be reached.
    Unreachable,
}

/// One node.
pub(crate) struct Node {
    pub(crate) exchange: Exchange,
    pub(crate) fault: Mutex<Fault>,
    /// Bytes that it has sent to peers.
    pub(crate) sent: AtomicU64,
    /// Its uplink: one chunk passes at a time.
    uplink: tokio::sync::Mutex<()>,
    chunk_time: Option<Duration>,
}

/// All nodes, by their keys.
#[derive(Default)]
pub(crate) struct Net {
    nodes: Mutex<BTreeMap<PeerKey, Arc<Node>>>,
}

pub(crate) fn key(number: u8) -> PeerKey {
    PeerKey([number; 32])
}

impl Net {
    /// Adds a node whose uplink carries this many bytes in a second; none: without a limit.
    pub(crate) fn add(&self, number: u8, dir: &Path, bytes_per_s: Option<u64>) -> Arc<Node> {
        let store = Store::open(&dir.join(number.to_string())).unwrap();
        let chunk_time = bytes_per_s.map(|rate| Duration::from_secs_f64(CHUNK as f64 / rate as f64));
        let node = Arc::new(Node {
            exchange: Exchange::new(store),
            fault: Mutex::new(Fault::None),
            sent: AtomicU64::new(0),
            uplink: tokio::sync::Mutex::default(),
            chunk_time,
        });
        self.nodes.lock().unwrap().insert(key(number), node.clone());
        node
    }
}

/// The net as one node sees it: all others, the first of them preferred.
pub(crate) struct View {
    pub(crate) net: Arc<Net>,
    pub(crate) me: PeerKey,
}

impl Peers for View {
    type Stream = DuplexStream;

    fn candidates(&self) -> Vec<PeerKey> {
        self.net.nodes.lock().unwrap().keys().filter(|peer| **peer != self.me).copied().collect()
    }

    async fn open(&self, peer: PeerKey) -> io::Result<DuplexStream> {
        let node = self.net.nodes.lock().unwrap().get(&peer).cloned().ok_or(io::ErrorKind::NotFound)?;
        if *node.fault.lock().unwrap() == Fault::Unreachable {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(node.accept())
    }
}

impl Node {
    /// Opens a stream that this node serves.
    pub(crate) fn accept(self: &Arc<Self>) -> DuplexStream {
        let (near, far) = tokio::io::duplex(CHUNK);
        let (server, link) = tokio::io::duplex(CHUNK);
        let exchange = self.exchange.clone();
        tokio::spawn(async move { rhizo_artifacts::serve(&exchange, server, false).await });
        let (mut requests, mut to_peer) = tokio::io::split(far);
        let (mut from_server, mut to_server) = tokio::io::split(link);
        tokio::spawn(async move {
            let _closed = tokio::io::copy(&mut requests, &mut to_server).await;
            to_server.shutdown().await
        });
        let node = self.clone();
        tokio::spawn(async move {
            let (mut chunk, mut passed) = (vec![0; CHUNK], 0_u64);
            while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
                let after = passed + count as u64;
                let fault = *node.fault.lock().unwrap();
                match fault {
                    Fault::FlipsAfter(at) if (passed..after).contains(&at) => {
                        chunk[(at - passed) as usize] ^= 4;
                    }
                    Fault::BreaksAfter(at) if after > at => return,
                    _ => {}
                }
                if let Some(chunk_time) = node.chunk_time {
                    let _turn = node.uplink.lock().await;
                    tokio::time::sleep(chunk_time.mul_f64(count as f64 / CHUNK as f64)).await;
                }
                node.sent.fetch_add(count as u64, Ordering::Relaxed);
                passed = after;
                if to_peer.write_all(&chunk[..count]).await.is_err() {
                    return;
                }
            }
        });
        near
    }

    /// Fetches a tree from the other nodes of the net.
    pub(crate) async fn fetch(
        &self,
        net: &Arc<Net>,
        number: u8,
        tree: Digest,
    ) -> (Result<(), FetchError>, Progress) {
        let view = Arc::new(View { net: net.clone(), me: key(number) });
        let (sender, progress) = watch::channel(Progress::default());
        let result = rhizo_artifacts::fetch(&self.exchange, tree, view, sender).await;
        (result, *progress.borrow())
    }
}

pub(crate) fn content(seed: u64, bytes: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut content = Vec::new();
    while (content.len() as u64) < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(usize::try_from(bytes).unwrap());
    content
}

/// Stores a tree of a large file with this many pieces, a program and an empty file. Returns its bytes too.
pub(crate) fn put_tree(exchange: &Exchange, seed: u64, pieces: u64) -> (Digest, u64, Lease) {
    let store = exchange.store();
    let lease = store.lease();
    let files = [
        ("large", false, content(seed, pieces * PIECE_BYTES - 100)),
        ("bin/run", true, content(seed + 1, 777)),
        ("empty", false, Vec::new()),
    ];
    let entries = files.map(|(path, executable, content)| {
        let (hash, bytes) = store.put(&lease, &content[..]).unwrap();
        (path.to_owned(), Entry::File { executable, bytes, hash })
    });
    let manifest = Manifest::new(entries).unwrap();
    (store.put_manifest(&lease, &manifest).unwrap(), manifest.bytes(), lease)
}

/// Checks that a node has the whole tree, with the right bytes.
pub(crate) fn check(node: &Node, tree: Digest, seed: u64, pieces: u64) {
    let dir = node.exchange.store().check_out(&tree).unwrap();
    assert_eq!(std::fs::read(dir.join("large")).unwrap(), content(seed, pieces * PIECE_BYTES - 100));
    assert_eq!(std::fs::read(dir.join("empty")).unwrap(), b"");
}
