//! The ledger of a new lineage, made from that of one survivor after the quorum was lost for good.
//!
//! A pure step: [`Ledger::recovered`] returns the ledger with which the survivor begins a log of its own. The survivor
//! is its only voter, members that do not live are dead, and every host without a living member is to be released.
//! Nothing else changes: the spec, the target and the instances of living members stay in force.
//!
//! Members that were lost may have committed entries that the survivor has never received. Such an entry may have
//! issued an index, a term or an intent. The new lineage skips [`SKIP`] of each, so that no number of the new lineage
//! was ever used in the former one. A listed host of such an intent is explained by no intent and is reclaimed. Whether
//! a recovery is allowed is decided by the caller, which knows the members that answer.

use super::{Ledger, SlotState};
use rhizo_types::Term;
use rhizo_types::id::{Lineage, NodeId, PeerKey};
use rhizo_types::target::Slot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The distance from the last number of a former lineage to the first of its successor, for log indices, terms and
/// intents. Lost members may have used numbers that the survivor has not seen. They were ahead of it by the entries of
/// a few election time-outs, which are thousands at most.
pub const SKIP: u64 = 1 << 20;

/// Number of former lineages that are kept, oldest forgotten first. Each of them cost the operator a recovery, so the
/// hosts of a forgotten one were released long ago.
pub const FORMER_MAX: usize = 32;

/// A lineage that an operator ended, and the proof of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct FormerLineage {
    /// Its number.
    pub lineage: Lineage,
    /// The operator who ended it: one of the operators of that lineage.
    pub operator: PeerKey,
    /// The operator's signature over the application, this lineage and its successor. The overlay makes and checks it.
    pub signature: Vec<u8>,
}

/// An operator's order to begin a new lineage.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// The lineage that ends, with the operator's signature.
    pub former: FormerLineage,
    /// The number of the new lineage.
    pub lineage: Lineage,
    /// The member whose ledger becomes that of the new lineage.
    pub survivor: NodeId,
    /// The members that are lost for good. All other members stay members.
    pub lost: BTreeSet<NodeId>,
    /// The newest term that a member knows. The terms of the new lineage are greater.
    pub term: Term,
}

/// The reason why a ledger does not become that of a new lineage.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum RecoveryRefusal {
    /// The ledger is of another lineage than the one that the order ends.
    #[error("the order ends lineage {ordered}, and this is lineage {found}")]
    OtherLineage {
        /// The lineage that the order ends.
        ordered: Lineage,
        /// The lineage of this ledger.
        found: Lineage,
    },
    /// The new lineage has the number of the ledger's own or of a former one.
    #[error("lineage {0} has existed before")]
    UsedLineage(Lineage),
    /// The survivor is not a member, or it is among the lost ones.
    #[error("{0} is not a surviving member")]
    NotSurvivor(NodeId),
    /// The order was not signed by an operator of this application.
    #[error("the order is not signed by an operator")]
    NotOperator,
}

impl Ledger {
    /// Returns the ledger with which the survivor begins the new lineage. This ledger must contain every entry of the
    /// survivor's log, also those that are not known to be committed: the lost members may have committed them.
    ///
    /// # Errors
    /// When the order does not fit this ledger; see [`RecoveryRefusal`]. The signature itself is not checked here.
    pub fn recovered(&self, order: &Recovery) -> Result<Self, RecoveryRefusal> {
        self.check_recovery(order)?;
        let mut next = self.clone();
        if let Some(genesis) = &mut next.genesis {
            genesis.lineage = order.lineage;
        }
        next.former.push(order.former.clone());
        let forgotten = next.former.len().saturating_sub(FORMER_MAX);
        next.former.drain(..forgotten);
        for node in &order.lost {
            next.depart(*node, true);
        }
        next.epoch = next.epoch.next();
        next.voters = BTreeSet::from([order.survivor]);
        next.learners = BTreeSet::new();
        next.give_up_arriving();
        next.follow_homes();
        next.index = next.index.saturating_add(SKIP);
        next.term = Term(next.term.max(order.term).0.saturating_add(SKIP));
        next.intents_issued = next.intents_issued.saturating_add(SKIP);
        Ok(next)
    }

    fn check_recovery(&self, order: &Recovery) -> Result<(), RecoveryRefusal> {
        let (ordered, found) = (order.former.lineage, self.lineage());
        if ordered != found {
            return Err(RecoveryRefusal::OtherLineage { ordered, found });
        }
        if order.lineage == found || self.former.iter().any(|former| former.lineage == order.lineage) {
            return Err(RecoveryRefusal::UsedLineage(order.lineage));
        }
        if !self.members.contains_key(&order.survivor) || order.lost.contains(&order.survivor) {
            return Err(RecoveryRefusal::NotSurvivor(order.survivor));
        }
        let operators = self.genesis.as_ref().map(|genesis| &genesis.operators);
        if !operators.is_some_and(|operators| operators.contains(&order.former.operator)) {
            return Err(RecoveryRefusal::NotOperator);
        }
        Ok(())
    }

    /// Starts the release of every host whose node has not joined. Its boot document has the ticket of the former
    /// lineage, so it can never join.
    ///
    /// An order without a clear outcome becomes a release of a host that is not known. The provider's list resolves it:
    /// it names the host, or it shows for longer than new hosts may stay invisible that there is none.
    fn give_up_arriving(&mut self) {
        let ids: Vec<_> = self.arriving().map(|intent| intent.id).collect();
        for id in ids {
            debug_assert_eq!(self.slot_state(Slot::Intent(id)), SlotState::Arriving);
            if let Some(intent) = self.intents.get_mut(&id) {
                intent.state = rhizo_types::intent::IntentState::Releasing;
            }
        }
    }

    /// Makes this ledger that of a member which follows its overlay into the next lineage and does not have that
    /// lineage's ledger yet. The member catches up from the others. Until then it knows no voters: those of the former
    /// lineage do not vote in the next one.
    pub(crate) fn adopt_lineage(&mut self, lineage: Lineage) {
        if let Some(genesis) = &mut self.genesis {
            genesis.lineage = lineage;
        }
        self.voters.clear();
        self.learners.clear();
    }
}
