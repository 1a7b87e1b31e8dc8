//! The handle that the shell holds: bind, set the admission and the wanted links, send, request, publish.
//!
//! The work happens in [`crate::service`]'s task, on the tokio runtime that `bind` was called on; a current-thread
//! runtime is enough.

use crate::admission::{Admission, Credential};
use crate::class::Class;
use crate::config::{GOSSIP_BYTES_MAX, OverlayConfig};
use crate::error::{BindError, DialError, PublishError};
use crate::event::{self, OverlayEvents, UnreachableReason};
use crate::frame::{Frame, FrameKind};
use crate::gate::{Counters, Gate};
use crate::lane::{Lanes, RequestError, SendError};
use crate::rate::Rate;
use crate::raw_stream::StreamUse;
use crate::service::{self, Command};
use crate::shared::Shared;
use crate::stream::{StreamDialer, StreamListener};
use crate::transport::SetUp;
use crate::upkeep::LinkTarget;
use rhizo_types::{Lineage, PeerKey};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};

/// The most publications of one node per second in the long run, and the largest burst.
const GOSSIP_RATE: u32 = 50;
const GOSSIP_BURST: u32 = 200;
/// Commands waiting for the service.
const COMMANDS_MAX: usize = 256;
/// Time limit of a whole one-shot dial: a set-up, and the work that the service has to do before it.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// A running overlay. Clones share it; it stops when closed, or when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Overlay {
    shared: Arc<Shared>,
    set_up: SetUp,
    commands: mpsc::Sender<Command>,
}

impl Overlay {
    /// Starts listening and starts the overlay's task on the current tokio runtime.
    ///
    /// The admission is empty at first: every connection is refused.
    ///
    /// # Errors
    /// The address cannot be listened on, or a setting is out of libp2p's range.
    pub async fn bind(config: OverlayConfig) -> Result<(Self, OverlayEvents), BindError> {
        let listener = match config.listen {
            Some(address) => Some(
                TcpListener::bind(address).await.map_err(|source| BindError::Listen { address, source })?,
            ),
            None => None,
        };
        let listen = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let shared = Arc::new(Shared {
            gate: Gate::new(config.secret.peer_key(), config.app.clone(), config.lineage, config.links_max),
            listen,
            lanes: Mutex::default(),
            targets: Mutex::default(),
            gossip_rate: Mutex::new(Rate::new(GOSSIP_RATE, GOSSIP_BURST, Instant::now())),
            streams: Mutex::default(),
            changed: Notify::new(),
        });
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (sender, events) = event::queue(config.events_max);
        let source = listen.map(|address| address.ip()).filter(std::net::IpAddr::is_loopback);
        let keypair = config.secret.keypair();
        let set_up = SetUp::new(Arc::clone(&shared), keypair, source, config.shaper.clone());
        service::start(&config, set_up.clone(), listener, inbox, sender)?;
        Ok((Self { shared, set_up, commands }, events))
    }

    /// This node's key.
    #[must_use]
    pub fn local_key(&self) -> PeerKey {
        self.shared.gate.local
    }

    /// The address on which this node listens, with the port that it got.
    #[must_use]
    pub fn listen_address(&self) -> Option<SocketAddr> {
        self.shared.listen
    }

