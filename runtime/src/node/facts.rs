//! The fact exchange: this node's own statements, the batches of the other nodes, and the facts derived from both.
//!
//! `rhizo-knowledge` decides which of several statements is believed. The core decides whether a fact makes a change
//! worthwhile. Read next: [`super::own_statements`] for the statements of this node, [`super::sensors`] for their
//! sources.

use super::own_statements::OwnStatements;
use rhizo_knowledge::snapshot::RTT_MS;
use rhizo_knowledge::{Knowledge, Snapshot};
use rhizo_protocol::ledger::{Ledger, Member};
use rhizo_types::fact::{Batch, SensorKind, Statement, Subject, Value};
use rhizo_types::{AttributeName, NodeId, RegionName, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The attribute under which a node states its process id. It is for the operator; no rule uses it.
pub(super) const PROCESS_ID: &str = "pid";

/// A kind of problem that a node states about itself, for the operator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum ProblemKind {
    /// Why its disk cannot be written.
    Storage,
    /// A limit of the operating system that it is close to.
    Limit,
}

impl ProblemKind {
    /// All kinds.
    pub(super) const ALL: [Self; 2] = [Self::Storage, Self::Limit];

    /// The attribute of the statement.
    fn attribute(self) -> &'static str {
        match self {
            Self::Storage => "storage_problem",
            Self::Limit => "limit_problem",
        }
    }

    /// The sentence for `status`.
    pub(super) fn sentence(self, node: NodeId, problem: &str) -> String {
        match self {
            Self::Storage => {
                format!("the disk of {node} cannot be written, its programs run on: failed to {problem}")
            }
            Self::Limit => format!("{node} {problem}"),
        }
    }
}

/// The longest statement about a problem, in characters: a path and an error of the system.
const PROBLEM_CHARS_MAX: usize = 400;

/// Round-trip times between regions, in whole milliseconds.
type Latencies = BTreeMap<(RegionName, RegionName), u32>;

/// The knowledge of this node, and its own statements.
pub(super) struct Facts {
    me: NodeId,
    knowledge: Knowledge,
    own: OwnStatements,
    /// The members at the last call of [`keep_members`](Self::keep_members), with their regions.
    members: BTreeMap<NodeId, RegionName>,
    /// The round-trip times in the last `Event::Latencies` for the core.
    latencies: Latencies,
    /// The problems that this node has stated and not withdrawn.
    problems: BTreeMap<ProblemKind, String>,
}

/// The knowledge of a node at one moment, with the regions of its members.
pub(super) struct FactsCopy {
    pub(super) knowledge: Knowledge,
    regions: BTreeMap<NodeId, RegionName>,
}

impl FactsCopy {
    /// Returns the facts for one solver run.
    pub(super) fn snapshot(&self, now: Time) -> Snapshot {
        Snapshot::cut(&self.knowledge, &self.regions, now)
    }
}

