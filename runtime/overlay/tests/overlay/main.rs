//! Overlays talking to each other over loopback, in one process. One binary, one module for each subject.

mod admission;
mod gossip;
mod harness;
mod lanes;
mod shaping;
mod strangers;
mod upkeep;
