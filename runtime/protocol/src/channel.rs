//! An ordered, reliable channel of agent messages between two nodes, over links that break and lose frames.
//!
//! A channel sends nothing itself: the agent takes frames from it. No message is lost as long as both ends keep their
//! state. When one end has lost its state, its session number is higher. The other end then drops what it had not
//! delivered, reports [`Arrival::reset`], and both begin again. Messages travel only after both ends know each other's
//! session, so that a frame of an earlier session is never accepted in this one.
//!
//! ```text
//! A                                   B
//! │── session 7, peer 0 ─────────────►│   hello
//! │◄───────────── session 3, peer 7 ──│   hello, answered
//! │── 7→3, first 1 [m1 m2] ack 0 ────►│
//! │◄──────────── 3→7, first 1 [] ack 2│
//! ```

use rhizo_types::Time;
use rhizo_types::message::{AgentMessage, Frame};
use std::collections::VecDeque;

/// The most messages in one frame: a frame stays far below the overlay's 1 MiB.
pub const FRAME_MESSAGES_MAX: usize = 512;
/// The most messages that may be unacknowledged: with more, a resend would be longer and nothing faster.
pub const WINDOW: usize = 4_096;
/// Time without an acknowledgement after which the oldest messages are sent again: three times the largest round trip
/// between cloud regions (300 ms). A single link loses no frame, so this covers dropped frames on a full queue.
pub const RESEND_MS: u64 = 1_000;

/// One end of a channel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Channel {
    session: u64,
    peer_session: u64,
    link_up: bool,
    /// Number of the first message in `unacked`.
    first: u64,
    unacked: VecDeque<AgentMessage>,
    /// How many of `unacked` were sent since sending last began from the front.
    sent: usize,
    /// Everything up to this number has arrived from the peer.
    received: u64,
    /// Whether the peer waits for an acknowledgement or a hello.
    owes_frame: bool,
    resend_at: Option<Time>,
}

/// The content of a received frame.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Arrival {
    /// Whether the peer lost its state, so that all agreements with it are void. To be handled before `messages`.
    pub reset: bool,
    /// New messages, in order.
    pub messages: Vec<AgentMessage>,
}

impl Channel {
    /// A channel that has received nothing from its peer.
    #[must_use]
    pub fn new(session: u64) -> Self {
        Self {
            session,
            peer_session: 0,
            link_up: false,
            first: 1,
            unacked: VecDeque::new(),
            sent: 0,
            received: 0,
            owes_frame: false,
            resend_at: None,
        }
    }

    /// Queues a message. The agent bounds the queue: it sends a few messages for each binding.
    pub fn push(&mut self, message: AgentMessage) {
        self.unacked.push_back(message);
    }

    /// A new link is up: a hello is sent, then every unacknowledged message again.
    pub fn link_up(&mut self) {
        self.link_up = true;
        self.owes_frame = true;
        self.sent = 0;
        self.resend_at = None;
    }

    /// The link is broken: nothing is sent until there is a new one.
    pub fn link_down(&mut self) {
        self.link_up = false;
        self.resend_at = None;
    }

    /// Takes in a frame that the peer sent.
    pub fn receive(&mut self, frame: Frame, now: Time) -> Arrival {
        let mut arrival = Arrival::default();
        if frame.session < self.peer_session {
            return arrival;
        }
        if frame.session > self.peer_session {
            arrival.reset = self.peer_session != 0;
            if arrival.reset {
                self.first = 1;
                self.unacked.clear();
            }
            self.peer_session = frame.session;
            self.received = 0;
            self.sent = 0;
            self.resend_at = None;
            self.owes_frame = true;
        }
        if frame.peer_session != self.session {
            // The peer does not know this session yet, and learns it from a hello.
            self.owes_frame = true;
            return arrival;
        }
        self.acknowledged(frame.ack, now);
        if !frame.messages.is_empty() {
            self.owes_frame = true;
        }
        for (number, message) in (frame.first..).zip(frame.messages) {
            if number == self.received + 1 {
                self.received = number;
                arrival.messages.push(message);
            }
        }
        arrival
    }

