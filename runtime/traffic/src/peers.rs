//! The other nodes of the application, and idle streams to them that the next connection can use.
//!
//! A stream costs a TCP connection, a Noise handshake and the exchange of credentials, which are four round trips. A
//! stream whose connection has ended is therefore kept for a while. A kept stream may have broken unnoticed, so a failure
//! on it is followed by a new stream. Read next: [`crate::wire`], [`crate::outbound`].

use crate::wire::{self, Answer, AnswerRecord, Open, OpenRecord};
use rhizo_overlay::{Credential, PeerStream, StreamDialer, StreamError};
use rhizo_types::{InstanceId, NodeId, PeerKey, PortName};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// The most idle streams that are kept for one node. A burst beyond it pays for new streams.
const IDLE_MAX: usize = 64;
/// An idle stream is closed after this time.
const IDLE_FOR_MAX: Duration = Duration::from_secs(60);
/// The other node closes a stream without a connection after this time. Longer than [`IDLE_FOR_MAX`], so that it rarely
/// closes a stream that is about to be used.
pub(crate) const UNUSED_FOR_MAX: Duration = Duration::from_secs(90);
/// The most streams that are being opened to one node at once. Its overlay drops connections beyond 64 set-ups from one
/// address, and the link needs one of them.
const DIALS_MAX: usize = 32;
/// Time limit of the answer of a node. It connects to a copy on its own host before it answers.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A member of the application: its key, and the addresses on which its node listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its key.
    pub key: PeerKey,
    /// Its addresses, in the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
}

/// The members of the application.
pub type Members = BTreeMap<NodeId, Member>;

/// A connection could not be opened at another node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("find {0} among the members")]
    NoMember(NodeId),
    #[error("open a stream to the node")]
    Dial(#[source] StreamError),
    #[error("exchange messages with the node")]
    Stream(#[source] io::Error),
    #[error("get an answer from the node in time")]
    TimedOut,
    #[error("be served by the node: {0:?}")]
    Declined(Answer),
}

/// The members and the idle streams to them.
#[derive(Debug)]
pub(crate) struct Peers {
    dialer: StreamDialer,
    members: watch::Sender<Arc<Members>>,
    idle: Mutex<Idle>,
    /// The permits to open a stream, by node.
    dials: Mutex<BTreeMap<PeerKey, Arc<Semaphore>>>,
}

#[derive(Debug, Default)]
struct Idle {
    streams: BTreeMap<PeerKey, Vec<(PeerStream, Instant)>>,
    /// Whether a task closes streams that are idle for too long. There is one only while there are idle streams.
    is_swept: bool,
}

impl Peers {
    pub(crate) fn new(dialer: StreamDialer) -> Self {
        Self {
            dialer,
            members: watch::channel(Arc::default()).0,
            idle: Mutex::default(),
            dials: Mutex::default(),
        }
    }

    pub(crate) fn set_members(&self, members: Members) {
        let keys: Vec<PeerKey> = members.values().map(|member| member.key).collect();
        self.idle().streams.retain(|key, _| keys.contains(key));
        self.dials.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| keys.contains(key));
        self.members.send_replace(Arc::new(members));
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.members.borrow().get(&node).cloned()
    }

    /// Resolves when a node is no member, or not with this key.
    pub(crate) async fn gone(&self, node: NodeId, key: PeerKey) {
        let mut members = self.members.subscribe();
        let is_gone = |members: &Arc<Members>| members.get(&node).is_none_or(|member| member.key != key);
        // The sender is in `self`, so it is not gone.
        let _left = members.wait_for(is_gone).await;
    }

    /// Opens a connection to a copy on another node.
    pub(crate) async fn open(&self, node: NodeId, open: &OpenRecord) -> Result<PeerStream, OpenError> {
        let member = self.member(node).ok_or(OpenError::NoMember(node))?;
        if let Some(stream) = self.take(&member.key) {
            match ask(stream, open).await {
                Err(OpenError::Stream(_) | OpenError::TimedOut) => {
                    // The other streams to the node were idle for at least as long.
                    self.idle().streams.remove(&member.key);
                }
                answered => return answered,
            }
        }
        let stream = {
            let permits = self.permits(&member.key);
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            dial(&self.dialer, &member, &Credential::Member).await?
        };
        ask(stream, open).await
    }

    fn permits(&self, key: &PeerKey) -> Arc<Semaphore> {
        let mut dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(dials.entry(*key).or_insert_with(|| Arc::new(Semaphore::new(DIALS_MAX))))
    }

    fn take(&self, key: &PeerKey) -> Option<PeerStream> {
        let mut idle = self.idle();
        let (stream, _) = idle.streams.get_mut(key)?.pop()?;
        Some(stream)
    }

    /// Keeps a stream whose connection has ended.
    pub(crate) fn keep(self: &Arc<Self>, stream: PeerStream) {
        let key = stream.peer();
        if !self.members.borrow().values().any(|member| member.key == key) {
            return;
        }
        let mut idle = self.idle();
        let kept = idle.streams.entry(key).or_default();
        if kept.len() < IDLE_MAX {
            kept.push((stream, Instant::now()));
        }
        if !std::mem::replace(&mut idle.is_swept, true) {
            let peers = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(IDLE_FOR_MAX / 2).await;
                    let Some(peers) = peers.upgrade() else { return };
                    if peers.sweep() {
                        return;
                    }
                }
            });
        }
    }

    /// Closes the streams that were idle for too long. Returns true when none is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle();
        idle.streams.retain(|_, streams| {
            streams.retain(|(_, since)| since.elapsed() < IDLE_FOR_MAX);
            !streams.is_empty()
        });
        idle.is_swept = !idle.streams.is_empty();
        idle.streams.is_empty()
    }

    /// The idle streams. No user of them can panic in the middle of a change, so a poisoned lock does no harm.
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a stream to the first address of a node that answers.
pub(crate) async fn dial(
    dialer: &StreamDialer,
    member: &Member,
    credential: &Credential,
) -> Result<PeerStream, OpenError> {
    let mut failed = OpenError::TimedOut;
    for address in &member.addresses {
        match dialer.dial(member.key, *address, credential).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = OpenError::Dial(error),
        }
    }
    Err(failed)
}

/// Asks for a connection and waits for the answer.
pub(crate) async fn ask(mut stream: PeerStream, open: &OpenRecord) -> Result<PeerStream, OpenError> {
    let asking = async {
        wire::send(&mut stream, open).await.map_err(OpenError::Stream)?;
        let answer = wire::receive(&mut stream).await.map_err(OpenError::Stream)?;
        match answer.ok_or_else(|| OpenError::Stream(io::ErrorKind::UnexpectedEof.into()))? {
            AnswerRecord::V1(Answer::Accepted) => Ok(()),
            AnswerRecord::V1(declined) => Err(OpenError::Declined(declined)),
        }
    };
    timeout(ANSWER_MAX, asking).await.unwrap_or(Err(OpenError::TimedOut))?;
    Ok(stream)
}

/// The first message of a connection to a copy.
pub(crate) fn opening(instance: &InstanceId, export: &PortName, is_entry: bool) -> OpenRecord {
    OpenRecord::V1(Open { instance: instance.clone(), export: export.clone(), is_entry })
}
