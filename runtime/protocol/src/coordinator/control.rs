//! Decides when the solver runs, and whether the plan that it proposes is committed.
//!
//! The coordinator starts a solver run at once when something is missing or broken. Without such a cause it searches
//! for a better configuration at a steady pace, and changes to one only if the change gains more than it costs.
//! Notices report the gain and the cost. At most one solver run is under way.

use super::failures::{self, Blamed};
use super::hosts::Hosts;
use super::obstacles::Obstacles;
use super::question::question;
use super::{Coordinator, View};
use crate::assign::{assign, in_force};
use crate::event::{Proposal, SolveOutcome};
use crate::judgement::{net_gain, reason_to_stay};
use crate::ledger::{Ledger, SlotState};
use crate::notice::Notice;
use crate::out::{Out, earlier};
use crate::request::{SolveId, Terms};
use crate::sabotage::{self, Sabotage};
use crate::turn::Effect;
use rhizo_types::Time;
use rhizo_types::id::{ComponentName, InstanceId, IntentId};
use rhizo_types::ledger::Command;
use rhizo_types::target::{Cause, Plan, Slot, Verdict, Worth};
use std::collections::{BTreeMap, BTreeSet};

/// Pause before another solver run for a cause that the last run did not remove. Doubles with every failure up to a
/// minute.
const AGAIN_MS: u64 = 2_000;
/// A solver run that has not answered this long after its deadline counts as lost.
const LOST_MS: u64 = 60_000;
/// Time between two rounds of requests to all providers for their offers. Prices change over minutes. Each solver run
/// also requests the offers, so a shorter period would find no change sooner.
const OFFERS_MS: u64 = 5_000;
/// The largest number of reasons that a plan keeps.
const REASONS_MAX: usize = 32;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Control {
    runs: u64,
    running: Option<Running>,
    /// The cause of the last solver run if that run did not remove it, and the time before which it is not solved
    /// again.
    blocked: Option<(Cause, Time)>,
    failures: u32,
    facts_changed: bool,
    /// The coordinator starts no voluntary solver run before this time.
    better_at: Time,
    /// The temporary restrictions of the last solver run that have not ended.
    obstacles: Obstacles,
    /// Time of the next request to the providers for their offers.
    offers_at: Time,
    /// The plan that is to be proposed to the log.
    decided: Option<Box<Plan>>,
    /// The reason why there is no plan, for `status`.
    pub(super) problem: Option<String>,
}

/// A run of the solver that has not answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Running {
    id: SolveId,
    terms: Terms,
    /// The run counts as lost after this time.
    until: Time,
}

/// State in which the last check found nothing broken and nothing failing: index of the ledger, number of reports
/// taken, and stuck orders. The check is skipped while all three are the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sound {
    index: u64,
    reports: u64,
    /// Orders whose provider has not confirmed a host for too long.
    stuck: BTreeSet<IntentId>,
}

impl Control {
    pub(super) fn new(now: Time) -> Self {
        Self {
            runs: 0,
            running: None,
            blocked: None,
            failures: 0,
            // A new coordinator does not know which facts its predecessor has taken into account.
            facts_changed: true,
            better_at: now,
            obstacles: Obstacles::default(),
            offers_at: now,
            decided: None,
            problem: None,
        }
    }

    pub(super) fn facts_changed(&mut self) {
        self.facts_changed = true;
        self.failures = 0;
        // A problem without a solution may have one with the new facts.
        if let Some((_, until)) = &mut self.blocked {
            *until = Time::ZERO;
        }
    }

    /// The orders of the plan that is about to be proposed.
    pub(super) fn decided_orders(&self) -> &[rhizo_types::intent::AcquireOrder] {
        self.decided.as_ref().map_or(&[], |plan| &plan.orders)
    }

    /// Number of solver runs begun.
    pub(super) fn runs(&self) -> u64 {
        self.runs
    }

    /// Returns true while a forced solver run is under way or a plan waits to be proposed.
    pub(super) fn is_busy(&self) -> bool {
        self.decided.is_some() || self.running.as_ref().is_some_and(|running| running.terms.forced)
    }

    pub(super) fn deadline(&self, hosts: &Hosts, view: View<'_>) -> Option<Time> {
        let offers = needs_offers(view.ledger).then_some(self.offers_at);
        if let Some(running) = &self.running {
            return earlier(Some(running.until), offers);
        }
        let blocked = self.blocked.as_ref().map(|(_, until)| *until);
        let better = self.facts_changed.then_some(self.better_at);
        let changes = self.obstacles.deadline(hosts, view).filter(|at| *at > view.now);
        earlier(earlier(earlier(blocked, better), changes), offers).filter(|at| *at > view.now)
    }

    /// Requests the offers of all providers when that is due. A better or cheaper offer is a reason for a solver run.
    pub(super) fn ask_offers(&mut self, view: View<'_>, out: &mut Out) {
        if needs_offers(view.ledger) && view.now >= self.offers_at {
            self.offers_at = view.now.after_ms(OFFERS_MS);
            out.effect(Effect::AskOffers);
        }
    }

