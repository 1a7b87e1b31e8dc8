//! The closures of this node's instances: fetched from the other members, served to them, and collected.
//!
//! Transfers run on the application's runtime, over streams of their own, so that they delay neither the node's loop
//! nor the traffic of components. Read next: `rhizo_artifacts`, and [`super::packed`] for the use of a closure.

use super::packed::Packed;
use rhizo_artifacts::share::Exchange;
use rhizo_artifacts::store::{Lease, Store, StoreError};
use rhizo_artifacts::{Peers, Progress};
use rhizo_overlay::{Credential, Overlay, PeerStream, Role, StreamDialer, StreamListener, StreamUse};
use rhizo_protocol::ledger::Ledger;
use rhizo_types::spec::Closure;
use rhizo_types::{Digest, PeerKey};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The directory of a node's store, below the node's directory.
pub(crate) const STORE: &str = "artifacts";

/// The store of this node and the members that it exchanges trees with.
#[derive(Debug)]
pub(crate) struct Artifacts {
    exchange: Exchange,
    members: Arc<Members>,
    runtime: Handle,
    /// One install of a tree at a time: the second one finds it in place.
    installs: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    transfers: Mutex<BTreeMap<Digest, watch::Receiver<Progress>>>,
}

/// The other members, as a transfer sees them.
#[derive(Debug)]
struct Members {
    me: PeerKey,
    dialer: StreamDialer,
    /// Keys and addresses in the order of the node ids: the first ones are the longest in the application.
    known: Mutex<Vec<(PeerKey, Vec<SocketAddr>)>>,
}

impl Artifacts {
    /// Opens the node's store, and serves the peers that ask for trees.
    pub(crate) fn start(dir: &Path, overlay: &Overlay, runtime: Handle) -> Result<Arc<Self>, StoreError> {
        let store = Store::open(&dir.join(STORE))?;
        let exchange = Exchange::new(store);
        let listener = overlay.accept_streams_for(StreamUse::Artifacts);
        runtime.spawn(accept(listener, exchange.clone()));
        let dialer = overlay.stream_dialer_for(StreamUse::Artifacts);
        let members = Members { me: overlay.local_key(), dialer, known: Mutex::default() };
        Ok(Arc::new(Self {
            exchange,
            members: Arc::new(members),
            runtime,
            installs: Mutex::default(),
            transfers: Mutex::default(),
        }))
    }

    /// Takes the members from the ledger.
    pub(crate) fn follow(&self, ledger: &Ledger) {
        let members = ledger.members.values();
        let known = members.map(|member| (member.record.key, member.record.addresses.clone()));
        *self.members.known.lock().unwrap_or_else(PoisonError::into_inner) = known.collect();
    }

    /// Keeps a closure from being collected while the lease exists.
    pub(crate) fn lease(&self, closure: &Closure) -> Arc<Lease> {
        Arc::new(self.exchange.store().lease_tree(closure.tree))
    }

    /// Returns the files of a closure, fetched first if they are not here. The lease is of this closure.
    ///
    /// # Errors
    /// The reason in words.
    pub(crate) async fn install(&self, closure: &Closure, lease: Arc<Lease>) -> Result<Packed, String> {
        let one_at_a_time = {
            let mut installs = self.installs.lock().unwrap_or_else(PoisonError::into_inner);
            installs.retain(|_, install| Arc::strong_count(install) > 1);
            installs.entry(closure.tree).or_default().clone()
        };
        let _installing = one_at_a_time.lock().await;
        self.fetch(closure).await?;
        let (store, closure) = (self.exchange.store().clone(), closure.clone());
        let placed = tokio::task::spawn_blocking(move || Packed::place(&store, &closure, lease));
        placed.await.map_err(|error| format!("its files could not be put in place: {error}"))?
    }

    async fn fetch(&self, closure: &Closure) -> Result<(), String> {
        let (progress, seen) = watch::channel(Progress::default());
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner).insert(closure.tree, seen);
        let fetched =
            rhizo_artifacts::fetch(&self.exchange, closure.tree, self.members.clone(), progress).await;
        let mut transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = transfers.remove(&closure.tree).map(|seen| *seen.borrow()).unwrap_or_default();
        if progress.bytes_received > 0 {
            let (tree, bytes) = (closure.tree.short(), progress.bytes_received);
            tracing::info!(tree, bytes, "closure fetched from other members");
        }
        fetched.map_err(|error| format!("its files could not be fetched: failed to {}", error.in_words()))
    }

    /// Returns how much of a closure is here while it is fetched; none when no transfer of it is under way.
    pub(crate) fn progress(&self, closure: &Closure) -> Option<String> {
        let transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = *transfers.get(&closure.tree)?.borrow();
        let (here, all, peers) = (progress.bytes_here, closure.bytes, progress.peers);
        Some(format!("its files are fetched: {here} of {all} bytes are here, from {peers} members"))
    }

    /// Deletes the trees that no spec of the ledger and no instance of this node needs, in the background.
    pub(crate) fn collect(&self, ledger: &Ledger) {
        let components = ledger.specs.values().flat_map(|set| set.spec.components.values());
        let keep: BTreeSet<Digest> = components
            .filter_map(|component| component.closure.as_ref())
            .map(|closure| closure.tree)
            .collect();
        let exchange = self.exchange.clone();
        self.runtime.spawn_blocking(move || match exchange.collect(&keep) {
            Ok(collected) if collected.blobs + collected.trees > 0 => {
                tracing::info!(trees = collected.trees, bytes = collected.bytes, "unused closures deleted");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %crate::error::chain(&error), "unused closures not deleted");
            }
        });
    }
}

impl Peers for Members {
    type Stream = PeerStream;

    fn candidates(&self) -> Vec<PeerKey> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(key, _)| *key).filter(|key| *key != self.me).collect()
    }

    async fn open(&self, peer: PeerKey) -> io::Result<PeerStream> {
        let addresses = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter().find(|(key, _)| *key == peer).map(|(_, addresses)| addresses.clone())
        };
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses.unwrap_or_default() {
            match self.dialer.dial(peer, address, &Credential::Member).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = io::Error::other(crate::error::chain(&error)),
            }
        }
        Err(failed)
    }
}

/// Serves every stream until the overlay ends.
async fn accept(mut listener: StreamListener, exchange: Exchange) {
    while let Some(inbound) = listener.next().await {
        let exchange = exchange.clone();
        tokio::spawn(async move {
            let stream = match inbound.admit().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(error = %crate::error::chain(&error), "stream of a transfer not admitted");
                    return;
                }
            };
            let peer = stream.peer();
            let (is_known, may_offer) = match stream.role() {
                Role::Operator => (true, true),
                Role::Member(_) => (true, false),
                Role::Joiner(_) | Role::Pinned => (false, false),
            };
            if !is_known {
                return;
            }
            if let Err(error) = rhizo_artifacts::serve(&exchange, stream, may_offer).await {
                tracing::debug!(%peer, error = %crate::error::chain(&error), "transfer to a peer ended");
            }
        });
    }
}
