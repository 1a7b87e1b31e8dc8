//! Leads the script that runs from one wait to the next.
//!
//! What a statement does is in `ledger::script`. Here is only when the next stretch may be carried out: when
//! everything that its wait names has done what is wanted of it, as the agents report.

use super::target::is_reached;
use super::{Coordinator, View};
use crate::sabotage::{self, Sabotage};
use rhizo_types::id::InstanceId;
use rhizo_types::ledger::Command;
use rhizo_types::script::Order;
use std::collections::BTreeSet;

impl Coordinator {
    /// The next stretch of the script, if it can be carried out. Asked only when the target in force is what the
    /// ledger wants.
    pub(super) fn script_command(&self, view: View<'_>) -> Option<Command> {
        let run = view.ledger.script.as_ref().filter(|run| run.is_running())?;
        if sabotage::is(Sabotage::StaysInScripts) {
            return None;
        }
        if let Order::Wait { instances } = &run.statement()?.order
            && !self.has_come(instances, view)
            && !sabotage::is(Sabotage::SkipsWaits)
        {
            return None;
        }
        let to = run.script.stretch(usize::try_from(run.next).ok()?);
        Some(Command::Advance { number: run.number, from: run.next, to: u32::try_from(to).ok()? })
    }

    /// Whether these have done what is wanted of them; all instances when none is named.
    fn has_come(&self, instances: &BTreeSet<InstanceId>, view: View<'_>) -> bool {
        let ledger = view.ledger;
        if instances.is_empty() {
            return self.is_complete(ledger);
        }
        let planned =
            |instance| ledger.plan.as_ref().is_some_and(|plan| plan.placement.contains_key(instance));
        instances.iter().all(|instance| match ledger.target.instances.get(instance) {
            Some(placed) => self
                .reports
                .get(&placed.node)
                .filter(|report| report.target == ledger.target.revision)
                .and_then(|report| report.instances.get(instance))
                .is_some_and(|report| is_reached(instance, report, placed, &ledger.target)),
            // Not wanted any more: gone when the agent says so.
            None => {
                let lingers = ledger.lingering.get(instance);
                !planned(instance) && lingers.is_none_or(|placed| self.is_gone(instance, placed, ledger))
            }
        })
    }
}
