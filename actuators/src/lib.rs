//! Where hosts come from: the [`Provider`] trait, the [`conformance`] suite that every provider must pass,
//! and the providers themselves.
//!
//! A provider carries out orders and tells what exists. It makes no choice: which offer to take, whether an
//! unknown outcome is retried, and when a host is released are decided by the protocol and recorded as intents
//! before any call made here. It knows neither the overlay nor the solver.
//!
//! Read next: [`provider`] for the contract, [`process`] for the embedded default, then [`conformance`].

pub mod conformance;
pub mod data_file;
pub mod error;
pub mod process;
pub mod provider;
pub mod registry;
pub mod rtt_matrix;

pub use data_file::DataFileError;
pub use error::{Effect, ProviderError};
pub use provider::{
    BOOT_BYTES_MAX, BoxFuture, Capabilities, Host, HostState, Idempotency, Offer, Order, Owner, PriceSource,
    Provider, TOKEN_CHARS_MAX, Tags, Token, Value,
};
pub use registry::{ProviderConfigError, Surroundings, provider_from};
pub use rtt_matrix::RttMatrix;
