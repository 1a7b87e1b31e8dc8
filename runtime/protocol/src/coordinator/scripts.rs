//! Advances the running script from one wait to the next.
//!
//! `ledger::script` executes the statements. This file decides when the next ones may be executed: when the agents
//! report that every instance which the current `wait` names has done what the target asks of it.

use super::View;
use super::reconfiguration::Reconfiguration;
use super::target::is_reached;
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::ledger::Command;
use rhizo_types::message::InstancePhase;
use rhizo_types::net::Net;
use rhizo_types::script::Order;
use std::collections::BTreeSet;

impl Reconfiguration {
    /// Returns the next step of the script, if there is one: the statements up to the next `wait`, or the end of a
    /// script that waits in vain. To be called only when the target in force is the one that the plan asks for.
    pub(super) fn script_command(&self, view: View<'_>) -> Option<Command> {
        let run = view.ledger.script.as_ref().filter(|run| run.is_running())?;
        if sabotage::is(Sabotage::StaysInScripts) {
            return None;
        }
        if let Order::Wait { instances } = &run.statement()?.order
            && !self.has_come(instances, view)
            && !sabotage::is(Sabotage::SkipsWaits)
        {
            let (instance, exporter) = self.stalled(instances, view)?;
            return Some(Command::Stall { number: run.number, at: run.next, instance, exporter });
        }
        let to = run.script.change_end(usize::try_from(run.next).ok()?);
        Some(Command::Advance { number: run.number, from: run.next, to: u32::try_from(to).ok()? })
    }

    /// Whether these instances have done what the target asks of them; all instances when none is named.
    fn has_come(&self, instances: &BTreeSet<InstanceId>, view: View<'_>) -> bool {
        let ledger = view.ledger;
        if instances.is_empty() {
            return ledger.is_plan_in_effect();
        }
        let planned =
            |instance| ledger.plan.as_ref().is_some_and(|plan| plan.placement.contains_key(instance));
        instances.iter().all(|instance| match ledger.target.instances.get(instance) {
            Some(placed) => self
                .reports
                .get(placed.node)
                .filter(|report| report.target == ledger.target.revision)
                .and_then(|report| report.instances.get(instance))
                .is_some_and(|report| is_reached(instance, report, placed, &ledger.target)),
            // The target no longer has it: it is gone when its agent reports so.
            None => {
                let lingers = ledger.lingering.get(instance);
                !planned(instance)
                    && lingers.is_none_or(|placed| self.reports.is_gone(instance, placed, ledger))
            }
        })
    }

    /// Returns an instance that the script waits for and that cannot start, with the exporter that it needs and that
    /// rests in a place where its export is not active.
    ///
    /// This happens after a failure. The script lets a user and its exporter rest; the user fails before it rests, is
    /// deployed again, and needs the exporter. Only a later statement makes the exporter serve again, and the script
    /// waits.
    fn stalled(&self, instances: &BTreeSet<InstanceId>, view: View<'_>) -> Option<(InstanceId, InstanceId)> {
        let target = &view.ledger.target;
        let awaited = target.instances.iter().filter(|(instance, placed)| {
            let report = self.reports.of(instance, view.ledger);
            (instances.is_empty() || instances.contains(*instance))
                && report.is_some_and(|report| {
                    matches!(report.phase, InstancePhase::Waiting | InstancePhase::Starting)
                        && !is_reached(instance, report, placed, target)
                })
        });
        awaited.into_iter().find_map(|(instance, placed)| {
            let component = view.ledger.component_of(instance, placed.version)?;
            let bound = target.bindings.get(instance)?;
            component.imports.iter().filter(|(_, import)| !import.optional).find_map(|(port, import)| {
                let exporters = bound.get(port)?;
                let resting =
                    exporters.iter().filter(|exporter| self.rests_silent(exporter, &import.export, view));
                let resting: Vec<&InstanceId> = resting.collect();
                let first = resting
                    .first()
                    .filter(|_| exporters.len() - resting.len() < import.pick.needed(exporters.len()))?;
                let needs = Net::of(component).is_ok_and(|net| net.needs_to_start(port));
                needs.then(|| (instance.clone(), (*first).clone()))
            })
        })
    }

    /// Whether an exporter has executed its pushes and rests where the export is not active.
    fn rests_silent(&self, exporter: &InstanceId, export: &PortName, view: View<'_>) -> bool {
        let target = &view.ledger.target;
        let Some(placed) = target.instances.get(exporter) else { return false };
        let Some(report) = self.reports.of(exporter, view.ledger) else { return false };
        if report.phase != InstancePhase::Resting || !is_reached(exporter, report, placed, target) {
            return false;
        }
        let component = view.ledger.component_of(exporter, placed.version);
        let Some(Ok(net)) = component.map(|component| Net::of(component)) else { return false };
        let group = net.exports.get(export);
        !group.is_some_and(|group| group.iter().any(|place| report.places.contains(net.place(*place))))
    }
}
