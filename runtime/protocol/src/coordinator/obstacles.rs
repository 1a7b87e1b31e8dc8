//! Temporary restrictions of the last solver run: pauses of offers, silent providers, young hosts, spending.
//!
//! The end of a pause is no event of its own, so that the coordinator compares: as soon as something that the last run
//! could not use can be used, the run is repeated. A longer list of obstacles repeats nothing. Read next: `control.rs`.

use super::View;
use super::hosts::Hosts;
use crate::out::earlier;
use crate::request::SolveRequest;
use rhizo_types::Time;
use rhizo_types::id::{NodeId, OfferName, ProviderName};
use rhizo_types::target::Slot;
use std::collections::BTreeSet;

/// The obstacles of one solver run that have not ended since.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Obstacles {
    cooling: BTreeSet<(ProviderName, OfferName)>,
    failing: BTreeSet<ProviderName>,
    unsettled: BTreeSet<NodeId>,
    /// The cost of all open intents in millionths per hour, if there is a budget. A release leaves room for new hosts.
    spending_micros: Option<u64>,
}

impl Obstacles {
    /// The obstacles of a run that is about to begin.
    pub(super) fn of(request: &SolveRequest) -> Self {
        let node = |slot: &Slot| match slot {
            Slot::Node(node) => Some(*node),
            Slot::Intent(_) | Slot::Order(_) => None,
        };
        Self {
            cooling: request.cooling.keys().cloned().collect(),
            failing: request.failing.clone(),
            unsettled: request.terms.frozen.iter().filter_map(node).collect(),
            spending_micros: request.terms.budget_micros.map(|_| request.terms.spending_micros),
        }
    }

    /// Removes the obstacles that have ended. Returns true if there was one.
    pub(super) fn remove_ended(&mut self, hosts: &Hosts, view: View<'_>) -> bool {
        let count = |this: &Self| this.cooling.len() + this.failing.len() + this.unsettled.len();
        let before = count(self);
        if before > 0 {
            let (cooling, failing) = (hosts.cooling(view.now), hosts.lists.failing());
            self.cooling.retain(|offer| cooling.contains_key(offer));
            self.failing.retain(|provider| failing.contains(provider));
            self.unsettled.retain(|node| {
                let is_young = settles_at(*node, view).is_none_or(|at| at > view.now);
                is_young && view.ledger.members.contains_key(node)
            });
        }
        let spending_micros = view.ledger.spending_micros();
        let released = self.spending_micros.is_some_and(|before| spending_micros < before);
        if released {
            self.spending_micros = Some(spending_micros);
        }
        released || count(self) < before
    }

    /// When the next obstacle ends by the passing of time alone.
    pub(super) fn deadline(&self, hosts: &Hosts, view: View<'_>) -> Option<Time> {
        let cooling = (!self.cooling.is_empty()).then(|| hosts.cooling_ends(view.now)).flatten();
        let settling = self.unsettled.iter().filter_map(|node| settles_at(*node, view)).min();
        earlier(cooling, settling)
    }
}

/// When a voluntary change may move copies of a member; none when it is no member any more.
pub(super) fn settles_at(node: NodeId, view: View<'_>) -> Option<Time> {
    let settle_ms = view.ledger.spec()?.optimise.settle_ms;
    Some(view.since.get(&node)?.after_ms(settle_ms))
}
