//! Removal of members that are no longer needed, in an order that keeps the quorum.
//!
//! A member leaves when no instance runs on it, no plan needs it and it does not vote. When the application is taken
//! down, the coordinator leaves last.

use super::{Coordinator, View};
use crate::ledger::{Ledger, SlotState};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{IntentId, NodeId};
use rhizo_types::intent::IntentState;
use rhizo_types::ledger::Command;
use std::collections::BTreeSet;

/// Returns the members that the plan, the target or an instance that may still run needs.
#[must_use]
pub(super) fn needed_nodes(ledger: &Ledger) -> BTreeSet<NodeId> {
    let planned = ledger.plan.iter().flat_map(|plan| plan.placement.values());
    let planned = planned.filter_map(|slot| match ledger.slot_state(*slot) {
        SlotState::Ready(node) => Some(node),
        SlotState::Arriving | SlotState::Lost => None,
    });
    let placed = ledger.target.instances.values().chain(ledger.lingering.values()).map(|placed| placed.node);
    planned.chain(placed).collect()
}

/// Returns the members that have to leave: drained ones, and hosts that are not needed.
#[must_use]
pub(super) fn leaving_nodes(ledger: &Ledger) -> BTreeSet<NodeId> {
    let needed = needed_nodes(ledger);
    let current = ledger.plan.as_ref().is_some_and(|plan| plan.spec == ledger.spec_revision());
    let unneeded = ledger.members.iter().filter(|(node, member)| {
        let host = member.record.intent.is_some();
        let idle = (current || ledger.taking_down) && host && !needed.contains(node);
        member.draining || idle || (ledger.taking_down && !needed.contains(node))
    });
    unneeded.map(|(node, _)| *node).collect()
}

impl Coordinator {
    pub(super) fn leave_command(&self, view: View<'_>) -> Option<Command> {
        let ledger = view.ledger;
        let settled = ledger.settled == ledger.target.revision
            || self.reconfiguration.is_reached_but_for_failures(ledger);
        let planned = ledger.target.plan == ledger.plan_revision();
        if !settled || !planned || self.control.is_busy() || sabotage::is(Sabotage::KeepsHosts) {
            return None;
        }
        let may_leave = |node: &NodeId| {
            let empty =
                self.reconfiguration.reports.get(*node).is_none_or(|report| report.instances.is_empty());
            let votes = ledger.voters.contains(node) || view.log.voters.contains(node);
            *node != view.me && empty && !votes
        };
        // The needed members are computed only when there is a member that could leave.
        if ledger.members.keys().any(may_leave) {
            let needed = needed_nodes(ledger);
            let mut free = leaving_nodes(ledger).into_iter();
            if let Some(node) = free.find(|node| may_leave(node) && !needed.contains(node)) {
                return Some(Command::Leave { node });
            }
        }
        let last = ledger.taking_down && ledger.members.len() == 1 && ledger.target.instances.is_empty();
        let own = ledger.members.get(&view.me)?.record.intent;
        let others_closed = ledger.intents.values().all(|intent| !intent.is_open() || Some(intent.id) == own);
        (last && others_closed).then_some(Command::Leave { node: view.me })
    }
}

/// Returns the intents whose hosts the plan in force, the target or a member still needs.
#[must_use]
pub(super) fn needed_intents(ledger: &Ledger) -> BTreeSet<IntentId> {
    let planned = ledger.plan.iter().flat_map(|plan| plan.placement.values());
    let planned = planned.filter_map(|slot| match slot {
        rhizo_types::target::Slot::Intent(intent) => Some(*intent),
        _ => None,
    });
    let open = planned.filter(|id| {
        let state = ledger.intents.get(id).map(|intent| intent.state);
        matches!(state, Some(IntentState::Open | IntentState::Unknown | IntentState::Bound))
    });
    open.collect()
}
