//! The states of an intent, and which outcome is accepted in which state.
//!
//! ```text
//! Open ──► Bound ──► Releasing ──► Released
//!  │ └──► Unknown ──► Bound | Absent
//!  └────► Absent
//! ```
//! `Dead` and `Leave` also lead to `Releasing`, from any open state. Closed states are final.

use super::{CLOSED_INTENTS_MAX, Ledger, Refusal};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{IntentId, NodeId};
use rhizo_types::intent::{BoundHost, IntentState, Outcome};

impl Ledger {
    pub(super) fn outcome(&mut self, id: IntentId, outcome: &Outcome) -> Result<(), Refusal> {
        let intent = self.intents.get(&id).ok_or(Refusal::UnknownIntent(id))?;
        let member = intent.node.is_some_and(|node| self.members.contains_key(&node));
        let wrong = Refusal::IntentState { intent: id, state: intent.state };
        match (intent.state, outcome) {
            (IntentState::Open | IntentState::Unknown, Outcome::Bound(host)) => {
                self.bind(id, host)?;
                self.set_state(id, IntentState::Bound);
            }
            // The node joined before the provider's answer named its host, and has left since.
            (IntentState::Releasing, Outcome::Bound(host)) if intent.host.is_none() => self.bind(id, host)?,
            (IntentState::Open, Outcome::Unknown) => self.set_state(id, IntentState::Unknown),
            (IntentState::Open | IntentState::Unknown, Outcome::Absent(_)) if !member => {
                self.set_state(id, IntentState::Absent);
            }
            // Suspicion never releases a host: a member has to be committed dead, or to leave, first.
            (IntentState::Bound, Outcome::Releasing(_)) if !member => {
                self.set_state(id, IntentState::Releasing);
            }
            (IntentState::Releasing, Outcome::Released) => self.set_state(id, IntentState::Released),
            _ => return Err(wrong),
        }
        Ok(())
    }

    fn bind(&mut self, id: IntentId, host: &BoundHost) -> Result<(), Refusal> {
        let provider = self.intents.get(&id).map(|intent| intent.order.provider.clone());
        let taken = provider.and_then(|provider| self.intent_of_host(&provider, &host.host));
        if let Some(intent) = taken.filter(|_| !sabotage::is(Sabotage::AdoptsAnyHost)) {
            return Err(Refusal::HostTaken { host: host.host.clone(), intent });
        }
        if let Some(intent) = self.intents.get_mut(&id) {
            intent.host = Some(host.clone());
        }
        Ok(())
    }

    fn set_state(&mut self, id: IntentId, state: IntentState) {
        let Some(intent) = self.intents.get_mut(&id) else { return };
        intent.state = state;
        if intent.is_open() {
            return;
        }
        if let Some(node) = intent.node {
            self.host_gone(node);
        }
        let closed = self.intents.values().filter(|intent| !intent.is_open()).map(|intent| intent.id);
        let closed: Vec<IntentId> = closed.collect();
        for id in closed.iter().take(closed.len().saturating_sub(CLOSED_INTENTS_MAX)) {
            self.intents.remove(id);
        }
    }

    /// Removes the lingering instances of a former member whose host is gone, and ends its replacement.
    fn host_gone(&mut self, node: NodeId) {
        self.lingering.retain(|_, placed| placed.node != node);
        self.end_replacements();
    }
}
