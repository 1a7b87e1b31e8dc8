//! One established link: the claim of its other end, and the tasks that read and write its lanes.
//!
//! [`crate::service`] keeps one of these for each peer and decides which links exist.

use crate::admission::{Claim, Role};
use crate::event::{EventSender, LinkDownReason};
use crate::lane::{Lanes, Outlet};
use crate::lane_io;
use crate::links::LaneChange;
use libp2p::swarm::ConnectionId;
use rhizo_types::PeerKey;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// An established link. Dropping it ends its tasks.
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    /// The claim of the other end when the link came up.
    pub(crate) claim: Claim,
    pub(crate) role: Role,
    pub(crate) dialled_here: bool,
    pub(crate) since: Instant,
    pub(crate) lanes: Arc<Lanes>,
    /// Queues whose substream has not been opened yet.
    outlets: [Option<Outlet>; 5],
    /// Classes whose inbound substream has been accepted.
    accepted: [bool; 5],
    tasks: JoinSet<()>,
}

impl Link {
    pub(crate) fn new(connection: ConnectionId, claim: Claim, role: Role, dialled_here: bool) -> Self {
        let (lanes, outlets) = Lanes::new();
        Self {
            connection,
            claim,
            role,
            dialled_here,
            since: Instant::now(),
            lanes,
            outlets,
            accepted: [false; 5],
            tasks: JoinSet::new(),
        }
    }

    /// Starts the task of a substream that is ready. Returns a reason to close the link when the substream is not
    /// permitted.
    pub(crate) fn run_lane(
        &mut self,
        peer: PeerKey,
        change: LaneChange,
        events: &EventSender,
        ended: &mpsc::Sender<(ConnectionId, LinkDownReason)>,
    ) -> Option<LinkDownReason> {
        let (connection, ended) = (self.connection, ended.clone());
        match change {
            LaneChange::Opened(class, stream) => {
                let outlet = self.outlets[class.index()].take()?;
                self.tasks.spawn(async move {
                    if lane_io::write(stream, outlet).await.is_err() {
                        // The service may have stopped, and with it the link.
                        let _ = ended.send((connection, LinkDownReason::Lost)).await;
                    }
                });
            }
            LaneChange::Accepted(class, stream) => {
                if std::mem::replace(&mut self.accepted[class.index()], true) {
                    tracing::warn!(%peer, ?class, "second lane of one class");
                    return Some(LinkDownReason::Violation);
                }
                let (lanes, events) = (Arc::clone(&self.lanes), events.clone());
                self.tasks.spawn(async move {
                    let reason = lane_io::read(stream, peer, class, lanes, events).await;
                    let _ = ended.send((connection, reason)).await;
                });
            }
            LaneChange::Failed(class) => {
                tracing::warn!(%peer, ?class, "lane not opened");
                return Some(LinkDownReason::Lost);
            }
        }
        None
    }
}
