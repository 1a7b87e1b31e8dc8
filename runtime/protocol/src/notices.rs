//! The notices that every node emits when it applies a committed entry.
//!
//! They are derived from the entry and from the ledger after it, and decide nothing. `notice` has their texts.

use crate::back_off::back_off_ms;
use crate::ledger::{Applied, Ledger, ScriptState};
use crate::notice::Notice;
use crate::out::Out;
use rhizo_types::Term;
use rhizo_types::id::ComponentName;
use rhizo_types::intent::{Outcome, ReleaseReason};
use rhizo_types::ledger::Command;
use rhizo_types::message::{CommittedEntry, LogEntry};

/// Adds the notices of an entry that was just applied, each with the index of the entry; `before` is the term before
/// it.
pub(crate) fn of_entry(
    before: Term,
    entry: &CommittedEntry,
    applied: &Applied,
    ledger: &Ledger,
    out: &mut Out,
) {
    out.notices_follow_from(Some(entry.index));
    if ledger.term > before {
        out.notice(Notice::TermBegan(ledger.term));
    }
    match (applied, &entry.entry) {
        (Applied::Done, LogEntry::Command(command)) => of_command(command, ledger, out),
        (Applied::Refused(refusal), _) => out.notice(Notice::CommandRefused(refusal.to_string())),
        (Applied::Ignored | Applied::Done, _) => {}
    }
    out.notices_follow_from(None);
}

fn of_command(command: &Command, ledger: &Ledger, out: &mut Out) {
    let notice = match command {
        Command::SetSpec(spec) => Notice::SpecSet(spec.revision),
        Command::Plan(plan) => Notice::PlanCommitted {
            revision: plan.revision,
            orders: u32::try_from(plan.orders.len()).unwrap_or(u32::MAX),
            verdict: Box::new(plan.verdict.clone()),
        },
        Command::Outcome { intent, outcome } => match outcome {
            Outcome::Bound(host) => Notice::HostBound { intent: *intent, host: host.host.clone() },
            Outcome::Absent(reason) => Notice::IntentAbsent { intent: *intent, reason: *reason },
            Outcome::Releasing(reason) => Notice::ReleaseBegan { intent: *intent, reason: *reason },
            Outcome::Released => Notice::HostReleased(*intent),
            Outcome::Unknown => return,
        },
        Command::Reclaim { provider, host, .. } => match ledger.intent_of_host(provider, host) {
            Some(intent) => Notice::ReleaseBegan { intent, reason: ReleaseReason::Unexplained },
            None => return,
        },
        Command::Join(join) => {
            let node = ledger.intents.get(&join.ticket).and_then(|intent| intent.node);
            let Some(node) = node else { return };
            Notice::NodeJoined(node)
        }
        Command::Leave { node } => Notice::NodeLeft(*node),
        Command::Dead { .. } | Command::GiveUpData { .. } => return of_losses(command, ledger, out),
        Command::Target(target) => Notice::TargetCommitted(target.revision),
        Command::Settled { target } => Notice::TargetSettled(*target),
        Command::TakeDown => Notice::TakeDownBegan,
        Command::Batch(commands) => {
            for command in commands {
                of_command(command, ledger, out);
            }
            return;
        }
        Command::Unwind { component, .. } => Notice::Unwound(component.clone()),
        Command::Failing { .. } | Command::Steady { .. } => return of_failures(command, ledger, out),
        Command::Forgive { marks } => Notice::MarksForgiven(marks.len()),
        Command::RunScript { number, .. } => Notice::ScriptBegan(*number),
        Command::Advance { number, .. } | Command::EndScript { number } | Command::Stall { number, .. } => {
            let Some(run) = ledger.script.as_ref().filter(|run| run.number == *number) else { return };
            match &run.state {
                ScriptState::Running => {
                    let line = run.statement().map_or(0, |statement| statement.line);
                    Notice::ScriptAt { number: *number, line }
                }
                ScriptState::Done => Notice::ScriptDone(*number),
                ScriptState::Ended => Notice::ScriptEnded(*number),
                ScriptState::Failed { line, reason } => {
                    Notice::ScriptFailed { number: *number, line: *line, reason: reason.clone() }
                }
            }
        }
        Command::Genesis(_) | Command::Drain { .. } | Command::Mark | Command::Gone { .. } => return,
    };
    out.notice(notice);
}

/// Notes dead nodes, the copies whose data they have, and data that is given up.
fn of_losses(command: &Command, ledger: &Ledger, out: &mut Out) {
    match command {
        Command::Dead { nodes } => {
            out.notice(Notice::NodesDead(nodes.keys().copied().collect()));
            for (copy, home) in ledger.waiting_for_data().filter(|(_, home)| nodes.contains_key(&home.node)) {
                out.notice(Notice::DataAwaited { instance: copy.clone(), node: home.node });
            }
        }
        Command::GiveUpData { copies } => {
            for instance in copies.keys().filter(|instance| !ledger.homes.contains_key(*instance)) {
                out.notice(Notice::DataGivenUp(instance.clone()));
            }
        }
        _ => {}
    }
}

/// Notes the components that keep failing, or run well.
fn of_failures(command: &Command, ledger: &Ledger, out: &mut Out) {
    match command {
        Command::Failing { components } => {
            for component in components.keys().filter(|component| ledger.keeps_failing(component)) {
                out.notice(failing(component, ledger));
            }
        }
        Command::Steady { components } => {
            for component in components.keys() {
                out.notice(Notice::ComponentSteady(component.clone()));
            }
        }
        _ => {}
    }
}

fn failing(component: &ComponentName, ledger: &Ledger) -> Notice {
    let record = ledger.failing.get(component);
    let failures = record.map_or(0, |record| record.failures);
    Notice::ComponentFailing {
        component: component.clone(),
        failures,
        wait_ms: back_off_ms(failures, ledger.timers().restart_ms),
    }
}
