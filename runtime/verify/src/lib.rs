//! Exhaustive exploration of rhizo's core: the very agent that runs, in every order of events that can happen.
//!
//! It knows no time, no input and no output, and it decides nothing: what is explored is `rhizo-protocol`, between
//! channels, hosts and a log that behave as badly as they may. The bounded run over many scenarios is the test
//! target `models` of `rhizo-protocol`.
//!
//! Read next: [`scenario`] (what is explored), [`model`] (how), [`property`] (what must hold), [`explore`] and
//! [`graph`] (the search and liveness, which know nothing of rhizo), [`check`] (all together).

#![forbid(unsafe_code)]

pub mod check;
pub mod explore;
pub mod fingerprint;
pub mod graph;
pub mod model;
pub mod property;
pub mod scenario;
pub mod schedule;
pub mod svg;
pub mod table;

pub use check::{Observed, Questions, Verdict, Violation, check, check_asking, check_only, retrace};
pub use property::{Rule, Rules};
pub use scenario::{Fault, Faults, Scenario, Wish};
