//! The process provider with real processes: one file per subject, one binary.
//!
//! Every test has its own state directory and proves at its end that nothing of it is left.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test, as its body does")]

mod bench;
mod chaos;
mod conformance;
mod faults;
mod lives;
mod ownership;
mod release;
mod world;
