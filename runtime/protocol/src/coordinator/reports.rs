//! The reports of the agents, as one coordinator has received them.
//!
//! A successor begins without reports and gets them from the agents. Only reads; `target` and `scripts` decide.

use crate::ledger::Ledger;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::message::{InstancePhase, InstanceReport, Report};
use rhizo_types::target::Placed;
use std::collections::BTreeMap;

/// The last report of each node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Reports {
    by_node: BTreeMap<NodeId, Report>,
    taken: u64,
}

impl Reports {
    /// Takes in a report; returns false for one that a newer report has overtaken, which is ignored.
    pub(super) fn take(&mut self, from: NodeId, report: Report) -> bool {
        let is_newer = self.by_node.get(&from).is_none_or(|last| last.number < report.number);
        if is_newer {
            self.by_node.insert(from, report);
            self.taken += 1;
        }
        is_newer
    }

    /// Drops the reports of former members.
    pub(super) fn keep_members(&mut self, ledger: &Ledger) {
        self.by_node.retain(|node, _| ledger.members.contains_key(node));
    }

    /// Number of reports taken in so far: while it is the same, no report has changed.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The last report of each node.
    pub(super) fn by_node(&self) -> &BTreeMap<NodeId, Report> {
        &self.by_node
    }

    /// The last report of a node.
    pub(super) fn get(&self, node: NodeId) -> Option<&Report> {
        self.by_node.get(&node)
    }

    /// The report about an instance of the target, by the node that the target places it on.
    pub(super) fn of(&self, instance: &InstanceId, ledger: &Ledger) -> Option<&InstanceReport> {
        let placed = ledger.target.instances.get(instance)?;
        let report = self.get(placed.node)?.instances.get(instance)?;
        (report.generation == placed.generation).then_some(report)
    }

    /// Whether an instance of the target is reported as started, or as resting where a pushed behaviour took it.
    pub(super) fn is_started(&self, instance: &InstanceId, ledger: &Ledger) -> bool {
        self.of(instance, ledger).is_some_and(|report| match report.phase {
            InstancePhase::Started => true,
            InstancePhase::Resting => ledger.target.pushes.contains_key(instance),
            _ => false,
        })
    }

    /// Whether the agent that had an instance follows the target in force and no longer has the instance.
    pub(super) fn is_gone(&self, instance: &InstanceId, placed: &Placed, ledger: &Ledger) -> bool {
        self.get(placed.node).is_some_and(|report| {
            let older = report.instances.get(instance);
            report.target == ledger.target.revision
                && older.is_none_or(|report| report.generation > placed.generation)
        })
    }
}
