//! Refusals by other members: when this node has to conclude that it is no member any more.
//!
//! A node that was removed from the roster while it was cut off gets no ledger that says so: members refuse its links.
//! One refusing member may be behind or wrong. The node halts when most of the voters that it knows have refused it, or
//! when it has been refused for a while without a link to any member: those voters may all be gone.

use crate::ledger::Ledger;
use rhizo_types::Time;
use rhizo_types::id::NodeId;
use std::collections::BTreeSet;

/// How long a node without any link may be refused before it concludes that it was removed: a member that lags behind
/// the roster catches up within a few heartbeats.
const EXPELLED_MS: u64 = 10_000;

/// The members that refused this node since it last had a new link.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Expulsion {
    by: BTreeSet<NodeId>,
    /// When the first of them did.
    since: Option<Time>,
}

impl Expulsion {
    /// A link came up, so this node is a member.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in that `by` refused this node; returns whether the node was removed. Only members are believed.
    pub(super) fn refused(&mut self, by: NodeId, has_link: bool, ledger: &Ledger, now: Time) -> bool {
        if !ledger.members.contains_key(&by) {
            return false;
        }
        self.by.insert(by);
        let since = *self.since.get_or_insert(now);
        let refusing = ledger.voters.intersection(&self.by).count();
        let most = !ledger.voters.is_empty() && refusing > ledger.voters.len() / 2;
        most || (!has_link && now.ms_since(since) >= EXPELLED_MS)
    }
}
