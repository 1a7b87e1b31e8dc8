//! The replicated log: one small Raft group that orders what rhizo decides, behind a narrow interface.
//!
//! [`LogNode`] is one member (voter or learner). Commands are bytes and are handed, once committed, to a
//! [`Machine`] in order; messages between members are bytes too and travel over a [`Transport`] somebody else
//! provides. So this crate knows no ledger and no network, and nothing outside it knows the Raft engine.
//!
//! ```text
//!   propose ─▶ LogNode ─▶ engine ─▶ store (redb, synced before it acknowledges)
//!                           │ ▲
//!                 Transport │ │ handle(from, bytes)         committed entries ─▶ Machine
//!                           ▼ │
//!                        other members
//! ```
//!
//! What it does not do: choose voters, decide what a command means, retry a proposal whose outcome is unknown,
//! or repair a group that lost its quorum. Being leader here authorises nothing in the outside world: pass
//! [`LogNode::read_barrier`] first. Read next: [`node`](LogNode), `store`, `wire`, and docs/decisions/0401.

#![forbid(unsafe_code)]

mod config;
mod convert;
mod engine;
mod error;
mod inbound;
mod machine;
mod member;
mod network;
mod node;
mod shortening;
mod snapshot;
mod status;
mod store;
mod succession;
mod transport;
mod wire;

pub use config::{LogConfig, Storage, Timers};
pub use error::{
    CallError, ChangeError, EngineFault, HandleError, InitialiseError, OpenError, ProposeError, ReadError,
};
pub use machine::{Entry, Machine, RestoreError};
pub use node::{LogNode, Proposed};
pub use status::{LogStatus, Role};
pub use transport::{BoxFuture, Transport};
pub use wire::{COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX, SNAPSHOT_BYTES_MAX};
