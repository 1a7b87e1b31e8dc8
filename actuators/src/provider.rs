//! The contract between rhizo and a service that sells hosts: offers, orders, hosts, and the [`Provider`] trait.
//!
//! Nothing here performs I/O. A provider is called only after the intent of the call has been committed. Every call may
//! be repeated, by any node, until its outcome is known.
//! Read next: [`crate::error`], [`crate::conformance`].

use crate::error::ProviderError;
use crate::rtt_matrix::RttMatrix;
use rhizo_types::fact::Value;
use rhizo_types::{AppName, AttributeName, HostId, IntentId, Lineage, OfferName, ProviderName, RegionName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Longest token: the limit of EC2's `ClientToken`, the strictest of the services with tokens.
pub const TOKEN_CHARS_MAX: usize = 64;

/// Largest boot document in bytes: the smallest limit on user-data among the services (EC2, 16 KiB).
pub const BOOT_BYTES_MAX: usize = 16 * 1024;

/// The idempotency token of one order: derived from lineage, intent, generation and spec by the caller.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Token(pub String);

impl Token {
    /// Whether every provider would accept it: 1 to [`TOKEN_CHARS_MAX`] visible ASCII characters.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (1..=TOKEN_CHARS_MAX).contains(&self.0.len()) && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A kind of host that a provider sells.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Its name, unique among the offers of its provider.
    pub name: OfferName,
    /// Where a host of this offer would run.
    pub region: RegionName,
    /// Price of one host per hour, in `currency`; finite, not negative.
    pub price_per_hour: f64,
    /// ISO 4217 code of the price's currency.
    pub currency: String,
    /// The capacity of one host: `cpu` in cores, `memory` and `disk` in bytes, others as the provider documents.
    pub capacity: BTreeMap<String, f64>,
    /// Attributes of a host of this offer that are known before one exists.
    pub attributes: BTreeMap<AttributeName, Value>,
    /// Number of further hosts that can be acquired now; `None` when the provider does not say.
    pub available: Option<u32>,
    /// True when the figures are emulation, not a promise of a real service.
    pub synthetic: bool,
}

/// The owner of hosts: one application in one lineage.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// The application.
    pub app: AppName,
    /// The lineage; a recovered overlay has a new one and is a different owner.
    pub lineage: Lineage,
}

/// Ownership tags, given to the service inside the create call and never by a second call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Tags {
    /// The application that ordered the host.
    pub app: AppName,
    /// The lineage that ordered it.
    pub lineage: Lineage,
    /// The committed intent that explains the host.
    pub intent: IntentId,
}

impl Tags {
    /// The owner these tags name.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner { app: self.app.clone(), lineage: self.lineage }
    }
}

/// An order to create one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// The idempotency token. The same token always names the same host, from any sender and in any number of calls.
    pub token: Token,
    /// The offer to buy.
    pub offer: OfferName,
    /// The ownership tags of the host.
    pub tags: Tags,
    /// The boot document handed to the node; at most [`BOOT_BYTES_MAX`] bytes, without secrets of the overlay.
    pub boot: Vec<u8>,
    /// Milliseconds from creation until the ticket in `boot` expires; a host that has not joined by then halts.
    pub join_within_ms: u64,
}

/// The state of a host, as its provider sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum HostState {
    /// Claimed and paid for; its node does not run yet.
    Booting,
    /// Its node process has been started.
    Running,
    /// The host has ended for good: none of its processes runs any more. The provider reports it only when it knows.
    Terminated,
}

/// A machine, VM, container or emulated machine, as its provider lists it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Host {
    /// The provider's own identifier.
    pub id: HostId,
    /// The offer that was bought.
    pub offer: OfferName,
    /// Where it runs.
    pub region: RegionName,
    /// Its state, as the provider sees it.
    pub state: HostState,
    /// The token of the order that created it.
    pub token: Token,
    /// Its ownership tags.
    pub tags: Tags,
    /// Where its node can be reached, when the provider knows.
    pub address: Option<IpAddr>,
    /// When the provider accepted the order: milliseconds since the Unix epoch, by the provider's clock.
    pub created_unix_ms: u64,
    /// Why it ended, for the operator; only with [`HostState::Terminated`].
    pub cause: Option<String>,
}

