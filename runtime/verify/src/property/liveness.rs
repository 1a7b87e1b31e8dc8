//! Liveness: for each property two marks of a state, *owed* and *done*.
//!
//! A property holds when *owed* leads to *done* on every fair path (`graph::Graph::leads_to`). For most properties a
//! state is *done* when nothing is *owed*. The search is in [`crate::graph`].

use super::startable::startable;
use super::state::Seen;
use crate::graph::Graph;
use crate::model::{Cluster, Item, Life, State};
use crate::rule::Rule;
use rhizo_protocol::Ledger;
use rhizo_protocol::agent::UserState;
use rhizo_types::id::{InstanceId, PortName};
use rhizo_types::message::AgentMessage;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The properties of this kind; the position of each is that of its pair of marks.
pub const ALL: [Rule; 13] = [
    Rule::TargetIsReached,
    Rule::EmptiedHostsStopEverything,
    Rule::UnbindsAreAnswered,
    Rule::BindsAreAnswered,
    Rule::CrashIsRepaired,
    Rule::FailureIsRetried,
    Rule::UnwantedEnds,
    Rule::RestartIsRepaired,
    Rule::OptionalBindsLate,
    Rule::DrainingEnds,
    Rule::UpgradeCompletes,
    Rule::OvertakenLeavesNothing,
    Rule::ScriptsEnd,
];

/// The mark of a state in which the property at a position is owed.
const fn owed(position: usize) -> u64 {
    1 << (2 * position)
}

/// The mark of a state in which the property at a position is done.
const fn done(position: usize) -> u64 {
    2 << (2 * position)
}

/// The marks of a state.
pub(crate) fn marks(cluster: &mut Cluster, seen: &mut Seen<'_>) -> u64 {
    let reached = is_reached(cluster, seen);
    let mut marks = 0;
    for (position, rule) in ALL.into_iter().enumerate() {
        let (is_owed, is_done) = match rule {
            Rule::TargetIsReached => (true, reached),
            Rule::CrashIsRepaired => (seen.state.lives.iter().any(|life| is_lost(*life)), reached),
            Rule::RestartIsRepaired => (restarted(seen), reached),
            Rule::OvertakenLeavesNothing => (overtakes(seen.state), reached),
            _ => {
                let pending = is_pending(rule, seen);
                (pending, !pending)
            }
        };
        if is_owed {
            seen.occurred.add(rule);
            marks |= owed(position);
        }
        if is_done {
            marks |= done(position);
        }
    }
    seen.occurred.add(Rule::NoDeadlock);
    seen.occurred.add(Rule::NoLivelock);
    marks
}

/// Returns the first property that does not hold on a graph with its counterexample; with `only`, checks that one.
pub(crate) fn check(graph: &Graph, only: Option<Rule>) -> Option<(Rule, crate::graph::Counterexample)> {
    // `TargetIsReached` fails whenever another property does, so it is checked last.
    let order = (1..ALL.len()).chain([0]);
    for position in order.filter(|position| only.is_none_or(|rule| is_about(rule, *position))) {
        if let Some(found) = graph.leads_to(owed(position), done(position)) {
            let rule = match (ALL[position], found.cycle.is_empty(), only) {
                (Rule::TargetIsReached, true, None | Some(Rule::NoDeadlock)) => Rule::NoDeadlock,
                (Rule::TargetIsReached, false, None | Some(Rule::NoLivelock)) => Rule::NoLivelock,
                (rule, ..) => rule,
            };
            if only.is_none_or(|only| only == rule) {
                return Some((rule, found));
            }
        }
    }
    None
}

/// Whether a rule is decided by the marks at a position.
fn is_about(rule: Rule, position: usize) -> bool {
    let general = matches!(rule, Rule::TargetIsReached | Rule::NoDeadlock | Rule::NoLivelock);
    ALL[position] == rule || (general && ALL[position] == Rule::TargetIsReached)
}

/// The channels to running hosts.
fn listened(state: &State) -> impl Iterator<Item = &VecDeque<Item>> {
    let ways = state.queues.iter().enumerate();
    ways.filter(|(way, _)| state.lives[way % state.lives.len()] == Life::Up).map(|(_, queue)| queue)
}

fn is_lost(life: Life) -> bool {
    matches!(life, Life::Silent | Life::Isolated)
}

fn restarted(seen: &Seen<'_>) -> bool {
    seen.alive().iter().any(|(_, facts)| facts.session > 1)
}

/// Whether a target is in force while some node has not learnt the one before it.
fn overtakes(state: &State) -> bool {
    state.working().any(|(_, host)| {
        state.ahead_of(host).iter().any(|ledger| ledger.target.revision.0 > host.ledger.target.revision.0 + 1)
    })
}

