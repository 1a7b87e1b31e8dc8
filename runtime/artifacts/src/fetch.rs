//! The fetching end of a transfer: gets a tree from several peers at the same time.
//!
//! One task for each peer in use asks for pieces and verifies each as it arrives. A peer that fails is left for a
//! while, its pieces are asked from others, and a peer that sends wrong bytes is not asked again in this fetch. Pieces
//! are on disk once they are verified, so a fetch that is dropped, or whose process is killed, continues where it
//! stopped. Read next: [`worker`] for the conversation with one peer, [`plan`] for the choice of pieces.

mod depth;
mod plan;
mod worker;

use crate::manifest::Manifest;
use crate::on_disk::on_disk;
use crate::share::Exchange;
use crate::store::StoreError;
use plan::Plan;
use rand::seq::SliceRandom as _;
use rhizo_types::{Digest, PeerKey};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Peers that are asked at the same time. More of them do not fill a link better, and their number bounds the streams.
const PEERS_MAX: usize = 8;
/// The first of the candidates are those that are expected to have the tree; this many are always among those asked.
const PREFERRED: usize = 2;
/// Wait before a peer that failed is asked again; it doubles with each failure in a row.
const WAIT: Duration = Duration::from_millis(500);
/// Longest wait before a peer is asked again.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// A fetch without a new piece in this time has failed. It is longer than a peer's restart and the time of one frame.
const STALLED: Duration = Duration::from_secs(90);
/// The limit before the first peer has answered: no peer has the tree, or none is reached.
const UNKNOWN: Duration = Duration::from_secs(30);
/// The peers are listed again after this time, because members join and get the tree during a fetch.
const LIST_EVERY: Duration = Duration::from_millis(500);
/// Most peers whose failures an error names.
const NAMED_MAX: usize = 3;

/// The peers of a node, as a fetch sees them.
pub trait Peers: Send + Sync + 'static {
    /// A stream to a peer, which is served by [`crate::serve()`] at the other end.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The peers that may have trees, those first that are most likely to. They are asked; none has to have the tree.
    fn candidates(&self) -> Vec<PeerKey>;

    /// Opens a stream to a peer.
    fn open(&self, peer: PeerKey) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// The state of a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The bytes of the tree; zero until the manifest is known.
    pub bytes: u64,
    /// The bytes that are in the store.
    pub bytes_here: u64,
    /// The bytes that came over streams in this fetch, verified or not.
    pub bytes_received: u64,
    /// The peers that are asked now.
    pub peers: usize,
}

/// A tree was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store cannot be read or written.
    #[error("store tree {tree}")]
    Store {
        /// The tree.
        tree: Digest,
        /// The reason.
        source: StoreError,
    },
    /// No peer sent a piece for a while.
    #[error("fetch tree {tree}: {bytes_here} of {bytes} bytes are here, and {reasons}")]
    Stalled {
        /// The tree.
        tree: Digest,
        /// The bytes in the store.
        bytes_here: u64,
        /// The bytes of the tree; zero if no peer sent its manifest.
        bytes: u64,
        /// The failures of some peers.
        reasons: String,
    },
}

impl FetchError {
    /// The error with its sources, as one text that completes "failed to …".
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}

/// The shared state of the tasks of one fetch.
struct Fetch<P> {
    exchange: Exchange,
    tree: Digest,
    peers: Arc<P>,
    plan: OnceLock<Arc<Plan>>,
    progress: watch::Sender<Progress>,
    /// Raised when the last piece is there and the answer that brought it was read to its end.
    done: AtomicBool,
    /// Notified when the fetch is done, or when the store failed.
    ended: Notify,
    broken: Mutex<Option<StoreError>>,
}

/// The peers that are not asked at the moment.
#[derive(Default)]
struct Waiting {
    failures: BTreeMap<PeerKey, (u32, Instant, String)>,
    banned: BTreeSet<PeerKey>,
}

/// Gets a tree into the store. Returns at once if the store has it.
///
/// The caller holds a lease of the tree, before and after. A dropped fetch leaves the pieces that have arrived.
///
/// # Errors
/// The store cannot be used, or no peer has sent a piece for 90 seconds, or a manifest for 30.
pub async fn fetch<P: Peers>(
    exchange: &Exchange,
    tree: Digest,
    peers: Arc<P>,
    progress: watch::Sender<Progress>,
) -> Result<(), FetchError> {
    let _lease = exchange.store.lease_tree(tree);
    let failed = |source| FetchError::Store { tree, source };
    let fetch = Arc::new(Fetch {
        exchange: exchange.clone(),
        tree,
        peers,
        plan: OnceLock::new(),
        progress,
        done: AtomicBool::new(false),
        ended: Notify::new(),
        broken: Mutex::new(None),
    });
    let known = on_disk(exchange, move |exchange| exchange.store.manifest(&tree)).await.map_err(failed)?;
    if let Some(manifest) = known {
        fetch.learn(manifest).await.map_err(failed)?;
    }
    fetch.clone().run().await
}

