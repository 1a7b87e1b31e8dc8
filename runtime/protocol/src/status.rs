//! The core's part of `status --json`: one node's view of the overlay.
//!
//! Any node answers from its own ledger. Only the coordinator has the reports of all agents.

use crate::agent::Agent;
use crate::back_off::back_off_ms;
use crate::coordinator::{COUNTED_MAX, Coordinator, View, voters_wanted};
use crate::leadership::Leadership;
use crate::ledger::{Ledger, ScriptState};
use crate::survival::{NO_QUORUM_REMEDY, no_quorum};
use rhizo_types::id::{ComponentName, InstanceId, IntentId, NodeId, ProviderName};
use rhizo_types::intent::IntentState;
use rhizo_types::message::{InstancePhase, InstanceReport};
use rhizo_types::{Revision, Term};
use std::collections::{BTreeMap, BTreeSet};

/// The state of the application, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OverlayState {
    /// The plan is carried out, and the voters are those that the policy wants.
    Stable,
    /// A change is being carried out.
    Changing,
    /// Something is missing or broken, and no plan repairs it at present.
    Degraded,
    /// No coordinator with a quorum is known: no host is acquired or released.
    NoQuorum,
}

impl OverlayState {
    /// The word of the JSON contract.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Changing => "changing",
            Self::Degraded => "degraded",
            Self::NoQuorum => "no-quorum",
        }
    }
}

/// One node's view of the overlay.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// The newest term that the node knows.
    pub term: Term,
    /// The coordinator of the term, once the node has a committed entry of that term.
    pub coordinator: Option<NodeId>,
    /// The state of the application.
    pub state: OverlayState,
    /// Whether this node coordinates, so that `reports` are complete.
    pub coordinates: bool,
    /// The last report about each instance with its node: on the coordinator of all instances, elsewhere of the node's
    /// own.
    pub reports: BTreeMap<InstanceId, (NodeId, InstanceReport)>,
    /// Members that this node no longer hears.
    pub suspects: BTreeSet<NodeId>,
    /// Open intents whose host has not joined, and those whose host is being released.
    pub intents_open: BTreeSet<IntentId>,
    /// Intents whose outcome is not known.
    pub intents_unknown: BTreeSet<IntentId>,
    /// The target in force.
    pub target: Revision,
    /// The last target that was reached completely.
    pub settled: Revision,
    /// Components whose version keeps failing.
    pub failing: BTreeMap<ComponentName, FailingComponent>,
    /// Sentences for the operator: what is missing, broken, or not survivable.
    pub problems: Vec<String>,
    /// The sentence about a lost quorum; none while there is one.
    pub no_quorum: Option<String>,
}

/// A component whose version keeps failing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FailingComponent {
    /// The spec revision that defines the version.
    pub version: Revision,
    /// Failures in a row, over all hosts. On a member that does not coordinate this is the count in the ledger, which
    /// does not go beyond seven.
    pub failures: u32,
    /// The text of the last failure.
    pub error: String,
    /// Length of the wait before the next attempt, in milliseconds.
    pub wait_ms: u64,
    /// Time until the next attempt, in milliseconds; known to the coordinator alone, and only while all copies wait.
    pub next_try_ms: Option<u64>,
    /// Nodes on which a copy exhausted its attempts; at most two.
    pub nodes: BTreeSet<NodeId>,
}

