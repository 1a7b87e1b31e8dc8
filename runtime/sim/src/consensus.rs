//! The replicated log as the core sees it: an abstract log that promises no more than a real engine does.
//!
//! There is one committed sequence. A leader needs a majority of the voters to commit. Proposals of a lost leader may
//! or may not be committed by its successor, and the proposer receives *unknown*. Followers apply late. Messages,
//! votes and disks are not modelled: the engine's own test suite covers them.

use crate::hash::TraceHash;
use rhizo_protocol::{Applied, Ledger, MembershipChange, ProposalId};
use rhizo_types::id::NodeId;
use rhizo_types::message::{CommittedEntry, LogEntry};
use rhizo_types::{Term, Time};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

/// The log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Committed entries of this lineage.
    pub entries: Vec<CommittedEntry>,
    /// Index before that of the first entry: 0, or the index of the snapshot that the log of a later lineage begins
    /// with.
    pub base: u64,
    /// The ledger that results from all committed entries.
    pub truth: Ledger,
    /// The current term.
    pub term: Term,
    /// Its leader.
    pub leader: Option<NodeId>,
    /// Time since which the leader has no majority.
    pub without_quorum: Option<Time>,
    /// The voters.
    pub voters: BTreeSet<NodeId>,
    /// The learners.
    pub learners: BTreeSet<NodeId>,
    /// The membership change under way: the proposing node, its term, and the change.
    pub change: Option<(NodeId, Term, MembershipChange)>,
    /// Proposals of lost leaders. The next leader decides whether they are committed.
    pub orphans: Vec<(Term, LogEntry)>,
    /// A hash of the truth after each entry.
    pub hashes: Vec<u64>,
}

/// A hash of a ledger: equal ledgers have equal hashes, on every machine.
#[must_use]
pub fn ledger_hash(ledger: &Ledger) -> u64 {
    let mut hasher = TraceHash::default();
    ledger.hash(&mut hasher);
    hasher.finish()
}

/// A proposal under way.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The node that proposed.
    pub by: NodeId,
    /// The life of that node in which it proposed.
    pub life: u64,
    /// The term of the proposal.
    pub term: Term,
    /// Its number.
    pub id: ProposalId,
    /// The proposed entry.
    pub entry: LogEntry,
}

impl Log {
    /// A log of one voter.
    #[must_use]
    pub fn of(founder: NodeId) -> Self {
        let mut log = Self { voters: BTreeSet::from([founder]), ..Self::default() };
        log.commit(LogEntry::Membership { voters: log.voters.clone(), learners: BTreeSet::new() });
        log
    }

    /// The last index.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Appends a committed entry; returns its index and its effect.
    pub fn commit(&mut self, entry: LogEntry) -> (u64, Applied) {
        self.commit_as(self.term, entry)
    }

    /// Appends a committed entry of an earlier term.
    pub fn commit_as(&mut self, term: Term, entry: LogEntry) -> (u64, Applied) {
        let index = self.last() + 1;
        let applied = self.truth.apply(index, term, &entry);
        self.entries.push(CommittedEntry { index, term, entry });
        self.hashes.push(ledger_hash(&self.truth));
        (index, applied)
    }

    /// Begins the log of the next lineage: a snapshot of this ledger, and one voter.
    pub fn begin_lineage(&mut self, ledger: Ledger, survivor: NodeId) {
        *self = Self {
            base: ledger.index,
            term: ledger.term,
            truth: ledger,
            voters: BTreeSet::from([survivor]),
            ..Self::default()
        };
    }

    /// Returns the hash of the ledger at an index of this lineage; none for an index that the log does not have.
    #[must_use]
    pub fn hash_at(&self, index: u64) -> Option<u64> {
        let position = index.checked_sub(self.base + 1)?;
        self.hashes.get(usize::try_from(position).ok()?).copied()
    }

    /// Returns the nodes that hold the log.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.voters.iter().chain(&self.learners).copied()
    }

    /// Returns the voters after the change under way.
    #[must_use]
    pub fn next_voters(&self) -> Option<&BTreeSet<NodeId>> {
        match &self.change {
            Some((_, _, MembershipChange::SetVoters(voters))) => Some(voters),
            _ => None,
        }
    }

    /// Makes a membership change.
    pub fn change_membership(&mut self, change: MembershipChange) {
        match change {
            MembershipChange::AddLearner(node) => {
                if !self.voters.contains(&node) {
                    self.learners.insert(node);
                }
            }
            MembershipChange::SetVoters(voters) => {
                let former = std::mem::replace(&mut self.voters, voters);
                self.learners.extend(former);
                let voters = &self.voters;
                self.learners.retain(|node| !voters.contains(node));
            }
            MembershipChange::Remove(node) => {
                self.learners.remove(&node);
            }
        }
        self.commit(LogEntry::Membership { voters: self.voters.clone(), learners: self.learners.clone() });
    }
}
