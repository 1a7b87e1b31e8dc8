//! Keeps the log short in bytes: the engine counts entries only.
//!
//! Snapshots every so many entries bound a log of ordinary commands. A log of large ones would fill the memory
//! first; when it exceeds its limit, a snapshot is taken out of turn and everything it covers is dropped.

use crate::engine::Engine;
use crate::member::Member;
use crate::status::{LogStatus, Role};
use crate::store::Store;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

/// Bytes of commands in the log beyond which it is cut: a fraction of what a node may weigh as a whole.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Watches the log's size until the member stops.
pub(crate) async fn keep_short(
    raft: Raft<Engine, Member>,
    store: Store,
    mut status: watch::Receiver<LogStatus>,
) {
    // The last snapshot when the next one was asked for; while it is the last one still, asking again is no use.
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
            // An engine that has stopped says so through the status, so its refusals need no answer here.
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
