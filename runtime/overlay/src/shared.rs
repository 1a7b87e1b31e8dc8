//! State that the handle and the service share: the gate, the lanes of every link, and the links that are wanted.

use crate::gate::Gate;
use crate::lane::Lanes;
use crate::rate::Rate;
use crate::upkeep::LinkTarget;
use rhizo_types::PeerKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// State that the handle and the service share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) lanes: Mutex<BTreeMap<PeerKey, Arc<Lanes>>>,
    /// The newest wanted links, until the service has taken them.
    pub(crate) targets: Mutex<Option<Vec<LinkTarget>>>,
    pub(crate) gossip_rate: Mutex<Rate>,
    /// Wakes the service: admission or targets have changed.
    pub(crate) changed: Notify,
}

impl Shared {
    pub(crate) fn lanes(&self) -> MutexGuard<'_, BTreeMap<PeerKey, Arc<Lanes>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn targets(&self) -> MutexGuard<'_, Option<Vec<LinkTarget>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
