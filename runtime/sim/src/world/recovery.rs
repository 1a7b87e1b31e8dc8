//! A quorum that is lost for good: the operator's recovery, and the links between nodes of different lineages.
//!
//! The operator's rule is that of the command line: a node answers, or it is given up. Signatures are not modelled.

use super::{Happening, World};
use crate::fault::Fault;
use rhizo_protocol::Event;
use rhizo_protocol::ledger::{FormerLineage, Recovery};
use rhizo_types::id::{Lineage, NodeId, PeerKey};
use std::collections::BTreeSet;

/// The operator of every simulated application.
pub(super) const OPERATOR: PeerKey = PeerKey([9; 32]);

impl World {
    /// Begins a new lineage with the node that has applied most among those that answer. Returns false when none does.
    pub(crate) fn recover(&mut self) -> bool {
        let answers = |node: &NodeId| self.answers(*node) && self.is_awake(*node);
        let ledger_of = |node: &NodeId| {
            let core = self.processes.get(node).and_then(|process| process.core.as_ref())?;
            Some(core.ledger()).filter(|ledger| ledger.members.contains_key(node))
        };
        let candidates = self.processes.keys().copied().filter(answers);
        let best = candidates.filter_map(|node| Some((ledger_of(&node)?.index, node))).max();
        let Some((_, survivor)) = best else { return false };
        let Some(ledger) = ledger_of(&survivor) else { return false };
        let lost: BTreeSet<NodeId> = ledger.members.keys().copied().filter(|node| !answers(node)).collect();
        let former = FormerLineage { lineage: ledger.lineage(), operator: OPERATOR, signature: Vec::new() };
        let lineage = Lineage(ledger.lineage().0 + 1);
        let order = Recovery { former, lineage, survivor, lost, term: self.log.term };
        let next = match ledger.recovered(&order) {
            Ok(next) => next,
            Err(refusal) => {
                self.say(|| format!("== recovery refused: {refusal}"));
                return false;
            }
        };
        self.coverage.fired(Fault::QuorumLost);
        self.say(|| format!("== {survivor} begins lineage {lineage} without {:?}", order.lost));
        self.log.begin_lineage(next.clone(), survivor);
        let life = self.life(survivor);
        if let Some(process) = self.processes.get_mut(&survivor) {
            process.birth = next.clone();
            process.sent = next.index;
        }
        self.later(0, Happening::Deliver { to: survivor, life, event: Event::Restored(Box::new(next)) });
        true
    }

    /// The lineage of a node's ledger; zero before genesis.
    pub(super) fn lineage(&self, node: NodeId) -> Lineage {
        let core = self.processes.get(&node).and_then(|process| process.core.as_ref());
        core.map_or(Lineage(0), |core| core.ledger().lineage())
    }

    /// The shell's part of a change of the lineage: its links and its log are those of the former one.
    pub(super) fn follow_lineage(&mut self, node: NodeId) {
        for peer in self.network.peers(node) {
            self.break_link(node, peer);
        }
        if let Some(process) = self.processes.get_mut(&node) {
            process.told = None;
        }
    }

    /// A listener refuses a dialer of another lineage. One of a former lineage learns that it has ended.
    pub(super) fn refuse_other_lineage(&mut self, from: NodeId, to: NodeId) {
        let (former, lineage) = (self.lineage(from), self.lineage(to));
        if former == Lineage(0) || former > lineage {
            return;
        }
        let is_member = self.knows(to, from);
        if !is_member {
            self.coverage.fired(Fault::FormerReturns);
        }
        let life = self.life(from);
        self.deliver(from, life, Event::Superseded { former, lineage, is_member });
    }
}
