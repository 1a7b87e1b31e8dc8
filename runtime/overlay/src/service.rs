//! The task that owns the swarm: converts commands into dials and closes, and the swarm's events into those of this
//! crate.
//!
//! When the event queue is full, events about links are held back and the swarm is not polled meanwhile, so that the
//! held events stay bounded. Frames do not pass through this task: the tasks in [`crate::lane_io`] put them into the
//! event queue.

use crate::admission::{Admission, Claim, Credential, Role};
use crate::config::OverlayConfig;
use crate::dials::Dials;
use crate::error::{BindError, DialError};
use crate::event::{EventSender, LinkDownReason, OverlayEvent, UnreachableReason};
use crate::fault::{Fault, is_stream, of_dial, of_listen};
use crate::gate::LinkNote;
use crate::key::{self, NodeSecret};
use crate::link::Link;
use crate::links::LaneEvent;
use crate::rate::Rate;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::signed::{self, Verdict};
use crate::swarm::{self, Behaviour, BehaviourEvent};
use crate::transport::{self, GatedTcp, SetUp};
use crate::upkeep::{ADDRESSES_MAX, LinkTarget, Upkeep};
use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use libp2p::{PeerId, ping};
use rhizo_types::{Lineage, PeerKey};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Time for which a stopping overlay waits for its connections to close.
const CLOSING_MAX: Duration = Duration::from_millis(500);
/// The most reports of refused strangers per second in the long run, and the largest burst: enough to notice an
/// attack, and few enough not to flood the log.
const REFUSED_RATE: u32 = 5;
const REFUSED_BURST: u32 = 32;
/// Ends of lanes that wait to be handled.
const ENDED_MAX: usize = 64;

/// A request of the handle to the service.
#[derive(Debug)]
pub(crate) enum Command {
    Dial { target: LinkTarget, credential: Credential, done: oneshot::Sender<Result<(), DialError>> },
    Publish(Vec<u8>),
    CloseLink(PeerKey),
    Close(oneshot::Sender<()>),
}

struct Service {
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    commands: mpsc::Receiver<Command>,
    events: EventSender,
    /// Events about links that found the queue full, in order.
    held: VecDeque<OverlayEvent>,
    links: BTreeMap<PeerKey, Link>,
    upkeep: Upkeep,
    links_max: usize,
    dials: Dials,
    lineage: Lineage,
    waiting: BTreeMap<PeerKey, oneshot::Sender<Result<(), DialError>>>,
    ended: mpsc::Receiver<(ConnectionId, LinkDownReason)>,
    end_of_lane: mpsc::Sender<(ConnectionId, LinkDownReason)>,
    refused_rate: Rate,
    secret: NodeSecret,
}

/// Builds the swarm and starts the task.
pub(crate) fn start(
    config: &OverlayConfig,
    set_up: SetUp,
    listener: Option<TcpListener>,
    commands: mpsc::Receiver<Command>,
    events: EventSender,
) -> Result<(), BindError> {
    let shared = Arc::clone(&set_up.shared);
    let gated = GatedTcp::new(set_up, listener);
    let mut swarm = swarm::build(config, &config.secret.keypair(), gated)?;
    if let Some(address) = shared.listen {
        swarm
            .listen_on(transport::to_multiaddr(address))
            .map_err(|error| BindError::Setting(error.to_string()))?;
    }
    let (end_of_lane, ended) = mpsc::channel(ENDED_MAX);
    let service = Service {
        swarm,
        upkeep: Upkeep::new(shared.gate.local),
        admission: Arc::default(),
        shared,
        commands,
        events,
        held: VecDeque::new(),
        links: BTreeMap::new(),
        links_max: config.links_max,
        dials: Dials::default(),
        lineage: config.lineage,
        waiting: BTreeMap::new(),
        ended,
        end_of_lane,
        refused_rate: Rate::new(REFUSED_RATE, REFUSED_BURST, Instant::now()),
        secret: config.secret.clone(),
    };
    tokio::spawn(service.run());
    Ok(())
}

