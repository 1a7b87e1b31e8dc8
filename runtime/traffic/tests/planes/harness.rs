//! Nodes with a data plane each, and small services for their copies. Nothing is asserted here.

use rhizo_overlay::{Admission, NodeSecret, Overlay, OverlayConfig, OverlayEvents};
use rhizo_traffic::{Exporter, Listening, Member, Members, Traffic};
use rhizo_types::{AppName, InstanceId, Lineage, NodeId, PortName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Time after which a wait has failed; far longer than two busy cores need.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

type Exports = Arc<Mutex<BTreeMap<(InstanceId, PortName), SocketAddr>>>;

/// A node with a data plane.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) overlay: Overlay,
    _events: OverlayEvents,
    pub(crate) traffic: Traffic,
    /// The active exports of its copies.
    pub(crate) exports: Exports,
}

impl Node {
    pub(crate) async fn new(id: u64) -> Self {
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let config = OverlayConfig::new(NodeSecret::generate(), AppName::from("traffic"), Lineage(1), listen);
        let (overlay, events) = Overlay::bind(config).await.unwrap();
        let started = Traffic::start(NodeId(id), overlay.stream_dialer(), overlay.accept_streams());
        let (traffic, mut lookups) = started.unwrap();
        let exports = Exports::default();
        let known = exports.clone();
        tokio::spawn(async move {
            while let Some(lookup) = lookups.recv().await {
                let address = known.lock().unwrap().get(&(lookup.instance, lookup.export)).copied();
                let _gone = lookup.reply.send(address);
            }
        });
        Self { id: NodeId(id), overlay, _events: events, traffic, exports }
    }

    pub(crate) fn member(&self) -> Member {
        Member { key: self.overlay.local_key(), addresses: vec![self.overlay.listen_address().unwrap()] }
    }

    /// Places a copy that listens at an address.
    pub(crate) fn place(&self, ordinal: u32, address: SocketAddr) -> Exporter {
        self.exports.lock().unwrap().insert((copy(ordinal), export()), address);
        Exporter { instance: copy(ordinal), node: self.id }
    }

    /// Listens for an import of the export; returns its address.
    pub(crate) fn import(&self, bound: &[&Exporter]) -> (SocketAddr, Listening) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listening = self.traffic.listen(socket, export());
        listening.bind(set(bound));
        (address, listening)
    }
}

pub(crate) fn copy(ordinal: u32) -> InstanceId {
    InstanceId { component: "web".into(), ordinal }
}

pub(crate) fn export() -> PortName {
    "http".into()
}

pub(crate) fn set(bound: &[&Exporter]) -> BTreeSet<Exporter> {
    bound.iter().map(|exporter| (*exporter).clone()).collect()
}

/// This many nodes, all of which are members.
pub(crate) async fn nodes(count: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    for id in 0..count {
        nodes.push(Node::new(id).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    make_members(&all, &all);
    nodes
}

/// Makes these nodes the members, in the view of those nodes.
pub(crate) fn make_members(members: &[&Node], view_of: &[&Node]) {
    let roster: Members = members.iter().map(|node| (node.id, node.member())).collect();
    let keys: BTreeMap<_, _> = members.iter().map(|node| (node.overlay.local_key(), node.id)).collect();
    for node in view_of {
        node.overlay.set_admission(Admission { members: keys.clone(), ..Admission::default() });
        node.traffic.set_members(roster.clone());
    }
}

/// A service that handles each connection in a task of its own.
pub(crate) async fn service<F, Fut>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(handle(socket));
        }
    });
    address
}

/// A service that sends back what it gets.
pub(crate) async fn echo() -> SocketAddr {
    service(|mut socket| async move {
        let (mut read, mut write) = socket.split();
        let _broken = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

/// A service that sends a byte and then nothing until the client has ended.
pub(crate) async fn greeter(byte: u8) -> SocketAddr {
    service(move |mut socket| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let _broken = socket.write_all(&[byte]).await;
        let _ended = socket.read(&mut [0]).await;
    })
    .await
}

/// Ends a test that waits too long.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, future).await.expect("the watchdog has not barked")
}
