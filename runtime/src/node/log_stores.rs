//! The directories of a node's logs: one store for each lineage.
//!
//! A store is opened by [`super::replicated_log`], and made for a new lineage by [`super::recover`].

use rhizo_types::Lineage;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// The directory, below a node's own, with the stores of its log.
pub(super) fn stores(node_dir: &Path) -> PathBuf {
    node_dir.join("raft")
}

/// The directory of the store of one lineage, below the directory `dir` of all of them.
///
/// Each lineage has a directory of its own. So a survivor can make the store of the next lineage before it ends the
/// former one, and one write of its identity decides which of the two it opens after a crash.
pub(super) fn store_of(dir: &Path, lineage: Lineage) -> PathBuf {
    dir.join(lineage.0.to_string())
}

/// Removes the stores of other lineages than this one below the directory of a node, in a blocking task. A store that
/// cannot be removed is never opened.
///
/// A node that comes back after a crash waits for the task before it takes an order, because an order to begin a new
/// lineage makes a store.
pub(super) fn forget_stores(node_dir: &Path, lineage: Lineage) -> JoinHandle<()> {
    let stores = stores(node_dir);
    let kept = store_of(&stores, lineage);
    tokio::task::spawn_blocking(move || {
        // The list is complete before the first store is removed, so that it has no store of a later order.
        let found: Vec<PathBuf> =
            std::fs::read_dir(&stores).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        for path in found.into_iter().filter(|path| *path != kept) {
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::debug!(%error, path = %path.display(), "store of a former lineage not removed");
            }
        }
    })
}
