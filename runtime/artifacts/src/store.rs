//! The store: contents of files by their hashes, and manifests of trees, in one directory of a node.
//!
//! ```text
//! blobs/ab/ab12….          a whole content, read-only; its name is its hash
//! blobs/ab/ab12….pieces    the hashes of its pieces, if it has more than one
//! partial/ab12….           a content in transfer (see `partial.rs`)
//! trees/cd34….             a manifest
//! checkouts/cd34…/         a tree as directories, made of hard links to contents (see `checkout.rs`)
//! ```
//!
//! Names appear by a rename after a sync, so a name stands for whole content also after a power cut.
//!
//! A collection deletes contents while other threads add and read them. It never deletes what one of them is about to
//! use: every use takes a [`Lease`] *before* it looks whether the content is there, and a collection holds the lock of
//! the leases while it deletes. A store has one process at a time; the node's own lock sees to that.
//! Read next: [`Lease`], [`Store::collect`].

mod checkout;
mod collection;
mod lease;
mod partial;

pub use collection::Collected;
pub use lease::Lease;
pub use partial::Partial;

use crate::manifest::{Entry, Manifest, ManifestError};
use crate::pieces::{self, PIECE_BYTES, PieceHasher, PieceHashes};
use lease::Leases;
use rhizo_types::Digest;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Mode of a content: its owner reads it. Hard links have the mode of the content, so executable files are copies.
const BLOB_MODE: u32 = 0o400;

/// A step in the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the store could not be used.
    #[error("{step} {}", path.display())]
    File {
        /// The step: a verb.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A manifest of the store cannot be read.
    #[error("read the manifest of tree {tree}")]
    Manifest {
        /// The tree.
        tree: Digest,
        /// The reason.
        source: ManifestError,
    },
    /// The store has no such tree, or not all of its files.
    #[error("use tree {tree}: the store does not have all of it")]
    Incomplete {
        /// The tree.
        tree: Digest,
    },
    /// The content of a file does not have the hash that names it.
    #[error("use content {hash}: it is damaged on this disk, and was removed")]
    Damaged {
        /// The hash.
        hash: Digest,
    },
}

/// Returns a function that names the step and the file of an error.
fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { step, path, source }
}

/// The content-addressed files of one node. Clones share one store.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    leases: Mutex<Leases>,
    partials: Mutex<BTreeMap<Digest, Weak<Partial>>>,
    /// Serialises the making of checkouts.
    checking_out: Mutex<()>,
    drafts: AtomicU64,
}

