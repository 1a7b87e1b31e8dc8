//! The properties: what must hold in every state, at every step, and in the end.
//!
//! Each has a name, a condition that must have been met for a run to say anything about it, and the published
//! property it covers, where there is one. `local` looks at one host, `state` at hosts and channels together,
//! `step` at what is ordered, `liveness` marks states for *leads to*.

pub mod list;
pub mod liveness;
pub mod local;
pub mod startable;
pub mod state;
pub mod step;

pub use list::{Rule, Rules};
