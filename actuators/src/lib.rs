//! Sources of hosts: the [`Provider`] trait, the [`conformance`] suite that every provider must pass, and the
//! providers themselves.
//!
//! A provider carries out orders and lists the hosts that exist. It makes no choice: the protocol decides which offer
//! to take, whether an unknown outcome is retried, and when a host is released, and commits an intent before any call
//! here. A provider knows neither the overlay nor the solver.
//!
//! Read next: [`provider`] for the contract, [`process`] for the embedded default, then [`conformance`].

#![forbid(unsafe_code)]

pub mod conformance;
pub mod data_file;
pub mod error;
pub mod process;
pub mod provider;
pub mod registry;
pub mod rtt_matrix;
pub mod surroundings;
pub use data_file::DataFileError;
pub use error::{Effect, FactoryError, ProviderConfigError, ProviderError};
pub use provider::{
    BOOT_BYTES_MAX, BoxFuture, Capabilities, Host, HostState, Idempotency, Offer, Order, Owner, PriceSource,
    Provider, TOKEN_CHARS_MAX, Tags, Token,
};
pub use registry::{Kinds, Table};
pub use rtt_matrix::RttMatrix;
pub use surroundings::{Executable, Program, Surroundings};
