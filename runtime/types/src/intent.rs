//! Intents: one committed decision each to hold one host, from the order to the confirmed release.
//!
//! Only data. `rhizo-protocol::ledger` says which step may follow which; the steps are in `overlay.md` 1.6 of
//! the project's reference. An intent is *closed* when it can no longer cost anything.

use crate::id::{AttributeName, HostId, IntentId, NodeId, OfferName, ProviderName, RegionName};
use crate::number::Number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One host to acquire: everything the provider call needs, fixed when the plan is committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct AcquireOrder {
    /// Who is asked.
    pub provider: ProviderName,
    /// What is asked for.
    pub offer: OfferName,
    /// Where it will be.
    pub region: RegionName,
    /// The price the plan was made with, in millionths of the budget's currency per hour.
    pub price_micros_per_hour: u64,
    /// Resources of the host, as the catalogue stated them: `cpu` in cores, `memory` in bytes, …
    pub capacity: BTreeMap<String, Number>,
    /// Attributes of the host, as the catalogue stated them; measured facts win over them.
    pub attributes: BTreeMap<AttributeName, AttributeValue>,
}

/// The value of an attribute: a number or a text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AttributeValue {
    /// In the base unit of its quantity.
    Number(Number),
    /// A word.
    Text(String),
}

/// An intent and how far it got.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub id: IntentId,
    /// What was ordered. For a reclaimed host, what is known of it.
    pub order: AcquireOrder,
    /// How far it got.
    pub state: IntentState,
    /// The host, once the provider named it.
    pub host: Option<BoundHost>,
    /// The node that consumed the ticket, if one did.
    pub node: Option<NodeId>,
}

impl Intent {
    /// Whether it can still cost anything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, IntentState::Absent | IntentState::Released)
    }
}

/// How far an intent got. Every step is a committed entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum IntentState {
    /// Committed; the provider may or may not have been asked yet.
    Open,
    /// Asked without a clear answer; only the provider's list can tell.
    Unknown,
    /// The host exists.
    Bound,
    /// To be released: the provider may or may not have been asked yet.
    Releasing,
    /// Closed: the provider's list confirmed that there is no such host.
    Absent,
    /// Closed: the provider's list confirmed that the host is gone.
    Released,
}

/// A host as the provider named it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct BoundHost {
    /// The provider's identifier.
    pub host: HostId,
    /// Its address in the overlay's network, if the provider knows it.
    pub address: Option<IpAddr>,
}

/// A committed step of one intent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The host exists (created or adopted).
    Bound(BoundHost),
    /// The call's result is not known.
    Unknown,
    /// There is no such host, and none will come of a call that the coordinator still waits for.
    Absent(AbsentReason),
    /// The host is to be released.
    Releasing(ReleaseReason),
    /// The provider's list no longer has the host.
    Released,
}

/// Why an intent ended without a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AbsentReason {
    /// The plan no longer wants it, and nothing was asked of the provider in any term.
    Cancelled,
    /// The provider refused the order for good.
    Refused,
    /// The provider has no capacity.
    NoCapacity,
    /// The provider's list did not have it for as long as new hosts may stay invisible.
    NotListed,
}

/// Why a host is released.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ReleaseReason {
    /// No plan needs it any more.
    Unneeded,
    /// Its node did not join before the deadline.
    NeverJoined,
    /// Its node was committed dead.
    Dead,
    /// Its node left.
    Left,
    /// The provider's list showed it, but no intent explains it.
    Unexplained,
    /// The provider says that it ended by itself.
    Ended,
    /// The application is being taken down.
    TakeDown,
}