    /// Removes acknowledged messages. The others get the full time until a resend again, because the link works.
    fn acknowledged(&mut self, ack: u64, now: Time) {
        let before = self.first;
        while self.first <= ack && self.unacked.pop_front().is_some() {
            self.first += 1;
            self.sent = self.sent.saturating_sub(1);
        }
        if self.first > before {
            self.resend_at = (self.sent > 0).then(|| now.after_ms(RESEND_MS));
        }
    }

    /// Takes out the next frame to send at `now`; call it until it returns none.
    pub fn frame(&mut self, now: Time) -> Option<Frame> {
        if !self.link_up {
            return None;
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            self.sent = 0;
            self.resend_at = None;
            self.owes_frame |= self.peer_session == 0;
        }
        let ready = if self.peer_session == 0 { 0 } else { self.unacked.len().min(WINDOW) };
        if self.sent >= ready && !self.owes_frame {
            return None;
        }
        let end = ready.min(self.sent + FRAME_MESSAGES_MAX).max(self.sent);
        let messages: Vec<AgentMessage> = self.unacked.range(self.sent..end).cloned().collect();
        let first = self.first + self.sent as u64;
        self.sent = end;
        self.owes_frame = false;
        // A hello is repeated as well, until the peer's session is known. The oldest message sets the time: later ones
        // must not delay its resend again and again.
        let unanswered = self.sent > 0 || self.peer_session == 0;
        let resend_at = self.resend_at.unwrap_or(now.after_ms(RESEND_MS));
        self.resend_at = unanswered.then_some(resend_at);
        let (session, peer_session) = (self.session, self.peer_session);
        Some(Frame { session, peer_session, ack: self.received, first, messages })
    }

