//! One agent by itself: every input it can get and all that it wants then, without a node around it.
//!
//! This is how the agent is explored: `rhizo-verify` puts agents into a model of channels, hosts and a log, and
//! the model checker of the channels shows that they keep what that model assumes. Nothing here decides anything;
//! [`Node`](crate::Node) drives the same functions in production. No channel frame is made, no report is sent.

use super::Agent;
use crate::event::Event;
use crate::ledger::Ledger;
use crate::out::Out;
use crate::turn::Turn;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::message::{AgentMessage, Report};

/// One thing that can happen to an agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The ledger went on.
    Follow,
    /// The next message of a peer's agent, in order.
    Message {
        /// From whom.
        from: NodeId,
        /// What.
        message: AgentMessage,
    },
    /// A peer's agent lost its state: what was agreed with it is void.
    Reset {
        /// Which peer.
        from: NodeId,
    },
    /// What came of an action.
    Action(Event),
    /// Time went on.
    Tick,
}

/// What an agent wants after one input.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reaction {
    /// What the shell owes it.
    pub turn: Turn,
    /// What its channels shall carry, in order for each peer.
    pub messages: Vec<(NodeId, AgentMessage)>,
}

impl Agent {
    /// Feeds one input and lets the agent do whatever has become possible.
    pub fn react(&mut self, input: Input, ledger: &Ledger, now: Time) -> Reaction {
        let mut out = Out::default();
        match input {
            Input::Follow => self.follow(ledger),
            Input::Message { from, message } => self.message(from, message),
            Input::Reset { from } => self.forget_peer(from),
            Input::Action(event) => self.action(event, now, ledger, &mut out),
            Input::Tick => {}
        }
        self.settle(ledger, now, &mut out);
        self.record_target(&mut out);
        Reaction { turn: out.into_turn(), messages: self.peers.take_queued() }
    }

    /// This agent's node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// When this agent wants to be woken, its channels and reports apart.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Time> {
        self.deadline()
    }

    /// What this agent would report now; the report's number is not set.
    #[must_use]
    pub fn situation(&self) -> Report {
        self.reporter.situation(self.target)
    }
}
