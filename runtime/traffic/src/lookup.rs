//! The questions that the data plane asks its node when a connection for a copy of this host arrives.

use rhizo_types::{InstanceId, PortName};
use std::net::SocketAddr;
use tokio::sync::{mpsc, oneshot};

/// Lookups that wait for the node. New connections wait when there are more.
pub(crate) const LOOKUPS_MAX: usize = 256;

/// A question to the node: at which address does this export of a copy of this node listen?
#[derive(Debug)]
pub struct Lookup {
    /// The copy.
    pub instance: InstanceId,
    /// Its export.
    pub export: PortName,
    /// Whether the connection came to a public port. Then a copy that is about to leave must not get it.
    pub is_entry: bool,
    /// Takes the address; none when the export is not active on this node.
    pub reply: oneshot::Sender<Option<SocketAddr>>,
}

pub(crate) type Lookups = mpsc::Sender<Lookup>;
