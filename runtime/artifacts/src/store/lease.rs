//! Leases: the trees and contents that a thread uses or is about to use, and that a collection therefore keeps.
//!
//! The order of steps makes them safe: a user adds the content to its lease, then looks whether the store has it. If a
//! collection deleted it before the lease, the user finds it missing and fetches it; after the lease, no collection
//! deletes it. Leases are in memory, because no user of a store outlives its process; a node takes those of its
//! instances again before its first collection. Read next: [`super::collection`].

use super::{Store, hashes_in};
use rhizo_types::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The contents of all leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    next: u64,
    held: BTreeMap<u64, Held>,
}

/// The contents of one lease.
#[derive(Clone, Debug, Default)]
struct Held {
    trees: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
}

impl Leases {
    pub(super) fn trees(&self) -> impl Iterator<Item = &Digest> {
        self.held.values().flat_map(|held| &held.trees)
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = &Digest> {
        self.held.values().flat_map(|held| &held.blobs)
    }
}

/// Keeps trees and contents from being collected until it is dropped.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    number: u64,
}

impl Lease {
    pub(super) fn begin(store: Store) -> Self {
        let number = {
            let mut leases = store.leases();
            let number = leases.next;
            leases.next += 1;
            leases.held.insert(number, Held::default());
            number
        };
        Self { store, number }
    }

    /// Adds a content, which the store may have or not.
    pub fn add_blob(&self, hash: Digest) {
        if let Some(held) = self.store.leases().held.get_mut(&self.number) {
            held.blobs.insert(hash);
        }
    }

    /// Adds a tree: its manifest, and its files as far as the manifest is in the store now.
    ///
    /// When the manifest is stored later, [`Store::put_manifest`] adds the files.
    pub fn add_tree(&self, tree: Digest) {
        let mut leases = self.store.leases();
        // Read under the lock: the files of a manifest are leased before a collection can begin.
        let manifest = self.store.manifest(&tree).ok().flatten();
        if let Some(held) = leases.held.get_mut(&self.number) {
            held.trees.insert(tree);
            held.blobs.extend(manifest.iter().flat_map(hashes_in));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.store.leases().held.remove(&self.number);
    }
}
