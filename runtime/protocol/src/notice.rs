//! Notices for the operator: typed events of the core with their text, for `events` and `why`.
//!
//! No decision depends on a notice, and a notice may be lost. Its `Display` is the sentence that the command line
//! prints.

use rhizo_types::id::{
    ComponentName, HostId, InstanceId, IntentId, NodeId, OfferName, ProviderName, RegionName, RuleName,
};
use rhizo_types::intent::{AbsentReason, ReleaseReason};
use rhizo_types::target::{Cause, Verdict};
use rhizo_types::{Lineage, Number, Revision, Term};
use std::collections::BTreeSet;
use std::fmt;

/// One event that the operator may want to know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Notice {
    /// This node coordinates from now on.
    CoordinatorBegan(Term),
    /// This node does not coordinate any more.
    CoordinatorEnded(Term),
    /// This node has received the first entry of a term: a coordinator was elected, and it can commit.
    TermBegan(Term),
    /// A spec came into force.
    SpecSet(Revision),
    /// A solver run began.
    SolveBegan(Cause),
    /// A plan came into force.
    PlanCommitted {
        /// Its revision.
        revision: Revision,
        /// Number of hosts that it orders.
        orders: u32,
        /// The cause of the plan, its utility before and after, and its migration cost.
        verdict: Box<Verdict>,
    },
    /// The solver found a change that does not gain enough, and the plan stays.
    PlanKept {
        /// The gain of the change minus its migration cost.
        net_gain: Number,
        /// The gain that a voluntary change needs.
        gain_min: Number,
        /// The migration cost of the change.
        migration_cost: Number,
        /// The reason, for the operator.
        reason: String,
    },
    /// No placement satisfies these rules together.
    Infeasible {
        /// The conflicting rules, if known.
        rules: Vec<RuleName>,
        /// Sentences for the operator.
        reasons: Vec<String>,
    },
    /// The solver ended without a result.
    SolveFailed(String),
    /// The ledger refused a command, which changed nothing.
    CommandRefused(String),
    /// A host is about to be ordered.
    AcquireBegan {
        /// The intent.
        intent: IntentId,
        /// The provider.
        provider: ProviderName,
        /// The offer that is ordered.
        offer: OfferName,
        /// The region.
        region: RegionName,
    },
    /// A provider call failed or has no clear answer.
    AcquireFailed {
        /// The intent.
        intent: IntentId,
        /// The reason, for the operator.
        reason: String,
    },
    /// A host was acquired.
    HostBound {
        /// The intent.
        intent: IntentId,
        /// The host.
        host: HostId,
    },
    /// An intent ended without a host.
    IntentAbsent {
        /// The intent.
        intent: IntentId,
        /// The reason, for the operator.
        reason: AbsentReason,
    },
    /// A host is about to be released.
    ReleaseBegan {
        /// The intent.
        intent: IntentId,
        /// The reason, for the operator.
        reason: ReleaseReason,
    },
    /// The provider's list no longer has a host that was released.
    HostReleased(IntentId),
    /// A provider lists a host of this lineage without an intent in the ledger. The host is released.
    HostUnexplained {
        /// The provider.
        provider: ProviderName,
        /// The host.
        host: HostId,
    },
    /// A provider does not answer.
    ProviderFailed {
        /// The provider.
        provider: ProviderName,
        /// The reason, for the operator.
        reason: String,
    },
    /// A node joined the overlay.
    NodeJoined(NodeId),
    /// A node left the overlay.
    NodeLeft(NodeId),
    /// This node no longer receives messages of another node.
    NodeSuspected(NodeId),
    /// The group declared nodes dead.
    NodesDead(BTreeSet<NodeId>),
    /// The voters changed.
    VotersChanged(BTreeSet<NodeId>),
    /// A target came into force.
    TargetCommitted(Revision),
    /// A target is reached.
    TargetSettled(Revision),
    /// An instance is started.
    InstanceStarted(InstanceId),
    /// An instance is stopped.
    InstanceStopped(InstanceId),
    /// An instance failed.
    InstanceFailed {
        /// The instance.
        instance: InstanceId,
        /// The name of the action that failed; none when the instance was started.
        step: Option<String>,
        /// The reason, for the operator.
        reason: String,
        /// Number of failures in a row, this one included.
        failures: u32,
    },
    /// An action of an instance failed, and the instance has not failed with it.
    ActionFailed {
        /// The instance.
        instance: InstanceId,
        /// The name of the action: that of its transition, `reset` or `notify`.
        step: String,
        /// The reason, for the operator.
        reason: String,
        /// True if the action is repeated. Otherwise it belonged to a reset, which is given up.
        again: bool,
    },
    /// A component returns to the version in which it last worked.
    Unwound(ComponentName),
    /// A version of a component keeps failing.
    ComponentFailing {
        /// The component.
        component: ComponentName,
        /// Number of failures in a row, over all hosts.
        failures: u32,
        /// Length of the wait before the next attempt, in milliseconds.
        wait_ms: u64,
    },
    /// All copies of a component have been started for longer than the failure window.
    ComponentSteady(ComponentName),
    /// Marks of components against hosts are old, and end.
    MarksForgiven(usize),
    /// A script begins.
    ScriptBegan(u64),
    /// A script waits at a line, or continues there.
    ScriptAt {
        /// Its number.
        number: u64,
        /// The line.
        line: u32,
    },
    /// Every statement of a script has been executed.
    ScriptDone(u64),
    /// An operator ended a script.
    ScriptEnded(u64),
    /// A script ended early, because a statement could not be carried out.
    ScriptFailed {
        /// Its number.
        number: u64,
        /// The line.
        line: u32,
        /// The reason, for the operator.
        reason: String,
    },
    /// An instance continues without its exports, because a mandatory import was lost.
    InstanceSuspended(InstanceId),
    /// An instance offers its exports again, because no mandatory import is missing.
    InstanceResumed(InstanceId),
    /// The host with the data of a copy is lost, and the copy waits for an operator.
    DataAwaited {
        /// The copy.
        instance: InstanceId,
        /// The lost node.
        node: NodeId,
    },
    /// An operator gave up the data of a copy, which is placed again without it.
    DataGivenUp(InstanceId),
    /// The application is being taken down.
    TakeDownBegan,
    /// This node is a member of the next lineage. An operator began it, because the former one lost its quorum.
    LineageBegan(Lineage),
    /// This node halts.
    Halting(HaltReason),
}