impl<P: Peers> Fetch<P> {
    /// Takes the manifest of the tree: what is missing is known from now on.
    async fn learn(&self, manifest: Manifest) -> Result<(), StoreError> {
        let (tree, exchange) = (self.tree, &self.exchange);
        let plan = on_disk(exchange, move |exchange| {
            let lease = exchange.store.lease();
            exchange.store.put_manifest(&lease, &manifest)?;
            Plan::new(&exchange.store, exchange.begin(tree, &manifest), lease)
        });
        // Two peers may answer at the same time, with the same manifest.
        let _other_was_first = self.plan.set(Arc::new(plan.await?));
        self.report();
        Ok(())
    }

    async fn run(self: Arc<Self>) -> Result<(), FetchError> {
        let mut tasks: JoinSet<(PeerKey, Result<(), worker::PeerError>)> = JoinSet::new();
        let (mut busy, mut waiting) = (BTreeSet::new(), Waiting::default());
        let (mut here, mut since) = (None, Instant::now());
        loop {
            if let Some(source) = lock(&self.broken).take() {
                return Err(FetchError::Store { tree: self.tree, source });
            }
            if self.done.load(Ordering::Acquire) {
                // A stream that was lent to a task is back when its task has ended.
                tasks.shutdown().await;
                return Ok(());
            }
            let now_here = self.plan.get().map(|plan| plan.bytes_here());
            if now_here != here {
                (here, since) = (now_here, Instant::now());
            }
            let patience = if here.is_some() { STALLED } else { UNKNOWN };
            if since.elapsed() > patience {
                return Err(self.stalled(&waiting));
            }
            for peer in self.next_peers(&busy, &waiting) {
                busy.insert(peer);
                let fetch = self.clone();
                tasks.spawn(async move { (peer, worker::run(&fetch, peer).await) });
            }
            self.progress.send_modify(|progress| progress.peers = busy.len());
            tokio::select! {
                () = self.ended.notified() => {}
                Some(ended) = tasks.join_next() => {
                    let Ok((peer, result)) = ended else { continue };
                    busy.remove(&peer);
                    waiting.note(peer, result);
                }
                () = tokio::time::sleep(LIST_EVERY) => {}
            }
        }
    }

    /// Chooses peers for the free places: the preferred ones, and random ones of the others.
    fn next_peers(&self, busy: &BTreeSet<PeerKey>, waiting: &Waiting) -> Vec<PeerKey> {
        let free = PEERS_MAX.saturating_sub(busy.len());
        if free == 0 {
            return Vec::new();
        }
        let mut candidates = self.peers.candidates();
        let preferred = candidates.len().min(PREFERRED);
        candidates[preferred..].shuffle(&mut rand::rng());
        candidates.retain(|peer| !busy.contains(peer) && waiting.may_ask(peer));
        candidates.truncate(free);
        candidates
    }

    fn stalled(&self, waiting: &Waiting) -> FetchError {
        let plan = self.plan.get();
        let (bytes, bytes_here) = plan.map_or((0, 0), |plan| (plan.bytes(), plan.bytes_here()));
        let reasons = waiting.failures.iter().map(|(peer, (_, _, reason))| format!("{peer}: {reason}"));
        let reasons: Vec<String> = reasons.take(NAMED_MAX).collect();
        let reasons = if reasons.is_empty() { "no peer has it".to_owned() } else { reasons.join("; ") };
        FetchError::Stalled { tree: self.tree, bytes_here, bytes, reasons }
    }

    /// Publishes the progress, and ends the fetch after the last piece.
    fn report(&self) {
        let Some(plan) = self.plan.get() else { return };
        self.progress.send_modify(|progress| {
            progress.bytes = plan.bytes();
            progress.bytes_here = plan.bytes_here();
        });
        if plan.is_done() {
            self.done.store(true, Ordering::Release);
            self.ended.notify_one();
        }
    }

    /// Ends the fetch because the store failed.
    fn give_up(&self, error: StoreError) {
        *lock(&self.broken) = Some(error);
        self.ended.notify_one();
    }
}

impl Waiting {
    fn may_ask(&self, peer: &PeerKey) -> bool {
        let rested = |(_, until, _): &(u32, Instant, String)| *until <= Instant::now();
        !self.banned.contains(peer) && self.failures.get(peer).is_none_or(rested)
    }

    fn note(&mut self, peer: PeerKey, result: Result<(), worker::PeerError>) {
        let Err(error) = result else {
            self.failures.remove(&peer);
            return;
        };
        let reason = error.to_string();
        if error.is_lie() {
            tracing::warn!(%peer, reason, "peer sent wrong bytes, not asked again in this transfer");
            self.banned.insert(peer);
        }
        let count = self.failures.get(&peer).map_or(0, |(count, _, _)| count.saturating_add(1));
        let wait = WAIT.saturating_mul(1 << count.min(8)).min(WAIT_MAX);
        tracing::debug!(%peer, reason, "peer failed in a transfer");
        self.failures.insert(peer, (count, Instant::now() + wait, reason));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
