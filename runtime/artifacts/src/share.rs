//! Shares: the trees that a node has or fetches, as its peers see them.
//!
//! A node serves the pieces of a tree from the moment at which the first one is verified, so a tree spreads while its
//! first copy is still in transfer. Read next: [`mod@crate::serve`].

use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::store::{Lease, Store, StoreError};
use crate::wire::Held;
use rhizo_types::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Peers that are served at a time. Each takes the memory of one piece.
const CLIENTS_MAX: usize = 64;

/// The store of a node together with the trees that it shares with its peers. Clones share one exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub(crate) store: Store,
    shares: Arc<Mutex<BTreeMap<Digest, Arc<Share>>>>,
    /// Trees that are kept for some time after a peer offered them.
    kept: Arc<Mutex<Vec<(Instant, Lease)>>>,
    pub(crate) clients: Arc<Semaphore>,
}

impl Exchange {
    /// Shares the trees of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
        Self { store, shares: Arc::default(), kept: Arc::default(), clients }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps a leased tree from being collected for this time, also without another use of it: until the spec that
    /// names it is committed.
    pub fn keep(&self, lease: Lease, time: Duration) {
        let now = Instant::now();
        let mut kept = lock(&self.kept);
        kept.retain(|(until, _)| *until > now);
        kept.push((now + time, lease));
    }

    /// Deletes everything that is neither in `keep` nor in use. Blocks on the disk.
    ///
    /// # Errors
    /// See [`Store::collect`].
    pub fn collect(
        &self,
        keep: &std::collections::BTreeSet<Digest>,
    ) -> Result<crate::store::Collected, StoreError> {
        let now = Instant::now();
        lock(&self.kept).retain(|(until, _)| *until > now);
        // A share of a tree that is deleted would promise pieces that are gone. A fetch has its own reference.
        lock(&self.shares).retain(|_, share| Arc::strong_count(share) > 1);
        self.store.collect(keep)
    }

    /// Returns the share of a tree; none if the store does not have the whole tree and no fetch of it is under way.
    pub(crate) fn share(&self, tree: &Digest) -> Result<Option<Arc<Share>>, StoreError> {
        if let Some(share) = lock(&self.shares).get(tree) {
            return Ok(Some(share.clone()));
        }
        match self.store.manifest(tree)? {
            Some(manifest) if self.store.has_tree(tree)? => Ok(Some(self.begin(*tree, &manifest))),
            _ => Ok(None),
        }
    }

    /// Begins to share a tree with the pieces of it that the store has as whole contents.
    pub(crate) fn begin(&self, tree: Digest, manifest: &Manifest) -> Arc<Share> {
        let share = lock(&self.shares).entry(tree).or_insert_with(|| Arc::new(Share::new(manifest))).clone();
        for blob in share.layout.blobs() {
            if self.store.has_blob(&blob.hash) {
                (blob.first..blob.first + blob.count).for_each(|number| share.add(number));
            }
        }
        share
    }
}

/// The pieces of one tree that this node has.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) encoded: Vec<u8>,
    pub(crate) layout: Layout,
    pieces: Mutex<Pieces>,
    /// The number of pieces, for those who wait for more.
    count: watch::Sender<u32>,
}

#[derive(Debug)]
struct Pieces {
    held: Vec<bool>,
    /// How often each piece was sent.
    sent: Vec<u32>,
}

impl Share {
    fn new(manifest: &Manifest) -> Self {
        let layout = Layout::of(manifest);
        let count = layout.count() as usize;
        let pieces = Mutex::new(Pieces { held: vec![false; count], sent: vec![0; count] });
        Self { encoded: manifest.encode(), layout, pieces, count: watch::channel(0).0 }
    }

    /// Adds a piece that the store has now.
    pub(crate) fn add(&self, number: u32) {
        let mut pieces = lock(&self.pieces);
        if let Some(held) = pieces.held.get_mut(number as usize)
            && !*held
        {
            *held = true;
            self.count.send_modify(|count| *count += 1);
        }
    }

    /// Withdraws a piece that the store no longer has.
    pub(crate) fn withdraw(&self, number: u32) {
        let mut pieces = lock(&self.pieces);
        if let Some(held) = pieces.held.get_mut(number as usize)
            && *held
        {
            *held = false;
            self.count.send_modify(|count| *count -= 1);
        }
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        lock(&self.pieces).held.get(number as usize).is_some_and(|held| *held)
    }

    pub(crate) fn is_whole(&self) -> bool {
        *self.count.borrow() == self.layout.count()
    }

    /// The number of pieces that it has, as it changes.
    pub(crate) fn counted(&self) -> watch::Receiver<u32> {
        self.count.subscribe()
    }

    pub(crate) fn held(&self) -> Held {
        if self.is_whole() {
            return Held::All;
        }
        let pieces = lock(&self.pieces);
        let mut bits = vec![0_u8; pieces.held.len().div_ceil(8)];
        for (index, _) in pieces.held.iter().enumerate().filter(|(_, held)| **held) {
            bits[index / 8] |= 1 << (index % 8);
        }
        Held::Some { bits }
    }

    /// Takes the piece that was sent least often out of the list, among those that this node has, and counts it as
    /// sent. Pieces that were sent equally often are taken in the order of the list.
    pub(crate) fn take_rarest(&self, wanted: &mut Vec<u32>) -> Option<u32> {
        let mut pieces = lock(&self.pieces);
        let here = |number: u32| pieces.held.get(number as usize).is_some_and(|held| *held);
        let held = wanted.iter().enumerate().filter(|(_, number)| here(**number));
        let (index, _) = held.min_by_key(|(_, number)| pieces.sent[**number as usize])?;
        let number = wanted.remove(index);
        let sent = &mut pieces.sent[number as usize];
        *sent = sent.saturating_add(1);
        Some(number)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
