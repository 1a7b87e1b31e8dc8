//! The types that every other crate of rhizo shares: names, counters, the user's spec, the commands that the quorum
//! commits (plans, targets, intents), and the records that cross a wire or reach a disk.
//!
//! This crate makes no decision and has no clock, file or transport. It depends on little beside serde, so that
//! every other crate can depend on it. Read next: [`id`], [`counter`], then [`spec`].

#![forbid(unsafe_code)]

pub mod counter;
mod digest;
pub mod expr;
pub mod fact;
pub mod failure;
pub mod id;
pub mod intent;
pub mod ledger;
pub mod lifecycle;
pub mod message;
pub mod net;
pub mod number;
mod policy;
mod port;
mod probe;
mod resource;
pub mod script;
pub mod secret;
pub mod spec;
pub mod state;
pub mod target;
pub mod wire;

pub use counter::{Epoch, Generation, Revision, Term, Time};
pub use digest::{Digest, DigestParseError};
pub use fact::Value;
pub use id::*;
pub use number::Number;
pub use resource::{HostResource, NODE_PORT};
