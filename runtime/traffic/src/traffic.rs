//! The handle of a node's data plane, and the thread on which its sockets are served.
//!
//! The data plane has a thread and a runtime of its own, so that a large transfer delays neither heartbeats nor the
//! application's tasks. At rest the thread sleeps. Read next: [`crate::listener`], [`crate::inbound`].

use crate::Exporter;
use crate::inbound;
use crate::listener::{Bound, ImportListener};
use crate::lookup::{LOOKUPS_MAX, Lookup};
use crate::outbound::Plane;
use crate::peers::{Members, Peers};
use crate::served::Served;
use rhizo_overlay::{StreamDialer, StreamListener};
use rhizo_types::{InstanceId, NodeId, PortName};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

/// The data plane of a node. It ends when the handle is dropped.
#[derive(Debug)]
pub struct Traffic {
    plane: Plane,
    runtime: tokio::runtime::Handle,
    /// Dropped with the handle, which ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Traffic {
    /// Starts the thread. Returns the handle, and the lookups that the caller has to answer.
    ///
    /// # Errors
    /// The thread or its runtime could not be made.
    pub fn start(
        me: NodeId,
        dialer: StreamDialer,
        streams: StreamListener,
    ) -> io::Result<(Self, mpsc::Receiver<Lookup>)> {
        let (lookups, asked) = mpsc::channel(LOOKUPS_MAX);
        let plane = Plane { me, peers: Arc::new(Peers::new(dialer)), served: Served::new(), lookups };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(inbound::accept(plane.clone(), streams));
        std::thread::Builder::new().name("rhizo-traffic".to_owned()).spawn(move || {
            // The sender is only ever dropped.
            let _dropped = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok((Self { plane, runtime: handle, _stop: stop }, asked))
    }

    /// Replaces the members. Streams of former members are closed.
    pub fn set_members(&self, members: Members) {
        self.plane.peers.set_members(members);
    }

    /// Accepts connections of an import at a listening socket, for this export of the exporters that
    /// [`Listening::bind`] names.
    #[must_use]
    pub fn listen(&self, socket: std::net::TcpListener, export: PortName) -> Listening {
        self.listen_for(socket, export, false)
    }

    /// Accepts connections of any client at the port of a public export. Copies that are about to leave get none of
    /// them.
    #[must_use]
    pub fn listen_publicly(&self, socket: std::net::TcpListener, export: PortName) -> Listening {
        self.listen_for(socket, export, true)
    }

    fn listen_for(&self, socket: std::net::TcpListener, export: PortName, is_entry: bool) -> Listening {
        let (bound, followed) = watch::channel(Bound::default());
        let listener = ImportListener::new(self.plane.clone(), export, is_entry, followed);
        let task = self.runtime.spawn(listener.run(socket)).abort_handle();
        Listening { bound, task }
    }

    /// Whether connections to a copy of this node are open.
    #[must_use]
    pub fn is_serving(&self, instance: &InstanceId) -> bool {
        self.plane.served.is_serving(instance)
    }

    /// Resolves when no connection to a copy of this node is open.
    pub fn drained(&self, instance: InstanceId) -> impl Future<Output = ()> + Send + use<> {
        let served = self.plane.served.clone();
        async move { served.drained(&instance).await }
    }
}

/// An import that listens. Dropping it closes its address; connections that are open continue.
#[derive(Debug)]
pub struct Listening {
    bound: watch::Sender<Bound>,
    task: AbortHandle,
}

impl Listening {
    /// Replaces the exporters. New connections go to these alone.
    pub fn bind(&self, exporters: BTreeSet<Exporter>) {
        self.bound.send_if_modified(|bound| {
            let changes = **bound != exporters;
            if changes {
                *bound = Arc::new(exporters);
            }
            changes
        });
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
