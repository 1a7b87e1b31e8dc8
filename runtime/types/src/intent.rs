//! Intents: each is one committed decision to hold one host, from the order to the confirmed release.
//!
//! Only data. `rhizo-protocol::ledger` decides which step may follow which. An intent is *closed* when no provider can
//! charge for it any more.

use crate::fact::Value;
use crate::id::{AttributeName, HostId, IntentId, NodeId, OfferName, ProviderName, RegionName};
use crate::number::Number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One host to acquire: everything the provider call needs, fixed when the plan is committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct AcquireOrder {
    /// The provider that is called.
    pub provider: ProviderName,
    /// The offer that is ordered.
    pub offer: OfferName,
    /// The region of the offer.
    pub region: RegionName,
    /// The price the plan was made with, in millionths of the budget's currency per hour.
    pub price_micros_per_hour: u64,
    /// Resources of the host, as the catalogue stated them: `cpu` in cores, `memory` in bytes, …
    pub capacity: BTreeMap<String, Number>,
    /// Attributes of the host, as the catalogue stated them; measured facts win over them.
    pub attributes: BTreeMap<AttributeName, Value>,
}

/// One intent with its state.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub id: IntentId,
    /// The order. For a reclaimed host, what the provider's list says about it.
    pub order: AcquireOrder,
    /// Its state.
    pub state: IntentState,
    /// The host; none before the provider has named it.
    pub host: Option<BoundHost>,
    /// The node that joined with the intent's ticket; none before that.
    pub node: Option<NodeId>,
}

impl Intent {
    /// Whether a provider may still charge for it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, IntentState::Absent | IntentState::Released)
    }
}

/// The state of an intent. Every change of it is a committed entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum IntentState {
    /// Committed; the provider may or may not have been called yet.
    Open,
    /// The call had no clear result; only the provider's list can resolve it.
    Unknown,
    /// The host exists.
    Bound,
    /// To be released; the provider may or may not have been called yet.
    Releasing,
    /// Closed: the provider's list confirmed that there is no such host.
    Absent,
    /// Closed: the provider's list confirmed that the host is gone.
    Released,
}

/// A host that exists at a provider.
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
    /// There is no such host, and no call is pending that could still create it.
    Absent(AbsentReason),
    /// The host is to be released.
    Releasing(ReleaseReason),
    /// The provider's list no longer has the host.
    Released,
}

/// Why an intent ended without a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AbsentReason {
    /// The plan no longer needs it, and the provider was not called in any term.
    Cancelled,
    /// The provider refused the order permanently.
    Refused,
    /// The provider has no capacity.
    NoCapacity,
    /// The provider's list did not contain it for longer than new hosts may be missing from lists.
    NotListed,
    /// The machine of the coordinator could not make the call, so the provider was not called.
    NotCalled,
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
    /// The provider's list contains it, and it belongs to no intent.
    Unexplained,
    /// The provider reports that it has ended without an order from here.
    Ended,
    /// The application is being taken down.
    TakeDown,
}