/// The reason for which a node halts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HaltReason {
    /// It left in order: it was released, drained, detached or taken down.
    Left,
    /// The group declared it dead.
    Dead,
    /// It received no message of the group for longer than the spec's `orphan_after`.
    Orphaned,
    /// An operator began a new lineage without this node, after the quorum was lost for good.
    Superseded,
}

/// Defines [`Notice::kind`] by an exhaustive match, and the list of all kinds for the test that compares them.
macro_rules! kinds {
    ($($notice:pat => $kind:literal,)*) => {
        impl Notice {
            /// Returns the kind of this notice as one word of the JSON contract (`kind` of an event record).
            ///
            /// A word is never reused for another kind. It does not change when a variant is renamed, because scripts
            /// compare it.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $($notice => $kind,)*
                }
            }
        }

        #[cfg(test)]
        const KINDS: &[&str] = &[$($kind),*];
    };
}

kinds! {
    Notice::CoordinatorBegan(_) => "CoordinatorBegan",
    Notice::CoordinatorEnded(_) => "CoordinatorEnded",
    Notice::TermBegan(_) => "TermBegan",
    Notice::SpecSet(_) => "SpecSet",
    Notice::SolveBegan(_) => "SolveBegan",
    Notice::PlanCommitted { .. } => "PlanCommitted",
    Notice::PlanKept { .. } => "PlanKept",
    Notice::Infeasible { .. } => "Infeasible",
    Notice::SolveFailed(_) => "SolveFailed",
    Notice::CommandRefused(_) => "CommandRefused",
    Notice::AcquireBegan { .. } => "AcquireBegan",
    Notice::AcquireFailed { .. } => "AcquireFailed",
    Notice::HostBound { .. } => "HostBound",
    Notice::IntentAbsent { .. } => "IntentAbsent",
    Notice::ReleaseBegan { .. } => "ReleaseBegan",
    Notice::HostReleased(_) => "HostReleased",
    Notice::HostUnexplained { .. } => "HostUnexplained",
    Notice::ProviderFailed { .. } => "ProviderFailed",
    Notice::NodeJoined(_) => "NodeJoined",
    Notice::NodeLeft(_) => "NodeLeft",
    Notice::NodeSuspected(_) => "NodeSuspected",
    Notice::NodesDead(_) => "NodesDead",
    Notice::VotersChanged(_) => "VotersChanged",
    Notice::TargetCommitted(_) => "TargetCommitted",
    Notice::TargetSettled(_) => "TargetSettled",
    Notice::InstanceStarted(_) => "InstanceStarted",
    Notice::InstanceStopped(_) => "InstanceStopped",
    Notice::InstanceFailed { .. } => "InstanceFailed",
    Notice::ActionFailed { .. } => "ActionFailed",
    Notice::Unwound(_) => "Unwound",
    Notice::ComponentFailing { .. } => "ComponentFailing",
    Notice::ComponentSteady(_) => "ComponentSteady",
    Notice::MarksForgiven(_) => "MarksForgiven",
    Notice::ScriptBegan(_) => "ScriptBegan",
    Notice::ScriptAt { .. } => "ScriptAt",
    Notice::ScriptDone(_) => "ScriptDone",
    Notice::ScriptEnded(_) => "ScriptEnded",
    Notice::ScriptFailed { .. } => "ScriptFailed",
    Notice::InstanceSuspended(_) => "InstanceSuspended",
    Notice::InstanceResumed(_) => "InstanceResumed",
    Notice::DataAwaited { .. } => "DataAwaited",
    Notice::DataGivenUp(_) => "DataGivenUp",
    Notice::TakeDownBegan => "TakeDownBegan",
    Notice::LineageBegan(_) => "LineageBegan",
    Notice::Halting(_) => "Halting",
}

