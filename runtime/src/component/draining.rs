//! The time that a copy which is to stop keeps for the connections that nodes relay to it.
//!
//! By then its users have released it, so it gets no new connection. The order to stop reaches it when its connections
//! have ended, or after half of its grace; the other half is left for the program itself. A copy without such
//! connections is stopped at once. Read next: [`super::exec`], [`super::embedded`].

use rhizo_traffic::Traffic;
use rhizo_types::InstanceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The part of a run's grace that was spent on its connections, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct SpentGrace(Arc<AtomicU64>);

impl SpentGrace {
    /// Returns the rest of a grace.
    pub(super) fn rest_of(&self, grace_ms: u64) -> Duration {
        Duration::from_millis(grace_ms.saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

/// Orders the service of a run to stop when its connections have ended, or when half of its grace is over.
pub(super) async fn stop_when_drained(
    traffic: Arc<Traffic>,
    instance: InstanceId,
    grace_ms: u64,
    spent: SpentGrace,
    stop: watch::Sender<bool>,
) {
    let begun = Instant::now();
    let drained = traffic.drained(instance.clone());
    if tokio::time::timeout(Duration::from_millis(grace_ms / 2), drained).await.is_err() {
        tracing::info!(%instance, "copy is stopped with connections open, half of its grace is over");
    }
    spent.0.store(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    stop.send_replace(true);
}
