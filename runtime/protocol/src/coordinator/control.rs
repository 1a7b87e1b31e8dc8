//! When to solve, and whether what the solver proposes is done.
//!
//! Something missing or broken is repaired at once. A merely better configuration is looked for at a steady pace,
//! and changed to only when it gains more than it costs; both numbers are told. Only one solver run is under way.

use super::{Coordinator, View, target};
use crate::agent::FAILURES_MAX;
use crate::assign::{assign, canonical};
use crate::event::{Proposal, SolveOutcome};
use crate::ledger::{Ledger, SlotState};
use crate::notice::Notice;
use crate::out::{Out, earlier};
use crate::turn::{Effect, HostView, SolveId, SolveRequest};
use rhizo_types::id::{ComponentName, InstanceId, IntentId, NodeId};
use rhizo_types::ledger::Command;
use rhizo_types::message::InstancePhase;
use rhizo_types::target::{Cause, Plan, Slot, Verdict};
use rhizo_types::{Number, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The same cause is not solved for again before this time, doubled with every failure up to a minute.
const AGAIN_MS: u64 = 2_000;
/// A run without an answer is given up after its deadline and this much.
const LOST_MS: u64 = 60_000;
/// A plan keeps at most so many sentences.
const REASONS_MAX: usize = 32;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Control {
    runs: u64,
    running: Option<Running>,
    /// The cause that was solved for last without ending it, and until when it waits.
    blocked: Option<(Cause, Time)>,
    failures: u32,
    facts_changed: bool,
    /// Not before this is something better looked for.
    better_at: Time,
    /// A plan to be committed.
    decided: Option<Box<Plan>>,
    /// Why there is no plan, for `status`.
    pub(super) problem: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Running {
    id: SolveId,
    cause: Cause,
    forced: bool,
    plan: Revision,
    spec: Revision,
    until: Time,
    avoid: BTreeSet<(ComponentName, NodeId)>,
    frozen: BTreeSet<Slot>,
}

/// Nothing is broken and nothing fails, as this index of the ledger, this many reports and these orders have it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sound {
    index: u64,
    reports: u64,
    /// Orders whose hosts do not come.
    stuck: BTreeSet<IntentId>,
}

impl Control {
    pub(super) fn new(now: Time) -> Self {
        Self {
            runs: 0,
            running: None,
            blocked: None,
            failures: 0,
            // A new coordinator does not know what its predecessor had looked at.
            facts_changed: true,
            better_at: now,
            decided: None,
            problem: None,
        }
    }

    pub(super) fn facts_changed(&mut self) {
        self.facts_changed = true;
        self.failures = 0;
        // What had no solution may have one now.
        if let Some((_, until)) = &mut self.blocked {
            *until = Time::ZERO;
        }
    }

    /// The orders of the plan that is about to be proposed.
    pub(super) fn decided_orders(&self) -> &[rhizo_types::intent::AcquireOrder] {
        self.decided.as_ref().map_or(&[], |plan| &plan.orders)
    }

    /// Whether a change of the plan is being worked on.
    pub(super) fn is_busy(&self) -> bool {
        self.decided.is_some() || self.running.as_ref().is_some_and(|running| running.forced)
    }

    pub(super) fn deadline(&self, view: View<'_>) -> Option<Time> {
        if let Some(running) = &self.running {
            return Some(running.until);
        }
        let blocked = self.blocked.as_ref().map(|(_, until)| *until);
        let better = self.facts_changed.then_some(self.better_at);
        earlier(blocked, better).filter(|at| *at > view.now)
    }

    fn block(&mut self, cause: Cause, now: Time) {
        let wait_ms = AGAIN_MS << self.failures.min(5);
        self.failures += 1;
        self.blocked = Some((cause, now.after_ms(wait_ms)));
    }
}

/// The instances whose place is gone or going, by the reason.
fn broken(ledger: &Ledger, stuck: &BTreeSet<IntentId>) -> Option<Cause> {
    let plan = ledger.plan.as_ref()?;
    let mut lost = BTreeSet::new();
    let mut failed = BTreeSet::new();
    let mut draining = BTreeSet::new();
    for slot in plan.placement.values() {
        match (ledger.slot_state(*slot), *slot) {
            (SlotState::Ready(node), _) => {
                if ledger.members.get(&node).is_some_and(|member| member.draining) {
                    draining.insert(node);
                }
            }
            (SlotState::Arriving, Slot::Intent(id)) if stuck.contains(&id) => {
                failed.insert(id);
            }
            (SlotState::Arriving, _) => {}
            (SlotState::Lost, Slot::Node(node)) => {
                lost.insert(node);
            }
            (SlotState::Lost, Slot::Intent(id)) => {
                match ledger.intents.get(&id).and_then(|intent| intent.node) {
                    Some(node) => {
                        lost.insert(node);
                    }
                    None => {
                        failed.insert(id);
                    }
                }
            }
            (SlotState::Lost, Slot::Order(_)) => {}
        }
    }
    match (lost.is_empty(), failed.is_empty(), draining.is_empty()) {
        (false, ..) => Some(Cause::NodeLost(lost)),
        (_, false, _) => Some(Cause::OrderFailed(failed)),
        (.., false) => Some(Cause::Draining(draining)),
        _ => None,
    }
}

/// Components of which the plan has too few copies. Only a script leaves that behind, when it ends half-way.
fn copies_missing(ledger: &Ledger) -> Option<Cause> {
    let (plan, spec) = (ledger.plan.as_ref()?, ledger.spec()?);
    if ledger.script_runs() {
        return None;
    }
    let few = spec.components.iter().filter(|(name, component)| {
        let copies = plan.placement.range(InstanceId::copies_of(name)).count();
        copies < component.replicas.min as usize
    });
    let few: BTreeSet<ComponentName> = few.map(|(name, _)| name.clone()).collect();
    (!few.is_empty()).then_some(Cause::CopiesMissing(few))
}

impl Coordinator {
    /// What there is to solve for, most urgent first.
    fn cause(&mut self, view: View<'_>) -> Option<Cause> {
        let ledger = view.ledger;
        if ledger.taking_down {
            return None;
        }
        ledger.spec()?;
        if ledger.plan.as_ref().is_none_or(|plan| plan.spec != ledger.spec_revision()) {
            return Some(Cause::SpecChanged);
        }
        let sound = Sound {
            index: ledger.index,
            reports: self.reconfiguration.reports.taken(),
            stuck: self.hosts.stuck(view),
        };
        if self.sound.as_ref() != Some(&sound) {
            if let Some(cause) = broken(ledger, &sound.stuck).or_else(|| copies_missing(ledger)) {
                return Some(cause);
            }
            let failing: BTreeSet<InstanceId> = self.failing(ledger).into_keys().collect();
            if !failing.is_empty() {
                return Some(Cause::InstanceFailed(failing));
            }
            self.sound = Some(sound);
        }
        let better = self.control.facts_changed && view.now >= self.control.better_at;
        // A script's author does not want to be overtaken by something that pays.
        let quiet = !ledger.script_runs();
        (better && quiet && ledger.is_plan_in_effect()).then_some(Cause::Better)
    }

    /// Instances that keep failing where they are, and where that is, unless it was tried to avoid that place.
    fn failing(&self, ledger: &Ledger) -> BTreeMap<InstanceId, NodeId> {
        let placed = ledger.target.instances.iter().filter(|(instance, placed)| {
            let planned = ledger.plan.as_ref().is_some_and(|plan| plan.placement.contains_key(*instance));
            let failing = self.reconfiguration.reports.of(instance, ledger).is_some_and(|report| {
                report.failures >= FAILURES_MAX && report.phase == InstancePhase::Waiting
            });
            // What goes back to an older version is not to be moved for the newer one's faults.
            let unwinds = target::can_unwind(instance, placed, ledger);
            planned
                && failing
                && !unwinds
                && !ledger.avoid.contains(&(instance.component.clone(), placed.node))
        });
        placed.map(|(instance, placed)| (instance.clone(), placed.node)).collect()
    }

    pub(super) fn advance_control(&mut self, view: View<'_>, out: &mut Out) {
        if let Some(running) = &self.control.running {
            if view.now < running.until {
                return;
            }
            self.control.running = None;
        }
        if self.control.decided.is_some() {
            return;
        }
        if view.ledger.taking_down {
            self.control.decided = empty_plan(view.ledger).map(Box::new);
            return;
        }
        let Some(cause) = self.cause(view) else {
            self.control.problem = None;
            if self.control.blocked.take().is_some() {
                self.control.failures = 0;
            }
            return;
        };
        let waits = self.control.blocked.as_ref();
        if waits.is_some_and(|(blocked, until)| *blocked == cause && view.now < *until) {
            return;
        }
        self.ask_solver(cause, view, out);
    }

    fn ask_solver(&mut self, cause: Cause, view: View<'_>, out: &mut Out) {
        let ledger = view.ledger;
        let Some(spec) = ledger.spec() else { return };
        let forced = cause != Cause::Better;
        let mut avoid = ledger.avoid.clone();
        avoid.extend(self.failing(ledger).into_iter().map(|(instance, node)| (instance.component, node)));
        self.control.runs += 1;
        let hosts = hosts(ledger, &self.hosts.stuck(view));
        let young = |slot: &Slot| match slot {
            Slot::Node(node) => {
                let since = view.since.get(node).copied().unwrap_or(view.now);
                view.now.ms_since(since) < spec.optimise.settle_ms
            }
            Slot::Intent(_) | Slot::Order(_) => true,
        };
        let request = SolveRequest {
            id: SolveId(self.control.runs),
            cause: cause.clone(),
            forced,
            spec: ledger.spec_revision(),
            frozen: hosts.keys().copied().filter(young).collect(),
            hosts,
            cooling: self.hosts.cooling(view.now),
            failing: self.hosts.lists.failing(),
            avoid: avoid.clone(),
            moves_max: spec.optimise.max_moves,
        };
        self.control.running = Some(Running {
            id: request.id,
            cause: cause.clone(),
            forced,
            plan: ledger.plan_revision(),
            spec: ledger.spec_revision(),
            until: view.now.after_ms(spec.optimise.deadline_ms.saturating_add(LOST_MS)),
            avoid,
            frozen: request.frozen.clone(),
        });
        if !forced {
            self.control.facts_changed = false;
            self.control.better_at = view.now.after_ms(spec.optimise.every_ms);
        }
        out.notice(Notice::SolveBegan(cause));
        out.effect(Effect::Solve(Box::new(request)));
    }

    pub(super) fn solved(&mut self, id: SolveId, outcome: SolveOutcome, view: View<'_>, out: &mut Out) {
        let Some(running) = self.control.running.take_if(|running| running.id == id) else { return };
        let ledger = view.ledger;
        if running.plan != ledger.plan_revision() || running.spec != ledger.spec_revision() {
            // The question has changed: whatever is wrong now is asked anew.
            return;
        }
        self.control.problem = None;
        match outcome {
            SolveOutcome::Proposal(proposal) => self.decide(*proposal, running, view, out),
            SolveOutcome::NothingBetter { reason, .. } => {
                if running.forced {
                    self.control.problem = Some(reason);
                    self.control.block(running.cause, view.now);
                }
            }
            SolveOutcome::Infeasible { rules, reasons } => {
                let notice = Notice::Infeasible { rules, reasons };
                self.control.problem = Some(notice.to_string());
                self.control.block(running.cause, view.now);
                out.notice(notice);
            }
            SolveOutcome::Failed { reason } => {
                self.control.problem = Some(format!("no plan: {reason}"));
                self.control.block(running.cause, view.now);
                out.notice(Notice::SolveFailed(reason));
            }
        }
    }

    fn decide(&mut self, proposal: Proposal, running: Running, view: View<'_>, out: &mut Out) {
        let ledger = view.ledger;
        let placement = assign(ledger, &proposal.placement);
        let is_usable = |slot: &Slot| match (slot, ledger.slot_state(*slot)) {
            (Slot::Order(_), _) | (_, SlotState::Arriving) => true,
            (_, SlotState::Ready(node)) => ledger.members.get(&node).is_some_and(|member| !member.draining),
            (_, SlotState::Lost) => false,
        };
        if !placement.values().all(is_usable) {
            // A host was lost while the solver ran; the loss is the next cause.
            return;
        }
        let before = placed_slots(ledger);
        let same = proposal.orders.is_empty() && same_placement(ledger, &placement);
        if same && ledger.plan.as_ref().is_some_and(|plan| plan.spec == running.spec) {
            if running.forced {
                self.control.problem = Some("the solver keeps the plan although it does not work".to_owned());
                self.control.block(running.cause, view.now);
            }
            return;
        }
        let dropped: BTreeSet<Slot> =
            before.difference(&placement.values().copied().collect()).copied().collect();
        if !running.forced
            && let Some(notice) = reason_to_stay(&proposal, &dropped, &running, view)
        {
            out.notice(notice);
            return;
        }
        self.control.decided = Some(Box::new(Plan {
            revision: running.plan.next(),
            parent: running.plan,
            spec: running.spec,
            orders: proposal.orders,
            placement,
            avoid: running.avoid,
            verdict: Verdict {
                cause: running.cause,
                forced: running.forced,
                utility_before: proposal.utility_before,
                utility_after: proposal.utility_after,
                migration_cost: proposal.migration_cost,
                price_micros_per_hour: proposal.price_micros_per_hour,
                terms: proposal.terms,
                reasons: proposal.reasons.into_iter().take(REASONS_MAX).collect(),
            },
        }));
    }

    pub(super) fn plan_command(&mut self, view: View<'_>) -> Option<Command> {
        let plan = self.control.decided.take()?;
        if plan.parent != view.ledger.plan_revision() {
            return None;
        }
        // If the ledger refuses it, the cause remains and is solved for again, but not at once.
        self.control.block(plan.verdict.cause.clone(), view.now);
        Some(Command::Plan(plan))
    }
}

/// The plan that wants nothing.
fn empty_plan(ledger: &Ledger) -> Option<Plan> {
    let plan = ledger.plan.as_ref().filter(|plan| !plan.placement.is_empty())?;
    Some(Plan {
        revision: plan.revision.next(),
        parent: plan.revision,
        spec: ledger.spec_revision(),
        orders: Vec::new(),
        placement: BTreeMap::new(),
        avoid: BTreeSet::new(),
        verdict: Verdict {
            cause: Cause::TakeDown,
            forced: true,
            utility_before: None,
            utility_after: Number::ZERO,
            migration_cost: Number::ZERO,
            price_micros_per_hour: 0,
            terms: Vec::new(),
            reasons: Vec::new(),
        },
    })
}

/// Hosts that the solver may use: members with a host of their own, and hosts on their way for the plan in force.
fn hosts(ledger: &Ledger, stuck: &BTreeSet<IntentId>) -> BTreeMap<Slot, HostView> {
    let mut hosts = BTreeMap::new();
    for (node, member) in ledger.members.iter().filter(|(_, member)| !member.draining) {
        let Some(intent) = member.record.intent.and_then(|id| ledger.intents.get(&id)) else { continue };
        let (order, components) = (intent.order.clone(), BTreeMap::new());
        hosts.insert(Slot::Node(*node), HostView { order, components, node: Some(*node) });
    }
    for (instance, slot) in ledger.plan.iter().flat_map(|plan| &plan.placement) {
        let slot = canonical(ledger, *slot);
        if let Slot::Intent(id) = slot
            && ledger.slot_state(slot) == SlotState::Arriving
            && !stuck.contains(&id)
            && let Some(intent) = ledger.intents.get(&id)
        {
            let (order, components) = (intent.order.clone(), BTreeMap::new());
            hosts.entry(slot).or_insert(HostView { order, components, node: None });
        }
        if let Some(host) = hosts.get_mut(&slot) {
            *host.components.entry(instance.component.clone()).or_default() += 1;
        }
    }
    hosts
}

/// The places that the plan in force uses.
fn placed_slots(ledger: &Ledger) -> BTreeSet<Slot> {
    let slots = ledger.plan.iter().flat_map(|plan| plan.placement.values());
    slots.map(|slot| canonical(ledger, *slot)).collect()
}

fn same_placement(ledger: &Ledger, placement: &BTreeMap<InstanceId, Slot>) -> bool {
    let in_force = ledger.plan.iter().flat_map(|plan| &plan.placement);
    let in_force: BTreeMap<InstanceId, Slot> =
        in_force.map(|(instance, slot)| (instance.clone(), canonical(ledger, *slot))).collect();
    in_force == *placement
}

/// Why a voluntary change is not made, if so.
fn reason_to_stay(
    proposal: &Proposal,
    dropped: &BTreeSet<Slot>,
    running: &Running,
    view: View<'_>,
) -> Option<Notice> {
    let spec = view.ledger.spec()?;
    let before = proposal.utility_before.unwrap_or(Number::ZERO).get();
    let net = proposal.utility_after.get() - before - proposal.migration_cost.get();
    let gain_min = spec.optimise.min_gain;
    let ordered = proposal.orders.iter().map(|order| order.price_micros_per_hour);
    let spending = ordered.fold(view.ledger.spending_micros(), u64::saturating_add);
    let moves = dropped.len().max(proposal.orders.len());
    let reason = if net <= gain_min.get() {
        "it does not pay".to_owned()
    } else if spec.optimise.max_moves.is_some_and(|max| moves > max as usize) {
        format!("it would replace {moves} hosts at once")
    } else if dropped.iter().any(|slot| running.frozen.contains(slot)) {
        "it would empty a host that is too young".to_owned()
    } else if view.ledger.budget_micros().is_some_and(|budget| spending > budget) {
        "old and new hosts together would exceed the budget".to_owned()
    } else {
        return None;
    };
    // Differences of finite numbers within 0..1 are finite.
    let net_gain = Number::try_from(net).unwrap_or(Number::ZERO);
    Some(Notice::PlanKept { net_gain, gain_min, migration_cost: proposal.migration_cost, reason })
}