impl Service {
    async fn run(mut self) {
        loop {
            let held = !self.held.is_empty();
            let dial_at = self.upkeep.next_dial();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Close(done)) => {
                        self.shut_down().await;
                        // The caller of `close` may have stopped waiting.
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.handle_command(command),
                    None => return self.shut_down().await,
                },
                () = self.shared.changed.notified() => self.handle_change(),
                room = self.events.room(), if held => match room {
                    Ok(()) => self.release_held(),
                    Err(_) => return self.shut_down().await,
                },
                () = self.events.closed() => return self.shut_down().await,
                Some((connection, reason)) = self.ended.recv() => self.handle_lane_end(connection, reason),
                event = self.swarm.select_next_some(), if !held => self.handle_swarm_event(event),
                () = sleep_until(dial_at), if dial_at.is_some() => self.dial_due(),
            }
        }
    }

    async fn shut_down(&mut self) {
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            self.end_link(&peer, LinkDownReason::Closed);
        }
        let closing = async {
            while self.swarm.network_info().connection_counters().num_established() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(CLOSING_MAX, closing).await.is_err() {
            tracing::debug!("connections cut off at close");
        }
    }

    /// Queues an event that must not be lost.
    fn emit(&mut self, event: OverlayEvent) {
        if !self.held.is_empty() {
            self.held.push_back(event);
        } else if let Err(event) = self.events.try_send(event) {
            self.held.push_back(event);
        }
    }

    /// Queues an event that may be lost, since a later one replaces it.
    fn emit_sample(&self, event: OverlayEvent) -> bool {
        self.held.is_empty() && self.events.try_send(event).is_ok()
    }

    fn release_held(&mut self) {
        while let Some(event) = self.held.pop_front() {
            if let Err(event) = self.events.try_send(event) {
                self.held.push_front(event);
                return;
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Dial { target, credential, done } => self.dial_once(target, credential, done),
            Command::Publish(body) => {
                let message = signed::seal(&self.secret, &body);
                if let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut()
                    && let Err(error) = gossip.publish(swarm::topic(), message)
                {
                    tracing::debug!(%error, "gossip not published");
                }
            }
            Command::CloseLink(peer) => self.end_link(&peer, LinkDownReason::Closed),
            // `run` takes this one itself.
            Command::Close(_) => {}
        }
    }

    /// The admission or the wanted links have changed.
    fn handle_change(&mut self) {
        self.follow_lineage();
        let admission = Arc::clone(&self.shared.gate.book().admission);
        if !Arc::ptr_eq(&admission, &self.admission) {
            self.admission = admission;
            self.review_roles();
        }
        let Some(targets) = self.shared.targets().take() else { return };
        let (links, dials) = (&self.links, &self.dials);
        let busy = |peer: &PeerKey| links.contains_key(peer) || dials.is_under_way(peer);
        let dropped = self.upkeep.replace(targets, self.links_max, busy, Instant::now(), rand::random::<f64>);
        for peer in dropped {
            if self.links.get(&peer).is_some_and(|link| link.dialled_here) {
                self.end_link(&peer, LinkDownReason::Closed);
            }
        }
    }

    /// Closes everything that belongs to another lineage than this node's own, if that has changed.
    fn follow_lineage(&mut self) {
        let lineage = {
            let mut book = self.shared.gate.book();
            if book.lineage == self.lineage {
                return;
            }
            book.dialling.clear();
            book.superseded.clear();
            book.lineage
        };
        self.lineage = lineage;
        self.dials.outdate_all();
        for peer in self.links.keys().copied().collect::<Vec<_>>() {
            self.end_link(&peer, LinkDownReason::Closed);
        }
        for peer in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.settle_dial(&peer, Err(DialError::GivenUp));
        }
        self.upkeep.begin_anew(Instant::now(), rand::random::<f64>);
    }

    fn review_roles(&mut self) {
        let mut changes = Vec::new();
        for (peer, link) in &self.links {
            let removed = matches!(link.role, Role::Member(_)) && !self.admission.members.contains_key(peer);
            let role = if removed { None } else { self.admission.role_of(peer, link.claim) };
            if role != Some(link.role) {
                changes.push((*peer, role));
            }
        }
        for (peer, role) in changes {
            match role {
                None => self.end_link(&peer, LinkDownReason::Expelled),
                Some(role) => {
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.role = role;
                    }
                    if let Some(note) = self.shared.gate.book().links.get_mut(&peer) {
                        note.guest = is_guest(role);
                    }
                    self.emit(OverlayEvent::RoleChanged { peer, role });
                }
            }
        }
    }

    fn dial_due(&mut self) {
        for (peer, addresses) in self.upkeep.take_due(Instant::now()) {
            if !self.links.contains_key(&peer) && !self.dials.is_under_way(&peer) {
                self.dial(peer, &addresses);
            }
        }
    }

    fn dial_once(
        &mut self,
        target: LinkTarget,
        credential: Credential,
        done: oneshot::Sender<Result<(), DialError>>,
    ) {
        if self.links.contains_key(&target.key) {
            let _ = done.send(Ok(()));
            return;
        }
        self.shared.gate.book().credentials.insert(target.key, credential);
        // The caller of an older one-shot dial of the same peer receives an error.
        self.waiting.insert(target.key, done);
        self.dial(target.key, &target.addresses);
    }

    fn dial(&mut self, peer: PeerKey, addresses: &[SocketAddr]) {
        let Some(id) = key::peer_id(&peer) else {
            self.handle_fault(peer, Fault::Unreachable(UnreachableReason::WrongKey));
            return;
        };
        let addresses =
            addresses.iter().take(ADDRESSES_MAX).map(|address| transport::to_multiaddr(*address)).collect();
        let options = DialOpts::peer_id(id).condition(PeerCondition::Always).addresses(addresses).build();
        self.dials.begin(peer, options.connection_id());
        self.shared.gate.book().dialling.insert(peer, Instant::now());
        if let Err(error) = self.swarm.dial(options) {
            self.handle_fault(peer, of_dial(&error));
        }
    }

    /// A dial of that peer has failed.
    fn handle_fault(&mut self, peer: PeerKey, fault: Fault) {
        self.dials.end(&peer);
        self.shared.gate.book().dialling.remove(&peer);
        if self.links.contains_key(&peer) {
            // The other end's dial made the link meanwhile.
            return;
        }
        let (now, jitter) = (Instant::now(), rand::random::<f64>());
        let statement = self.shared.gate.book().superseded.remove(&peer);
        if let Some((succession, is_member)) = statement {
            let succession = Box::new(succession);
            self.emit(OverlayEvent::Superseded { peer, succession, is_member });
        }
        match fault {
            Fault::Refused(Refusal::Crossed) => self.upkeep.dial_crossed(&peer, now, jitter),
            Fault::Refused(refusal) => {
                if self.upkeep.dial_failed(&peer, now, jitter).is_some() {
                    self.emit(OverlayEvent::Declined { peer, refusal });
                }
            }
            Fault::Unreachable(reason) => {
                if let Some(failures) = self.upkeep.dial_failed(&peer, now, jitter) {
                    self.emit(OverlayEvent::Unreachable { peer, reason, failures });
                }
            }
        }
        self.settle_dial(&peer, Err(fault.into()));
    }

    fn settle_dial(&mut self, peer: &PeerKey, outcome: Result<(), DialError>) {
        if let Some(done) = self.waiting.remove(peer) {
            self.shared.gate.book().credentials.remove(peer);
            // The dialer may have given up waiting.
            let _ = done.send(outcome);
        }
    }

    fn handle_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.handle_connection(&peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                if let Some(peer) = self.peer_on(connection_id) {
                    tracing::debug!(%peer, ?cause, "connection closed");
                    self.end_link(&peer, LinkDownReason::Lost);
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(id), connection_id, error } => {
                tracing::debug!(peer = %id, %error, "dial failed");
                self.dials.take_outdated(connection_id);
                if let Some(peer) = key::peer_key(&id)
                    && self.dials.is_newest(&peer, connection_id)
                {
                    self.handle_fault(peer, of_dial(&error));
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } if is_stream(&error) => {}
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                let Some(remote) = transport::socket_address(&send_back_addr) else { return };
                self.shared.gate.book().claims.remove(&remote);
                let (peer, refusal) = of_listen(&error);
                tracing::debug!(%remote, %error, "connection refused");
                let news = refusal != Some(Refusal::Crossed) && self.refused_rate.take(Instant::now());
                if news {
                    self.emit_sample(OverlayEvent::Refused { remote, peer, refusal });
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Links(event)) => self.handle_lane_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.handle_ping(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.handle_gossip(event),
            _ => {}
        }
    }

    fn handle_connection(&mut self, id: &PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let remote = transport::socket_address(endpoint.get_remote_address());
        let dialled_here = endpoint.is_dialer();
        let claim = match remote {
            Some(_) if dialled_here => (!self.dials.take_outdated(connection)).then_some(Claim::Pinned),
            Some(remote) => {
                let claim = self.shared.gate.book().claims.remove(&remote);
                claim.filter(|(_, lineage)| *lineage == self.lineage).map(|(claim, _)| claim)
            }
            None => None,
        };
        let admitted = key::peer_key(id).zip(claim).zip(remote).and_then(|((peer, claim), remote)| {
            // The admission may have changed since the gate looked.
            let role = self.admission_now().role_of(&peer, claim)?;
            // The wanted links may have changed too, while the dial was in progress.
            let wanted = self.upkeep.is_wanted(&peer) || self.waiting.contains_key(&peer);
            (wanted || !dialled_here).then_some((peer, claim, remote, role))
        });
        let Some((peer, claim, address, role)) = admitted else {
            self.swarm.close_connection(connection);
            if let Some(peer) = key::peer_key(id).filter(|peer| self.dials.is_newest(peer, connection)) {
                self.handle_fault(peer, Fault::Unreachable(UnreachableReason::Failed));
            }
            return;
        };
        if self.links.contains_key(&peer) {
            self.end_link(&peer, LinkDownReason::Superseded);
        }
        let link = Link::new(connection, claim, role, dialled_here);
        self.dials.end(&peer);
        {
            let mut book = self.shared.gate.book();
            book.dialling.remove(&peer);
            let note = LinkNote { dialled_here, since: link.since, guest: is_guest(role) };
            book.links.insert(peer, note);
        }
        self.shared.lanes().insert(peer, Arc::clone(&link.lanes));
        self.links.insert(peer, link);
        self.upkeep.link_up(&peer);
        self.emit(OverlayEvent::LinkUp { peer, role, address });
        self.settle_dial(&peer, Ok(()));
    }

    /// Returns the newest admission. The roles of established links follow when the change is handled.
    fn admission_now(&self) -> Arc<Admission> {
        Arc::clone(&self.shared.gate.book().admission)
    }

    fn peer_on(&self, connection: ConnectionId) -> Option<PeerKey> {
        self.links.iter().find(|(_, link)| link.connection == connection).map(|(peer, _)| *peer)
    }

    /// Closes a link, in any state of its connection.
    fn end_link(&mut self, peer: &PeerKey, reason: LinkDownReason) {
        let Some(link) = self.links.remove(peer) else { return };
        self.shared.lanes().remove(peer);
        self.shared.gate.book().links.remove(peer);
        link.lanes.abandon();
        self.swarm.close_connection(link.connection);
        self.emit(OverlayEvent::LinkDown { peer: *peer, reason });
        let now = Instant::now();
        self.upkeep.link_down(peer, now.saturating_duration_since(link.since), now, rand::random());
    }

    fn handle_lane_end(&mut self, connection: ConnectionId, reason: LinkDownReason) {
        if let Some(peer) = self.peer_on(connection) {
            self.end_link(&peer, reason);
        }
    }

    fn handle_lane_event(&mut self, event: LaneEvent) {
        let LaneEvent { peer: id, connection, change } = event;
        let Some(peer) = key::peer_key(&id) else { return };
        let Some(link) = self.links.get_mut(&peer).filter(|link| link.connection == connection) else {
            return;
        };
        if let Some(reason) = link.run_lane(peer, change, &self.events, &self.end_of_lane) {
            self.end_link(&peer, reason);
        }
    }

    fn handle_ping(&mut self, event: ping::Event) {
        let Some(peer) = self.peer_on(event.connection) else { return };
        match event.result {
            Ok(rtt) => {
                self.emit_sample(OverlayEvent::Rtt { peer, rtt });
            }
            Err(ping::Failure::Timeout) => self.end_link(&peer, LinkDownReason::Silent),
            Err(error) => {
                tracing::debug!(%peer, %error, "ping failed");
                self.end_link(&peer, LinkDownReason::Lost);
            }
        }
    }

    fn handle_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else { return };
        let acceptance = match signed::judge(&message.data, &self.admission_now()) {
            Verdict::Accept { origin, body } => {
                self.emit_sample(OverlayEvent::Gossip { origin, body });
                MessageAcceptance::Accept
            }
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        };
        if let Some(gossip) = self.swarm.behaviour_mut().gossip.as_mut() {
            gossip.report_message_validation_result(&message_id, &propagation_source, acceptance);
        }
    }
}

fn is_guest(role: Role) -> bool {
    matches!(role, Role::Joiner(_) | Role::Operator)
}

/// Sleeps until `at`; the caller polls it only when there is a deadline.
async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}