impl Store {
    /// Opens the store in a directory, and makes it if there is none. Drafts of an earlier process are removed;
    /// contents in transfer stay.
    ///
    /// # Errors
    /// A directory cannot be made, or a draft cannot be removed.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        for name in ["blobs", "partial", "trees", "checkouts"] {
            let path = dir.join(name);
            rhizo_private_files::create_dirs(&path).map_err(failed("make", &path))?;
        }
        let drafts = dir.join("drafts");
        if drafts.exists() {
            checkout::remove(&drafts)?;
        }
        rhizo_private_files::create_dirs(&drafts).map_err(failed("make", &drafts))?;
        let shared = Shared {
            dir: dir.to_owned(),
            leases: Mutex::default(),
            partials: Mutex::default(),
            checking_out: Mutex::default(),
            drafts: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The directory of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Begins a lease without content. Content that is added to it is not collected while it exists.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease::begin(self.clone())
    }

    /// Begins a lease of a tree: its manifest and its files, those that the store has and those it will get.
    #[must_use]
    pub fn lease_tree(&self, tree: Digest) -> Lease {
        let lease = self.lease();
        lease.add_tree(tree);
        lease
    }

    /// Stores the content of a reader, and adds it to the lease. Returns its hash and its length.
    ///
    /// # Errors
    /// The content cannot be read or stored.
    pub fn put(&self, lease: &Lease, mut content: impl Read) -> Result<(Digest, u64), StoreError> {
        let draft = self.draft();
        let mut file = rhizo_private_files::create(&draft).map_err(failed("make", &draft))?;
        let stored = (|| {
            let mut hasher = PieceHasher::default();
            let mut piece = Vec::new();
            loop {
                piece.clear();
                let mut next = (&mut content).take(PIECE_BYTES);
                next.read_to_end(&mut piece).map_err(failed("read the content for", &draft))?;
                if piece.is_empty() {
                    break;
                }
                hasher.add(&piece);
                file.write_all(&piece).map_err(failed("write", &draft))?;
            }
            let hashes = hasher.finish();
            let hash = hashes.blob();
            lease.add_blob(hash);
            if !self.has_blob(&hash) {
                self.keep(&draft, &file, &hash, &hashes)?;
            }
            Ok((hash, hashes.blob_bytes()))
        })();
        // After a success it has its new name.
        let _already_renamed = fs::remove_file(&draft);
        stored
    }

    /// Stores a manifest, and adds its tree to the lease. Returns the digest of the tree.
    ///
    /// The files of the tree may be stored before or after it; [`Store::has_tree`] tells when all are there.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn put_manifest(&self, lease: &Lease, manifest: &Manifest) -> Result<Digest, StoreError> {
        let encoded = manifest.encode();
        let tree = manifest.digest();
        lease.add_tree(tree);
        let path = self.tree_path(&tree);
        if path.exists() {
            return Ok(tree);
        }
        let draft = self.draft();
        rhizo_private_files::write_synced(&draft, &encoded).map_err(failed("write", &draft))?;
        fs::rename(&draft, &path).map_err(failed("name", &path))?;
        sync_parent(&path)?;
        // The files of the manifest were not known to the lease before.
        lease.add_tree(tree);
        Ok(tree)
    }

    /// Returns the manifest of a tree; none if the store does not have it.
    ///
    /// # Errors
    /// It cannot be read, or is not the manifest of this tree.
    pub fn manifest(&self, tree: &Digest) -> Result<Option<Manifest>, StoreError> {
        let path = self.tree_path(tree);
        let encoded = match fs::read(&path) {
            Ok(encoded) => encoded,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("read", &path)(source)),
        };
        if *blake3::hash(&encoded).as_bytes() != tree.0 {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            return Err(StoreError::Damaged { hash: *tree });
        }
        let manifest =
            Manifest::decode(&encoded).map_err(|source| StoreError::Manifest { tree: *tree, source })?;
        Ok(Some(manifest))
    }

    /// Returns true if the store has the whole content. A caller that will use the content holds a lease of it first.
    #[must_use]
    pub fn has_blob(&self, hash: &Digest) -> bool {
        self.blob_path(hash).exists()
    }

    /// Returns true if the store has the manifest of the tree and all of its files.
    ///
    /// # Errors
    /// The manifest cannot be read.
    pub fn has_tree(&self, tree: &Digest) -> Result<bool, StoreError> {
        let manifest = self.manifest(tree)?;
        Ok(manifest.is_some_and(|manifest| manifest.blobs().keys().all(|hash| self.has_blob(hash))))
    }

    /// Opens a whole content.
    ///
    /// # Errors
    /// The store does not have it, or it cannot be opened.
    pub fn open_blob(&self, hash: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(hash);
        File::open(&path).map_err(failed("open", &path))
    }

    /// Returns the hashes of the pieces of a whole content.
    ///
    /// # Errors
    /// The content is not there, or cannot be read.
    pub fn piece_hashes(&self, hash: &Digest, bytes: u64) -> Result<PieceHashes, StoreError> {
        if let Some(small) = PieceHashes::of_small(hash, bytes) {
            return Ok(small);
        }
        let path = self.pieces_path(hash);
        if let Ok(encoded) = fs::read(&path)
            && let Some(hashes) = PieceHashes::verified(hash, bytes, &encoded)
        {
            return Ok(hashes);
        }
        let hashes = hashes_of(&mut self.open_blob(hash)?).map_err(failed("read", &self.blob_path(hash)))?;
        if hashes.blob() != *hash {
            self.drop_damaged(hash)?;
            return Err(StoreError::Damaged { hash: *hash });
        }
        rhizo_private_files::write_synced(&path, &hashes.encode()).map_err(failed("write", &path))?;
        Ok(hashes)
    }

    /// Reads a piece of a content that is whole or in transfer. The reader verifies it.
    ///
    /// # Errors
    /// The piece cannot be read.
    pub fn read_piece(&self, hash: &Digest, bytes: u64, piece: u64) -> Result<Vec<u8>, StoreError> {
        let length = usize::try_from(pieces::bytes_of(bytes, piece)).unwrap_or_default();
        let mut content = vec![0; length];
        let whole = self.blob_path(hash);
        let (path, file) = match File::open(&whole) {
            Ok(file) => (whole, file),
            Err(_) => {
                let path = self.partial_path(hash);
                let file = File::open(&path).or_else(|_| File::open(&whole));
                (path.clone(), file.map_err(failed("open", &path))?)
            }
        };
        file.read_exact_at(&mut content, piece * PIECE_BYTES).map_err(failed("read", &path))?;
        Ok(content)
    }

    /// Reads a content again and compares it with its hash. A damaged content is removed, so that it is fetched again.
    ///
    /// # Errors
    /// The content is damaged or cannot be read.
    pub fn verify_blob(&self, hash: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(hash);
        let hashes = hashes_of(&mut self.open_blob(hash)?).map_err(failed("read", &path))?;
        if hashes.blob() == *hash {
            return Ok(());
        }
        self.drop_damaged(hash)?;
        Err(StoreError::Damaged { hash: *hash })
    }

    fn drop_damaged(&self, hash: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(hash);
        fs::remove_file(&path).map_err(failed("remove", &path))
    }

    /// Returns the content in transfer. All users of one content share it.
    ///
    /// # Errors
    /// Its files cannot be opened or made.
    pub fn partial(&self, hash: &Digest, hashes: PieceHashes) -> Result<Arc<Partial>, StoreError> {
        let mut partials = lock(&self.shared.partials);
        partials.retain(|_, partial| partial.strong_count() > 0);
        if let Some(partial) = partials.get(hash).and_then(Weak::upgrade) {
            return Ok(partial);
        }
        let partial = Arc::new(Partial::open(self.clone(), *hash, hashes)?);
        partials.insert(*hash, Arc::downgrade(&partial));
        Ok(partial)
    }

    /// Returns the piece hashes of a content in transfer, from this or an earlier process.
    #[must_use]
    pub fn partial_hashes(&self, hash: &Digest, bytes: u64) -> Option<PieceHashes> {
        let encoded = fs::read(self.partial_hashes_path(hash)).ok();
        let small = || PieceHashes::of_small(hash, bytes);
        encoded.and_then(|encoded| PieceHashes::verified(hash, bytes, &encoded)).or_else(small)
    }

    /// Gives a written file its name as a content.
    fn keep(&self, draft: &Path, file: &File, hash: &Digest, hashes: &PieceHashes) -> Result<(), StoreError> {
        let path = self.blob_path(hash);
        if let Some(parent) = path.parent() {
            rhizo_private_files::create_dirs(parent).map_err(failed("make", parent))?;
        }
        if pieces::count(hashes.blob_bytes()) > 1 {
            let beside = self.pieces_path(hash);
            rhizo_private_files::write_synced(&beside, &hashes.encode()).map_err(failed("write", &beside))?;
        }
        file.set_permissions(fs::Permissions::from_mode(BLOB_MODE)).map_err(failed("protect", draft))?;
        file.sync_all().map_err(failed("sync", draft))?;
        fs::rename(draft, &path).map_err(failed("name", &path))?;
        sync_parent(&path)
    }

    fn draft(&self) -> PathBuf {
        let number = self.shared.drafts.fetch_add(1, Ordering::Relaxed);
        self.dir().join(format!("drafts/{number}"))
    }

    fn blob_path(&self, hash: &Digest) -> PathBuf {
        let text = hash.to_string();
        self.dir().join("blobs").join(&text[..2]).join(text)
    }

    fn pieces_path(&self, hash: &Digest) -> PathBuf {
        self.blob_path(hash).with_extension("pieces")
    }

    fn partial_path(&self, hash: &Digest) -> PathBuf {
        self.dir().join("partial").join(hash.to_string())
    }

    fn partial_hashes_path(&self, hash: &Digest) -> PathBuf {
        self.partial_path(hash).with_extension("pieces")
    }

    fn tree_path(&self, tree: &Digest) -> PathBuf {
        self.dir().join("trees").join(tree.to_string())
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.shared.leases)
    }
}

/// The hashes of the files of a manifest that a lease protects.
fn hashes_in(manifest: &Manifest) -> impl Iterator<Item = Digest> + '_ {
    manifest.entries().filter_map(|(_, entry)| match entry {
        Entry::File { hash, .. } => Some(*hash),
        Entry::Link { .. } => None,
    })
}

fn hashes_of(content: &mut File) -> io::Result<PieceHashes> {
    let mut hasher = PieceHasher::default();
    let mut piece = Vec::new();
    loop {
        piece.clear();
        content.take(PIECE_BYTES).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.add(&piece);
    }
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("sync", parent))
}

/// A panic while a lock was held leaves no half-changed state behind: every change under these locks is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
