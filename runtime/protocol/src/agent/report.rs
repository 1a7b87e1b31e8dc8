//! What an agent reports to the coordinator, and until when it repeats itself.
//!
//! Reports are whole states, not changes: a lost one costs time, never truth.

use super::importer::{Use, wanted};
use super::instance::Local;
use crate::ledger::Ledger;
use crate::out::Out;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::message::{Control, InstancePhase, InstanceReport, Report, UseId};
use rhizo_types::{Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A report that is not acknowledged is sent again after this time.
const REPEAT_MS: u64 = 1_000;
/// Changes within this time travel in one report, so that thousands of starts do not cause thousands of reports.
const GATHER_MS: u64 = 20;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reporter {
    latest: Report,
    composed: bool,
    /// Something changed since `latest` was composed.
    changed: bool,
    /// The coordinator to whom `latest` was sent, its term, and whether it acknowledged.
    told: Option<(NodeId, Term, bool)>,
    send_at: Option<Time>,
}

impl Reporter {
    /// Numbers begin above those of every earlier session, so that a late report of a former life is known as such.
    pub(super) fn new(session: u64) -> Self {
        let latest = Report { number: session << 32, ..Report::default() };
        Self { latest, composed: false, changed: false, told: None, send_at: None }
    }

    pub(super) fn latest(&self) -> &Report {
        &self.latest
    }

    pub(super) fn change(&mut self) {
        self.changed = true;
    }

    /// A new link may lead to a coordinator that missed the report.
    pub(super) fn link_up(&mut self) {
        if let Some((.., false)) = self.told {
            self.send_at = Some(Time::ZERO);
        }
    }

    pub(super) fn seen(&mut self, from: NodeId, number: u64) {
        if let Some((node, _, seen)) = &mut self.told
            && *node == from
            && number == self.latest.number
        {
            *seen = true;
            if !self.changed {
                self.send_at = None;
            }
        }
    }

    pub(super) fn flush(
        &mut self,
        coordinator: Option<(NodeId, Term)>,
        now: Time,
        out: &mut Out,
        compose: impl FnOnce() -> Report,
    ) {
        if self.changed && self.send_at.is_none_or(|at| at > now.after_ms(GATHER_MS)) {
            self.send_at = Some(now.after_ms(GATHER_MS));
        }
        // The same node in a new term has forgotten what it was told.
        let new_coordinator =
            coordinator.is_some() && self.told.map(|(node, term, _)| (node, term)) != coordinator;
        if !new_coordinator && self.send_at.is_none_or(|at| at > now) {
            return;
        }
        if self.changed || !self.composed {
            let mut report = compose();
            self.changed = false;
            report.number = self.latest.number;
            if report != self.latest || !self.composed {
                self.composed = true;
                report.number += 1;
                self.latest = report;
                self.told = self.told.map(|(node, term, _)| (node, term, false));
            }
        }
        self.send_at = None;
        let Some((coordinator, term)) = coordinator else { return };
        if !new_coordinator && self.told == Some((coordinator, term, true)) {
            return;
        }
        self.told = Some((coordinator, term, false));
        self.send_at = Some(now.after_ms(REPEAT_MS));
        out.control(coordinator, Control::Report(self.latest.clone()));
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.send_at
    }
}

/// The report of the situation at hand; its number is not set.
pub(super) fn compose(
    target: Revision,
    instances: &BTreeMap<InstanceId, Local>,
    uses: &BTreeMap<UseId, Use>,
    ledger: &Ledger,
) -> Report {
    let describe = |instance: &InstanceId, local: &Local| InstanceReport {
        generation: local.placed.generation,
        phase: local.phase,
        bindings_missing: bindings_missing(instance, local, uses, ledger),
        failures: local.failures,
        failure: local.failure.clone(),
        version: local.placed.version,
        idle: local.phase == InstancePhase::Started,
        pushed: 0,
        places: BTreeSet::new(),
    };
    let instances = instances.iter().map(|(instance, local)| (instance.clone(), describe(instance, local)));
    Report { number: 0, target, instances: instances.collect() }
}

/// How many bindings differ between the target and what the running instance was told.
fn bindings_missing(
    instance: &InstanceId,
    local: &Local,
    uses: &BTreeMap<UseId, Use>,
    ledger: &Ledger,
) -> u32 {
    let none = BTreeMap::new();
    let mut missing = 0;
    for port in local.component.imports.keys() {
        let wanted = wanted(ledger, instance, port);
        let told = local.told.get(port).unwrap_or(&none);
        missing += told.keys().filter(|exporter| !wanted.contains_key(*exporter)).count();
        for (exporter, (generation, _)) in &wanted {
            let used = local.uses.get(&(port.clone(), exporter.clone())).and_then(|id| uses.get(id));
            let done = told.contains_key(exporter)
                && used.is_some_and(|used| used.generation == *generation && !used.asked_to_leave);
            missing += usize::from(!done);
        }
    }
    u32::try_from(missing).unwrap_or(u32::MAX)
}
