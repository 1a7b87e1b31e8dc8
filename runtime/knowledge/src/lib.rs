//! What a node believes about the world, with source and age for each fact; never claimed to be complete.
//!
//! It merges batches of statements (commutative for different origins, idempotent, late ones never win),
//! ranks sources (a fresh measurement beats the catalogue) and cuts immutable snapshots. It has no clock:
//! the caller passes the time in. It decides nothing. Read next: [`knowledge`], then [`snapshot`].

#![forbid(unsafe_code)]

pub mod knowledge;
pub mod snapshot;

pub use knowledge::{Fact, Knowledge, Merged};
pub use snapshot::{Believed, Snapshot};
