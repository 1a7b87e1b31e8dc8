//! The protocol core of rhizo: all decisions of a node, without input or output.
//!
//! The core takes one [`Event`] and returns one [`Turn`]. It reads no clock, draws no random number, opens no socket or
//! file, starts no task, and logs nothing. Its state is `Clone + Eq + Hash + Debug`. The model checker, the simulator
//! and production therefore run the same code.
//!
//! The contract with the shell: 1. Call [`Node::handle`] with each event, in the order in which they occur, with a time
//! that never decreases. 2. Execute the whole [`Turn`] before the next one: execute `now`, append `durable` and sync,
//! then execute `after_durable`; each list in order. A long effect only has to be begun. Its result comes back as an
//! event. 3. Call [`Node::handle`] with [`Event::Tick`] when [`Node::deadline`] has passed.
//!
//! Read next: [`node`], then [`ledger`] (the decisions of the quorum), [`coordinator`] (which proposes them), [`agent`]
//! (which executes them), [`observer`] (liveness), [`catch_up`] (members without the log).

#![forbid(unsafe_code)]

pub mod agent;
pub mod assign;
pub mod back_off;
pub mod bindings;
pub mod catch_up;
pub mod channel;
pub mod codec;
pub mod coordinator;
pub mod event;
pub mod judgement;
pub mod leadership;
pub mod ledger;
pub mod node;
pub mod notice;
mod notices;
pub mod observer;
mod out;
pub mod reasons;
pub mod request;
pub mod sabotage;
pub mod secret;
pub mod status;
pub mod survival;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod turn;
pub mod words;

pub use event::{
    AcquireResult, ActResult, Event, ListError, ListedHost, LogStatus, Proposal, ProposeResult, Request,
    SolveOutcome,
};
pub use ledger::{Applied, Departed, Ledger, Member, Refusal, ScriptRun, ScriptState, SlotState};
pub use node::{Node, NodeConfig};
pub use notice::{HaltReason, Notice};
pub use request::{Cooling, CopyView, DefinitionChange, HostView, PlaceState, SolveId, SolveRequest, Terms};
pub use status::{OverlayState, Status};
pub use survival::Survival;
pub use turn::{
    AcquireCall, ActCall, ActionId, Answer, Bound, BoundImports, Effect, MembershipChange, ProposalId,
    RequestId, RunId, StartCall, Turn,
};
