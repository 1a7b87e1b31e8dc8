//! The links of this node: the overlay, the members' keys and addresses, and which links are up.
//!
//! The overlay identifies peers by their public keys, the core by node ids; this module translates between the two.
//! The parts that are derived from the ledger (the members, the nodes that may connect, the addresses of members) are
//! replaced when the part of the ledger that they come from changes. Nothing is decided here. Read next:
//! [`super::inbound`], which reads the input from links.

use rhizo_log::CallError;
use rhizo_overlay::{
    Admission, Class, LinkTarget, Overlay, RequestError, Role, Succession, TicketId, TicketSecret,
    TicketVerifier,
};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::{codec, secret};
use rhizo_traffic::{Member, Traffic};
use rhizo_types::fact::{Batch, BatchRecord};
use rhizo_types::message::Message;
use rhizo_types::{Lineage, NodeId, PeerKey};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long the link to a node that is no member any more is kept: the entry that removed it is sent to it, and a node
/// that receives it ends in order. Otherwise it would learn of its removal only from refusals.
const KEPT_MS: u64 = 2_000;

/// The key of each member, shared with the transport of the replicated log.
type Directory = Arc<RwLock<BTreeMap<NodeId, PeerKey>>>;

/// The overlay with the members that it connects to.
pub(super) struct Links {
    overlay: Overlay,
    traffic: Arc<Traffic>,
    directory: Directory,
    members: BTreeMap<NodeId, (PeerKey, Vec<SocketAddr>)>,
    nodes: BTreeMap<PeerKey, NodeId>,
    /// Former members whose links are kept, with the time at which they are closed. Messages from them are ignored.
    departed: BTreeMap<NodeId, (LinkTarget, Instant)>,
    /// The tickets that a host may join with, in force in the overlay.
    tickets: BTreeMap<TicketId, TicketVerifier>,
    /// The lineage of the ledger that was followed last.
    lineage: Lineage,
    /// The links that are up, with the role that the overlay authenticated.
    up: BTreeMap<PeerKey, Role>,
    /// The members that the core wants links to.
    wanted: BTreeSet<NodeId>,
}