/// The means by which a repeated order creates no second host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Idempotency {
    /// The service keeps tokens: repeating an order returns the first host.
    Token,
    /// The token is used as a unique name; "already exists" is adopted.
    UniqueName,
    /// Neither: the caller lists by tag first, and reclaims duplicates afterwards.
    ListFirst,
}

/// The source of prices.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum PriceSource {
    /// The service answers with current prices.
    Api,
    /// A file or a constant in the configuration.
    Static,
}

/// The abilities of a provider, from which the caller chooses its precautions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capabilities {
    /// The means by which a repeated order creates no second host.
    pub idempotency: Idempotency,
    /// Whether tags are part of the create call, so that no untagged host can exist.
    pub tags_at_create: bool,
    /// Seconds of notice before the provider takes a host back; `None` when it gives none.
    pub notice_s: Option<u32>,
    /// The source of prices.
    pub price_source: PriceSource,
    /// The longest time for which a host may be missing from the list after its order, in milliseconds.
    ///
    /// A host that no list has shown for less than this time may still exist.
    pub visible_ms: u64,
}

/// A source of hosts. Every implementation passes [`crate::conformance`].
///
/// Calls may be repeated and may run concurrently from several nodes; the provider keeps nothing in memory
/// that another node would need.
pub trait Provider: Send + Sync {
    /// The name it has in the configuration.
    fn name(&self) -> &ProviderName;

    /// Its abilities.
    fn capabilities(&self) -> Capabilities;

    /// The offers it sells now.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], [`ProviderError::Throttled`], or a broken catalogue.
    fn offers(&self) -> BoxFuture<'_, Result<Vec<Offer>, ProviderError>>;

    /// Round trips between its regions as its catalogue states them, in milliseconds; `None` when it has none.
    ///
    /// # Errors
    /// As [`Provider::offers`].
    fn latencies(&self) -> BoxFuture<'_, Result<Option<RttMatrix>, ProviderError>> {
        Box::pin(async { Ok(None) })
    }

    /// Creates the host of an order, or returns the one that this token has already created.
    ///
    /// The host returned may be [`HostState::Terminated`]: a token never creates a second host, so a host that
    /// is gone needs a new intent.
    ///
    /// # Errors
    /// [`ProviderError::effect`] tells whether the host may exist nevertheless.
    fn acquire<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Host, ProviderError>>;

    /// Requests the end of a host. [`Provider::list`] confirms it; the return of this call does not.
    ///
    /// An unknown host is not an error: a second release, or one after the provider forgot the host, succeeds.
    ///
    /// # Errors
    /// [`ProviderError::effect`] tells whether the host may be ending nevertheless.
    fn release<'a>(&'a self, host: &'a HostId) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// All hosts with this owner's tags, terminated ones for as long as the provider keeps them.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] or [`ProviderError::Throttled`]; then nothing is known about any host.
    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Host>, ProviderError>>;

    /// Boots this owner's hosts again that lost their power together with this machine. Returns how many booted.
    ///
    /// For hosts that this machine emulates. The default is for all others, which boot without a call. A host
    /// whose release was requested does not boot.
    ///
    /// # Errors
    /// When a host's records cannot be used, or its program cannot be started.
    fn resume<'a>(&'a self, _owner: &'a Owner) -> BoxFuture<'a, Result<usize, ProviderError>> {
        Box::pin(async { Ok(0) })
    }

    /// Removes the records and remains of this owner's terminated hosts; returns their number.
    ///
    /// Called when their end has been recorded; afterwards [`Provider::list`] does not show them any more.
    ///
    /// # Errors
    /// As [`Provider::list`].
    fn purge<'a>(&'a self, _owner: &'a Owner) -> BoxFuture<'a, Result<usize, ProviderError>> {
        Box::pin(async { Ok(0) })
    }
}
