//! Lanes: for each link and class one substream out and one in, a bounded queue, requests and their answers.
//!
//! Order holds within a lane while the link lives; numbering and resending across links is the protocol
//! crate's business. The substreams are opened by [`crate::links`]; the tasks here own them.

use crate::class::Class;
use crate::event::{EventSender, LinkDownReason, OverlayEvent};
use crate::frame::{Frame, FrameError, FrameKind};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use rhizo_types::PeerKey;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Frames that may wait in one lane's queue.
const QUEUE_FRAMES_MAX: usize = 4096;
/// Requests to one peer that may wait for their answers.
const ASKED_MAX: usize = 1024;
/// Requests of one peer that the shell may hold unanswered.
const HELD_REQUESTS_MAX: usize = 1024;
/// Small frames are written together up to this many bytes, so that a burst costs one flush.
const GATHER_BYTES: usize = 32 * 1024;

/// Why something could not be queued for a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// There is no link to that peer now.
    #[error("send: no link to that peer")]
    NotLinked,
    /// The body is longer than the class allows.
    #[error("send {length} bytes, more than the {limit} allowed in this class")]
    TooLong {
        /// Length of the body, in bytes.
        length: usize,
        /// What the class allows, in bytes.
        limit: usize,
    },
    /// The peer takes frames more slowly than they are sent.
    #[error("send: the queue to that peer is full")]
    QueueFull,
}

/// Why a request got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// It could not be queued; it was certainly not received.
    #[error("send the request")]
    NotSent(#[source] SendError),
    /// Too many requests to that peer wait already; it was certainly not received.
    #[error("send the request: too many wait for that peer")]
    TooMany,
    /// The link went down before the answer; it may have been received.
    #[error("get an answer: the link was lost")]
    LinkLost,
    /// The peer received it and will not answer.
    #[error("get an answer: the peer declined")]
    Declined,
    /// No answer in time; it may have been received and may still be acted on.
    #[error("get an answer in time")]
    TimedOut,
}

type Asked = oneshot::Sender<Result<Vec<u8>, RequestError>>;

/// All lanes of one link, as seen by senders.
#[derive(Debug)]
pub(crate) struct Lanes {
    queues: [Queue; 5],
    asked: Mutex<BTreeMap<u64, Asked>>,
    next_number: AtomicU64,
    held_requests: AtomicUsize,
}

#[derive(Debug)]
struct Queue {
    frames: mpsc::Sender<Frame>,
    /// Bytes queued and not yet written; shared with the lane's writer.
    bytes: Arc<AtomicUsize>,
}

/// The writer's end of one lane's queue.
#[derive(Debug)]
pub(crate) struct Outlet {
    frames: mpsc::Receiver<Frame>,
    bytes: Arc<AtomicUsize>,
}

impl Lanes {
    pub(crate) fn new() -> (Arc<Self>, [Option<Outlet>; 5]) {
        let mut outlets = [const { None }; 5];
        let queues = Class::ALL.map(|class| {
            let (sender, receiver) = mpsc::channel(QUEUE_FRAMES_MAX);
            let bytes = Arc::new(AtomicUsize::new(0));
            outlets[class.index()] = Some(Outlet { frames: receiver, bytes: Arc::clone(&bytes) });
            Queue { frames: sender, bytes }
        });
        let lanes = Self {
            queues,
            asked: Mutex::default(),
            next_number: AtomicU64::new(1),
            held_requests: AtomicUsize::new(0),
        };
        (Arc::new(lanes), outlets)
    }

    /// Queues a frame without waiting.
    pub(crate) fn push(&self, class: Class, frame: Frame) -> Result<(), SendError> {
        let (length, limit) = (frame.body.len(), class.body_bytes_max());
        if length > limit {
            return Err(SendError::TooLong { length, limit });
        }
        let queue = &self.queues[class.index()];
        let before = queue.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = before + length <= class.queue_bytes_max();
        let outcome = if fits { queue.frames.try_send(frame) } else { return self.undo(class, length) };
        match outcome {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => self.undo(class, length),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SendError::NotLinked),
        }
    }

    fn undo(&self, class: Class, length: usize) -> Result<(), SendError> {
        self.queues[class.index()].bytes.fetch_sub(length, Ordering::Relaxed);
        Err(SendError::QueueFull)
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<u64, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for its answer, however long that takes.
    pub(crate) async fn ask(&self, class: Class, body: Vec<u8>) -> Result<Vec<u8>, RequestError> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut asked = self.asked();
            if asked.len() >= ASKED_MAX {
                return Err(RequestError::TooMany);
            }
            asked.insert(number, sender);
        }
        // Forgets the question when the caller gives up, so that the table holds live requests only.
        let _forget = Forget { lanes: self, number };
        self.push(class, Frame { kind: FrameKind::Request, number, body }).map_err(RequestError::NotSent)?;
        answer.await.unwrap_or(Err(RequestError::LinkLost))
    }

    fn settle(&self, number: u64, outcome: Result<Vec<u8>, RequestError>) {
        // An answer nobody waits for came after its timeout; there is nobody to tell.
        if let Some(asked) = self.asked().remove(&number) {
            let _ = asked.send(outcome);
        }
    }

    /// Ends all waiting: the link is down.
    pub(crate) fn abandon(&self) {
        self.asked().clear();
    }
}

struct Forget<'a> {
    lanes: &'a Lanes,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.lanes.asked().remove(&self.number);
    }
}

/// Where the answer to one request goes. Dropped unused, it declines the request.
#[derive(Debug)]
pub struct Reply {
    lanes: Arc<Lanes>,
    class: Class,
    number: u64,
    answered: bool,
}

