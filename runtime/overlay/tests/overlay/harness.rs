//! Shared parts of the tests: nodes on their own loopback addresses, and waits with a generous time limit.

use rhizo_overlay::{Admission, LinkTarget, NodeSecret, Overlay, OverlayConfig, OverlayEvent, OverlayEvents};
use rhizo_types::{AppName, Lineage, NodeId, PeerKey};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Far longer than any step of these tests takes, on a busy machine too, so that only a lost event trips it.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(120);

/// One overlay and the shell's end of its queue.
pub(crate) struct Node {
    pub(crate) overlay: Overlay,
    pub(crate) events: OverlayEvents,
    pub(crate) secret: NodeSecret,
}

/// A node's usual configuration: its own loopback address, any port.
pub(crate) fn config(host: u8) -> OverlayConfig {
    let listen = SocketAddr::new(IpAddr::from([127, 9, 0, host]), 0);
    let mut config =
        OverlayConfig::new(NodeSecret::generate(), AppName::from("test"), Lineage(1), Some(listen));
    config.ping_every = Duration::from_millis(200);
    config
}

/// A client's configuration: it listens nowhere.
pub(crate) fn client() -> OverlayConfig {
    let mut config = config(0);
    config.listen = None;
    config.gossip = false;
    config
}

impl Node {
    pub(crate) async fn start(config: OverlayConfig) -> Self {
        let secret = config.secret.clone();
        let (overlay, events) = Overlay::bind(config).await.unwrap();
        Self { overlay, events, secret }
    }

    pub(crate) fn key(&self) -> PeerKey {
        self.overlay.local_key()
    }

    pub(crate) fn target(&self) -> LinkTarget {
        LinkTarget { key: self.key(), addresses: vec![self.overlay.listen_address().unwrap()] }
    }

    /// Takes events until one is what the test waits for; the others are dropped.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(OverlayEvent) -> Option<T>,
    ) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("the overlay runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(WATCHDOG, waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"))
    }

    pub(crate) async fn until_up(&mut self, peer: PeerKey) {
        self.until("link up", |event| match event {
            OverlayEvent::LinkUp { peer: up, .. } if up == peer => Some(()),
            _ => None,
        })
        .await;
    }

    pub(crate) async fn until_down(&mut self, peer: PeerKey) -> rhizo_overlay::LinkDownReason {
        self.until("link down", |event| match event {
            OverlayEvent::LinkDown { peer: down, reason } if down == peer => Some(reason),
            _ => None,
        })
        .await
    }
}

/// Returns an admission in which all nodes are members, numbered in order.
pub(crate) fn roster(nodes: &[Node]) -> Admission {
    let members = nodes.iter().enumerate().map(|(place, node)| (node.key(), NodeId(place as u64))).collect();
    Admission { members, ..Admission::default() }
}

/// Nodes that know each other and want a full mesh, all links up.
pub(crate) async fn mesh(configs: Vec<OverlayConfig>) -> Vec<Node> {
    let mut nodes = Vec::new();
    for config in configs {
        nodes.push(Node::start(config).await);
    }
    let admission = roster(&nodes);
    let targets: Vec<_> = nodes.iter().map(Node::target).collect();
    for node in &nodes {
        node.overlay.set_admission(admission.clone());
    }
    for node in &nodes {
        node.overlay.set_links(targets.clone());
    }
    let count = nodes.len();
    for node in &mut nodes {
        wait_linked(node, count - 1).await;
    }
    nodes
}

/// Takes events until this number of links is up.
pub(crate) async fn wait_linked(node: &mut Node, count: usize) {
    while node.overlay.linked().len() < count {
        node.until("any link", |event| matches!(event, OverlayEvent::LinkUp { .. }).then_some(())).await;
    }
}