    fn block(&mut self, cause: Cause, now: Time) {
        let wait_ms = AGAIN_MS << self.failures.min(5);
        self.failures += 1;
        self.blocked = Some((cause, now.after_ms(wait_ms)));
    }
}

/// Returns true if a plan may order hosts: there is a spec, and the application is not being taken down.
fn needs_offers(ledger: &Ledger) -> bool {
    ledger.spec().is_some() && !ledger.taking_down
}

/// Returns the most urgent problem with the hosts of the plan: lost nodes, then failed or stuck orders, then draining
/// members; none if the plan's hosts are sound.
fn broken(ledger: &Ledger, stuck: &BTreeSet<IntentId>) -> Option<Cause> {
    let plan = ledger.plan.as_ref()?;
    let mut lost = BTreeSet::new();
    let mut failed = BTreeSet::new();
    let mut draining = BTreeSet::new();
    for (instance, slot) in &plan.placement {
        match (ledger.slot_state(*slot), *slot) {
            (SlotState::Ready(node), _) => {
                let drains = ledger.members.get(&node).is_some_and(|member| member.draining);
                if drains && ledger.pinned_to(instance) != Some(node) {
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

/// Returns the components of which the plan has too few copies: a script ended before its last statement, or an
/// operator gave up the data of a copy. A copy that waits for its data is not missing.
fn copies_missing(ledger: &Ledger) -> Option<Cause> {
    let (plan, spec) = (ledger.plan.as_ref()?, ledger.spec()?);
    if ledger.script_runs() {
        return None;
    }
    let few = spec.components.iter().filter(|(name, component)| {
        let copies = plan.placement.range(InstanceId::copies_of(name)).count();
        copies + ledger.waiting_copies(name) < component.replicas.min as usize
    });
    let few: BTreeSet<ComponentName> = few.map(|(name, _)| name.clone()).collect();
    (!few.is_empty()).then_some(Cause::CopiesMissing(few))
}

/// Returns the most urgent missing or broken thing as the cause of a solver run; none if this node knows of none.
pub(super) fn urgent(coordinator: Option<&Coordinator>, view: View<'_>) -> Option<Cause> {
    let ledger = view.ledger;
    ledger.spec()?;
    if ledger.plan.as_ref().is_none_or(|plan| plan.spec != ledger.spec_revision()) {
        return Some(Cause::SpecChanged);
    }
    let stuck = coordinator.map(|coordinator| coordinator.hosts.stuck(view)).unwrap_or_default();
    broken(ledger, &stuck).or_else(|| copies_missing(ledger)).or_else(|| {
        let blamed = coordinator.map(|coordinator| coordinator.blamed(ledger)).unwrap_or_default();
        let copies: BTreeSet<InstanceId> = blamed.copies.into_keys().collect();
        (!copies.is_empty()).then_some(Cause::InstanceFailed(copies))
    })
}

impl Coordinator {
    /// Returns the most urgent cause for a solver run; none if there is none.
    fn cause(&mut self, view: View<'_>) -> Option<Cause> {
        let ledger = view.ledger;
        if ledger.taking_down {
            return None;
        }
        let sound = Sound {
            index: ledger.index,
            reports: self.reconfiguration.reports.taken(),
            stuck: self.hosts.stuck(view),
        };
        if self.sound.as_ref() != Some(&sound) {
            if let Some(cause) = urgent(Some(self), view) {
                return Some(cause);
            }
            self.sound = Some(sound);
        }
        ledger.spec()?;
        let better = self.control.facts_changed && view.now >= self.control.better_at;
        // A voluntary change would interfere with the statements of a running script.
        let quiet = !ledger.script_runs();
        (better && quiet && ledger.is_plan_in_effect()).then_some(Cause::Better)
    }

    /// Copies that keep failing where they are and may be placed elsewhere.
    pub(super) fn blamed(&self, ledger: &Ledger) -> Blamed {
        failures::blamed(&self.reconfiguration.reports, ledger)
    }

    pub(super) fn advance_control(&mut self, view: View<'_>, out: &mut Out) {
        if self.control.obstacles.remove_ended(&self.hosts, view) {
            self.control.facts_changed();
        }
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
            // A problem that a voluntary run found, such as a price above the budget, stays until another run ends.
            if self.control.blocked.take().is_some() {
                self.control.failures = 0;
                self.control.problem = None;
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
        let Some(request) = question(cause, Some(self), view) else { return };
        let Some(optimise) = view.ledger.spec().map(|spec| &spec.optimise) else { return };
        self.control.runs += 1;
        self.control.obstacles = Obstacles::of(&request);
        self.control.running = Some(Running {
            id: request.id,
            terms: request.terms.clone(),
            until: view.now.after_ms(optimise.deadline_ms.saturating_add(LOST_MS)),
        });
        if !request.terms.forced {
            self.control.facts_changed = false;
            self.control.better_at = view.now.after_ms(optimise.every_ms);
        }
        out.notice(Notice::SolveBegan(request.terms.cause.clone()));
        out.effect(Effect::Solve(Box::new(request)));
    }

    pub(super) fn solved(&mut self, id: SolveId, outcome: SolveOutcome, view: View<'_>, out: &mut Out) {
        let Some(running) = self.control.running.take_if(|running| running.id == id) else { return };
        let ledger = view.ledger;
        if running.terms.plan != ledger.plan_revision() || running.terms.spec != ledger.spec_revision() {
            // The request has changed since; what is still wrong causes a new run.
            return;
        }
        self.control.problem = None;
        let Terms { cause, forced, .. } = running.terms.clone();
        let for_failures = matches!(cause, Cause::InstanceFailed(_));
        match outcome {
            SolveOutcome::Proposal(proposal) => self.decide(*proposal, running.terms, view, out),
            SolveOutcome::NothingBetter { reason, .. } => {
                if forced {
                    self.control.problem = Some(reason).filter(|_| !for_failures);
                    self.control.block(cause, view.now);
                }
            }
            // There is no other place for a copy that keeps failing. The status names the failure itself.
            SolveOutcome::Infeasible { .. } if for_failures => self.control.block(cause, view.now),
            SolveOutcome::Infeasible { rules, reasons } => {
                let notice = Notice::Infeasible { rules, reasons };
                self.control.problem = Some(notice.to_string());
                if forced {
                    self.control.block(cause, view.now);
                }
                out.notice(notice);
            }
            SolveOutcome::Failed { reason } => {
                self.control.problem = Some(format!("no plan: {reason}"));
                self.control.block(cause, view.now);
                out.notice(Notice::SolveFailed(reason));
            }
        }
    }

    fn decide(&mut self, proposal: Proposal, terms: Terms, view: View<'_>, out: &mut Out) {
        let ledger = view.ledger;
        let placement = assign(ledger, &proposal.placement);
        let is_usable = |(instance, slot): (&InstanceId, &Slot)| match (slot, ledger.slot_state(*slot)) {
            (Slot::Order(_), _) | (_, SlotState::Arriving) => true,
            (_, SlotState::Ready(node)) => {
                let is_pinned = ledger.pinned_to(instance) == Some(node);
                is_pinned || ledger.members.get(&node).is_some_and(|member| !member.draining)
            }
            (_, SlotState::Lost) => false,
        };
        if !placement.iter().all(is_usable) {
            // A host was lost while the solver ran. The loss causes the next run.
            return;
        }
        let before = in_force(ledger);
        let same = proposal.orders.is_empty() && before == placement;
        if same && ledger.plan.as_ref().is_some_and(|plan| plan.spec == terms.spec) {
            if terms.forced {
                let problem = "the solver keeps the plan although it does not work".to_owned();
                let for_failures = matches!(terms.cause, Cause::InstanceFailed(_));
                self.control.problem = Some(problem).filter(|_| !for_failures);
                self.control.block(terms.cause, view.now);
            }
            return;
        }
        if terms.orders_max.is_some_and(|max| proposal.orders.len() > max as usize)
            && !sabotage::is(Sabotage::ForgetsSpares)
        {
            self.control.block(terms.cause, view.now);
            return;
        }
        // Hosts may have come and gone since the request was made.
        let terms = Terms { spending_micros: ledger.spending_micros(), ..terms };
        if let Some(stay) = reason_to_stay(&terms, &before, &placement, &proposal) {
            out.notice(Notice::PlanKept {
                net_gain: net_gain(&proposal),
                gain_min: terms.gain_min,
                migration_cost: proposal.worth.migration_cost,
                reason: stay.to_string(),
            });
            return;
        }
        self.control.decided = Some(Box::new(Plan {
            revision: terms.plan.next(),
            parent: terms.plan,
            spec: terms.spec,
            orders: proposal.orders,
            placement,
            avoid: terms.avoid,
            verdict: Verdict {
                cause: terms.cause,
                forced: terms.forced,
                worth: proposal.worth,
                reasons: proposal.reasons.into_iter().take(REASONS_MAX).collect(),
            },
        }));
    }

    pub(super) fn plan_command(&mut self, view: View<'_>) -> Option<Command> {
        let plan = self.control.decided.take()?;
        if plan.parent != view.ledger.plan_revision() {
            return None;
        }
        // If the ledger refuses the plan, the cause remains. The solver runs for it again after a pause.
        self.control.block(plan.verdict.cause.clone(), view.now);
        Some(Command::Plan(plan))
    }
}

/// Returns a plan without copies, to take the application down; none if the plan in force has no copies.
fn empty_plan(ledger: &Ledger) -> Option<Plan> {
    let plan = ledger.plan.as_ref().filter(|plan| !plan.placement.is_empty())?;
    Some(Plan {
        revision: plan.revision.next(),
        parent: plan.revision,
        spec: ledger.spec_revision(),
        orders: Vec::new(),
        placement: BTreeMap::new(),
        avoid: BTreeSet::new(),
        verdict: Verdict { cause: Cause::TakeDown, forced: true, worth: Worth::none(), reasons: Vec::new() },
    })
}
