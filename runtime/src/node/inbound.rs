//! What links say, turned into events for the core or handed to the log and to the answering of questions.
//!
//! The overlay has authenticated the other end; here only its role decides what it may say. Everything that
//! does not fit its role is dropped and counted as a debug line.

use super::input::Input;
use super::shell::{Asker, Shell};
use super::{NodeError, admin};
use crate::admin::{ASK_BYTES_MAX, AskRecord};
use rhizo_log::LogNode;
use rhizo_overlay::{Class, OverlayEvent, Reply, Role, UnreachableReason};
use rhizo_protocol::codec;
use rhizo_protocol::event::Event;
use rhizo_protocol::turn::RequestId;
use rhizo_types::fact::{Batch, BatchRecord, STATEMENTS_MAX};
use rhizo_types::ledger::Join;
use rhizo_types::{IntentId, NodeId, PeerKey};

/// Questions and join requests that wait for an answer of the core at most.
const ASKED_MAX: usize = 256;

impl Shell {
    pub(super) async fn overlay_event(&mut self, event: OverlayEvent) -> Result<(), NodeError> {
        match event {
            OverlayEvent::LinkUp { peer, role, .. } | OverlayEvent::RoleChanged { peer, role } => {
                self.peers.link_up(peer, role);
                if let Role::Member(node) = role {
                    self.feed(Event::LinkUp { peer: node }).await?;
                }
            }
            OverlayEvent::LinkDown { peer, .. } => {
                self.peers.link_down(&peer);
                if let Some(node) = self.peers.node(&peer) {
                    self.feed(Event::LinkDown { peer: node }).await?;
                }
            }
            OverlayEvent::Frame { peer, class, body } => self.frame(peer, class, &body).await?,
            OverlayEvent::Request { peer, class, body, reply } => {
                self.request(peer, class, body, reply).await?
            }
            OverlayEvent::Gossip { origin, body } => self.gossip(origin, &body).await?,
            OverlayEvent::Rtt { peer, rtt } => {
                if let Some(node) = self.peers.node(&peer) {
                    self.sense.rtt(node, rtt);
                }
            }
            OverlayEvent::Unreachable { peer, reason, .. } => {
                // Only a refused connection proves that nobody is there; a time-out proves nothing.
                if let (Some(node), UnreachableReason::ConnectionRefused) = (self.peers.node(&peer), reason) {
                    self.feed(Event::Unreachable { peer: node }).await?;
                }
            }
            OverlayEvent::Declined { peer, refusal } => {
                if let (Some(node), rhizo_overlay::Refusal::Stranger) = (self.peers.node(&peer), refusal) {
                    self.feed(Event::Expelled { by: node }).await?;
                }
            }
            OverlayEvent::Refused { remote, refusal, .. } => {
                tracing::debug!(%remote, ?refusal, "stranger refused");
            }
        }
        Ok(())
    }

    async fn frame(&mut self, peer: PeerKey, class: Class, body: &[u8]) -> Result<(), NodeError> {
        let Some(from) = self.peers.node(&peer) else { return Ok(()) };
        match (class, codec::decode_message(body)) {
            (Class::Control | Class::Agent, Ok(message)) => {
                self.feed(Event::Received { from, message }).await
            }
            (_, decoded) => {
                tracing::debug!(%from, ?class, readable = decoded.is_ok(), "frame dropped");
                Ok(())
            }
        }
    }

    async fn request(
        &mut self,
        peer: PeerKey,
        class: Class,
        body: Vec<u8>,
        reply: Reply,
    ) -> Result<(), NodeError> {
        match (self.peers.role(&peer), class) {
            (Some(Role::Member(from)), Class::Raft) => match self.logbook.log() {
                Some(log) => handle_raft(log.clone(), from, body, reply),
                None => {
                    // The loop opens the log when it comes back to it; a full queue means that it is busy.
                    let _retried_by_the_leader = self.input.try_send(Input::RaftRequest(peer, body, reply));
                }
            },
            (Some(Role::Joiner(ticket)), Class::Control) => {
                if let Ok(join) = codec::decode_join(&body)
                    && let Some(request) = self.remember(Asker::Joiner(reply))
                {
                    // What the link proved counts, not what the message says.
                    let join = Join { ticket: IntentId(ticket.0), key: peer, ..join };
                    self.feed(Event::JoinRequested { request, join }).await?;
                }
            }
            // A node that joined while its answer was lost asks again, now as the member that it is.
            (Some(Role::Member(_)), Class::Control) => {
                if let Ok(join) = codec::decode_join(&body)
                    && let Some(request) = self.remember(Asker::Joiner(reply))
                {
                    let join = Join { key: peer, ..join };
                    self.feed(Event::JoinRequested { request, join }).await?;
                }
            }
            (Some(role @ (Role::Operator | Role::Member(_))), Class::Admin) => {
                self.question(role, &body, reply).await?;
            }
            (role, class) => tracing::debug!(?role, ?class, "request declined"),
        }
        Ok(())
    }

    async fn question(&mut self, role: Role, body: &[u8], reply: Reply) -> Result<(), NodeError> {
        if body.len() > ASK_BYTES_MAX {
            return Ok(());
        }
        match serde_json::from_slice(body) {
            Ok(AskRecord::V1 { ask, passed_on }) => {
                // Members only pass questions on; a member that asks for itself is nobody's operator.
                let passed_on = passed_on || matches!(role, Role::Member(_));
                self.ask(ask, passed_on, Asker::Link(reply)).await?;
            }
            Err(error) => {
                let reason = format!("read the question: {error}");
                admin::reply(reply, &crate::admin::Answer::Refused { reason, hint: None });
            }
        }
        Ok(())
    }

    /// Notes who is to be answered; none when too many wait already.
    pub(super) fn remember(&mut self, asker: Asker) -> Option<RequestId> {
        if self.asked.len() >= ASKED_MAX {
            tracing::warn!("request dropped: too many wait");
            return None;
        }
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.asked.insert(request, asker);
        Some(request)
    }

    async fn gossip(&mut self, origin: PeerKey, body: &[u8]) -> Result<(), NodeError> {
        let Some(node) = self.peers.node(&origin) else { return Ok(()) };
        match postcard::from_bytes(body) {
            Ok(BatchRecord::V1(batch))
                if batch.origin == node && batch.statements.len() <= STATEMENTS_MAX =>
            {
                self.take_batch(&batch).await
            }
            _ => {
                tracing::debug!(%node, "gossip dropped");
                Ok(())
            }
        }
    }

    /// Merges what a node says; the core is told when that may make something else better.
    pub(super) async fn take_batch(&mut self, batch: &Batch) -> Result<(), NodeError> {
        let now = self.now();
        if self.knowledge.merge(batch, now).changed > 0 {
            self.feed(Event::FactsChanged).await?;
        }
        Ok(())
    }

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
}

/// Lets the log answer a member's message, in a task of its own.
pub(super) fn handle_raft(log: LogNode, from: NodeId, body: Vec<u8>, reply: Reply) {
    tokio::spawn(async move {
        match log.handle(from, &body).await {
            Ok(answer) => {
                let _link_gone = reply.send(answer);
            }
            Err(error) => tracing::debug!(%from, %error, "log message declined"),
        }
    });
}
