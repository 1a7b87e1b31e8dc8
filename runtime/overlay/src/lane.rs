//! Lanes: for each link and class one substream out and one in, a bounded queue, requests and their answers.
//!
//! Order holds within a lane while the link exists. The protocol crate numbers messages and resends them across
//! links. The substreams are opened by [`crate::links`]; the tasks in [`crate::lane_io`] own them.

use crate::class::Class;
use crate::frame::{Frame, FrameKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Frames that may wait in one lane's queue.
const QUEUE_FRAMES_MAX: usize = 4096;
/// Requests to one peer that may wait for their answers.
const ASKED_MAX: usize = 1024;
/// Requests of one peer that the shell may hold unanswered.
pub(crate) const HELD_REQUESTS_MAX: usize = 1024;

/// The reason why a frame could not be queued for a peer.
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
        /// The limit of the class, in bytes.
        limit: usize,
    },
    /// The peer takes frames more slowly than they are sent.
    #[error("send: the queue to that peer is full")]
    QueueFull,
}

/// The reason why a request got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// It could not be queued and was not received.
    #[error("send the request")]
    NotSent(#[source] SendError),
    /// Too many requests to that peer are waiting already; this one was not received.
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
    pub(crate) held_requests: AtomicUsize,
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
    pub(crate) frames: mpsc::Receiver<Frame>,
    pub(crate) bytes: Arc<AtomicUsize>,
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

    /// Sends a request and waits for its answer, without a time limit.
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
        // Removes the request from the table when the caller stops waiting, so that the table holds live requests
        // only.
        let _forget = Forget { lanes: self, number };
        self.push(class, Frame { kind: FrameKind::Request, number, body }).map_err(RequestError::NotSent)?;
        answer.await.unwrap_or(Err(RequestError::LinkLost))
    }

    pub(crate) fn settle(&self, number: u64, outcome: Result<Vec<u8>, RequestError>) {
        // A request that has timed out is not in the table any more; its late answer is dropped.
        if let Some(asked) = self.asked().remove(&number) {
            let _ = asked.send(outcome);
        }
    }

    /// Ends all waiting requests with [`RequestError::LinkLost`], because the link is down.
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

/// The sender of the answer to one request. Dropped unused, it declines the request.
#[derive(Debug)]
pub struct Reply {
    lanes: Arc<Lanes>,
    class: Class,
    number: u64,
    answered: bool,
}

impl Reply {
    /// The reply to a request that counts among the held ones of `lanes` already.
    pub(crate) fn new(lanes: Arc<Lanes>, class: Class, number: u64) -> Self {
        Self { lanes, class, number, answered: false }
    }

    /// Queues the answer.
    ///
    /// # Errors
    /// The answer is too long, the queue is full, or the link is down; the request at the other end then times out.
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

pub(crate) fn decline(lanes: &Lanes, class: Class, number: u64) {
    // When the queue is full, the request at the other end times out instead.
    let _ = lanes.push(class, Frame { kind: FrameKind::Declined, number, body: Vec::new() });
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
