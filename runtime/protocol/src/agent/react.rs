//! An agent without a node around it: its inputs, and its reaction to each.
//!
//! `rhizo-verify` model-checks agents in this form, inside a model of channels, hosts and a log. The tests of the
//! channel show that it keeps what the model assumes. Nothing is decided here: [`Node`](crate::Node) calls the same
//! functions in production. No channel frame is made and no report is sent.

use super::Agent;
use crate::event::Event;
use crate::ledger::Ledger;
use crate::out::Out;
use crate::turn::Turn;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use rhizo_types::message::{AgentMessage, Report};

/// One input of an agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The ledger has changed.
    Follow,
    /// The next message of a peer's agent, in order.
    Message {
        /// The peer.
        from: NodeId,
        /// The message.
        message: AgentMessage,
    },
    /// A peer's agent lost its state, so that all agreements with it are void.
    Reset {
        /// The peer.
        from: NodeId,
    },
    /// The result of an action.
    Action(Event),
    /// Time has passed.
    Tick,
}

/// The output of an agent for one input.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reaction {
    /// The effects for the shell.
    pub turn: Turn,
    /// The messages for other agents, in order for each of them.
    pub messages: Vec<(NodeId, AgentMessage)>,
}

impl Agent {
    /// Handles one input, and everything that becomes possible by it.
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

    /// When this agent has to be woken.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Time> {
        self.deadline()
    }

    /// The report that this agent would send now, with number zero.
    #[must_use]
    pub fn situation(&self) -> Report {
        self.reporter.situation(self.target)
    }
}
