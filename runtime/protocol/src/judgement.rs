//! Whether a voluntary change is made: the only judgement of that question.
//!
//! The coordinator asks before it commits a plan, and planning asks to tell an operator what the coordinator would do.
//! The solver's objective (utility minus migration cost) ranks configurations; it does not decide whether to change.

use crate::event::Proposal;
use crate::request::Terms;
use rhizo_types::Number;
use rhizo_types::id::InstanceId;
use rhizo_types::target::Slot;
use std::collections::BTreeMap;
use std::fmt;

/// Why a voluntary change is not made.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stay {
    /// It gains no more than `optimise.min_gain` beyond its migration cost.
    DoesNotPay,
    /// It moves or ends more running copies than `optimise.max_moves` allows.
    TooManyMoves {
        /// How many it would move or end.
        moves: usize,
    },
    /// It moves or ends a copy on a host that is younger than `optimise.settle`.
    Unsettled,
    /// The hosts held and the hosts ordered would together cost more than the budget.
    OverBudget,
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoesNotPay => f.write_str("it does not pay"),
            Self::TooManyMoves { moves } => write!(f, "it would move or end {moves} copies at once"),
            Self::Unsettled => f.write_str("it would move or end a copy on a host that has not settled yet"),
            Self::OverBudget => f.write_str("old and new hosts together would exceed the budget"),
        }
    }
}

/// Returns why a proposal is not carried out; none when it is.
///
/// `before` is the placement in force and `after` the proposed one, both with the names of copies; a copy that is
/// placed elsewhere has another name there. A forced change is always carried out: something is missing without it.
#[must_use]
pub fn reason_to_stay(
    terms: &Terms,
    before: &BTreeMap<InstanceId, Slot>,
    after: &BTreeMap<InstanceId, Slot>,
    proposal: &Proposal,
) -> Option<Stay> {
    if terms.forced {
        return None;
    }
    let leaving = || before.iter().filter(|(instance, slot)| after.get(*instance) != Some(*slot));
    let moves = leaving().count();
    let ordered = proposal.orders.iter().map(|order| order.price_micros_per_hour);
    let spending = ordered.fold(terms.spending_micros, u64::saturating_add);
    if proposal.worth.net_gain() <= terms.gain_min.get() {
        Some(Stay::DoesNotPay)
    } else if terms.moves_max.is_some_and(|max| moves > max as usize) {
        Some(Stay::TooManyMoves { moves })
    } else if leaving().any(|(_, slot)| terms.frozen.contains(slot)) {
        Some(Stay::Unsettled)
    } else if !proposal.orders.is_empty() && terms.budget_micros.is_some_and(|budget| spending > budget) {
        Some(Stay::OverBudget)
    } else {
        None
    }
}

/// The net gain of a proposal as a number that can be kept in a notice.
#[must_use]
pub fn net_gain(proposal: &Proposal) -> Number {
    // Differences of finite numbers within 0..1 are finite.
    Number::try_from(proposal.worth.net_gain()).unwrap_or(Number::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::id::{ComponentName, NodeId};
    use rhizo_types::target::{Cause, Worth};
    use rhizo_types::{Number, Revision};
    use std::collections::BTreeSet;

    fn terms() -> Terms {
        Terms {
            cause: Cause::Better,
            forced: false,
            plan: Revision(1),
            spec: Revision(1),
            avoid: BTreeSet::new(),
            frozen: BTreeSet::new(),
            moves_max: None,
            gain_min: Number::ZERO,
            orders_max: None,
            spending_micros: 0,
            budget_micros: None,
        }
    }

    fn placed(copies: &[(u32, u64)]) -> BTreeMap<InstanceId, Slot> {
        let component = ComponentName::from("web");
        let copy = |(ordinal, node): &(u32, u64)| {
            let instance = InstanceId { component: component.clone(), ordinal: *ordinal };
            (instance, Slot::Node(NodeId(*node)))
        };
        copies.iter().map(copy).collect()
    }

    fn gains(percent: u32) -> Proposal {
        let after = Number::try_from(f64::from(percent) / 100.0).unwrap();
        let worth = Worth { utility_before: Some(Number::ZERO), utility_after: after, ..Worth::none() };
        Proposal { placement: BTreeMap::new(), orders: Vec::new(), worth, reasons: Vec::new() }
    }

    #[test]
    fn a_limit_on_moves_counts_the_copies_that_move_or_end() {
        let before = placed(&[(0, 2), (1, 3), (2, 4)]);
        let limited = Terms { moves_max: Some(1), ..terms() };
        // Two copies share the new host: one host is replaced, two copies move.
        let two = placed(&[(0, 2), (3, 5), (4, 5)]);
        assert_eq!(
            reason_to_stay(&limited, &before, &two, &gains(10)),
            Some(Stay::TooManyMoves { moves: 2 })
        );
        let ends = placed(&[(0, 2), (1, 3)]);
        assert_eq!(reason_to_stay(&limited, &before, &ends, &gains(10)), None);
        let starts = placed(&[(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]);
        assert_eq!(
            reason_to_stay(&limited, &before, &starts, &gains(10)),
            None,
            "a start moves nothing that runs"
        );
        let forced = Terms { forced: true, ..limited };
        assert_eq!(reason_to_stay(&forced, &before, &two, &gains(0)), None);
    }

    #[test]
    fn a_change_that_gains_just_the_least_gain_is_not_made() {
        let before = placed(&[(0, 2)]);
        let after = placed(&[(1, 3)]);
        let least = Terms { gain_min: Number::try_from(0.1).unwrap(), ..terms() };
        assert_eq!(reason_to_stay(&least, &before, &after, &gains(10)), Some(Stay::DoesNotPay));
        assert_eq!(reason_to_stay(&least, &before, &after, &gains(11)), None);
    }

    #[test]
    fn copies_on_an_unsettled_host_stay() {
        let before = placed(&[(0, 2), (1, 3)]);
        let after = placed(&[(0, 2), (2, 4)]);
        let frozen = |node| Terms { frozen: BTreeSet::from([Slot::Node(NodeId(node))]), ..terms() };
        assert_eq!(reason_to_stay(&frozen(3), &before, &after, &gains(10)), Some(Stay::Unsettled));
        assert_eq!(reason_to_stay(&frozen(2), &before, &after, &gains(10)), None);
    }
}
