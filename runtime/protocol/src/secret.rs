//! Tickets and idempotency tokens, derived from the overlay's secret and from an intent.
//!
//! Pure functions: every coordinator of a lineage derives the same values. A new coordinator repeats a call of its
//! predecessor with the same token, and admits the host that its predecessor ordered.

use crate::ledger::Ledger;
use rhizo_types::id::{IntentId, Lineage};
use rhizo_types::intent::{Intent, IntentState};
use rhizo_types::wire::TicketSecret;

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

/// The tickets that a host may join with at present: their intent is open, and no host has used them.
///
/// The node that used a ticket is recognised as a member, not by its ticket.
pub fn open_tickets(ledger: &Ledger) -> impl Iterator<Item = IntentId> + '_ {
    let usable = |intent: &&Intent| {
        intent.node.is_none()
            && matches!(intent.state, IntentState::Open | IntentState::Unknown | IntentState::Bound)
            && !ledger.taking_down
    };
    ledger.intents.values().filter(usable).map(|intent| intent.id)
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
