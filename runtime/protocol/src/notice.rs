//! What the core tells the operator: typed notices with their text, for `events` and `why`.
//!
//! A notice decides nothing and may be lost. Its `Display` is the sentence the CLI prints.

use crate::turn::HaltReason;
use rhizo_types::id::{
    ComponentName, HostId, InstanceId, IntentId, NodeId, OfferName, ProviderName, RegionName, RuleName,
};
use rhizo_types::intent::{AbsentReason, ReleaseReason};
use rhizo_types::target::{Cause, Verdict};
use rhizo_types::{Number, Revision, Term};
use std::collections::BTreeSet;
use std::fmt;

/// One thing worth telling.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Notice {
    /// This node coordinates from now on.
    CoordinatorBegan(Term),
    /// This node does not coordinate any more.
    CoordinatorEnded(Term),
    /// This node has the first entry of a term: its coordinator was elected, and can commit.
    TermBegan(Term),
    /// A spec is in force.
    SpecSet(Revision),
    /// A solver run began.
    SolveBegan(Cause),
    /// A plan is in force.
    PlanCommitted {
        /// Which.
        revision: Revision,
        /// How many hosts it orders.
        orders: u32,
        /// Why, and what it is worth.
        verdict: Box<Verdict>,
    },
    /// A change was found but does not pay.
    PlanKept {
        /// What it would gain beyond its migration cost.
        net_gain: Number,
        /// What a voluntary change must gain.
        gain_min: Number,
        /// What it costs.
        migration_cost: Number,
        /// Why not.
        reason: String,
    },
    /// Nothing satisfies these rules together.
    Infeasible {
        /// The conflicting rules, if known.
        rules: Vec<RuleName>,
        /// Sentences.
        reasons: Vec<String>,
    },
    /// The solver has no result.
    SolveFailed(String),
    /// A command changed nothing.
    CommandRefused(String),
    /// A host is being ordered.
    AcquireBegan {
        /// For which intent.
        intent: IntentId,
        /// Of whom.
        provider: ProviderName,
        /// What.
        offer: OfferName,
        /// Where.
        region: RegionName,
    },
    /// A provider call failed or has no clear answer.
    AcquireFailed {
        /// For which intent.
        intent: IntentId,
        /// What the provider said.
        reason: String,
    },
    /// There is a host.
    HostBound {
        /// For which intent.
        intent: IntentId,
        /// Which.
        host: HostId,
    },
    /// An intent ended without a host.
    IntentAbsent {
        /// Which.
        intent: IntentId,
        /// Why.
        reason: AbsentReason,
    },
    /// A host is to be released.
    ReleaseBegan {
        /// For which intent.
        intent: IntentId,
        /// Why.
        reason: ReleaseReason,
    },
    /// A host is gone, as the provider's list says.
    HostReleased(IntentId),
    /// A provider lists a host of this lineage that no intent explains; it is reclaimed.
    HostUnexplained {
        /// Whose list.
        provider: ProviderName,
        /// Which host.
        host: HostId,
    },
    /// A provider does not answer.
    ProviderFailed {
        /// Which.
        provider: ProviderName,
        /// What it said.
        reason: String,
    },
    /// A node joined.
    NodeJoined(NodeId),
    /// A node left.
    NodeLeft(NodeId),
    /// This node lost another.
    NodeSuspected(NodeId),
    /// Nodes were committed dead.
    NodesDead(BTreeSet<NodeId>),
    /// The voters changed.
    VotersChanged(BTreeSet<NodeId>),
    /// A target is in force.
    TargetCommitted(Revision),
    /// A target is reached.
    TargetSettled(Revision),
    /// An instance is started.
    InstanceStarted(InstanceId),
    /// An instance is stopped.
    InstanceStopped(InstanceId),
    /// An instance failed.
    InstanceFailed {
        /// Which.
        instance: InstanceId,
        /// How.
        reason: String,
        /// The how-manieth failure in a row.
        failures: u32,
    },
    /// An action came to nothing.
    ActionFailed {
        /// Whose.
        instance: InstanceId,
        /// For what: the transition, `reset` or `notify`.
        step: String,
        /// How.
        reason: String,
        /// Whether it is repeated before anything else follows.
        again: bool,
    },
    /// A component goes back to its last working version.
    Unwound(ComponentName),
    /// A script begins.
    ScriptBegan(u64),
    /// A script waits, or goes on, at a line.
    ScriptAt {
        /// Its number.
        number: u64,
        /// The line.
        line: u32,
    },
    /// A script is carried out.
    ScriptDone(u64),
    /// A script was ended by an operator.
    ScriptEnded(u64),
    /// A script could not be carried out any further.
    ScriptFailed {
        /// Its number.
        number: u64,
        /// The line.
        line: u32,
        /// Why.
        reason: String,
    },
    /// An instance goes on without its exports, because a mandatory import was lost.
    InstanceSuspended(InstanceId),
    /// An instance has again what it lost.
    InstanceResumed(InstanceId),
    /// The application is being taken down.
    TakeDownBegan,
    /// This node halts.
    Halting(HaltReason),
}

