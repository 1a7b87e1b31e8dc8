//! The collection: deletes the trees and contents that neither the caller nor a lease needs.
//!
//! It holds the lock of the leases from its first decision until the last deletion. A user that leases a content meanwhile
//! waits, and then looks whether the content is still there. The collection of Nix takes its list of roots first and
//! deletes later, so a build that began in between lost its inputs (NixOS/nix issue 141); here there is no in between.

use super::{Store, StoreError, checkout, failed};
use rhizo_types::Digest;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The result of a collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collected {
    /// The deleted manifests.
    pub trees: u64,
    /// The deleted contents, whole and in transfer.
    pub blobs: u64,
    /// The bytes of the deleted contents.
    pub bytes: u64,
}

impl Store {
    /// Deletes everything but the trees of `keep`, and the trees and contents that are leased.
    ///
    /// # Errors
    /// A file cannot be listed or deleted, or the manifest of a tree that is kept cannot be read. What was deleted
    /// before stays deleted.
    pub fn collect(&self, keep: &BTreeSet<Digest>) -> Result<Collected, StoreError> {
        let leases = self.leases();
        let trees: BTreeSet<Digest> = keep.iter().chain(leases.trees()).copied().collect();
        let mut blobs: BTreeSet<Digest> = leases.blobs().copied().collect();
        for tree in &trees {
            let manifest = self.manifest(tree)?;
            blobs.extend(manifest.iter().flat_map(super::hashes_in));
        }
        let mut collected = Collected::default();
        self.collect_trees(&trees, &mut collected)?;
        for shard in listed(&self.dir().join("blobs"))? {
            collect_blobs(&self.dir().join("blobs").join(shard), &blobs, &mut collected)?;
        }
        collect_blobs(&self.dir().join("partial"), &blobs, &mut collected)?;
        Ok(collected)
    }

    fn collect_trees(&self, keep: &BTreeSet<Digest>, collected: &mut Collected) -> Result<(), StoreError> {
        for name in listed(&self.dir().join("checkouts"))? {
            if !names_one_of(&name, keep) {
                let path = self.dir().join("checkouts").join(&name);
                checkout::remove(&path)?;
            }
        }
        for name in listed(&self.dir().join("trees"))? {
            if !names_one_of(&name, keep) {
                let path = self.dir().join("trees").join(&name);
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                collected.trees += 1;
            }
        }
        Ok(())
    }
}

/// Deletes the contents of a directory, and the piece hashes beside them, that are not kept.
fn collect_blobs(dir: &Path, keep: &BTreeSet<Digest>, collected: &mut Collected) -> Result<(), StoreError> {
    for name in listed(dir)? {
        let hash = name.strip_suffix(".pieces").unwrap_or(&name);
        if names_one_of(hash, keep) {
            continue;
        }
        let path = dir.join(&name);
        let bytes = fs::metadata(&path).map_err(failed("look at", &path))?.len();
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        if hash == name {
            collected.blobs += 1;
            collected.bytes += bytes;
        }
    }
    Ok(())
}

fn names_one_of(name: &str, keep: &BTreeSet<Digest>) -> bool {
    name.parse().is_ok_and(|digest| keep.contains(&digest))
}

fn listed(dir: &Path) -> Result<Vec<String>, StoreError> {
    let names = fs::read_dir(dir).and_then(|entries| {
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries.map(|entry| entry.map(name)).collect()
    });
    names.map_err(failed("list", dir))
}