impl Links {
    pub(super) fn new(overlay: Overlay, traffic: Arc<Traffic>) -> Self {
        Self {
            overlay,
            traffic,
            directory: Directory::default(),
            members: BTreeMap::new(),
            nodes: BTreeMap::new(),
            departed: BTreeMap::new(),
            tickets: BTreeMap::new(),
            lineage: Lineage(0),
            up: BTreeMap::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Takes the members and their addresses from the ledger when the roster has changed, and the admission of new
    /// links when the roster or the open tickets have changed.
    ///
    /// Hundreds of entries may be committed while hundreds of nodes join, and each node applies each of them.
    pub(super) fn follow(&mut self, ledger: &Ledger, roster_changed: bool) {
        let lineage_changed = self.lineage != ledger.lineage();
        if lineage_changed {
            // The secrets of tickets are derived from the lineage too.
            self.lineage = ledger.lineage();
            self.tickets.clear();
        }
        if roster_changed {
            self.follow_roster(ledger);
        }
        if lineage_changed {
            self.departed.clear();
        }
        if self.follow_tickets(ledger) || roster_changed || lineage_changed {
            self.admit(ledger);
        }
    }

    /// Closes the links to former members whose time is over.
    pub(super) fn let_go(&mut self, ledger: &Ledger) {
        let (before, now) = (self.departed.len(), Instant::now());
        self.departed.retain(|_, (_, until)| now < *until);
        if self.departed.len() != before {
            self.overlay.set_links(self.targets());
            self.admit(ledger);
        }
    }

    fn admit(&self, ledger: &Ledger) {
        let departed = self.departed.iter().map(|(node, (target, _))| (target.key, *node));
        let members = self.nodes.iter().map(|(key, node)| (*key, *node)).chain(departed).collect();
        let operators = ledger.genesis.as_ref().map(|genesis| genesis.operators.clone());
        let (operators, tickets) = (operators.unwrap_or_default(), self.tickets.clone());
        let successions = successions(ledger);
        self.overlay.set_admission(Admission { members, operators, tickets, successions });
    }

    /// Updates the verifiers of the tickets that a host may join with. Returns true if a ticket was issued or used.
    fn follow_tickets(&mut self, ledger: &Ledger) -> bool {
        if secret::open_tickets(ledger).map(|intent| TicketId(intent.0)).eq(self.tickets.keys().copied()) {
            return false;
        }
        let mut known = std::mem::take(&mut self.tickets);
        let verifier = |intent| {
            let secret = secret::ticket_secret(ledger, intent)?;
            Some(TicketSecret::from_bytes(secret.0).verifier())
        };
        let tickets = secret::open_tickets(ledger).filter_map(|intent| {
            let ticket = TicketId(intent.0);
            Some((ticket, known.remove(&ticket).or_else(|| verifier(intent))?))
        });
        self.tickets = tickets.collect();
        true
    }

    fn follow_roster(&mut self, ledger: &Ledger) {
        let members = ledger.members.iter();
        let members: BTreeMap<NodeId, (PeerKey, Vec<SocketAddr>)> = members
            .map(|(node, member)| (*node, (member.record.key, member.record.addresses.clone())))
            .collect();
        let until = Instant::now() + Duration::from_millis(KEPT_MS);
        for (node, (key, addresses)) in std::mem::replace(&mut self.members, members) {
            if !self.members.contains_key(&node) && self.up.contains_key(&key) {
                self.departed.insert(node, (LinkTarget { key, addresses }, until));
            }
        }
        self.nodes = self.members.iter().map(|(node, (key, _))| (*key, *node)).collect();
        let keys = self.members.iter().map(|(node, (key, _))| (*node, *key)).collect();
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let member = |(key, addresses): &(PeerKey, Vec<SocketAddr>)| Member {
            key: *key,
            addresses: addresses.clone(),
        };
        self.traffic.set_members(self.members.iter().map(|(node, at)| (*node, member(at))).collect());
        self.overlay.set_links(self.targets());
    }

    /// Makes this node one of another lineage: all links are closed, and dialled again. The ledger of that lineage has
    /// been [followed](Self::follow).
    pub(super) fn set_lineage(&self, lineage: Lineage) {
        self.overlay.set_lineage(lineage);
    }

    /// Keeps links to exactly these members from now on.
    pub(super) fn want(&mut self, wanted: BTreeSet<NodeId>) {
        self.wanted = wanted;
        self.overlay.set_links(self.targets());
    }

    fn targets(&self) -> Vec<LinkTarget> {
        let target = |node| self.members.get(node).map(|(key, addresses)| (*key, addresses.clone()));
        let wanted = self.wanted.iter().filter_map(target);
        let wanted = wanted.map(|(key, addresses)| LinkTarget { key, addresses });
        wanted.chain(self.departed.values().map(|(target, _)| target.clone())).collect()
    }

    /// Records that a link is up, or that its role has changed.
    pub(super) fn link_up(&mut self, key: PeerKey, role: Role) {
        self.up.insert(key, role);
    }

    /// Records that a link is down.
    pub(super) fn link_down(&mut self, key: &PeerKey) {
        self.up.remove(key);
    }

    /// The member with this key.
    pub(super) fn node(&self, key: &PeerKey) -> Option<NodeId> {
        self.nodes.get(key).copied()
    }

    /// The role of the peer at the other end of a link that is up.
    pub(super) fn role(&self, key: &PeerKey) -> Option<Role> {
        self.up.get(key).copied()
    }

    /// Whether a link to the member is up.
    pub(super) fn is_linked(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|(key, _)| self.up.contains_key(key))
    }

    /// The members that a link is up to, in the order of their ids.
    pub(super) fn linked(&self) -> impl Iterator<Item = NodeId> {
        self.members.keys().copied().filter(|node| self.is_linked(*node))
    }

    /// Sends a message of the core. A message to a member without a link is lost.
    pub(super) fn send(&self, to: NodeId, message: &Message) {
        let class = match message {
            Message::Control(_) => Class::Control,
            Message::Channel(_) => Class::Agent,
        };
        let member = self.members.get(&to).map(|(key, _)| *key);
        let departed = || self.departed.get(&to).map(|(target, _)| target.key);
        if let Some(key) = member.or_else(departed) {
            // The core repeats lost messages: control messages after a time, agents' messages by their channel.
            let _lost = self.overlay.send(key, class, codec::encode_message(message));
        }
    }

    /// Sends a request of the command-line interface to a member. Resolves to the reply, or to `None` when there is
    /// none after `patience` or the member is not linked.
    pub(super) fn request(
        &self,
        node: NodeId,
        body: Vec<u8>,
        patience: Duration,
    ) -> impl Future<Output = Option<Vec<u8>>> + Send + use<> {
        let (overlay, key) = (self.overlay.clone(), self.members.get(&node).map(|(key, _)| *key));
        async move { overlay.request(key?, Class::Admin, body, patience).await.ok() }
    }

    /// Gossips a batch of facts to all members.
    pub(super) fn publish(&self, batch: &Batch) {
        match postcard::to_stdvec(&BatchRecord::V1(batch.clone())) {
            Ok(body) => {
                if let Err(error) = self.overlay.publish(body) {
                    tracing::debug!(%error, "facts not published");
                }
            }
            Err(error) => tracing::error!(%error, "facts could not be encoded"),
        }
    }

    /// A transport for the replicated log. It finds members by the ledger that [`follow`](Self::follow) saw last.
    pub(super) fn transport(&self) -> Arc<dyn rhizo_log::Transport> {
        Arc::new(Transport { overlay: self.overlay.clone(), directory: self.directory.clone() })
    }

    /// Closes all links.
    pub(super) async fn close(&self) {
        self.overlay.clone().close().await;
    }
}

/// The operators' statements that the former lineages have ended.
fn successions(ledger: &Ledger) -> BTreeMap<Lineage, Succession> {
    let next = ledger.former.iter().skip(1).map(|former| former.lineage).chain([ledger.lineage()]);
    let statement = |(former, lineage): (&rhizo_protocol::ledger::FormerLineage, Lineage)| {
        let signature = former.signature.as_slice().try_into().ok()?;
        let (operator, former) = (former.operator, former.lineage);
        Some((former, Succession { former, lineage, operator, signature }))
    };
    ledger.former.iter().zip(next).filter_map(statement).collect()
}

/// Carries requests of the replicated log over the overlay's links.
struct Transport {
    overlay: Overlay,
    directory: Directory,
}

impl rhizo_log::Transport for Transport {
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> rhizo_log::BoxFuture<Result<Vec<u8>, CallError>> {
        let key = self.directory.read().unwrap_or_else(PoisonError::into_inner).get(&target).copied();
        let overlay = self.overlay.clone();
        Box::pin(async move {
            let key = key.ok_or(CallError::Unreachable)?;
            overlay.request(key, Class::Raft, request, timeout).await.map_err(|error| match error {
                RequestError::NotSent(_) | RequestError::TooMany => CallError::Unreachable,
                RequestError::TimedOut => CallError::Timeout,
                RequestError::LinkLost | RequestError::Declined => CallError::Refused(error.to_string()),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_overlay::{NodeSecret, OverlayConfig, OverlayEvent, OverlayEvents};
    use rhizo_protocol::ledger::Member;
    use rhizo_types::ledger::MemberRecord;
    use rhizo_types::message::Control;

    const LINEAGE: Lineage = Lineage(7);
    const WATCHDOG: Duration = Duration::from_secs(60);

    struct End {
        links: Links,
        events: OverlayEvents,
        key: PeerKey,
        address: SocketAddr,
    }

    async fn end() -> End {
        let secret = NodeSecret::generate();
        let key = secret.peer_key();
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let bound = Overlay::bind(OverlayConfig::new(secret, "app".into(), LINEAGE, listen)).await;
        let (overlay, events) = bound.unwrap();
        let address = overlay.listen_address().unwrap();
        let traffic = Traffic::start(NodeId(0), overlay.stream_dialer(), overlay.accept_streams());
        let (traffic, _lookups) = traffic.expect("a thread");
        End { links: Links::new(overlay, Arc::new(traffic)), events, key, address }
    }

    fn roster(ends: &[(u64, &End)]) -> Ledger {
        let member = |(id, end): &(u64, &End)| {
            let record = MemberRecord {
                key: end.key,
                provider: "lab".into(),
                region: "eu".into(),
                addresses: vec![end.address],
                intent: None,
            };
            (NodeId(*id), Member { record, draining: false })
        };
        Ledger { members: ends.iter().map(member).collect(), ..Ledger::default() }
    }

    async fn until_up(end: &mut End) {
        loop {
            if let Some(OverlayEvent::LinkUp { peer, role, .. }) = end.events.recv().await {
                return end.links.link_up(peer, role);
            }
        }
    }

    #[tokio::test]
    async fn a_member_receives_the_entry_that_removes_it_before_its_link_is_closed() {
        let (mut one, mut two) = (end().await, end().await);
        let (both, alone) = (roster(&[(1, &one), (2, &two)]), roster(&[(1, &one)]));
        one.links.follow(&both, true);
        two.links.follow(&both, true);
        two.links.want(BTreeSet::from([NodeId(1)]));
        tokio::time::timeout(WATCHDOG, until_up(&mut two)).await.unwrap();
        tokio::time::timeout(WATCHDOG, until_up(&mut one)).await.unwrap();

        // The shell follows the ledger before it executes the turn that sends the entry.
        one.links.follow(&alone, true);
        one.links.send(NodeId(2), &Message::Control(Control::Entries(Vec::new())));
        assert!(one.links.node(&two.key).is_none(), "its own messages are not heard any more");
        let received = async {
            loop {
                match two.events.recv().await {
                    Some(OverlayEvent::Frame { .. }) => return true,
                    Some(OverlayEvent::LinkDown { .. }) | None => return false,
                    Some(_) => {}
                }
            }
        };
        assert!(tokio::time::timeout(WATCHDOG, received).await.unwrap(), "the link was closed before");

        for (_, until) in one.links.departed.values_mut() {
            *until = Instant::now();
        }
        one.links.let_go(&alone);
        let closed =
            async { while !matches!(two.events.recv().await, Some(OverlayEvent::LinkDown { .. })) {} };
        tokio::time::timeout(WATCHDOG, closed).await.unwrap();
    }
}