/// Defines [`Notice::kind`] by an exhaustive match, and the list of all kinds for the test that compares them.
macro_rules! kinds {
    ($($notice:pat => $kind:literal,)*) => {
        impl Notice {
            /// The kind of this notice as one word of the JSON contract (`kind` of an event record).
            ///
            /// A word is never reused for another kind. It does not follow a renamed variant: scripts compare it.
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
    Notice::ScriptBegan(_) => "ScriptBegan",
    Notice::ScriptAt { .. } => "ScriptAt",
    Notice::ScriptDone(_) => "ScriptDone",
    Notice::ScriptEnded(_) => "ScriptEnded",
    Notice::ScriptFailed { .. } => "ScriptFailed",
    Notice::InstanceSuspended(_) => "InstanceSuspended",
    Notice::InstanceResumed(_) => "InstanceResumed",
    Notice::TakeDownBegan => "TakeDownBegan",
    Notice::Halting(_) => "Halting",
}

/// The outcome of a comparison between the configuration in force and a better one, as a notice carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Judgement {
    /// What the change would gain in utility, before its migration cost.
    pub gain: Number,
    /// What the change would cost, in the unit of utility.
    pub migration_cost: Number,
}

impl Notice {
    /// The numbers of a change that was found and not made, because it does not pay; `None` for other notices.
    #[must_use]
    pub fn judgement(&self) -> Option<Judgement> {
        let Self::PlanKept { net_gain, migration_cost, .. } = self else { return None };
        let gain = Number::try_from(net_gain.get() + migration_cost.get()).ok()?;
        Some(Judgement { gain, migration_cost: *migration_cost })
    }
}

/// `n1, n2 and n3`.
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
                match verdict.utility_before {
                    Some(before) => write!(f, "utility {:.4} → ", before.get())?,
                    None => f.write_str("utility → ")?,
                }
                let (after, cost) = (verdict.utility_after.get(), verdict.migration_cost.get());
                write!(f, "{after:.4}, migration cost {cost:.4}, {orders} hosts to acquire")
            }
            Self::PlanKept { net_gain, gain_min, migration_cost, reason } => write!(
                f,
                "kept the plan: a change would gain {:.4} beyond its migration cost of {:.4} (needed: more than {:.4}); {reason}",
                net_gain.get(),
                migration_cost.get(),
                gain_min.get()
            ),
            Self::Infeasible { rules, reasons } => {
                f.write_str("no placement satisfies")?;
                for rule in rules {
                    write!(f, " \"{rule}\"")?;
                }
                for reason in reasons {
                    write!(f, "; {reason}")?;
                }
                Ok(())
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
            Self::InstanceFailed { instance, reason, failures } => {
                write!(f, "{instance} failed ({failures} in a row): {reason}")
            }
            Self::ActionFailed { instance, step, reason, again } => {
                write!(f, "{instance}: {step} failed: {reason}")?;
                if *again { f.write_str("; it is repeated") } else { Ok(()) }
            }
            Self::InstanceSuspended(instance) => write!(f, "{instance} is suspended: an import was lost"),
            Self::InstanceResumed(instance) => write!(f, "{instance} goes on"),
            Self::TakeDownBegan => f.write_str("taking the application down"),
            Self::Halting(HaltReason::Left) => f.write_str("halting: left the overlay"),
            Self::Halting(HaltReason::Dead) => f.write_str("halting: the others committed this node dead"),
            Self::Halting(HaltReason::Orphaned) => f.write_str("halting: lost the group for too long"),
            _ => self.fmt_host(f),
        }
    }
}

impl Notice {
    /// The notices about hosts and providers.
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

    /// The notices about scripts and rollouts.
    fn fmt_change(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwound(component) => {
                write!(f, "{component} keeps failing and goes back to its last working version")
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

/// A cause as the rest of "because …".
struct CauseText<'a>(&'a Cause);

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

    #[test]
    fn a_kept_plan_tells_the_whole_gain() {
        let number = |value: f64| Number::try_from(value).unwrap();
        let kept = Notice::PlanKept {
            net_gain: number(-0.25),
            gain_min: number(0.0),
            migration_cost: number(0.75),
            reason: String::new(),
        };
        assert_eq!(kept.kind(), "PlanKept");
        assert_eq!(kept.judgement(), Some(Judgement { gain: number(0.5), migration_cost: number(0.75) }));
        assert_eq!(Notice::TakeDownBegan.judgement(), None);
    }
}
