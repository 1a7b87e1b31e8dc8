//! The contract of a provider of hosts, for kinds that a program adds by [`Rhizo::provider`](crate::Rhizo::provider).
//!
//! A provider carries out orders and lists the hosts that exist; it makes no choice. Every order has a token, and the
//! same token always names the same host. [`conformance`] checks that, and the other promises, against a provider with
//! its real service.

pub use rhizo_actuators::{
    BOOT_BYTES_MAX, BoxFuture, Capabilities, Effect, FactoryError, Host, HostState, Idempotency, Offer,
    Order, Owner, PriceSource, Program, Provider, ProviderError, RttMatrix, Surroundings, TOKEN_CHARS_MAX,
    Table, Tags, Token, conformance,
};
pub use rhizo_types::fact::Value;
pub use rhizo_types::{
    AppName, AttributeName, HostId, IntentId, Lineage, OfferName, ProviderName, RegionName,
};