impl Facts {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            me,
            knowledge: Knowledge::new(),
            own: OwnStatements::new(me),
            members: BTreeMap::new(),
            latencies: Latencies::new(),
            problems: BTreeMap::new(),
        }
    }

    /// States a problem of this node, or withdraws the statement.
    pub(super) fn state_problem(&mut self, kind: ProblemKind, problem: Option<String>) {
        if self.problems.get(&kind) == problem.as_ref() {
            return;
        }
        match &problem {
            Some(problem) => drop(self.problems.insert(kind, problem.clone())),
            None => drop(self.problems.remove(&kind)),
        }
        let text = problem.map(|problem| problem.chars().take(PROBLEM_CHARS_MAX).collect());
        let (subject, attribute) = (Subject::Node(self.me), AttributeName::from(kind.attribute()));
        self.own.state(vec![Statement {
            subject,
            attribute,
            value: text.map(Value::Text),
            sensor: SensorKind::Node,
        }]);
    }

    /// Returns a problem of a node, as the node stated it last.
    pub(super) fn problem(&self, node: NodeId, kind: ProblemKind, now: Time) -> Option<&str> {
        let name = AttributeName::from(kind.attribute());
        let (_, fact) = self.knowledge.believe(&Subject::Node(node), &name, now)?;
        match &fact.value {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }

    /// The members that state that they cannot write their disk.
    pub(super) fn unwritable(&self, now: Time) -> BTreeSet<NodeId> {
        self.members
            .keys()
            .copied()
            .filter(|node| self.problem(*node, ProblemKind::Storage, now).is_some())
            .collect()
    }

    /// Drops the statements by and about nodes that are no longer members.
    ///
    /// It looks at all facts only when a member has left: a node that joins adds facts and invalidates none, and each
    /// of many nodes that join at once would cost every other node a look at thousands of facts.
    pub(super) fn keep_members(&mut self, ledger: &Ledger) {
        let members: BTreeSet<NodeId> = ledger.members.keys().copied().collect();
        if self.members.keys().any(|node| !members.contains(node)) {
            self.knowledge.keep_nodes(&members);
            self.own.keep(|node| members.contains(&node));
        }
        self.own.count(members.len());
        let region = |(node, member): (&NodeId, &Member)| (*node, member.record.region.clone());
        self.members = ledger.members.iter().map(region).collect();
    }

    /// Stores statements of this node's sensors.
    pub(super) fn state(&mut self, statements: Vec<Statement>) {
        self.own.state(statements);
    }

    /// Withdraws this node's statements about a subject.
    pub(super) fn withdraw(&mut self, subject: &Subject) {
        self.own.withdraw(subject);
    }

    /// Stores a measured round-trip time to a member.
    pub(super) fn take_rtt(&mut self, peer: NodeId, rtt: Duration) {
        self.own.rtt(peer, rtt);
    }

    /// Merges a batch. Returns true if a value that this node believes has changed.
    pub(super) fn merge(&mut self, batch: &Batch, now: Time) -> bool {
        for statement in &batch.statements {
            if let (Subject::Link(a, b), RTT_MS, Some(value)) =
                (&statement.subject, statement.attribute.as_str(), &statement.value)
                && let (Some(from), Some(to)) = (self.members.get(a), self.members.get(b))
            {
                self.knowledge.remember_path((from, to), batch.origin, value, now);
            }
        }
        self.knowledge.merge(batch, now).changed > 0
    }

    /// Returns this node's statements as a batch to be merged and gossiped, when one is due.
    pub(super) fn due_batch(&mut self, now: Time) -> Option<Batch> {
        self.own.batch(now)
    }

    /// The knowledge base, for the operator.
    pub(super) fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// The knowledge base, into which providers' catalogues are merged.
    pub(super) fn knowledge_mut(&mut self) -> &mut Knowledge {
        &mut self.knowledge
    }

    /// Returns the facts for one solver run.
    pub(super) fn snapshot(&self, ledger: &Ledger, now: Time) -> Snapshot {
        let regions =
            ledger.members.iter().map(|(node, member)| (*node, member.record.region.clone())).collect();
        Snapshot::cut(&self.knowledge, &regions, now)
    }

    /// Returns a copy of the knowledge, for a task that merges new catalogues into it.
    pub(super) fn copy(&self, ledger: &Ledger) -> FactsCopy {
        let members = ledger.members.iter();
        let regions = members.map(|(node, member)| (*node, member.record.region.clone())).collect();
        FactsCopy { knowledge: self.knowledge.clone(), regions }
    }

    /// The round-trip times between the regions of members, by which the core chooses voters and bindings; `None` when
    /// they are the same as at the last call.
    pub(super) fn changed_latencies(&mut self, ledger: &Ledger, now: Time) -> Option<Latencies> {
        let latencies = self.latencies(ledger, now);
        if latencies == self.latencies {
            return None;
        }
        self.latencies.clone_from(&latencies);
        Some(latencies)
    }

    fn latencies(&self, ledger: &Ledger, now: Time) -> Latencies {
        let snapshot = self.snapshot(ledger, now);
        let regions: BTreeSet<&RegionName> =
            ledger.members.values().map(|member| &member.record.region).collect();
        let pairs = regions.iter().flat_map(|from| regions.iter().map(move |to| (*from, *to)));
        pairs
            .filter_map(|(from, to)| match &snapshot.path(from, to)?.value {
                // The cast saturates; round-trip times are far below its limit.
                Value::Number(ms) => Some(((from.clone(), to.clone()), ms.get().round() as u32)),
                Value::Text(_) => None,
            })
            .collect()
    }

    /// Returns the process id that a node stated last.
    pub(super) fn process_id(&self, node: NodeId, now: Time) -> Option<u32> {
        let (_, fact) =
            self.knowledge.believe(&Subject::Node(node), &AttributeName::from(PROCESS_ID), now)?;
        match &fact.value {
            // Process ids are below 2^22.
            Value::Number(number) => Some(number.get() as u32),
            Value::Text(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_protocol::ledger::Member;
    use rhizo_types::ledger::MemberRecord;
    use rhizo_types::{Number, PeerKey, Revision};

    fn member(region: &str) -> Member {
        let record = MemberRecord {
            key: PeerKey([0; 32]),
            addresses: Vec::new(),
            provider: "lab".into(),
            region: region.into(),
            intent: None,
        };
        Member { record, draining: false }
    }

    fn measured(revision: u64, ms: u32) -> Batch {
        let statement = Statement {
            subject: Subject::Link(NodeId(1), NodeId(2)),
            attribute: rhizo_knowledge::snapshot::RTT_MS.into(),
            value: Some(Value::Number(Number::from(ms))),
            sensor: SensorKind::Link,
        };
        Batch { origin: NodeId(1), revision: Revision(revision), statements: vec![statement] }
    }

    /// Voters and bindings are chosen by round-trip times, so that a change of nothing else must reach the core.
    #[test]
    fn a_round_trip_time_that_changes_alone_is_reported_once() {
        let members = BTreeMap::from([(NodeId(1), member("eu-1")), (NodeId(2), member("us-1"))]);
        let ledger = Ledger { members, ..Ledger::default() };
        let mut facts = Facts::new(NodeId(1));
        assert_eq!(facts.changed_latencies(&ledger, Time::ZERO), None);
        for (revision, ms) in [(1, 80), (2, 140)] {
            facts.merge(&measured(revision, ms), Time::ZERO);
            let changed = facts.changed_latencies(&ledger, Time::ZERO).expect("a changed round-trip time");
            assert_eq!(changed.get(&("eu-1".into(), "us-1".into())), Some(&ms));
            assert_eq!(facts.changed_latencies(&ledger, Time::ZERO), None);
        }
    }
}