fn is_pending(rule: Rule, seen: &Seen<'_>) -> bool {
    let state = seen.state;
    let messages = |is: fn(&AgentMessage) -> bool| {
        listened(state).flatten().any(|item| matches!(item, Item::Message(message) if is(message)))
    };
    let target = &state.truth.target;
    match rule {
        Rule::EmptiedHostsStopEverything => state.working().any(|(_, host)| {
            !host.runs.is_empty() && !target.instances.values().any(|placed| placed.node == host.me())
        }),
        Rule::UnbindsAreAnswered => {
            messages(|message| matches!(message, AgentMessage::AskUnbind { .. }))
                || seen
                    .alive()
                    .iter()
                    .any(|(_, facts)| facts.held.iter().any(|h| h.state == UserState::Asked))
        }
        Rule::BindsAreAnswered => {
            messages(|message| matches!(message, AgentMessage::Bind { .. }))
                || seen
                    .alive()
                    .iter()
                    .any(|(_, facts)| facts.held.iter().any(|h| h.state == UserState::Waiting && h.can_serve))
        }
        Rule::FailureIsRetried => seen.alive().iter().any(|(_, facts)| !facts.failed.is_empty()),
        Rule::UnwantedEnds => state.working().any(|(_, host)| {
            host.runs.iter().any(|(instance, run)| {
                let placed = target.instances.get(instance);
                placed.is_none_or(|p| p.node != host.me() || p.generation != run.id().generation)
            })
        }),
        Rule::OptionalBindsLate => unbound_optional(seen),
        Rule::ScriptsEnd => state.truth.script_runs(),
        Rule::DrainingEnds => seen.alive().iter().any(|(_, facts)| !facts.draining.is_empty()),
        Rule::UpgradeCompletes => state.truth.plan.as_ref().is_some_and(|plan| {
            let of_old = |instance: &InstanceId, placed: &rhizo_types::target::Placed| {
                plan.placement.contains_key(instance)
                    && state.truth.component_of(instance, placed.version)
                        != state.truth.component_of(instance, plan.spec)
            };
            target.instances.iter().any(|(instance, placed)| of_old(instance, placed))
        }),
        _ => false,
    }
}

/// Whether an optional import of a running instance lacks a running exporter that the target binds it to.
fn unbound_optional(seen: &Seen<'_>) -> bool {
    let truth = &seen.state.truth;
    let runs = |instance: &InstanceId| seen.alive().iter().any(|(_, facts)| facts.up.contains_key(instance));
    seen.alive().iter().any(|(_, facts)| {
        facts.up.iter().any(|(instance, (_, told))| {
            let placed = truth.target.instances.get(instance);
            let component = placed.and_then(|placed| truth.component_of(instance, placed.version));
            let optional =
                component.into_iter().flat_map(|c| &c.imports).filter(|(_, import)| import.optional);
            optional.map(|(port, _)| port).any(|port| {
                let wanted = truth.target.bindings.get(instance).and_then(|imports| imports.get(port));
                let told = told.get(port);
                wanted
                    .into_iter()
                    .flatten()
                    .any(|exporter| runs(exporter) && told.is_none_or(|told| !told.contains(exporter)))
            })
        })
    })
}

/// Returns true if everything that can start is in the state that the plan in force wants.
fn is_reached(cluster: &mut Cluster, seen: &Seen<'_>) -> bool {
    let state = seen.state;
    let calm = listened(state).all(VecDeque::is_empty)
        && state.lives.iter().all(|life| !is_lost(*life))
        && state.working().all(|(_, host)| state.ahead_of(host).is_empty());
    if !calm
        || state.truth.script_runs()
        || cluster.replanning(state).is_some()
        || cluster.coordination(state).is_some()
    {
        return false;
    }
    let (truth, startable) = (&state.truth, startable(&state.truth));
    let complete = startable.len() == truth.target.instances.len();
    let settled = state.wishes == 0 || truth.settled == truth.target.revision || !complete;
    settled && state.working().all(|(at, _)| is_as_wanted(seen, at, &startable))
}

fn is_as_wanted(seen: &Seen<'_>, at: usize, startable: &BTreeSet<InstanceId>) -> bool {
    let truth = &seen.state.truth;
    let (Some(host), Some(facts)) = (&seen.state.hosts[at], &seen.facts[at]) else { return false };
    let wanted: BTreeMap<&InstanceId, rhizo_types::Generation> = truth
        .target
        .instances
        .iter()
        .filter(|(instance, placed)| placed.node == host.me() && startable.contains(*instance))
        .map(|(instance, placed)| (instance, placed.generation))
        .collect();
    let up = facts.up.iter().map(|(instance, (generation, _))| (instance, *generation));
    wanted == up.collect()
        && host.is_idle()
        && host.runs.keys().all(|instance| facts.up.contains_key(instance))
        && facts
            .report
            .instances
            .iter()
            .all(|(instance, report)| report.idle || !startable.contains(instance))
        && facts.failed.is_empty()
        && facts.draining.is_empty()
        && facts.up.iter().all(|(instance, (_, told))| is_bound_as_wanted(truth, instance, told, startable))
}

fn is_bound_as_wanted(
    truth: &Ledger,
    instance: &InstanceId,
    told: &BTreeMap<PortName, BTreeSet<InstanceId>>,
    startable: &BTreeSet<InstanceId>,
) -> bool {
    let imports = truth.target.bindings.get(instance);
    imports.into_iter().flatten().all(|(port, exporters)| {
        let wanted: BTreeSet<&InstanceId> = exporters.intersection(startable).collect();
        told.get(port).into_iter().flatten().collect::<BTreeSet<_>>() == wanted
    })
}
