//! The events that the overlay sends to the shell, through one bounded queue.
//!
//! The queue is bounded in entries and in bytes. When it is full, frames wait in the substreams, which slows their
//! senders down; measured round trips and gossip are dropped; events about links are delayed and never lost. It holds
//! no logic of links; [`crate::service`] and [`crate::lane`] fill it.

use crate::admission::Role;
use crate::class::Class;
use crate::lane::Reply;
use crate::refusal::Refusal;
use crate::succession::Succession;
use rhizo_types::PeerKey;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bodies waiting for the shell, in bytes, over all links.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Something that happened on the overlay.
#[derive(Debug)]
pub enum OverlayEvent {
    /// A link is up; frames of this link come after this event.
    LinkUp {
        /// The other end.
        peer: PeerKey,
        /// Its role.
        role: Role,
        /// The address of the other end. On inbound links its port is not one on which the peer listens.
        address: SocketAddr,
    },
    /// The link is gone; no frame of it comes after this event.
    LinkDown {
        /// The other end.
        peer: PeerKey,
        /// The reason.
        reason: LinkDownReason,
    },
    /// The other end of an established link has another role now, because the admission changed.
    RoleChanged {
        /// The other end.
        peer: PeerKey,
        /// Its role now.
        role: Role,
    },
    /// A message arrived.
    Frame {
        /// The sender.
        peer: PeerKey,
        /// The class of the lane. Messages of one class keep their order while the link is up.
        class: Class,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// A request arrived and waits for an answer.
    Request {
        /// The sender.
        peer: PeerKey,
        /// The class of the lane.
        class: Class,
        /// Its bytes.
        body: Vec<u8>,
        /// The sender of the answer. Dropping it declines the request.
        reply: Reply,
    },
    /// A member published something.
    Gossip {
        /// The member that signed it.
        origin: PeerKey,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// A round trip was measured.
    Rtt {
        /// The other end.
        peer: PeerKey,
        /// The whole round trip.
        rtt: Duration,
    },
    /// A dial of a wanted link failed; it will be repeated.
    Unreachable {
        /// The peer that was dialled.
        peer: PeerKey,
        /// The way in which the dial failed.
        reason: UnreachableReason,
        /// Number of failures since the link was last up.
        failures: u32,
    },
    /// A wanted link was refused by the other end; the dial will be repeated.
    Declined {
        /// The peer that was dialled.
        peer: PeerKey,
        /// The reason of the refusal.
        refusal: Refusal,
    },
    /// A listener refused this node, because an operator has ended this node's lineage. The dial will be repeated. The
    /// signature is not checked yet, and the shell knows the operators.
    Superseded {
        /// The peer that was dialled.
        peer: PeerKey,
        /// The operator's statement.
        succession: Box<Succession>,
        /// Whether the listener has this node in the roster of the next lineage.
        is_member: bool,
    },
    /// A connection was refused before a multiplexer existed. Reported at a bounded rate.
    Refused {
        /// The address of the other end.
        remote: SocketAddr,
        /// Its key, when it proved one.
        peer: Option<PeerKey>,
        /// The reason, when it sent a credential.
        refusal: Option<Refusal>,
    },
}

/// The reason why a link went down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkDownReason {
    /// The connection broke, or the other end closed it.
    Lost,
    /// The other end did not answer pings.
    Silent,
    /// A newer connection of the same pair took its place; a link-up follows.
    Superseded,
    /// The admission does not permit the other end a link any more.
    Expelled,
    /// The other end broke the rules of a lane.
    Violation,
    /// This end closed it.
    Closed,
}

/// The way in which a dial failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum UnreachableReason {
    /// Nothing listens at the address: when the host is up, the process has ended.
    #[error("no process listens at that address")]
    ConnectionRefused,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// A peer with another key answered.
    #[error("another key answered")]
    WrongKey,
    /// Any other failure: no route, another lineage, a broken set-up.
    #[error("the link could not be set up")]
    Failed,
}

/// The shell's end of the queue.
#[derive(Debug)]
pub struct OverlayEvents {
    queue: mpsc::Receiver<(OverlayEvent, Option<OwnedSemaphorePermit>)>,
}

impl OverlayEvents {
    /// The next event; `None` once the overlay has stopped. Cancel-safe.
    pub async fn recv(&mut self) -> Option<OverlayEvent> {
        self.queue.recv().await.map(|(event, _)| event)
    }

    /// The next event if one is waiting.
    pub fn try_recv(&mut self) -> Option<OverlayEvent> {
        self.queue.try_recv().ok().map(|(event, _)| event)
    }
}

/// The overlay's end of the queue.
#[derive(Clone, Debug)]
pub(crate) struct EventSender {
    queue: mpsc::Sender<(OverlayEvent, Option<OwnedSemaphorePermit>)>,
    bytes: Arc<Semaphore>,
}

/// The shell has dropped its end of the queue.
#[derive(Debug)]
pub(crate) struct ShellGone;

/// A bounded queue of events.
pub(crate) fn queue(entries_max: usize) -> (EventSender, OverlayEvents) {
    let (sender, receiver) = mpsc::channel(entries_max.max(1));
    let bytes = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
    (EventSender { queue: sender, bytes }, OverlayEvents { queue: receiver })
}

impl EventSender {
    /// Waits for room, in entries and in bytes, then queues.
    pub(crate) async fn send(&self, event: OverlayEvent, bytes: usize) -> Result<(), ShellGone> {
        let permits = u32::try_from(bytes.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.bytes).acquire_many_owned(permits).await.map_err(|_| ShellGone)?;
        self.queue.send((event, Some(permit))).await.map_err(|_| ShellGone)
    }

    /// Queues if there is room now, else hands the event back.
    pub(crate) fn try_send(&self, event: OverlayEvent) -> Result<(), OverlayEvent> {
        self.queue.try_send((event, None)).map_err(|error| match error {
            mpsc::error::TrySendError::Full((event, _)) | mpsc::error::TrySendError::Closed((event, _)) => {
                event
            }
        })
    }

    /// Resolves when the shell is gone.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Resolves when there is room for an entry or the shell is gone.
    pub(crate) async fn room(&self) -> Result<(), ShellGone> {
        self.queue.reserve().await.map(drop).map_err(|_| ShellGone)
    }
}