/// Prints a set as `n1, n2 and n3`.
struct List<'a, T>(&'a BTreeSet<T>);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        for (position, node) in self.0.iter().enumerate() {
            let separator = match position {
                0 => "",
                _ if position + 1 == count => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{node}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CoordinatorBegan(term) => write!(f, "coordinates in term {term}"),
            Self::TermBegan(term) => write!(f, "first entry of term {term}"),
            Self::CoordinatorEnded(term) => write!(f, "coordinates no more (term {term})"),
            Self::SpecSet(revision) => write!(f, "spec {revision} is in force"),
            Self::SolveBegan(cause) => write!(f, "solving because {}", CauseText(cause)),
            Self::PlanCommitted { revision, orders, verdict } => {
                write!(f, "plan {revision} because {}: ", CauseText(&verdict.cause))?;
                match verdict.worth.utility_before {
                    Some(before) => write!(f, "utility {:.4} → ", before.get())?,
                    None => f.write_str("utility → ")?,
                }
                let (after, cost) = (verdict.worth.utility_after.get(), verdict.worth.migration_cost.get());
                write!(f, "{after:.4}, migration cost {cost:.4}, {orders} hosts to acquire")
            }
            Self::PlanKept { net_gain, gain_min, migration_cost, reason } => write!(
                f,
                "kept the plan: a change would gain {:.4} beyond its migration cost of {:.4} (needed: more than {:.4}); {reason}",
                net_gain.get(),
                migration_cost.get(),
                gain_min.get()
            ),
            // An outcome always has reasons; they name the rules among them.
            Self::Infeasible { reasons, .. } => {
                write!(f, "no placement satisfies all demands: {}", reasons.join("; "))
            }
            Self::SolveFailed(reason) => write!(f, "no plan: {reason}"),
            Self::CommandRefused(reason) => write!(f, "a command changed nothing: {reason}"),
            Self::NodeJoined(node) => write!(f, "{node} joined"),
            Self::NodeLeft(node) => write!(f, "{node} left"),
            Self::NodeSuspected(node) => write!(f, "lost {node}"),
            Self::NodesDead(nodes) => write!(f, "dead: {}", List(nodes)),
            Self::VotersChanged(voters) => write!(f, "voters: {}", List(voters)),
            Self::TargetCommitted(revision) => write!(f, "target {revision} is in force"),
            Self::TargetSettled(revision) => write!(f, "target {revision} is reached"),
            Self::InstanceStarted(instance) => write!(f, "{instance} started"),
            Self::InstanceStopped(instance) => write!(f, "{instance} stopped"),
            Self::InstanceSuspended(instance) => write!(f, "{instance} is suspended: an import was lost"),
            Self::InstanceResumed(instance) => write!(f, "{instance} goes on"),
            Self::DataAwaited { instance, node } => {
                write!(f, "{instance} waits: its data is on {node}, which is lost")
            }
            Self::DataGivenUp(instance) => write!(f, "the data of {instance} is given up"),
            Self::TakeDownBegan => f.write_str("taking the application down"),
            Self::Halting(HaltReason::Left) => f.write_str("halting: left the overlay"),
            Self::Halting(HaltReason::Dead) => f.write_str("halting: the others committed this node dead"),
            Self::Halting(HaltReason::Orphaned) => f.write_str("halting: lost the group for too long"),
            Self::Halting(HaltReason::Superseded) => {
                f.write_str("halting: an operator began a new lineage without this node")
            }
            Self::LineageBegan(lineage) => {
                write!(f, "lineage {lineage} began, because the quorum of the former one was lost")
            }
            _ => self.fmt_host(f),
        }
    }
}

