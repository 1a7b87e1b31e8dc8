//! The replicated log: one small Raft group that orders what rhizo decides, behind a narrow interface.
//!
//! [`LogNode`] is one member (voter or learner). A command is bytes. Once it is committed, every member passes it to
//! its [`Machine`], in the same order. Messages between members are bytes too; the caller supplies the [`Transport`]
//! that carries them. So this crate knows no ledger and no network, and no other crate knows the Raft engine.
//!
//! ```text
//!   propose ─▶ LogNode ─▶ engine ─▶ store (redb, synced before it acknowledges)
//!                           │ ▲
//!                 Transport │ │ handle(from, bytes)         committed entries ─▶ Machine
//!                           ▼ │
//!                        other members
//! ```
//!
//! It does not choose voters, interpret commands, retry a proposal whose outcome is unknown, or decide that a group
//! has lost its quorum for good; [`replay`] and [`begin`] do the work when an operator has decided that. Leadership
//! here authorises no action outside the group: call [`LogNode::read_barrier`] first. Read next: [`node`](LogNode),
//! `store`, `wire`, and docs/decisions/0401.

#![forbid(unsafe_code)]

mod config;
mod convert;
mod engine;
mod error;
mod handover;
mod inbound;
mod machine;
mod member;
mod network;
mod node;
mod recovery;
mod shortening;
mod silence;
mod snapshot;
mod status;
mod store;
mod succession;
mod transport;
mod wire;

pub use config::{LogConfig, Storage, Timers};
pub use error::{
    BeginError, CallError, ChangeError, EngineFault, HandleError, InitialiseError, OpenError, ProposeError,
    ReadError, ReplayError,
};
pub use machine::{Entry, Machine, RestoreError};
pub use node::{LogNode, Proposed, Standing};
pub use recovery::{StoredLog, begin, replay};
pub use status::{LogStatus, Role, StorageFault};
pub use transport::{BoxFuture, Transport};
pub use wire::{COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX, SNAPSHOT_BYTES_MAX};
