//! Requests of hosts to join. Each request becomes one command, and is answered when the command is applied.
//!
//! A node that did not receive its answer repeats the request with the same key, and gets the same answer.

use super::View;
use crate::codec;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::{Effect, RequestId};
use rhizo_types::id::{IntentId, NodeId, PeerKey};
use rhizo_types::intent::IntentState;
use rhizo_types::ledger::{Command, Join};
use rhizo_types::wire::JoinAnswer;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Joins {
    /// Open requests by ticket; their number is bounded by the number of open intents.
    pending: BTreeMap<IntentId, Pending>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pending {
    request: RequestId,
    join: Join,
}

/// Returns the member that used this ticket with this key.
fn joined(view: View<'_>, ticket: IntentId, key: PeerKey) -> Option<NodeId> {
    let node = view.ledger.intents.get(&ticket)?.node?;
    (view.ledger.members.get(&node)?.record.key == key).then_some(node)
}

/// Returns the reason for which this key on this host may not use the ticket; none if it may.
fn refusal(view: View<'_>, join: &Join) -> Option<&'static str> {
    let Join { ticket, host, key, .. } = join;
    let Some(intent) = view.ledger.intents.get(ticket) else { return Some("the ticket is not known") };
    if view.ledger.members.values().any(|member| member.record.key == *key) {
        return Some("the key is that of another member");
    }
    if view.ledger.taking_down || sabotage::is(Sabotage::RefusesJoins) {
        return Some("the application is being taken down");
    }
    if intent.node.is_some() {
        return Some("the ticket was used by another node");
    }
    if intent.host.as_ref().is_some_and(|bound| bound.host != *host) {
        return Some("the ticket is another host's");
    }
    if view.ledger.intent_of_host(&intent.order.provider, host).is_some_and(|other| other != *ticket) {
        return Some("the host is another ticket's");
    }
    match intent.state {
        IntentState::Open | IntentState::Unknown | IntentState::Bound => None,
        IntentState::Releasing | IntentState::Absent | IntentState::Released => {
            Some("the ticket is too late")
        }
    }
}

fn reply(request: RequestId, answer: JoinAnswer, out: &mut Out) {
    out.effect(Effect::ReplyJoin { request, answer });
}

impl Joins {
    pub(super) fn requested(&mut self, request: RequestId, join: Join, view: View<'_>, out: &mut Out) {
        if joined(view, join.ticket, join.key).is_none()
            && let Some(reason) = refusal(view, &join)
        {
            return reply(request, JoinAnswer::Refused { reason: reason.to_owned() }, out);
        }
        // The ticket has an open request already. If it is from the same host, that host repeats it over a new link
        // and no longer waits for the old answer. If it is from another host with the same ticket, the ledger decides
        // which of the two joins. The other host learns the decision when it repeats its request.
        if let Some(old) = self.pending.insert(join.ticket, Pending { request, join }) {
            reply(old.request, JoinAnswer::Later, out);
        }
    }

    /// Answers the requests that the ledger has decided.
    pub(super) fn answer(&mut self, view: View<'_>, out: &mut Out) {
        self.pending.retain(|ticket, pending| {
            let answer = match (joined(view, *ticket, pending.join.key), refusal(view, &pending.join)) {
                (Some(node), _) => JoinAnswer::Accepted { node, ledger: codec::encode_ledger(view.ledger) },
                (None, Some(reason)) => JoinAnswer::Refused { reason: reason.to_owned() },
                (None, None) => return true,
            };
            reply(pending.request, answer, out);
            false
        });
    }

    pub(super) fn command(&self) -> Option<Command> {
        self.pending.values().next().map(|pending| Command::Join(pending.join.clone()))
    }

    pub(super) fn resign(self, out: &mut Out) {
        for pending in self.pending.into_values() {
            reply(pending.request, JoinAnswer::Later, out);
        }
    }
}
