//! The number of proxied connections of each copy of this node, so that a copy that leaves is given time for them.

use rhizo_types::InstanceId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The open connections to the copies of this node.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    counts: Arc<Mutex<BTreeMap<InstanceId, u32>>>,
    /// Changes when a copy has lost its last connection.
    ended: watch::Sender<()>,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self { counts: Arc::default(), ended: watch::channel(()).0 }
    }

    /// Counts a connection until the returned value is dropped.
    pub(crate) fn begin(&self, instance: &InstanceId) -> Serving {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(instance.clone()).or_default() += 1;
        Serving { served: self.clone(), instance: instance.clone() }
    }

    pub(crate) fn is_serving(&self, instance: &InstanceId) -> bool {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).contains_key(instance)
    }

    /// Resolves when the copy has no connection.
    pub(crate) async fn drained(&self, instance: &InstanceId) {
        let mut ended = self.ended.subscribe();
        while self.is_serving(instance) {
            // The sender is in `self`, so it is not gone.
            let _changed = ended.changed().await;
        }
    }
}

/// One connection to a copy of this node.
#[derive(Debug)]
pub(crate) struct Serving {
    served: Served,
    instance: InstanceId,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut counts = self.served.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.instance) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.instance);
                drop(counts);
                self.served.ended.send_replace(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_is_drained_when_its_last_connection_has_ended() {
        let served = Served::new();
        let (web, other) = (("web", 0), ("web", 1));
        let id = |(name, ordinal): (&str, u32)| InstanceId { component: name.into(), ordinal };
        let (first, second) = (served.begin(&id(web)), served.begin(&id(web)));
        served.drained(&id(other)).await;
        let waiting = tokio::spawn({
            let served = served.clone();
            async move { served.drained(&id(web)).await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.expect("it resolves");
        assert!(!served.is_serving(&id(web)));
    }
}
