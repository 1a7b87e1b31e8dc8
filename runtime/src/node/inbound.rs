//! Converts the input from links into events for the core, requests of the log, facts, and questions of operators.
//!
//! The overlay has authenticated the other end. Its role decides here which messages it may send. Other messages are
//! dropped and logged at debug level. Read next: [`super::links`].

use super::NodeError;
use super::admin::{Asker, reply};
use super::shell::Shell;
use crate::admin::{ASK_BYTES_MAX, Answer, AskRecord};
use rhizo_overlay::{Class, OverlayEvent, Refusal, Reply, Role, UnreachableReason};
use rhizo_protocol::codec;
use rhizo_protocol::event::Event;
use rhizo_types::fact::{Batch, BatchRecord, STATEMENTS_MAX};
use rhizo_types::ledger::Join;
use rhizo_types::{IntentId, PeerKey};

impl Shell {
    pub(super) async fn overlay_event(&mut self, event: OverlayEvent) -> Result<(), NodeError> {
        match event {
            OverlayEvent::LinkUp { peer, role, .. } | OverlayEvent::RoleChanged { peer, role } => {
                self.links.link_up(peer, role);
                if let Role::Member(node) = role {
                    self.feed(Event::LinkUp { peer: node }).await?;
                }
            }
            OverlayEvent::LinkDown { peer, .. } => {
                self.links.link_down(&peer);
                if let Some(node) = self.links.node(&peer) {
                    self.feed(Event::LinkDown { peer: node }).await?;
                }
            }
            OverlayEvent::Frame { peer, class, body } => self.frame(peer, class, &body).await?,
            OverlayEvent::Request { peer, class, body, reply } => {
                self.request(peer, class, body, reply).await?
            }
            OverlayEvent::Gossip { origin, body } => self.gossip(origin, &body).await?,
            OverlayEvent::Rtt { peer, rtt } => {
                if let Some(node) = self.links.node(&peer) {
                    self.facts.take_rtt(node, rtt);
                }
            }
            OverlayEvent::Unreachable { peer, reason, .. } => {
                // A refused connection proves that no process listens there; a time-out proves nothing.
                if let (Some(node), UnreachableReason::ConnectionRefused) = (self.links.node(&peer), reason) {
                    self.feed(Event::Unreachable { peer: node }).await?;
                }
            }
            OverlayEvent::Declined { peer, refusal } => {
                if let (Some(node), Refusal::Stranger) = (self.links.node(&peer), refusal) {
                    self.feed(Event::Expelled { by: node }).await?;
                }
            }
            OverlayEvent::Superseded { peer, succession, is_member } => {
                self.superseded(peer, &succession, is_member).await?;
            }
            OverlayEvent::Refused { remote, refusal, .. } => {
                tracing::debug!(%remote, ?refusal, "stranger refused");
            }
        }
        Ok(())
    }

    async fn frame(&mut self, peer: PeerKey, class: Class, body: &[u8]) -> Result<(), NodeError> {
        let Some(from) = self.links.node(&peer) else { return Ok(()) };
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
        match (self.links.role(&peer), class) {
            (Some(Role::Member(from)), Class::Raft) => {
                let ledger = self.core.ledger();
                self.log.handle(from, body, reply, ledger.lineage(), &ledger.timers());
                Ok(())
            }
            // The ticket that the link proved is used, not the one that the message names.
            (Some(Role::Joiner(ticket)), Class::Control) => {
                let proved = |join| Join { ticket: IntentId(ticket.0), key: peer, ..join };
                self.join_requested(&body, reply, proved).await
            }
            // A node that has joined without receiving the answer repeats its request, now over a member's link.
            (Some(Role::Member(_)), Class::Control) => {
                self.join_requested(&body, reply, |join| Join { key: peer, ..join }).await
            }
            (Some(role @ (Role::Operator | Role::Member(_))), Class::Admin) => {
                self.question(role, &body, reply).await
            }
            (role, class) => {
                tracing::debug!(?role, ?class, "request declined");
                Ok(())
            }
        }
    }

    async fn join_requested(
        &mut self,
        body: &[u8],
        reply: Reply,
        proved: impl FnOnce(Join) -> Join,
    ) -> Result<(), NodeError> {
        let Ok(join) = codec::decode_join(body) else { return Ok(()) };
        match self.admin.asked.wait(Asker::Joiner(reply)) {
            Ok(request) => self.feed(Event::JoinRequested { request, join: proved(join) }).await,
            // The link declines the request, and the node repeats it.
            Err(_) => {
                tracing::warn!("join request dropped: too many requests wait");
                Ok(())
            }
        }
    }

    async fn question(&mut self, role: Role, body: &[u8], link: Reply) -> Result<(), NodeError> {
        if body.len() > ASK_BYTES_MAX {
            return Ok(());
        }
        match serde_json::from_slice(body) {
            Ok(AskRecord::V1 { ask, passed_on }) => {
                // A member sends only questions that it passes on. They are never passed on again.
                let passed_on = passed_on || matches!(role, Role::Member(_));
                self.ask(ask, passed_on, Asker::Link(link)).await?;
            }
            Err(error) => {
                let reason = format!("read the question: {error}");
                reply(link, &Answer::Refused { reason, hint: None });
            }
        }
        Ok(())
    }

    async fn gossip(&mut self, origin: PeerKey, body: &[u8]) -> Result<(), NodeError> {
        let Some(node) = self.links.node(&origin) else { return Ok(()) };
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

    /// Merges a batch of facts, and notifies the core when a believed value has changed.
    pub(super) async fn take_batch(&mut self, batch: &Batch) -> Result<(), NodeError> {
        let now = self.now();
        if self.facts.merge(batch, now) {
            self.feed(Event::FactsChanged { by: batch.origin }).await?;
        }
        Ok(())
    }
}