impl Reply {
    /// Queues the answer.
    ///
    /// # Errors
    /// The answer is too long, the queue full, or the link is gone; the asker then learns nothing but its timeout.
    pub fn send(mut self, body: Vec<u8>) -> Result<(), SendError> {
        self.answered = true;
        self.lanes.push(self.class, Frame { kind: FrameKind::Answer, number: self.number, body })
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.lanes.held_requests.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            decline(&self.lanes, self.class, self.number);
        }
    }
}

fn decline(lanes: &Lanes, class: Class, number: u64) {
    // When the queue is full the asker's timeout says the same, later.
    let _ = lanes.push(class, Frame { kind: FrameKind::Declined, number, body: Vec::new() });
}

/// Writes a lane's queue to its substream until either ends.
pub(crate) async fn write<W: AsyncWrite + Unpin>(mut io: W, mut outlet: Outlet) -> io::Result<()> {
    let mut gathered = Vec::new();
    while let Some(first) = outlet.frames.recv().await {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(frame) = next.take() {
            let Some(head) = frame.head() else { continue };
            bytes += frame.body.len();
            gathered.extend_from_slice(&head);
            if frame.body.len() > GATHER_BYTES {
                io.write_all(&gathered).await?;
                gathered.clear();
                io.write_all(&frame.body).await?;
            } else {
                gathered.extend_from_slice(&frame.body);
            }
            if gathered.len() < GATHER_BYTES && bytes < GATHER_BYTES {
                next = outlet.frames.try_recv().ok();
            }
        }
        io.write_all(&gathered).await?;
        gathered.clear();
        // An idle lane keeps no buffer.
        gathered.shrink_to(1024);
        io.flush().await?;
        outlet.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
    io.close().await
}

/// Reads a lane's frames and hands them on until the lane ends; says why it ended.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    mut io: R,
    peer: PeerKey,
    class: Class,
    lanes: Arc<Lanes>,
    events: EventSender,
) -> LinkDownReason {
    loop {
        let frame = match Frame::read(&mut io, class.body_bytes_max()).await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Broken(_)) => return LinkDownReason::Lost,
            Err(error @ (FrameError::Kind(_) | FrameError::TooLong { .. })) => {
                tracing::warn!(%peer, ?class, %error, "lane violated");
                return LinkDownReason::Violation;
            }
        };
        let bytes = frame.body.len();
        let event = match frame.kind {
            FrameKind::Message => OverlayEvent::Frame { peer, class, body: frame.body },
            FrameKind::Request => {
                if lanes.held_requests.fetch_add(1, Ordering::Relaxed) >= HELD_REQUESTS_MAX {
                    lanes.held_requests.fetch_sub(1, Ordering::Relaxed);
                    decline(&lanes, class, frame.number);
                    continue;
                }
                let reply = Reply { lanes: Arc::clone(&lanes), class, number: frame.number, answered: false };
                OverlayEvent::Request { peer, class, body: frame.body, reply }
            }
            FrameKind::Answer => {
                lanes.settle(frame.number, Ok(frame.body));
                continue;
            }
            FrameKind::Declined => {
                lanes.settle(frame.number, Err(RequestError::Declined));
                continue;
            }
        };
        if events.send(event, bytes).await.is_err() {
            return LinkDownReason::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn message(length: usize) -> Frame {
        Frame { kind: FrameKind::Message, number: 0, body: vec![0; length] }
    }

    #[test]
    fn a_queue_is_bounded_in_frames_and_in_bytes() {
        let (lanes, _outlets) = Lanes::new();
        for _ in 0..QUEUE_FRAMES_MAX {
            lanes.push(Class::Agent, message(1)).unwrap();
        }
        assert_eq!(lanes.push(Class::Agent, message(1)), Err(SendError::QueueFull));
        let limit = Class::Raft.body_bytes_max();
        for _ in 0..4 {
            lanes.push(Class::Raft, message(limit)).unwrap();
        }
        assert_eq!(lanes.push(Class::Raft, message(1)), Err(SendError::QueueFull));
        let length = limit + 1;
        assert_eq!(lanes.push(Class::Control, message(length)), Err(SendError::TooLong { length, limit }));
    }

    #[tokio::test]
    async fn written_bytes_make_room_again() {
        let (lanes, mut outlets) = Lanes::new();
        let limit = Class::Raft.body_bytes_max();
        for _ in 0..4 {
            lanes.push(Class::Raft, message(limit)).unwrap();
        }
        let outlet = outlets[Class::Raft.index()].take().unwrap();
        let bytes = Arc::clone(&outlet.bytes);
        let writer = tokio::spawn(write(futures::io::sink(), outlet));
        drop(lanes);
        writer.await.unwrap().unwrap();
        assert_eq!(bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_forgotten_request_leaves_no_trace_and_an_abandoned_one_is_lost() {
        let (lanes, _outlets) = Lanes::new();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut asking = pin!(lanes.ask(Class::Raft, vec![1]));
            assert!(asking.as_mut().poll(&mut cx).is_pending());
            assert_eq!(lanes.asked().len(), 1);
        }
        assert_eq!(lanes.asked().len(), 0);
        let mut asking = pin!(lanes.ask(Class::Raft, vec![1]));
        assert!(asking.as_mut().poll(&mut cx).is_pending());
        lanes.abandon();
        assert_eq!(asking.as_mut().poll(&mut cx), std::task::Poll::Ready(Err(RequestError::LinkLost)));
    }
}
