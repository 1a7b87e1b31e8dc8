//! One connection of a program of this host to an exporter: opened at the exporter's node, then relayed to its end.
//!
//! Read next: [`crate::peers`] for streams to other nodes, [`crate::relay`].

use crate::Exporter;
use crate::copying::copy;
use crate::lookup::{Lookup, Lookups};
use crate::peers::{self, OpenError, Peers};
use crate::relay::relay;
use crate::served::{Served, Serving};
use crate::wire::{Open, OpenRecord};
use rhizo_overlay::PeerStream;
use rhizo_types::{NodeId, PortName};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Time limit of a connection to a copy on this host. Its port is open unless it has just ended.
const LOCAL_CONNECT_MAX: Duration = Duration::from_secs(3);

/// The parts that every connection needs.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    pub(crate) me: NodeId,
    pub(crate) peers: Arc<Peers>,
    pub(crate) served: Served,
    pub(crate) lookups: Lookups,
}

/// The far end of a connection.
pub(crate) enum Far {
    /// A copy on this host.
    Here(TcpStream, Serving),
    /// A copy on another host.
    There(Box<PeerStream>, NodeId),
}

/// A copy of this host could not be connected to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    #[error("find an active export of that name and copy on this node")]
    NotServed,
    #[error("connect to the copy at {address}")]
    Connect { address: SocketAddr, source: io::Error },
}

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("reach a copy on this host")]
    Here(#[from] LocalError),
    #[error("reach a copy on another host")]
    There(#[from] OpenError),
}

impl Plane {
    /// Opens a connection to an export of a copy.
    pub(crate) async fn connect(
        &self,
        to: &Exporter,
        export: &PortName,
        is_entry: bool,
    ) -> Result<Far, ConnectError> {
        let open = peers::opening(&to.instance, export, is_entry);
        if to.node == self.me {
            let (socket, serving) = self.connect_here(&open).await?;
            return Ok(Far::Here(socket, serving));
        }
        let stream = self.peers.open(to.node, &open).await?;
        Ok(Far::There(Box::new(stream), to.node))
    }

    /// Connects to a copy on this host.
    pub(crate) async fn connect_here(
        &self,
        OpenRecord::V1(open): &OpenRecord,
    ) -> Result<(TcpStream, Serving), LocalError> {
        let Open { instance, export, is_entry } = open;
        let (reply, answer) = oneshot::channel();
        let (instance_asked, export) = (instance.clone(), export.clone());
        let lookup = Lookup { instance: instance_asked, export, is_entry: *is_entry, reply };
        // The receiver of lookups and the reply are gone only when the node has stopped.
        let asked = self.lookups.send(lookup).await.is_ok();
        let address = if asked { answer.await.ok().flatten() } else { None };
        let address = address.ok_or(LocalError::NotServed)?;
        let serving = self.served.begin(instance);
        let connecting = timeout(LOCAL_CONNECT_MAX, TcpStream::connect(address)).await;
        let socket = connecting.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        let socket = socket.map_err(|source| LocalError::Connect { address, source })?;
        send_at_once(&socket);
        Ok((socket, serving))
    }

    /// Relays an open connection to its end. A connection that broke at one end is broken at the other.
    pub(crate) async fn carry(&self, mut near: TcpStream, far: Far) {
        let outcome = match far {
            Far::Here(mut socket, _serving) => {
                let copied = copy(&mut near, &mut socket).await;
                if copied.is_err() {
                    break_off(&socket);
                }
                copied
            }
            Far::There(mut stream, node) => {
                let key = stream.peer();
                let relayed = tokio::select! {
                    relayed = relay(&mut near, &mut stream) => relayed,
                    () = self.peers.gone(node, key) => Err(io::ErrorKind::ConnectionAborted.into()),
                };
                if relayed.is_ok() {
                    self.peers.keep(*stream);
                }
                relayed
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "connection of an import broke");
            break_off(&near);
        }
    }
}

/// Makes the kernel reset the connection when the socket is dropped, so that its other end does not take the bytes that
/// it got for all there were.
pub(crate) fn break_off(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "connection ends without a reset");
    }
}

/// Turns off the gathering of small writes: the program at the other end has gathered already.
pub(crate) fn send_at_once(socket: &TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "nodelay not set");
    }
}
