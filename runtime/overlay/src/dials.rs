//! The dials of this node that are under way. Pure bookkeeping; [`crate::service`] makes the dials.

use libp2p::swarm::ConnectionId;
use rhizo_types::PeerKey;
use std::collections::{BTreeMap, BTreeSet};

/// The dials that are under way.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    /// The newest dial of each peer.
    newest: BTreeMap<PeerKey, ConnectionId>,
    /// Dials that were under way when the lineage changed: they make no link.
    outdated: BTreeSet<ConnectionId>,
}

impl Dials {
    pub(crate) fn begin(&mut self, peer: PeerKey, dial: ConnectionId) {
        self.newest.insert(peer, dial);
    }

    pub(crate) fn end(&mut self, peer: &PeerKey) {
        self.newest.remove(peer);
    }

    pub(crate) fn is_under_way(&self, peer: &PeerKey) -> bool {
        self.newest.contains_key(peer)
    }

    pub(crate) fn is_newest(&self, peer: &PeerKey, dial: ConnectionId) -> bool {
        self.newest.get(peer) == Some(&dial)
    }

    /// Ends all dials in the books, because the lineage has changed. [`Dials::take_outdated`]
    /// recognises their results.
    pub(crate) fn outdate_all(&mut self) {
        self.outdated.extend(std::mem::take(&mut self.newest).into_values());
    }

    /// Returns true, once, if a dial that has ended was under way when the lineage changed.
    pub(crate) fn take_outdated(&mut self, dial: ConnectionId) -> bool {
        self.outdated.remove(&dial)
    }
}
