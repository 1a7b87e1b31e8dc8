//! Checkouts: a tree of the store as directories and files, from which programs run.
//!
//! All instances of a node that use a tree share its checkout. Its files are read-only: plain files are hard links to
//! the contents, which takes no space, and executable files are copies, because a hard link has the mode of its content.
//! Its directories can be written by their owner, so that a released host can be removed like any other directory.
//! A checkout appears under its name when it is whole. Each content is hashed again before it is linked, so that a bit
//! that has flipped on the disk is found before a program runs.

use super::{Store, StoreError, failed, lock};
use crate::manifest::{Entry, Manifest};
use rhizo_types::Digest;
use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Mode of executable files of a checkout.
const PROGRAM_MODE: u32 = 0o500;

impl Store {
    /// Returns the directory with the files of a tree, and makes it if there is none. The caller holds a lease of the
    /// tree for as long as it uses the directory.
    ///
    /// # Errors
    /// The store does not have all of the tree, a content is damaged, or a file cannot be made.
    pub fn check_out(&self, tree: &Digest) -> Result<PathBuf, StoreError> {
        let _one_at_a_time = lock(&self.shared.checking_out);
        let path = self.dir().join("checkouts").join(tree.to_string());
        if path.exists() {
            return Ok(path);
        }
        let incomplete = || StoreError::Incomplete { tree: *tree };
        let manifest = self.manifest(tree)?.ok_or_else(incomplete)?;
        for hash in manifest.blobs().keys() {
            if !self.has_blob(hash) {
                return Err(incomplete());
            }
            self.verify_blob(hash)?;
        }
        let draft = self.draft();
        rhizo_private_files::create_dir(&draft).map_err(failed("make", &draft))?;
        self.fill(&draft, &manifest)?;
        fs::rename(&draft, &path).map_err(failed("name", &path))?;
        Ok(path)
    }

    fn fill(&self, draft: &Path, manifest: &Manifest) -> Result<(), StoreError> {
        for (name, entry) in manifest.entries() {
            let path = draft.join(name);
            if let Some(parent) = path.parent() {
                rhizo_private_files::create_dirs(parent).map_err(failed("make", parent))?;
            }
            match entry {
                Entry::Link { target } => symlink(target, &path).map_err(failed("make", &path))?,
                Entry::File { executable: true, hash, .. } => {
                    let mut content = self.open_blob(hash)?;
                    let mut options = fs::OpenOptions::new();
                    let options = options.write(true).create_new(true).mode(PROGRAM_MODE);
                    let mut file = options.open(&path).map_err(failed("make", &path))?;
                    io::copy(&mut content, &mut file).map_err(failed("write", &path))?;
                }
                Entry::File { executable: false, hash, .. } => {
                    fs::hard_link(self.blob_path(hash), &path).map_err(failed("link", &path))?;
                }
            }
        }
        Ok(())
    }
}

/// Removes a checkout.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    fs::remove_dir_all(path).map_err(failed("remove", path))
}
