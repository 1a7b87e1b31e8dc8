//! The words every other crate of rhizo shares: names, counters, what the user wants (`spec`), what the
//! quorum decides (`ledger` commands, targets, intents) and the records that cross a wire or reach a disk.
//!
//! It does not decide, read a clock, touch a file or know a transport. Only serde is a dependency, so every
//! other crate can afford it. Read next: [`id`], [`counter`], then [`spec`].

#![forbid(unsafe_code)]

pub mod counter;
pub mod expr;
pub mod fact;
mod flaw;
pub mod id;
pub mod intent;
pub mod ledger;
pub mod lifecycle;
mod marking;
pub mod message;
pub mod net;
pub mod number;
pub mod script;
pub mod spec;
pub mod target;
pub mod wire;

pub use counter::{Epoch, Generation, Revision, Term, Time};
pub use id::*;
pub use number::Number;
