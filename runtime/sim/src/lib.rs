//! A deterministic world for the protocol core: the [`rhizo_protocol::Node`] of production runs here among simulated
//! networks, logs, providers, disks and clocks, all drawn from one seed.
//!
//! A run has two phases. Under faults, every event is followed by the safety checks of [`check`]. Then everything
//! heals, and the overlay has to become stable within a bound, with the providers' inventories equal to the ledger.
//! The same seed gives the same trace hash. Components of the application are imitated only as far as they start,
//! stop and fail. Plans are made by production planning, with a budget of steps instead of time.
//!
//! Read next: [`world`] (the event loop), [`fault`] (the faults), [`check`] (the safety checks).

#![forbid(unsafe_code)]

pub mod check;
pub mod cluster;
pub mod consensus;
mod detection;
pub mod failure_policy;
pub mod fault;
pub mod hash;
mod homes;
mod lost_quorum;
pub mod market;
pub mod network;
mod operator;
mod phase;
pub mod process;
pub mod provider;
pub mod run;
pub mod scenario;
pub mod violation;
pub mod world;

pub use fault::Fault;
pub use run::{Options, Outcome, run_seed};
pub use world::World;
