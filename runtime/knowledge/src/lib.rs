//! The facts that a node knows, each with its source and age. The set is never assumed to be complete.
//!
//! [`Knowledge`] merges batches of statements: merging is idempotent, commutative for different origins, and ignores
//! batches that arrive late. It ranks sources (a fresh measurement wins over the catalogue), and [`Snapshot`] is an
//! immutable copy for one solver run. The caller passes the time in; nothing is decided here. Read next:
//! [`knowledge`], then [`snapshot`].

#![forbid(unsafe_code)]

pub mod knowledge;
pub mod snapshot;

pub use knowledge::{Fact, Knowledge, Merged};
pub use snapshot::{Believed, Snapshot};
