//! The report of an agent to the coordinator: its content, when it is sent, and when it is repeated.
//!
//! A report is a whole state, not a change: a lost one causes a delay, and no wrong state.

use super::binding::Uses;
use super::local::Local;
use crate::out::Out;
use litemap::LiteMap;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::message::{Control, InstancePhase, InstanceReport, Report};
use rhizo_types::{Revision, Term, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// A report that is not acknowledged is sent again after this time.
const REPEAT_MS: u64 = 1_000;
/// A change is reported at once, and those within this time after it are sent in one further report: a script that
/// waits for a single step learns of it without delay, and thousands of starts do not cause thousands of reports. Steps
/// that end side by side are a few milliseconds apart and the last one may be waited for, so the time is no longer.
const GATHER_MS: u64 = 2;
/// Each this many instances lengthen that time by a millisecond, because a report has an entry for each instance: with
/// 5,000 of them there are some eight reports a second, each of half a megabyte at most.
const INSTANCES_PER_MS: u64 = 40;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reporter {
    latest: Report,
    /// The entry of each instance in the next report.
    current: BTreeMap<InstanceId, InstanceReport>,
    composed: bool,
    /// Whether anything changed since `latest` was composed.
    changed: bool,
    /// The coordinator that `latest` was sent to, its term, and whether it has acknowledged it.
    sent_to: Option<(NodeId, Term, bool)>,
    send_at: Option<Time>,
    /// Until when changes are gathered, because a report was composed just before; none when none was.
    gather_until: Option<Time>,
}

impl Reporter {
    /// Numbers begin above those of every earlier session, so that a late report of an earlier process is recognised.
    pub(super) fn new(session: u64) -> Self {
        let latest = Report { number: session << 32, ..Report::default() };
        let current = BTreeMap::new();
        Self {
            latest,
            current,
            composed: false,
            changed: false,
            sent_to: None,
            send_at: None,
            gather_until: None,
        }
    }

    pub(super) fn latest(&self) -> &Report {
        &self.latest
    }

    /// The report as it would be sent now, with number zero.
    pub(super) fn situation(&self, target: Revision) -> Report {
        Report { number: 0, target, instances: self.current.clone() }
    }

    /// A new target has to be reported on.
    pub(super) fn change(&mut self) {
        self.changed = true;
    }

    /// Sets the entry of an instance; none when it is gone.
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

    /// A new link may lead to a coordinator that did not get the report: it is sent again.
    pub(super) fn link_up(&mut self) {
        if let Some((.., false)) = self.sent_to {
            self.send_at = Some(Time::ZERO);
        }
    }

    pub(super) fn seen(&mut self, from: NodeId, number: u64) {
        if let Some((node, _, seen)) = &mut self.sent_to
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
        // A node that coordinates in a new term has no reports of earlier terms.
        let new_coordinator =
            coordinator.is_some() && self.sent_to.map(|(node, term, _)| (node, term)) != coordinator;
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
                self.sent_to = self.sent_to.map(|(node, term, _)| (node, term, false));
            }
        }
        self.send_at = None;
        let Some((coordinator, term)) = coordinator else { return };
        if !new_coordinator && self.sent_to == Some((coordinator, term, true)) {
            return;
        }
        self.sent_to = Some((coordinator, term, false));
        self.send_at = Some(now.after_ms(REPEAT_MS));
        out.control(coordinator, Control::Report(self.latest.clone()));
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.send_at
    }
}

/// The entry of an instance in the report.
pub(super) fn describe(local: &Local, uses: &Uses, restart_ms: u64) -> InstanceReport {
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
        failures: local.failures.in_a_row,
        failure: local.failures.last.clone(),
        version: local.placed.version,
        idle: local.is_done() && matches!(phase, InstancePhase::Started | InstancePhase::Resting),
        pushed: local.pushed,
        places,
        addresses: addresses(local),
        not_ready: local.run.as_ref().and_then(|run| run.not_ready.clone()),
        retry: local.failures.wait(restart_ms),
    }
}

/// The addresses of the exports that are active.
fn addresses(local: &Local) -> LiteMap<PortName, SocketAddr> {
    let active = local.outputs.addresses.iter().filter(|(export, _)| local.is_active(export));
    active.map(|(export, address)| (export.clone(), *address)).collect()
}

/// How many bindings of the target the program does not have, and how many it has beyond the target's.
fn bindings_missing(local: &Local, uses: &Uses) -> u32 {
    // An instance that rests where an import is not used does without it, and its exporter may rest as well.
    let used = local.imports.iter().filter(|(port, _)| !local.is_done() || local.is_using(port));
    let missing = used.map(|(port, binding)| {
        let known = local.bound_imports.get(port).map_or(0, LiteMap::len);
        let settled = if local.run.is_some() { binding.settled(uses).min(known) } else { 0 };
        (known - settled) + binding.wanted.len().saturating_sub(settled)
    });
    u32::try_from(missing.sum::<usize>()).unwrap_or(u32::MAX)
}
