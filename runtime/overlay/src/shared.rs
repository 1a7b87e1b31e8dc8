//! State that the handle and the service share: the gate, the lanes of every link, and the links that are wanted.

use crate::gate::Gate;
use crate::lane::Lanes;
use crate::rate::Rate;
use crate::raw_stream::{RawStream, StreamUse};
use crate::upkeep::LinkTarget;
use rhizo_types::PeerKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// State that the handle and the service share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) lanes: Mutex<BTreeMap<PeerKey, Arc<Lanes>>>,
    /// The newest wanted links, until the service has taken them.
    pub(crate) targets: Mutex<Option<Vec<LinkTarget>>>,
    pub(crate) gossip_rate: Mutex<Rate>,
    /// The queue of inbound streams for each use that this node accepts.
    pub(crate) streams: Mutex<BTreeMap<StreamUse, mpsc::Sender<RawStream>>>,
    /// Wakes the service: admission or targets have changed.
    pub(crate) changed: Notify,
}

impl Shared {
    pub(crate) fn lanes(&self) -> MutexGuard<'_, BTreeMap<PeerKey, Arc<Lanes>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an inbound stream for the part of the node that accepts streams. Returns false if there is none, or if its
    /// queue is full; the connection is closed then.
    pub(crate) fn pass_stream(&self, purpose: StreamUse, stream: RawStream) -> bool {
        let queues = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get(&purpose).is_some_and(|queue| queue.try_send(stream).is_ok())
    }

    pub(crate) fn targets(&self) -> MutexGuard<'_, Option<Vec<LinkTarget>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
