//! What is believed about the world, and how it travels: subjects, values, sources, batches of samples.
//!
//! It does not decide which of two beliefs wins: that is `rhizo-knowledge`. Facts never go through the log.

use crate::counter::Revision;
use crate::id::{AttributeName, NodeId, OfferName, ProviderName, RegionName};
use crate::number::Number;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a fact is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subject {
    /// A member of the overlay and the host under it.
    Node(NodeId),
    /// Something a provider sells.
    Offer(ProviderName, OfferName),
    /// The way between two members, the smaller id first.
    Link(NodeId, NodeId),
    /// The way between two regions, in the order of their names.
    Path(RegionName, RegionName),
}

/// The value of a fact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Value {
    /// A number in the attribute's base unit.
    Number(Number),
    /// A text, such as a class or a name.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Where a fact comes from. The greater one wins while it is fresh.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A provider says so of what it sells, or of a region.
    Catalogue(ProviderName),
    /// A node measured it.
    Measured(NodeId),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue(provider) => write!(f, "catalogue of {provider}"),
            Self::Measured(node) => write!(f, "measured by {node}"),
        }
    }
}

/// One statement of a batch.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// What it is about.
    pub subject: Subject,
    /// Which quantity.
    pub attribute: AttributeName,
    /// Its value; none withdraws what the same source said before.
    pub value: Option<Value>,
}

/// What one node says at one time: it is gossiped as a whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Who says it.
    pub origin: NodeId,
    /// Grows with every batch of that origin: an older one never wins over a newer one.
    pub revision: Revision,
    /// What is said; at most [`STATEMENTS_MAX`].
    pub statements: Vec<Statement>,
}

/// Most statements in one batch: a node speaks of itself and of its few links, and a batch has to fit into
/// one gossip message of 64 KiB.
pub const STATEMENTS_MAX: usize = 512;

/// A batch as it is gossiped.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BatchRecord {
    /// First form.
    V1(Batch),
}
