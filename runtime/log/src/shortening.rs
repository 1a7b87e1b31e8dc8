//! Bounds the log in bytes; the engine bounds it in entries only.
//!
//! A snapshot every [`snapshot_every`](crate::LogConfig::snapshot_every) entries bounds a log of small commands. A log
//! of large commands could fill the memory before that. When the commands exceed the limit, a snapshot is taken early
//! and the entries that it covers are dropped.

use crate::engine::Engine;
use crate::member::Member;
use crate::status::{LogStatus, Role};
use crate::store::Store;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

/// Bytes of commands in the log beyond which a snapshot is taken early: a small part of a node's memory (30 MiB).
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Watches the log's size until the member stops.
pub(crate) async fn keep_short(
    raft: Raft<Engine, Member>,
    store: Store,
    mut status: watch::Receiver<LogStatus>,
) {
    // The last snapshot at the time of the last request; while it is still the last, the request is in progress.
    let mut asked_after = None;
    loop {
        let (role, committed) = {
            let now = status.borrow_and_update();
            (now.role, now.committed)
        };
        if role == Role::Stopped {
            return;
        }
        if store.log_bytes() > LOG_BYTES_MAX {
            let snapshot = raft.metrics().borrow_watched().snapshot.map(|at| at.index);
            // The error means that the engine has stopped, which the status reports.
            if let Some(index) = snapshot {
                let _ = raft.trigger().purge_log(index).await;
            }
            if snapshot < committed && asked_after != Some(snapshot) {
                asked_after = Some(snapshot);
                let _ = raft.trigger().snapshot().await;
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
