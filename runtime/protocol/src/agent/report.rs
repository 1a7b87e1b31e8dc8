//! What an agent reports to the coordinator, and until when it repeats itself.
//!
//! Reports are whole states, not changes: a lost one costs time, never truth.

use super::importer::Use;
use super::local::Local;
use crate::out::Out;
use litemap::LiteMap;
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::message::{Control, InstancePhase, InstanceReport, Report, UseId};
use rhizo_types::{Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};

/// A report that is not acknowledged is sent again after this time.
const REPEAT_MS: u64 = 1_000;
/// A change is reported at once, and those within this time after it travel in one report: what waits for a single
/// step hears of it without delay, and thousands of starts do not cause thousands of reports. Steps that end side by
/// side are a few milliseconds apart, and somebody waits for the last of them: hence no more than that.
const GATHER_MS: u64 = 2;
/// So many instances lengthen that time by a millisecond, because a report is as long as there are instances:
/// with 5,000 of them some eight reports a second are made, each of half a megabyte at most.
const INSTANCES_PER_MS: u64 = 40;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reporter {
    latest: Report,
    /// What the next report says of every instance.
    current: BTreeMap<InstanceId, InstanceReport>,
    composed: bool,
    /// Something changed since `latest` was composed.
    changed: bool,
    /// The coordinator to whom `latest` was sent, its term, and whether it acknowledged.
    told: Option<(NodeId, Term, bool)>,
    send_at: Option<Time>,
    /// Until when changes are gathered, because a report was composed just before; none when that is over.
    gather_until: Option<Time>,
}

impl Reporter {
    /// Numbers begin above those of every earlier session, so that a late report of a former life is known as such.
    pub(super) fn new(session: u64) -> Self {
        let latest = Report { number: session << 32, ..Report::default() };
        let current = BTreeMap::new();
        Self {
            latest,
            current,
            composed: false,
            changed: false,
            told: None,
            send_at: None,
            gather_until: None,
        }
    }

    pub(super) fn latest(&self) -> &Report {
        &self.latest
    }

    /// What a report would say now, without a number.
    pub(super) fn situation(&self, target: Revision) -> Report {
        Report { number: 0, target, instances: self.current.clone() }
    }

    /// There is a new target to report on.
    pub(super) fn change(&mut self) {
        self.changed = true;
    }

    /// What is to be said of an instance; none when it is gone.
    pub(super) fn set(&mut self, instance: &InstanceId, report: Option<InstanceReport>) {
        match report {
            Some(report) => {
                if self.current.get(instance) != Some(&report) {
                    self.current.insert(instance.clone(), report);
                    self.changed = true;
                }
            }
            None => self.changed |= self.current.remove(instance).is_some(),
        }
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
        target: Revision,
        now: Time,
        out: &mut Out,
    ) {
        self.gather_until = self.gather_until.filter(|until| *until > now);
        let gathered = self.gather_until.unwrap_or(now);
        if self.changed && self.send_at.is_none_or(|at| at > gathered) {
            self.send_at = Some(gathered);
        }
        // The same node in a new term has forgotten what it was told.
        let new_coordinator =
            coordinator.is_some() && self.told.map(|(node, term, _)| (node, term)) != coordinator;
        if !new_coordinator && self.send_at.is_none_or(|at| at > now) {
            return;
        }
        if self.changed || !self.composed {
            self.changed = false;
            if self.latest.target != target || self.latest.instances != self.current || !self.composed {
                self.composed = true;
                let instances = u64::try_from(self.current.len()).unwrap_or(u64::MAX);
                self.gather_until = Some(now.after_ms(GATHER_MS + instances / INSTANCES_PER_MS));
                let number = self.latest.number + 1;
                self.latest = Report { number, target, instances: self.current.clone() };
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

/// What is to be said of an instance.
pub(super) fn describe(local: &Local, uses: &BTreeMap<UseId, Use>) -> InstanceReport {
    let phase = local.phase();
    let places = if local.kind.declared {
        local.marking.places.iter().map(|place| local.kind.net.place(*place).clone()).collect()
    } else {
        BTreeSet::new()
    };
    InstanceReport {
        generation: local.placed.generation,
        phase,
        bindings_missing: bindings_missing(local, uses),
        failures: local.failures,
        failure: local.failure.clone(),
        version: local.placed.version,
        idle: local.is_done() && matches!(phase, InstancePhase::Started | InstancePhase::Resting),
        pushed: local.pushed,
        places,
    }
}

/// How many bindings differ between the target and what the run was told.
fn bindings_missing(local: &Local, uses: &BTreeMap<UseId, Use>) -> u32 {
    // What rests where an import is not used can do without, and its exporter may rest as well.
    let used = local.imports.iter().filter(|(port, _)| !local.is_done() || local.is_using(port));
    let missing = used.map(|(port, binding)| {
        let told = local.bound_imports.get(port).map_or(0, LiteMap::len);
        let settled = if local.begun { binding.settled(uses).min(told) } else { 0 };
        (told - settled) + binding.wanted.len().saturating_sub(settled)
    });
    u32::try_from(missing.sum::<usize>()).unwrap_or(u32::MAX)
}
