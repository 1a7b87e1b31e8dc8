//! The steps of the model, their fairness, and their text in traces.
//!
//! [`super`] decides which steps are possible.

use super::ending::{ActEnding, Ending};
use super::host::Deed;
use super::outcomes::Outcome;
use crate::fingerprint::Shared;
use rhizo_protocol::ActionId;
use rhizo_types::id::InstanceId;
use rhizo_types::message::AgentMessage;
use std::fmt;
use std::sync::Arc;

/// One step. Hosts are numbered from zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The wish with that number is committed as a plan.
    Wish(u8),
    /// A plan for the remaining hosts is committed.
    PlanAgain,
    /// The coordinator commits the next target, the completion of a target, or a departure.
    Coordinate,
    /// A node learns the next committed ledger.
    Learn(usize),
    /// A node learns the newest committed ledger at once.
    CatchUp(usize),
    /// A message arrives.
    Deliver(usize, usize, Shared<AgentMessage>),
    /// An agent learns that the peer's agent is a new one.
    Reset(usize, usize),
    /// An agent learns of a peer's new agent without having known the former one.
    Greet(usize, usize),
    /// A service starts, stops or fails.
    End(usize, InstanceId, Ending),
    /// An action other than a service ends.
    Act(usize, ActionId, ActEnding),
    /// A wait of the agent ends.
    Wake(usize),
    /// The time-out of an action passes.
    TimeOut(usize),
    /// A host dies silently.
    Crash(usize),
    /// A host is partitioned from all others.
    Isolate(usize),
    /// A host's loss is detected and committed.
    DeclareDead(usize),
    /// The provider confirms that a host is gone.
    Confirm(usize),
    /// A node learns that it is no longer a member and stops everything.
    Halt(usize),
    /// A node's process dies and restarts.
    Restart(usize),
    /// A node's process dies and restarts with an old ledger.
    RestartBehind(usize),
}

/// A step with its outcome on the host where it happened.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The step.
    pub step: Step,
    /// The outcome; none for a step that is not an event on one host.
    pub outcome: Option<Arc<Outcome>>,
}

/// Fairness classes of one kind of step: one for each host or pair of hosts, of which there are at most 8 × 8.
const PAIRS: u16 = 64;

impl Step {
    /// Returns the fairness class of a step. Faults and wishes have none, because they may never occur.
    #[must_use]
    pub fn fairness(&self) -> Option<u16> {
        let of = |kind: u16, host: usize| Some(kind * PAIRS + u16::try_from(host).unwrap_or(0));
        match self {
            Self::PlanAgain => of(0, 0),
            Self::Coordinate => of(0, 1),
            Self::Deliver(from, to, _) => of(1, from * 8 + to),
            Self::Reset(from, to) => of(2, from * 8 + to),
            Self::Learn(host) => of(3, *host),
            Self::End(_, _, Ending::StartedLate) => None,
            Self::End(host, _, ending) if !ending.is_failure() => of(4, *host),
            Self::Act(_, _, ActEnding::DoneLate | ActEnding::Failed) => None,
            Self::Act(host, ..) => of(8, *host),
            Self::Wake(host) => of(5, *host),
            Self::DeclareDead(host) => of(6, *host),
            Self::Halt(host) => of(7, *host),
            Self::Confirm(host) => of(9, *host),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wish(number) => write!(f, "wish {} is committed", number + 1),
            Self::PlanAgain => f.write_str("a plan for what is left is committed"),
            Self::Coordinate => f.write_str("the coordinator commits its next step"),
            Self::Learn(host) => write!(f, "host {host} learns the next commit"),
            Self::CatchUp(host) => write!(f, "host {host} learns everything at once"),
            Self::Deliver(from, to, message) => {
                write!(f, "host {to} gets from host {from}: ")?;
                message_text(message, f)
            }
            Self::Reset(from, to) => write!(f, "host {to} learns that host {from} has a new agent"),
            Self::Greet(from, to) => write!(f, "host {to} hears of the agent of host {from} first now"),
            Self::End(host, instance, ending) => {
                let what = match ending {
                    Ending::Started => "is started",
                    Ending::StartedLate => "is started, says the shell late",
                    Ending::StartFailed => "fails to start",
                    Ending::Stopped => "is stopped",
                    Ending::Exited => "ends by itself",
                    Ending::Unhealthy => "is unhealthy",
                };
                write!(f, "host {host}: {instance} {what}")
            }
            Self::Act(host, ActionId { run, number }, ending) => {
                let what = match ending {
                    ActEnding::Done => "is done",
                    ActEnding::Failed => "fails",
                    ActEnding::Cancelled => "is cancelled",
                    ActEnding::DoneLate => "is done although it was cancelled",
                };
                write!(f, "host {host}: action {number} of {} {what}", run.instance)
            }
            Self::TimeOut(host) => write!(f, "host {host}: actions take too long"),
            Self::Wake(host) => write!(f, "host {host}: a waiting time is over"),
            Self::Crash(host) => write!(f, "host {host} crashes, silently"),
            Self::Isolate(host) => write!(f, "host {host} is cut off"),
            Self::DeclareDead(host) => write!(f, "the loss of host {host} is committed"),
            Self::Confirm(host) => write!(f, "the provider confirms that host {host} is gone"),
            Self::Halt(host) => write!(f, "host {host} learns that it is no member, and halts"),
            Self::Restart(host) => write!(f, "the node of host {host} restarts"),
            Self::RestartBehind(host) => write!(f, "the node of host {host} restarts with an old ledger"),
        }
    }
}

fn message_text(message: &AgentMessage, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match message {
        AgentMessage::Bind { id, importer, exporter, generation, .. } => {
            write!(f, "bind {importer} to {exporter} (generation {generation}, use {})", id.0)
        }
        AgentMessage::Bound { id, .. } => write!(f, "use {} is bound", id.0),
        AgentMessage::AskUnbind { id, .. } => write!(f, "please let go of use {}", id.0),
        AgentMessage::Lost { id, .. } => write!(f, "use {} is lost", id.0),
        AgentMessage::Unbound { id } => write!(f, "use {} is let go", id.0),
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        for deed in self.outcome.iter().flat_map(|outcome| &outcome.deeds) {
            match deed {
                Deed::Start(call, ..) => write!(f, "; start {}", call.run.instance)?,
                Deed::Stop(run, _) => write!(f, "; stop {}", run.instance)?,
                Deed::Act(call, ..) => {
                    let (instance, number) = (&call.id.run.instance, call.id.number);
                    write!(f, "; {} of {instance} begins as action {number}", call.step)?;
                }
                Deed::Cancel(action, _) => {
                    write!(f, "; cancel action {} of {}", action.number, action.run.instance)?;
                }
                Deed::Rebind(run, import, bound, unbound) => {
                    let plus = bound.keys().map(|exporter| format!("+{exporter}"));
                    let names: Vec<String> =
                        plus.chain(unbound.iter().map(|exporter| format!("-{exporter}"))).collect();
                    write!(f, "; tell {} {import}: {}", run.instance, names.join(" "))?;
                }
            }
        }
        Ok(())
    }
}
