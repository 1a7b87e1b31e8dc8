//! Names of things: nodes, peers, hosts, providers, regions, components, instances, intents.
//!
//! Names are small owned values. `rhizo-config`, or the decoder of the record that contains them, validates text names
//! once; later code relies on it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub struct $name(pub String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text_id! {
    /// Name of an application: the overlay's name.
    AppName
}
text_id! {
    /// Name of a deployable unit, unique in a spec.
    ComponentName
}
text_id! {
    /// Name of an export or an import, unique in its component.
    PortName
}
text_id! {
    /// Name of a place of a life-cycle, unique in it.
    PlaceName
}
text_id! {
    /// Name of a transition of a life-cycle, unique in it.
    TransitionName
}
text_id! {
    /// Name of a behaviour of a life-cycle: a subset of its transitions.
    BehaviourName
}
text_id! {
    /// Name of a data value that an action outputs and an export carries.
    ValueName
}
text_id! {
    /// Name of a rule or of a utility, unique in a spec; `why` prints it.
    RuleName
}
text_id! {
    /// Name of a configured provider (the `lab` of `[providers.lab]`).
    ProviderName
}
text_id! {
    /// A provider's region, as its catalogue spells it (`aws:eu-west-1`).
    RegionName
}
text_id! {
    /// Name of an offer, unique among the offers of its provider.
    OfferName
}
text_id! {
    /// A provider's own identifier of a machine, VM or container.
    HostId
}
text_id! {
    /// Name of a quantity a sensor reads (`load5`), as rules spell it after `node.`.
    AttributeName
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }
    };
}

number_id! {
    /// The id of a member of the overlay. A committed entry allocates it, and it is never reused. It is also the node's
    /// id in Raft.
    NodeId, "n"
}
number_id! {
    /// The number of an intent. Never reused within a lineage.
    IntentId, "i"
}
number_id! {
    /// The number of an overlay's continuous history. A recovery without a quorum starts the next one.
    Lineage, "l"
}

/// The public half of a node's own Ed25519 key: its identity on every link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerKey(pub [u8; 32]);

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Eight hexadecimal digits tell the nodes of one overlay apart; the whole key is in the roster.
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

/// The name of one copy of a component, such as `broker.3`. A new copy gets the lowest free ordinal; an ordinal is free
/// when its former copy is known to be gone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct InstanceId {
    /// The component it is a copy of.
    pub component: ComponentName,
    /// Its number among the copies, from zero.
    pub ordinal: u32,
}

impl InstanceId {
    /// The range of all names of a component's copies, for look-ups in a map that is ordered by instance.
    #[must_use]
    pub fn copies_of(component: &ComponentName) -> RangeInclusive<Self> {
        let copy = |ordinal| Self { component: component.clone(), ordinal };
        copy(0)..=copy(u32::MAX)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.component, self.ordinal))
    }
}
