//! What is derived from the overlay's secret and from an intent: tickets and idempotency tokens.
//!
//! Pure functions, so that every coordinator of a lineage derives the same: a successor repeats the call of its
//! predecessor with the same token, and admits the host that its predecessor ordered.

use crate::ledger::Ledger;
use rhizo_types::id::{IntentId, Lineage};
use rhizo_types::intent::{Intent, IntentState};
use rhizo_types::wire::TicketSecret;
use std::collections::BTreeMap;

/// The ticket secret of an intent; none before genesis.
#[must_use]
pub fn ticket_secret(ledger: &Ledger, intent: IntentId) -> Option<TicketSecret> {
    let genesis = ledger.genesis.as_ref()?;
    let mut hasher = blake3::Hasher::new_keyed(&genesis.overlay_secret.0);
    hasher.update(b"rhizo ticket 1");
    hasher.update(&genesis.lineage.0.to_le_bytes());
    hasher.update(&intent.0.to_le_bytes());
    Some(TicketSecret(*hasher.finalize().as_bytes()))
}

/// Tickets that are good now: their intent is open and nobody used them.
///
/// A ticket that was used stays good for the node that used it only through its membership.
#[must_use]
pub fn open_tickets(ledger: &Ledger) -> BTreeMap<IntentId, TicketSecret> {
    let usable = |intent: &&Intent| {
        intent.node.is_none()
            && matches!(intent.state, IntentState::Open | IntentState::Unknown | IntentState::Bound)
            && !ledger.taking_down
    };
    let open = ledger.intents.values().filter(usable);
    open.filter_map(|intent| Some((intent.id, ticket_secret(ledger, intent.id)?))).collect()
}

/// The idempotency token of an intent: at most 64 ASCII characters, the same for every call of this intent.
#[must_use]
pub fn token(app: &str, lineage: Lineage, intent: &Intent) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in
        [app, intent.order.provider.as_str(), intent.order.offer.as_str(), intent.order.region.as_str()]
    {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&lineage.0.to_le_bytes());
    hasher.update(&intent.id.0.to_le_bytes());
    let digest = hasher.finalize().to_hex();
    format!("rhizo-{}-{}-{}", lineage.0, intent.id.0, &digest[..32])
}
