//! The handle the shell holds: bind, say who may come in and which links are wanted, send, ask, publish.
//!
//! It moves bytes between peer keys and knows no plan. The work happens in [`crate::service`]'s task, on the
//! runtime `bind` was called on; a current-thread runtime is enough.

use crate::admission::{Admission, Credential};
use crate::class::Class;
use crate::event::{self, OverlayEvents, UnreachableReason};
use crate::frame::{Frame, FrameKind};
use crate::gate::{Counters, Gate, Refusal};
use crate::key::NodeSecret;
use crate::lane::{Lanes, RequestError, SendError};
use crate::rate::Rate;
use crate::service::{self, Command};
use crate::shaper::LinkShaper;
use crate::upkeep::LinkTarget;
use rhizo_types::{AppName, Lineage, PeerKey};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};

/// The longest body that can be published, in bytes: facts are small, and every member gets every one.
pub const GOSSIP_BYTES_MAX: usize = 32 * 1024;
/// Publications of one node per second in the long run, and at once.
const GOSSIP_RATE: u32 = 50;
const GOSSIP_BURST: u32 = 200;
/// Commands waiting for the service.
const COMMANDS_MAX: usize = 256;
/// How long a one-shot dial may take in all: a set-up and whatever the service has to do before.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// Everything an overlay needs to start.
#[derive(Clone)]
pub struct OverlayConfig {
    /// The node's own key.
    pub secret: NodeSecret,
    /// The application: overlays of different applications cannot talk.
    pub app: AppName,
    /// The lineage: nodes of an older history cannot talk to those of a newer one.
    pub lineage: Lineage,
    /// Where to listen; port 0 picks one. `None` for a client that only dials.
    pub listen: Option<SocketAddr>,
    /// Emulated delay; `None` in production.
    pub shaper: Option<Arc<dyn LinkShaper>>,
    /// How often the round trip of each link is measured.
    pub ping_every: Duration,
    /// How long an answer to a ping may take; a link that misses two is closed.
    pub ping_timeout: Duration,
    /// Most links at once; also most wanted links.
    pub links_max: usize,
    /// Most events waiting for the shell.
    pub events_max: usize,
    /// Whether this node takes part in gossip; a client need not.
    pub gossip: bool,
}

impl OverlayConfig {
    /// A node's configuration with the usual bounds and no emulated delay.
    #[must_use]
    pub fn new(secret: NodeSecret, app: AppName, lineage: Lineage, listen: Option<SocketAddr>) -> Self {
        Self {
            secret,
            app,
            lineage,
            listen,
            shaper: None,
            // A ping and its answer wake both ends, and with one every two seconds they were two fifths of all wake-ups
            // of a node at rest: as rarely as a route that changed may go unnoticed. Heartbeats tell who died.
            ping_every: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(5),
            links_max: 512,
            events_max: 1024,
            gossip: true,
        }
    }

    /// What both ends of a handshake have to agree on, whatever their keys.
    fn prologue(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("rhizo 2026-11-22 handshake prologue");
        hasher.update(&self.lineage.0.to_le_bytes());
        hasher.update(self.app.as_str().as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for OverlayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayConfig")
            .field("secret", &self.secret)
            .field("app", &self.app)
            .field("lineage", &self.lineage)
            .field("listen", &self.listen)
            .field("shaped", &self.shaper.is_some())
            .finish_non_exhaustive()
    }
}

/// Why an overlay could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use, or not this host's.
    #[error("listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A setting libp2p does not accept; it names the setting.
    #[error("start the overlay: {0}")]
    Setting(String),
}

/// Why a one-shot dial made no link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialError {
    /// The listener answered and said no.
    #[error("dial: the listener refused")]
    Refused(#[source] Refusal),
    /// No listener with that key was reached.
    #[error("dial: not reached")]
    Unreachable(#[source] UnreachableReason),
    /// The overlay has stopped, or a newer dial of the same peer took over.
    #[error("dial: given up")]
    GivenUp,
}

/// Why something was not published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// Longer than [`GOSSIP_BYTES_MAX`].
    #[error("publish {length} bytes, more than the {GOSSIP_BYTES_MAX} allowed")]
    TooLong {
        /// Length of the body, in bytes.
        length: usize,
    },
    /// More often than 50 times per second in the long run.
    #[error("publish that often")]
    TooFast,
    /// The overlay is busy or has stopped.
    #[error("publish: the overlay does not take it now")]
    Busy,
}

/// A running overlay. Clones share it; it stops when closed, or when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Overlay {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

/// What handle and service share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) listen: Option<SocketAddr>,
    lanes: Mutex<BTreeMap<PeerKey, Arc<Lanes>>>,
    /// The newest wanted links, until the service has taken them.
    targets: Mutex<Option<Vec<LinkTarget>>>,
    gossip_rate: Mutex<Rate>,
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

impl Overlay {
    /// Starts listening and starts the overlay's task on the current tokio runtime.
    ///
    /// The admission is empty at first: nobody is let in.
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
            gate: Gate::new(config.secret.peer_key(), config.prologue(), config.links_max),
            listen,
            lanes: Mutex::default(),
            targets: Mutex::default(),
            gossip_rate: Mutex::new(Rate::new(GOSSIP_RATE, GOSSIP_BURST, Instant::now())),
            changed: Notify::new(),
        });
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (sender, events) = event::queue(config.events_max);
        service::start(&config, Arc::clone(&shared), listener, inbox, sender)?;
        Ok((Self { shared, commands }, events))
    }

    /// This node's key.
    #[must_use]
    pub fn local_key(&self) -> PeerKey {
        self.shared.gate.local
    }

    /// Where this node listens, with the port it got.
    #[must_use]
    pub fn listen_address(&self) -> Option<SocketAddr> {
        self.shared.listen
    }

    /// How many connections were let in, kept out, and multiplexed.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.gate.counters()
    }

    /// The peers with a standing link.
    #[must_use]
    pub fn linked(&self) -> Vec<PeerKey> {
        self.shared.lanes().keys().copied().collect()
    }

    /// Replaces who may have a link. Holds for the next handshake; standing links of others are closed.
    pub fn set_admission(&self, admission: Admission) {
        self.shared.gate.book().admission = Arc::new(admission);
        self.shared.changed.notify_one();
    }

    /// Replaces the links to keep alive. Links this node dialled and wants no more are closed.
    pub fn set_links(&self, targets: Vec<LinkTarget>) {
        *self.shared.targets() = Some(targets);
        self.shared.changed.notify_one();
    }

    /// Dials once, showing a credential; resolves when the link is up or the dial has failed.
    ///
    /// Do not await it in the task that drains the events: with a full event queue it would wait for itself
    /// (until its own deadline of ten seconds).
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

    /// Asks a peer and waits for its answer, at most `timeout`. Do not await it where events are drained.
    ///
    /// # Errors
    /// See [`RequestError`]: it tells apart what was certainly not received from what may have been.
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

    /// Publishes to all members, best effort, signed; this node does not hear itself.
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

    /// Closes all links and stops the overlay's task; the event queue ends afterwards.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            // An error means that the task has ended by itself.
            let _ = closed.await;
        }
    }
}