/// Composes the view of a node.
pub(crate) fn compose(
    view: View<'_>,
    leadership: &Leadership,
    coordinator: Option<&Coordinator>,
    agent: &Agent,
) -> Status {
    let ledger = view.ledger;
    let mut reports: BTreeMap<InstanceId, (NodeId, InstanceReport)> = BTreeMap::new();
    for (node, report) in
        coordinator.into_iter().flat_map(Coordinator::reports).chain([(&view.me, agent.report())])
    {
        reports.extend(
            report.instances.iter().map(|(instance, report)| (instance.clone(), (*node, report.clone()))),
        );
    }
    let in_state = |states: &[IntentState]| -> BTreeSet<IntentId> {
        let open = ledger.intents.values().filter(|intent| states.contains(&intent.state));
        open.filter(|intent| intent.node.is_none() || intent.state == IntentState::Releasing)
            .map(|intent| intent.id)
            .collect()
    };
    let suspects = view.observer.suspects();
    let mut problems = Vec::new();
    let stale = leadership.is_stale(view.now);
    if stale {
        problems.push(format!("{}; {NO_QUORUM_REMEDY}", no_quorum_of(view)));
    }
    problems.extend(suspects.iter().map(|node| format!("{node} is not heard")));
    problems.extend(voters_problem(ledger));
    problems.extend(coordinator.and_then(|coordinator| coordinator.problem().cloned()));
    problems.extend(coordinator.and_then(|coordinator| coordinator.order_problem(view.now)));
    problems.extend(script_problem(ledger));
    problems.extend(data_problems(ledger));
    problems.extend(ledger.unwound.keys().map(|component| {
        format!("{component} went back to its last working version, because the new one kept failing")
    }));
    let failing = coordinator.map(Coordinator::failing_providers).unwrap_or_default();
    problems.extend(failing.iter().map(|provider| format!("provider {provider} does not answer")));
    let failing_components = failing_components(view, coordinator);
    problems
        .extend(failing_components.iter().map(|(component, failing)| failing_problem(component, failing)));
    Status {
        term: leadership.term(),
        // A coordinator is shown once a committed entry of its term was seen, and only while its quorum is known.
        coordinator: leadership.coordinator().filter(|_| ledger.term >= leadership.term() && !stale),
        state: state(view, leadership, coordinator, &reports, &failing),
        coordinates: coordinator.is_some(),
        suspects,
        intents_open: in_state(&[IntentState::Open, IntentState::Bound, IntentState::Releasing]),
        intents_unknown: in_state(&[IntentState::Unknown]),
        target: ledger.target.revision,
        settled: ledger.settled,
        problems,
        failing: failing_components,
        no_quorum: stale.then(|| no_quorum_of(view)),
        reports,
    }
}

fn state(
    view: View<'_>,
    leadership: &Leadership,
    coordinator: Option<&Coordinator>,
    reports: &BTreeMap<InstanceId, (NodeId, InstanceReport)>,
    failing: &BTreeSet<ProviderName>,
) -> OverlayState {
    let ledger = view.ledger;
    if leadership.is_stale(view.now) {
        return OverlayState::NoQuorum;
    }
    let stuck = coordinator.is_some_and(|coordinator| coordinator.problem().is_some());
    let down = ledger.failing.keys().any(|component| ledger.keeps_failing(component));
    let waits = ledger.waiting_for_data().next().is_some();
    if stuck || down || waits {
        return OverlayState::Degraded;
    }
    let planned = ledger.plan.as_ref().is_some_and(|plan| {
        plan.spec == ledger.spec_revision()
            && plan.revision == ledger.target.plan
            && plan.placement.keys().eq(ledger.target.instances.keys())
    });
    let settled = ledger.settled == ledger.target.revision;
    // A release that waits for a provider that does not answer takes nothing from the application.
    let pending = ledger.intents.values().any(|intent| match intent.state {
        IntentState::Open | IntentState::Unknown => true,
        IntentState::Bound => intent.node.is_none(),
        IntentState::Releasing => !failing.contains(&intent.order.provider),
        IntentState::Absent | IntentState::Released => false,
    });
    let votes = ledger.voters.len() >= voters_wanted(ledger.members.len()).min(3)
        && !view.log.changing
        && ledger.voters.len() % 2 == 1
        && ledger.voters.iter().all(|node| ledger.members.contains_key(node));
    let leaving = ledger.members.values().any(|member| member.draining);
    // Only the coordinator has the reports. An instance without a report in its term is not known to run.
    let started = ledger.target.instances.iter().all(|(instance, placed)| {
        coordinator.is_none()
            || reports.get(instance).is_some_and(|(_, report)| {
                let rests =
                    report.phase == InstancePhase::Resting && ledger.target.pushes.contains_key(instance);
                report.generation == placed.generation && (report.phase == InstancePhase::Started || rests)
            })
    });
    // A version that has not run for longer than the failure window may still turn out not to work.
    let mut placed = ledger.target.instances.iter();
    let proven =
        placed.all(|(instance, placed)| ledger.proven(&instance.component, placed.version).is_some());
    let whole =
        proven && started && planned && settled && !pending && votes && !leaving && !ledger.taking_down;
    let quiet = view.observer.suspects().is_empty();
    if whole && quiet { OverlayState::Stable } else { OverlayState::Changing }
}

