//! Facts about nodes, copies, offers and links, as they are gossiped: subjects, values, sources, batches of statements.
//!
//! Only data. `rhizo-knowledge` decides which of two statements wins. Facts never go through the Raft log.

use crate::counter::Revision;
use crate::id::{AttributeName, InstanceId, NodeId, OfferName, ProviderName, RegionName};
use crate::number::Number;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The thing that a fact describes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subject {
    /// A member of the overlay and the host under it.
    Node(NodeId),
    /// An offer of a provider.
    Offer(ProviderName, OfferName),
    /// The network path between two members, the smaller id first.
    Link(NodeId, NodeId),
    /// The network path between two regions, in the order of their names.
    Path(RegionName, RegionName),
    /// A copy of a component.
    Copy(InstanceId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Offer(provider, offer) => write!(f, "{provider}/{offer}"),
            Self::Link(from, to) => write!(f, "{from} to {to}"),
            Self::Path(from, to) => write!(f, "{from} to {to}"),
            Self::Copy(instance) => write!(f, "{instance}"),
        }
    }
}

/// The kind of sensor that read a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SensorKind {
    /// The answer of a provider: its offers, prices and regions.
    Catalogue,
    /// The overlay: round-trip times and throughput of links.
    Link,
    /// The node's own process and its limits.
    Node,
    /// The machine under a node, as its kernel reports it.
    Host,
    /// The data file of an emulated host. The value is synthetic.
    Emulated,
    /// The processes of a copy, as the kernel accounts for them.
    Process,
    /// Code of the application.
    Application,
    /// A JSON document that was fetched over HTTP.
    Http,
    /// An exposition in the text format of Prometheus.
    Prometheus,
    /// The output of a program.
    Exec,
}

impl fmt::Display for SensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Catalogue => "catalogue",
            Self::Link => "link",
            Self::Node => "node",
            Self::Host => "host",
            Self::Emulated => "emulated",
            Self::Process => "process",
            Self::Application => "application",
            Self::Http => "http",
            Self::Prometheus => "prometheus",
            Self::Exec => "exec",
        })
    }
}

/// The value of a fact, or of an attribute of an offer or a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Value {
    /// A number in the attribute's base unit.
    Number(Number),
    /// A text, such as a class or a name.
    Text(String),
}

impl Value {
    /// The number, when it is one.
    #[must_use]
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => f.pad(text),
        }
    }
}

/// The origin of a fact. Of two fresh facts about one attribute, the one with the greater source wins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Source {
    /// The catalogue of a provider: its offers and regions.
    Catalogue(ProviderName),
    /// A measurement by a node.
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
    /// The thing described.
    pub subject: Subject,
    /// The quantity.
    pub attribute: AttributeName,
    /// Its value; `None` withdraws the earlier statement of the same source.
    pub value: Option<Value>,
    /// The kind of sensor that read the value, or that withdraws it.
    pub sensor: SensorKind,
}

/// The statements that one node publishes at one time; gossiped as a whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The node that publishes it.
    pub origin: NodeId,
    /// Grows with every batch of that origin; a receiver ignores a batch that is not newer than the last one.
    pub revision: Revision,
    /// The statements; at most [`STATEMENTS_MAX`].
    pub statements: Vec<Statement>,
}

/// Most statements in one batch. A node describes itself and its few links, and a batch has to fit into one gossip
/// message of 64 KiB.
pub const STATEMENTS_MAX: usize = 512;

/// A batch as it is gossiped.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BatchRecord {
    /// First form.
    V1(Batch),
}
