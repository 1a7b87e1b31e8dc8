//! Placement: which machines to keep, buy and release, and which instance runs on which machine.
//!
//! Maximises `utility - costs - migration` under hard rules. The crate is a pure function of a [`problem::Problem`], a
//! seed and a closure that says when to stop: it uses no clock, socket or file. Every result has passed the independent
//! checker in [`mod@check`]. Read in this order: [`problem`], [`constraint`], [`objective`], [`assignment`],
//! [`mod@solve`], then `engine.rs`.

#![forbid(unsafe_code)]

pub mod assignment;
pub mod check;
pub mod constraint;
mod eligible;
mod engine;
mod engine_name;
pub mod evaluate;
pub mod explain;
mod infeasibility;
mod limit;
pub mod minizinc;
mod minizinc_text;
pub mod objective;
pub mod ordering;
pub mod plan;
pub mod problem;
mod problem_error;
mod release;
pub mod rule;
mod rules;
mod scope;
pub mod sentence;
pub mod solve;
mod undo;
pub mod validate;
pub mod versions;
pub mod watch;

pub use assignment::{Assignment, Instance, Place};
pub use check::{Violation, check};
pub use constraint::{Comparison, Constraint, Limit, Scope};
pub use engine_name::{EngineName, UnknownEngine};
pub use evaluate::{Score, evaluate};
pub use objective::{Cost, Measure, Migration, Of, Utility};
pub use ordering::{OrderError, Sequence, Step, Wave, order, replay};
pub use plan::{Change, Order, Plan};
pub use problem::{Component, Latency, Machine, Named, Partition, Problem, Quantity, Resource, Stock};
pub use sentence::sentence;
pub use solve::{Options, SolveError, repair, solve, solve_watched};
pub use validate::{NUMBER_MAX, ProblemError, validate};
pub use versions::{Provided, Release, Version, VersionReq, Wanted};
pub use watch::{Improvement, MEMORY_MAX_BYTES, Watch};