/// The sentence about a lost quorum, by the voters that this node reaches.
fn no_quorum_of(view: View<'_>) -> String {
    // A voter that hangs may still have its link.
    let suspects = view.observer.suspects();
    let reached =
        |node: &&NodeId| **node == view.me || (view.observer.is_linked(**node) && !suspects.contains(*node));
    no_quorum(&view.ledger.voters, &view.ledger.voters.iter().filter(reached).copied().collect())
}

/// The sentence that the loss of a voter cannot be survived, if that is so.
fn voters_problem(ledger: &Ledger) -> Option<String> {
    let enough = ledger.voters.len() >= 3 || ledger.genesis.is_none();
    (!enough).then(|| "fewer than three voters: the loss of the coordinator cannot be survived".to_owned())
}

/// The components whose version in force keeps failing.
fn failing_components(
    view: View<'_>,
    coordinator: Option<&Coordinator>,
) -> BTreeMap<ComponentName, FailingComponent> {
    let ledger = view.ledger;
    let failing = ledger.failing.iter().filter(|(component, _)| ledger.keeps_failing(component));
    let failing = failing.map(|(component, record)| {
        let next_try = coordinator.and_then(|coordinator| coordinator.next_try(component));
        let reported = coordinator.and_then(|coordinator| coordinator.reported_failures(component));
        let failing = FailingComponent {
            version: record.version,
            failures: record.failures.max(reported.unwrap_or_default()),
            error: record.error.clone(),
            wait_ms: back_off_ms(record.failures, ledger.timers().restart_ms),
            next_try_ms: next_try.map(|at| at.ms_since(view.now)),
            nodes: record.nodes.clone(),
        };
        (component.clone(), failing)
    });
    failing.collect()
}

fn failing_problem(component: &ComponentName, failing: &FailingComponent) -> String {
    let FailingComponent { failures, error, wait_ms, next_try_ms, .. } = failing;
    let next = match next_try_ms {
        Some(ms) => format!("next try in {} s", ms.div_ceil(1_000)),
        None => format!("tried again every {} s", wait_ms.div_ceil(1_000)),
    };
    let or_more = if next_try_ms.is_none() && *failures == COUNTED_MAX { " or more" } else { "" };
    format!("{component} keeps failing, {failures} times{or_more} in a row: {error}; {next}")
}

/// Returns a sentence for each copy that waits for its data, with the remedy.
fn data_problems(ledger: &Ledger) -> impl Iterator<Item = String> {
    ledger.waiting_for_data().map(|(copy, home)| {
        format!(
            "{copy} waits: its data is on {}, which is lost, and its state is pinned. `snapshot restore {copy} --empty` \
             starts it without the data",
            home.node
        )
    })
}

/// The reason for which a script ended early, if one did.
fn script_problem(ledger: &Ledger) -> Option<String> {
    let run = ledger.script.as_ref()?;
    match &run.state {
        ScriptState::Failed { line, reason } => {
            Some(format!("script {} stopped at line {line}: {reason}", run.number))
        }
        ScriptState::Running | ScriptState::Done | ScriptState::Ended => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_ends_in_the_ledger_is_a_lower_bound() {
        let failing = |failures, next_try_ms| FailingComponent {
            version: Revision(1),
            failures,
            error: "exit status: 3".to_owned(),
            wait_ms: 30_000,
            next_try_ms,
            nodes: BTreeSet::new(),
        };
        let web = ComponentName::from("web");
        let said = |failures, next_try_ms| failing_problem(&web, &failing(failures, next_try_ms));
        assert_eq!(
            said(3, None),
            "web keeps failing, 3 times in a row: exit status: 3; tried again every 30 s"
        );
        assert_eq!(
            said(COUNTED_MAX, Some(2_100)),
            "web keeps failing, 7 times in a row: exit status: 3; next try in 3 s"
        );
        assert!(said(COUNTED_MAX, None).starts_with("web keeps failing, 7 times or more in a row: "));
    }
}
