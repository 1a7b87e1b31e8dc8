//! Exhaustive exploration of rhizo's core: the production agent, in every possible order of events.
//!
//! The explored code is `rhizo-protocol`, between models of channels, hosts and a log that fail in every way they may.
//! This crate decides nothing for the application and has no clock, input or output. The bounded run over many
//! scenarios is the test target `models` of `rhizo-protocol`.
//!
//! Read next: [`scenario`] for the input, [`model`] for the states and steps, [`property`] for the properties,
//! [`explore`] and [`graph`] for the search and liveness (which are independent of rhizo), [`check()`] for the whole.
//! [`failure_policy`] is a second model, of ledger and coordinator.

#![forbid(unsafe_code)]

pub mod check;
pub mod explore;
pub mod failure_policy;
pub mod fingerprint;
pub mod graph;
pub mod model;
pub mod property;
pub mod rule;
pub mod scenario;
pub mod schedule;
pub mod svg;
pub mod table;

pub use check::{Observed, Questions, Verdict, Violation, check, check_asking, check_only, retrace};
pub use rule::{Rule, Rules};
pub use scenario::{Fault, Faults, Scenario, Wish};
