//! Transfers between the stores of several nodes, over streams that are slow, break, or flip bits.

#![expect(clippy::unwrap_used, reason = "functions that tests share fail like the tests")]

mod faults;
mod harness;
mod parsers;
mod swarm;
