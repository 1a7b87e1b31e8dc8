//! The change of a node to the next lineage, after an operator recovered the application from a lost quorum.
//!
//! The survivor restores the ledger that [`Ledger::recovered`](crate::Ledger::recovered) made. Every other node learns
//! of the next lineage when a peer refuses its link. A node that is still a member follows with its instances running:
//! it keeps its agent and its journal, and catches up with the new ledger. A node that is no member halts, which stops
//! its instances in order; the coordinator of the next lineage releases its host.

use super::Node;
use crate::event::LogStatus;
use crate::notice::{HaltReason, Notice};
use crate::observer::Observer;
use crate::out::Out;
use rhizo_types::{Lineage, Time};

/// Time that the other members have to follow into the next lineage before their silence counts, in milliseconds. A
/// follower is refused, closes its log and dials again: six round trips of at most 450 ms and two waits of the dialer.
const FOLLOW_MS: u64 = 5_000;

impl Node {
    /// Follows the next lineage, or halts when this node is no member of it. An order that ends another lineage than
    /// this node's own is ignored.
    pub(super) fn superseded(
        &mut self,
        former: Lineage,
        lineage: Lineage,
        is_member: bool,
        now: Time,
        out: &mut Out,
    ) {
        if former != self.ledger.lineage() || lineage == former {
            return;
        }
        if !is_member {
            return self.halt(HaltReason::Superseded, out);
        }
        self.ledger.adopt_lineage(lineage);
        self.catch_up.clear();
        self.begin_lineage(now, out);
        self.follow_ledger(true, now, out);
    }

    /// Forgets all that this node knew of the former lineage's log, leader and links. The shell closes the links and
    /// the log when it sees the lineage of the ledger.
    pub(super) fn begin_lineage(&mut self, now: Time, out: &mut Out) {
        out.notice(Notice::LineageBegan(self.ledger.lineage()));
        self.log = LogStatus::default();
        self.leadership.log_status(&self.log, now);
        self.observer = Observer::new(self.me);
        self.observer.follow(&self.ledger, now.after_ms(FOLLOW_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ledger::{FormerLineage, Ledger, Recovery};
    use crate::node::NodeConfig;
    use crate::testing::{LedgerBuilder, order};
    use crate::turn::{Effect, Turn};
    use rhizo_types::Term;
    use rhizo_types::id::{NodeId, PeerKey};
    use rhizo_types::ledger::FOUNDER;
    use rhizo_types::spec::Spec;
    use std::collections::{BTreeMap, BTreeSet};

    const OPERATOR: PeerKey = PeerKey([9; 32]);

    fn ledger() -> Ledger {
        let spec = Spec::new("app", BTreeMap::new());
        let built = LedgerBuilder::new(spec).host(2, order("lab", "s")).host(3, order("lab", "s"));
        let mut ledger = built.build();
        ledger.voters = BTreeSet::from([FOUNDER, NodeId(2), NodeId(3)]);
        if let Some(genesis) = &mut ledger.genesis {
            genesis.operators.insert(OPERATOR);
        }
        ledger
    }

    fn node(me: u64) -> Node {
        let records = Vec::new();
        let mut node = Node::new(NodeConfig { me: NodeId(me), ledger: ledger(), records, genesis: None });
        let _turn = node.handle(Time(0), Event::Tick);
        node
    }

    fn superseded(node: &mut Node, former: u64, is_member: bool) -> Turn {
        let (former, lineage) = (Lineage(former), Lineage(2));
        node.handle(Time(1_000), Event::Superseded { former, lineage, is_member })
    }

    fn halts(turn: &Turn) -> bool {
        let halt = Effect::Halt { reason: HaltReason::Superseded };
        turn.now.iter().chain(&turn.after_durable).any(|effect| *effect == halt)
    }

    fn next() -> Ledger {
        let former = FormerLineage { lineage: Lineage(1), operator: OPERATOR, signature: Vec::new() };
        let lost = BTreeSet::from([FOUNDER]);
        let order = Recovery { former, lineage: Lineage(2), survivor: NodeId(2), lost, term: Term(1) };
        ledger().recovered(&order).unwrap()
    }

    #[test]
    fn a_node_that_was_left_out_halts() {
        let mut node = node(3);
        assert!(halts(&superseded(&mut node, 1, false)));
        assert!(node.is_halted());
    }

    #[test]
    fn a_statement_about_another_lineage_changes_nothing() {
        let mut node = node(3);
        let before = node.ledger().clone();
        for is_member in [true, false] {
            let _turn = superseded(&mut node, 7, is_member);
            assert!(!node.is_halted());
            assert_eq!(*node.ledger(), before);
        }
    }

    #[test]
    fn a_member_follows_and_takes_the_ledger_of_the_next_lineage() {
        let mut node = node(3);
        assert!(!halts(&superseded(&mut node, 1, true)));
        assert_eq!(node.ledger().lineage(), Lineage(2));
        assert!(node.ledger().voters.is_empty(), "the former voters do not vote in the next lineage");
        assert_eq!(node.ledger().members, ledger().members);
        // A second statement, of a peer that it had not dialled yet, comes too late to matter.
        let _turn = superseded(&mut node, 1, false);
        assert!(!node.is_halted());
        let _turn = node.handle(Time(2_000), Event::Restored(Box::new(next())));
        assert_eq!(*node.ledger(), next());
    }

    #[test]
    fn the_survivor_begins_anew_and_does_not_hold_the_silence_of_followers_against_them() {
        let mut node = node(2);
        let _turn = node.handle(Time(1_000), Event::LinkUp { peer: NodeId(3) });
        let _turn = node.handle(Time(2_000), Event::Restored(Box::new(next())));
        assert_eq!((node.ledger().lineage(), node.ledger().voters.len()), (Lineage(2), 1));
        assert_eq!(node.status(Time(2_000)).coordinator, None);
        let turn = node.handle(Time(2_000 + FOLLOW_MS * 1_000), Event::Tick);
        assert!(node.status(Time(0)).suspects.is_empty(), "{turn:?}");
    }
}
