//! The protocol core of rhizo: every decision of a node, without any input or output.
//!
//! One [`Event`] in, one [`Turn`] out. The core reads no clock, draws no random number, opens no socket, file or
//! task, and logs nothing; its state is `Clone + Eq + Hash + Debug`, so the code that is explored exhaustively,
//! simulated under seeds and run in production is the same code.
//!
//! The contract with the shell:
//! 1. Call [`Node::handle`] with every event, in the order they happened, with a time that never goes back.
//! 2. Execute the whole [`Turn`] before the next one: `now`, then append `durable` and sync, then `after_durable`;
//!    each list in order. To execute may be to begin something long. Results come back as events.
//! 3. Call [`Node::handle`] with [`Event::Tick`] when [`Node::deadline`] has come.
//!
//! Read next: [`node`], then [`ledger`] (what is decided), [`coordinator`] (who decides), [`agent`] (who
//! executes), [`observer`] (who lives), [`catch_up`] (who knows).

#![forbid(unsafe_code)]

pub mod agent;
pub mod assign;
pub mod bindings;
pub mod catch_up;
pub mod channel;
pub mod codec;
pub mod coordinator;
pub mod event;
pub mod leadership;
pub mod ledger;
pub mod node;
pub mod notice;
mod notices;
pub mod observer;
mod out;
pub mod sabotage;
pub mod secret;
pub mod status;
pub mod turn;
pub mod words;

pub use event::{
    AcquireResult, ActResult, Event, ListError, ListedHost, LogStatus, Proposal, ProposeResult, Request,
    SolveOutcome,
};
pub use ledger::{Applied, Departed, Ledger, Member, Refusal, ScriptRun, ScriptState, SlotState};
pub use node::{Node, NodeConfig};
pub use notice::Notice;
pub use status::{OverlayState, Status};
pub use turn::{
    AcquireCall, ActCall, ActionId, Answer, Bound, BoundImports, Effect, HaltReason, HostView,
    MembershipChange, ProposalId, RequestId, RunId, SolveId, SolveRequest, StartCall, Turn,
};