    /// When [`Channel::frame`] has something to send again.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.resend_at
    }

    /// Takes out the queued messages, for an agent that is model-checked without its channels.
    pub(crate) fn take_queued(&mut self) -> impl Iterator<Item = AgentMessage> {
        self.unacked.drain(..)
    }

    /// The messages that wait for an acknowledgement.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &AgentMessage> {
        self.unacked.iter()
    }

    /// The peer's session; zero while it is not known.
    #[must_use]
    pub fn peer_session(&self) -> u64 {
        self.peer_session
    }

    /// Whether the link is up and the peer's session is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link_up && self.peer_session != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::message::UseId;

    fn message(number: u64) -> AgentMessage {
        AgentMessage::Unbound { id: UseId(number) }
    }

    /// Two ends and a network that the test controls.
    struct Pair {
        a: Channel,
        b: Channel,
        now: Time,
        at_a: Vec<AgentMessage>,
        at_b: Vec<AgentMessage>,
        resets: usize,
    }

    impl Pair {
        fn new() -> Self {
            let (mut a, mut b) = (Channel::new(1), Channel::new(1));
            a.link_up();
            b.link_up();
            Self { a, b, now: Time::ZERO, at_a: vec![], at_b: vec![], resets: 0 }
        }

        /// Delivers frames until neither end sends; about one in `lose` is lost, and each one to `b` arrives twice.
        fn run(&mut self, lose: u64) {
            // A fixed sequence without a short period (Knuth's MMIX generator): a short one could lose the same frame
            // each time.
            let mut dice = 1_u64;
            let mut lost = move || {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                lose != 0 && (dice >> 33).is_multiple_of(lose)
            };
            for _ in 0..100_000 {
                let mut quiet = true;
                while let Some(frame) = self.a.frame(self.now) {
                    quiet = false;
                    if !lost() {
                        for _ in 0..2 {
                            let arrival = self.b.receive(frame.clone(), self.now);
                            self.resets += usize::from(arrival.reset);
                            self.at_b.extend(arrival.messages);
                        }
                    }
                }
                while let Some(frame) = self.b.frame(self.now) {
                    quiet = false;
                    if !lost() {
                        let arrival = self.a.receive(frame, self.now);
                        self.resets += usize::from(arrival.reset);
                        self.at_a.extend(arrival.messages);
                    }
                }
                if quiet {
                    match self.a.deadline().into_iter().chain(self.b.deadline()).min() {
                        Some(at) => self.now = at,
                        None => return,
                    }
                }
            }
            panic!("the channel does not come to rest");
        }
    }

    #[test]
    fn messages_arrive_once_and_in_order_over_a_lossy_link() {
        for lose in [0, 2, 3, 5] {
            let mut pair = Pair::new();
            let sent: Vec<_> = (1..=1_500).map(message).collect();
            for message in &sent {
                pair.a.push(message.clone());
            }
            pair.b.push(message(7));
            pair.run(lose);
            for number in 1..=100 {
                pair.a.push(message(number));
                pair.run(lose);
            }
            let expected: Vec<_> = sent.into_iter().chain((1..=100).map(message)).collect();
            assert_eq!(pair.at_b, expected);
            assert_eq!(pair.at_a, vec![message(7)]);
            assert_eq!(pair.resets, 0);
        }
    }

    #[test]
    fn a_broken_link_loses_nothing() {
        let mut pair = Pair::new();
        pair.run(0);
        pair.a.push(message(1));
        let lost = pair.a.frame(pair.now);
        assert!(lost.is_some());
        pair.a.link_down();
        pair.b.link_down();
        pair.a.push(message(2));
        assert_eq!(pair.a.frame(pair.now), None);
        pair.a.link_up();
        pair.b.link_up();
        pair.run(0);
        assert_eq!(pair.at_b, vec![message(1), message(2)]);
    }

    #[test]
    fn a_peer_that_lost_its_state_is_noticed_and_old_messages_are_dropped() {
        let mut pair = Pair::new();
        pair.a.push(message(1));
        pair.run(0);
        pair.a.push(message(2));
        pair.b = Channel::new(2);
        pair.a.link_up();
        pair.b.link_up();
        pair.run(0);
        assert_eq!((pair.at_b.clone(), pair.resets), (vec![message(1)], 1));
        pair.a.push(message(3));
        pair.run(0);
        assert_eq!(pair.at_b, vec![message(1), message(3)]);
    }

    #[test]
    fn a_lost_message_is_sent_again_although_an_earlier_one_was_acknowledged() {
        let mut pair = Pair::new();
        pair.run(0);
        pair.a.push(message(1));
        let first = pair.a.frame(pair.now).expect("a message waits");
        pair.a.push(message(2));
        assert!(pair.a.frame(pair.now).is_some(), "the second message is sent, and lost");
        pair.at_b.extend(pair.b.receive(first, pair.now).messages);
        let answer = pair.b.frame(pair.now).expect("an acknowledgement is owed");
        pair.a.receive(answer, pair.now);
        pair.run(0);
        assert_eq!(pair.at_b, vec![message(1), message(2)]);
    }

    #[test]
    fn later_messages_do_not_put_off_what_was_lost() {
        let mut pair = Pair::new();
        pair.run(0);
        pair.a.push(message(1));
        assert!(pair.a.frame(pair.now).is_some(), "the first message is sent, and lost");
        let begin = pair.now;
        for number in 2..20 {
            pair.now = pair.now.after_ms(RESEND_MS / 4);
            pair.a.push(message(number));
            while let Some(frame) = pair.a.frame(pair.now) {
                pair.at_b.extend(pair.b.receive(frame, pair.now).messages);
            }
            if !pair.at_b.is_empty() {
                break;
            }
        }
        assert!(
            pair.now.ms_since(begin) <= RESEND_MS,
            "the lost message was sent again after {} ms",
            pair.now.ms_since(begin)
        );
    }

    #[test]
    fn frames_of_an_earlier_session_are_ignored() {
        let mut old = Channel::new(1);
        old.link_up();
        let mut b = Channel::new(1);
        b.link_up();
        let hello = b.frame(Time::ZERO).expect("a hello is owed");
        old.receive(hello, Time::ZERO);
        old.push(message(1));
        let late = old.frame(Time::ZERO).expect("a message waits");
        let mut new = Channel::new(2);
        new.link_up();
        b.receive(new.frame(Time::ZERO).expect("a hello is owed"), Time::ZERO);
        assert_eq!(b.receive(late, Time::ZERO), Arrival::default());
    }
}