    /// Number of connections that were admitted, refused and multiplexed.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.gate.counters()
    }

    /// The peers with an established link.
    #[must_use]
    pub fn linked(&self) -> Vec<PeerKey> {
        self.shared.lanes().keys().copied().collect()
    }

    /// Replaces the admission. It holds from the next handshake on; established links that it does not permit are
    /// closed.
    pub fn set_admission(&self, admission: Admission) {
        self.shared.gate.book().admission = Arc::new(admission);
        self.shared.changed.notify_one();
    }

    /// Makes this node one of another lineage. All links are closed, because their other ends are of the former
    /// lineage, and wanted links are dialled again at once. Handshakes that are under way make no link.
    ///
    /// Call it before [`Overlay::set_admission`] with the roster of the new lineage.
    pub fn set_lineage(&self, lineage: Lineage) {
        self.shared.gate.book().lineage = lineage;
        self.shared.changed.notify_one();
    }

    /// Replaces the links to keep alive. Links that this node dialled and that are no longer wanted are closed.
    pub fn set_links(&self, targets: Vec<LinkTarget>) {
        *self.shared.targets() = Some(targets);
        self.shared.changed.notify_one();
    }

    /// Dials once with a credential; returns when the link is up or the dial has failed.
    ///
    /// Do not await it in the task that drains the events: with a full event queue that task would wait for itself,
    /// until the dial's deadline of ten seconds.
    ///
    /// # Errors
    /// The listener refused, was not reached, or the overlay has stopped.
    pub async fn dial(&self, target: LinkTarget, credential: Credential) -> Result<(), DialError> {
        let (done, outcome) = oneshot::channel();
        let command = Command::Dial { target, credential, done };
        let dialling = async {
            self.commands.send(command).await.map_err(|_| DialError::GivenUp)?;
            outcome.await.unwrap_or(Err(DialError::GivenUp))
        };
        tokio::time::timeout(DIAL_MAX, dialling)
            .await
            .unwrap_or(Err(DialError::Unreachable(UnreachableReason::TimedOut)))
    }

    /// Queues a message to a peer; never waits. Order holds within a class while the link lives.
    ///
    /// # Errors
    /// No link, too long, or the queue is full; nothing was queued then.
    pub fn send(&self, peer: PeerKey, class: Class, body: Vec<u8>) -> Result<(), SendError> {
        let lanes = self.lanes_to(&peer).ok_or(SendError::NotLinked)?;
        lanes.push(class, Frame { kind: FrameKind::Message, number: 0, body })
    }

    /// Sends a request to a peer and waits at most `timeout` for the answer. Do not await it in the task that drains
    /// the events.
    ///
    /// # Errors
    /// See [`RequestError`]: it distinguishes requests that were not received from those that may have been.
    pub async fn request(
        &self,
        peer: PeerKey,
        class: Class,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        let lanes = self.lanes_to(&peer).ok_or(RequestError::NotSent(SendError::NotLinked))?;
        tokio::time::timeout(timeout, lanes.ask(class, body)).await.unwrap_or(Err(RequestError::TimedOut))
    }

    fn lanes_to(&self, peer: &PeerKey) -> Option<Arc<Lanes>> {
        self.shared.lanes().get(peer).cloned()
    }

    /// Publishes a signed message to all members, best effort. This node does not receive its own messages.
    ///
    /// # Errors
    /// Too long, too often, or the overlay is busy.
    pub fn publish(&self, body: Vec<u8>) -> Result<(), PublishError> {
        if body.len() > GOSSIP_BYTES_MAX {
            return Err(PublishError::TooLong { length: body.len() });
        }
        let mut rate = self.shared.gossip_rate.lock().unwrap_or_else(PoisonError::into_inner);
        if !rate.take(Instant::now()) {
            return Err(PublishError::TooFast);
        }
        drop(rate);
        self.commands.try_send(Command::Publish(body)).map_err(|_| PublishError::Busy)
    }

    /// Closes the link to a peer, if there is one. A wanted link is dialled again.
    pub async fn close_link(&self, peer: PeerKey) {
        // A stopped overlay has no links.
        let _ = self.commands.send(Command::CloseLink(peer)).await;
    }

    /// Opens streams to other nodes for the traffic of components. Streams are independent of links: each has a TCP connection of its own.
    #[must_use]
    pub fn stream_dialer(&self) -> StreamDialer {
        self.stream_dialer_for(StreamUse::Traffic)
    }

    /// Opens streams to other nodes for this use.
    #[must_use]
    pub fn stream_dialer_for(&self, purpose: StreamUse) -> StreamDialer {
        StreamDialer::new(self.set_up.clone(), purpose)
    }

    /// Accepts streams for the traffic of components from now on, in place of an earlier listener for it.
    #[must_use]
    pub fn accept_streams(&self) -> StreamListener {
        self.accept_streams_for(StreamUse::Traffic)
    }

    /// Accepts streams for this use from now on, in place of an earlier listener for it.
    #[must_use]
    pub fn accept_streams_for(&self, purpose: StreamUse) -> StreamListener {
        StreamListener::new(self.set_up.clone(), purpose)
    }

    /// Closes all links and stops the overlay's task; the event queue ends afterwards.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            // An error means that the task has ended by itself.
            let _ = closed.await;
        }
    }
}
