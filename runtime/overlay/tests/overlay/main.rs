//! Overlays talking to each other over loopback, in one process. One binary, one module for each subject.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod admission;
mod gossip;
mod harness;
mod lanes;
mod processes;
mod shaping;
mod strangers;
mod successions;
mod upkeep;