impl Notice {
    /// Prints the notices about hosts and providers.
    fn fmt_host(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcquireBegan { intent, provider, offer, region } => {
                write!(f, "{intent}: acquiring {offer} in {region} from {provider}")
            }
            Self::AcquireFailed { intent, reason } => write!(f, "{intent}: not acquired: {reason}"),
            Self::HostBound { intent, host } => write!(f, "{intent}: host {host}"),
            Self::IntentAbsent { intent, reason } => {
                let text = match reason {
                    AbsentReason::Cancelled => "cancelled before it was ordered",
                    AbsentReason::Refused => "refused by the provider",
                    AbsentReason::NoCapacity => "no capacity",
                    AbsentReason::NotListed => "the provider's list does not have it",
                    AbsentReason::NotCalled => "the order could not be sent",
                };
                write!(f, "{intent}: no host: {text}")
            }
            Self::ReleaseBegan { intent, reason } => {
                let text = match reason {
                    ReleaseReason::Unneeded => "no plan needs it",
                    ReleaseReason::NeverJoined => "its node never joined",
                    ReleaseReason::Dead => "its node is dead",
                    ReleaseReason::Left => "its node left",
                    ReleaseReason::Unexplained => "no intent explains it",
                    ReleaseReason::Ended => "the provider says it ended",
                    ReleaseReason::TakeDown => "the application is taken down",
                };
                write!(f, "{intent}: releasing: {text}")
            }
            Self::HostReleased(intent) => write!(f, "{intent}: host is gone"),
            Self::HostUnexplained { provider, host } => {
                write!(f, "{provider} lists host {host} that no intent explains")
            }
            Self::ProviderFailed { provider, reason } => write!(f, "provider {provider}: {reason}"),
            _ => self.fmt_change(f),
        }
    }

    /// Prints the notices about failures, scripts and rollouts.
    fn fmt_change(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstanceFailed { instance, step: Some(step), reason, failures } => {
                write!(f, "{instance}: {step} failed ({failures} in a row): {reason}")
            }
            Self::InstanceFailed { instance, step: None, reason, failures } => {
                write!(f, "{instance} failed ({failures} in a row): {reason}")
            }
            Self::ActionFailed { instance, step, reason, again } => {
                write!(f, "{instance}: {step} failed: {reason}")?;
                if *again { f.write_str("; it is repeated") } else { Ok(()) }
            }
            Self::Unwound(component) => {
                write!(f, "{component} keeps failing and goes back to its last working version")
            }
            Self::ComponentFailing { component, failures, wait_ms } => {
                let wait_s = *wait_ms as f64 / 1e3;
                write!(
                    f,
                    "{component} keeps failing, {failures} times in a row; the next try follows in {wait_s} s"
                )
            }
            Self::ComponentSteady(component) => write!(f, "{component} runs well"),
            Self::MarksForgiven(count) => {
                write!(f, "{count} hosts may be used again by components that failed there")
            }
            Self::ScriptBegan(number) => write!(f, "script {number} begins"),
            Self::ScriptAt { number, line } => write!(f, "script {number} is at line {line}"),
            Self::ScriptDone(number) => write!(f, "script {number} is carried out"),
            Self::ScriptEnded(number) => write!(f, "script {number} was ended"),
            Self::ScriptFailed { number, line, reason } => {
                write!(f, "script {number} stops at line {line}: {reason}")
            }
            _ => Ok(()),
        }
    }
}

/// Prints a cause as the rest of a sentence after "because".
pub struct CauseText<'a>(pub &'a Cause);

impl fmt::Display for CauseText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::SpecChanged => f.write_str("the spec is new"),
            Cause::NodeLost(nodes) => write!(f, "of the loss of {}", List(nodes)),
            Cause::OrderFailed(intents) => write!(f, "{} orders came to nothing", intents.len()),
            Cause::InstanceFailed(instances) => write!(f, "{} instances keep failing", instances.len()),
            Cause::Draining(nodes) => write!(f, "{} must be emptied", List(nodes)),
            Cause::Better => f.write_str("facts or offers changed"),
            Cause::TakeDown => f.write_str("the application is taken down"),
            Cause::Script(number) => write!(f, "script {number} says so"),
            Cause::CopiesMissing(components) => {
                write!(f, "there are too few copies of {}", List(components))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_notices_have_the_same_kind() {
        let different: BTreeSet<&str> = KINDS.iter().copied().collect();
        assert_eq!(different.len(), KINDS.len());
        for kind in KINDS {
            assert!(!kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphabetic()), "`{kind}` is no word");
        }
    }
}
