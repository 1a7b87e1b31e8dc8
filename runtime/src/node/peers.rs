//! Who is at the other end of each link, and who may be: keys on the overlay's side, node ids on the core's.
//!
//! It is rebuilt from the ledger whenever that changes; it decides nothing.

use rhizo_overlay::{Admission, LinkTarget, Role, TicketId, TicketSecret};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::secret;
use rhizo_types::{NodeId, PeerKey};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Keys, ids and addresses of the members, and the roles of the links that are up.
#[derive(Default)]
pub(crate) struct Peers {
    by_node: BTreeMap<NodeId, (PeerKey, Vec<SocketAddr>)>,
    by_key: BTreeMap<PeerKey, NodeId>,
    links: BTreeMap<PeerKey, Role>,
    wanted: BTreeSet<NodeId>,
}

impl Peers {
    /// Takes the members over from the ledger.
    pub(crate) fn update(&mut self, ledger: &Ledger) {
        self.by_node = ledger
            .members
            .iter()
            .map(|(node, member)| (*node, (member.record.key, member.record.addresses.clone())))
            .collect();
        self.by_key = self.by_node.iter().map(|(node, (key, _))| (*key, *node)).collect();
    }

    pub(crate) fn node(&self, key: &PeerKey) -> Option<NodeId> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn key(&self, node: NodeId) -> Option<PeerKey> {
        self.by_node.get(&node).map(|(key, _)| *key)
    }

    pub(crate) fn keys(&self) -> BTreeMap<NodeId, PeerKey> {
        self.by_node.iter().map(|(node, (key, _))| (*node, *key)).collect()
    }

    /// Notes whose links the core wants.
    pub(crate) fn want(&mut self, wanted: BTreeSet<NodeId>) {
        self.wanted = wanted;
    }

    /// The links that the overlay is to keep.
    pub(crate) fn targets(&self) -> Vec<LinkTarget> {
        let target = |node| self.by_node.get(node).map(|(key, addresses)| (*key, addresses.clone()));
        self.wanted.iter().filter_map(target).map(|(key, addresses)| LinkTarget { key, addresses }).collect()
    }

    pub(crate) fn link_up(&mut self, key: PeerKey, role: Role) {
        self.links.insert(key, role);
    }

    pub(crate) fn link_down(&mut self, key: &PeerKey) {
        self.links.remove(key);
    }

    pub(crate) fn role(&self, key: &PeerKey) -> Option<Role> {
        self.links.get(key).copied()
    }

    /// Whether a link to the member is up.
    pub(crate) fn is_linked(&self, node: NodeId) -> bool {
        self.key(node).is_some_and(|key| self.links.contains_key(&key))
    }
}

/// Who may open a link to this node, by the ledger.
pub(crate) fn admission(ledger: &Ledger) -> Admission {
    let members = ledger.members.iter().map(|(node, member)| (member.record.key, *node)).collect();
    let operators = ledger.genesis.as_ref().map(|genesis| genesis.operators.clone()).unwrap_or_default();
    let tickets = secret::open_tickets(ledger)
        .into_iter()
        .map(|(intent, ticket)| (TicketId(intent.0), TicketSecret::from_bytes(ticket.0).verifier()))
        .collect();
    Admission { members, operators, tickets }
}
