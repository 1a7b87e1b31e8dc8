//! Checks of copies with state: their data is never left and never destroyed while it is waited for.
//!
//! The simulated hosts have no data. The checks compare the ledger before and after each entry, because data is where
//! the ledger first placed its copy. Read next: `rhizo_protocol`'s `ledger::homes`.

use crate::violation::Violation;
use rhizo_protocol::Ledger;
use rhizo_types::id::InstanceId;
use rhizo_types::intent::IntentState;
use rhizo_types::state::Home;
use std::collections::BTreeMap;

/// Checks the homes after an entry; `before` are those before it.
#[must_use]
pub(crate) fn after_commit(before: &BTreeMap<InstanceId, Home>, truth: &Ledger) -> Option<Violation> {
    let is_pinned = |instance: &InstanceId| truth.state_of(&instance.component).is_pinned();
    for (instance, home) in before.iter().filter(|(instance, _)| is_pinned(instance)) {
        let now = truth.homes.get(instance);
        if truth.members.contains_key(&home.node) && now.is_some_and(|now| now != home) {
            let detail = format!("{instance} has its data on {}, and is placed elsewhere", home.node);
            return Some(Violation::new("pinned-stays", detail));
        }
    }
    for (instance, home) in truth.waiting_for_data() {
        let mut intents = truth.intents.values().filter(|intent| intent.node == Some(home.node));
        if !intents.any(|intent| intent.state == IntentState::Bound) {
            let detail = format!("{instance} waits for its data on {}, whose host is released", home.node);
            return Some(Violation::new("awaited-data-is-kept", detail));
        }
    }
    None
}
