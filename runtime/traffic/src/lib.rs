//! The data plane: connections between the components of an application, proxied by its nodes.
//!
//! An import has a stable local address at its user. This node accepts connections there, chooses an exporter for each
//! of them, and relays it over an authenticated stream to the exporter's node, which connects to the copy. The crate
//! knows no ledger and decides nothing about bindings: its user supplies the exporters of each import, and answers where
//! an export of this node listens. Read next: [`Traffic`] (the handle), `choice` (which exporter gets a connection),
//! `listener` (the importer's node), `inbound` (the exporter's node), `relay` (how bytes are copied).

#![forbid(unsafe_code)]

mod choice;
mod copying;
mod forward;
mod inbound;
mod listener;
mod lookup;
mod outbound;
mod peers;
mod relay;
mod served;
mod traffic;
mod wire;

pub use forward::{Copy, ForwardError, forward};
pub use lookup::Lookup;
pub use peers::{Member, Members};
pub use traffic::{Listening, Traffic};

use rhizo_types::{InstanceId, NodeId};

/// A copy that serves an export, with the node that it runs on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Exporter {
    /// The copy.
    pub instance: InstanceId,
    /// Its node.
    pub node: NodeId,
}
