//! Converts the result of a search into the answer for the core and the record for people.
//!
//! Both come from the same placement, whose copies are named by the core's assignment, so that a record shows the
//! names that the coordinator commits. The core's judgement decides whether a proposal is carried out. This module
//! calls it and never decides.

use crate::catalogue::Catalogue;
use crate::difference::Difference;
use crate::explain::Explained;
use crate::hosts::Candidate;
use crate::log_size;
use crate::posed::Posed;
use crate::record::{Decision, Record, Search};
use rhizo_protocol::assign::assign_for;
use rhizo_protocol::judgement::reason_to_stay;
use rhizo_protocol::notice::CauseText;
use rhizo_protocol::{Proposal, SolveOutcome, SolveRequest, Survival};
use rhizo_solver::evaluate::Term;
use rhizo_solver::{Place, Plan, Score};
use rhizo_types::target::{Slot, TermChange, Worth};
use rhizo_types::{ComponentName, InstanceId, Number, RuleName};
use std::collections::{BTreeMap, BTreeSet};

/// The most sentences of one outcome. They go through the log with the plan.
const REASONS_MAX: usize = 32;
/// Two utilities that differ by less than this count as equal: the difference comes from rounding.
const UTILITY_TOLERANCE: f64 = 1e-9;
/// The largest number of utility terms that a reason names: those that rise most.
const TERMS_NAMED_MAX: usize = 2;

/// The answer to a request.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The answer for the core.
    pub outcome: SolveOutcome,
    /// The record for people.
    pub record: Record,
}

/// Returns the outcome for a plan that changes something, or that a new spec needs.
pub(crate) fn proposes(request: &SolveRequest, posed: &Posed, catalogue: &Catalogue, plan: &Plan) -> Outcome {
    let mut proposal = proposal(posed, plan);
    let after = assign_for(request, &proposal.placement);
    if let Some(reason) = log_size::excess(request, &proposal, &after) {
        let explained = Explained { rules: Vec::new(), reasons: vec![reason] };
        return infeasible(request, posed, catalogue, explained);
    }
    let mut record = described(request, posed, catalogue, plan, &after, &proposal.orders);
    proposal.reasons = record.actions.iter().take(REASONS_MAX).map(ToString::to_string).collect();
    let before = request.placement();
    let cost = proposal.worth.migration_cost.get();
    match reason_to_stay(&request.terms, &before, &after, &proposal) {
        Some(stay) => {
            let net = proposal.worth.net_gain();
            record.verdict = Decision::Kept;
            record.text = format!(
                "kept what runs: the change would gain {:.4} in utility for a migration cost of {cost:.4}; {stay}",
                net + cost
            );
        }
        None => {
            record.verdict = Decision::Planned;
            record.text = match proposal.worth.utility_before {
                Some(_) => {
                    let net = proposal.worth.net_gain();
                    format!(
                        "found a change that gains {:.4} in utility for a migration cost of {cost:.4}: {net:.4} in all",
                        net + cost
                    )
                }
                None => format!("found a placement of utility {:.4}", plan.after.utility),
            };
        }
    }
    record.gain = proposal.worth.utility_before.map(|_| proposal.worth.net_gain() + cost);
    Outcome { outcome: SolveOutcome::Proposal(Box::new(proposal)), record }
}

/// Returns the outcome when the configuration in force is the best found. `better` is the best configuration under
/// the assumption that changes cost nothing.
pub(crate) fn stays(
    request: &SolveRequest,
    posed: &Posed,
    catalogue: &Catalogue,
    plan: &Plan,
    better: Option<&Plan>,
) -> Outcome {
    let kept = proposal(posed, plan);
    let after = assign_for(request, &kept.placement);
    let mut record = described(request, posed, catalogue, plan, &after, &kept.orders);
    let utility = plan.after.utility;
    record.text = match better.filter(|better| better.after.utility > utility + UTILITY_TOLERANCE) {
        Some(better) => {
            let cost = rhizo_solver::evaluate(&posed.problem, &better.assignment).migration.total;
            let gain = better.after.utility - utility;
            record.gain = Some(gain);
            if let Some(worth) = &mut record.worth {
                worth.utility_after = number(better.after.utility);
                worth.migration_cost = number(cost);
            }
            format!(
                "kept what runs: the best other placement gains {gain:.4} in utility, which does not beat its migration cost of {cost:.4}"
            )
        }
        None => format!("kept what runs: nothing has more utility than its {utility:.4}"),
    };
    let reason = record.text.clone();
    Outcome { outcome: SolveOutcome::NothingBetter { utility: Some(number(utility)), reason }, record }
}

/// Returns the outcome when no placement satisfies the request, for these causes.
pub(crate) fn infeasible(
    request: &SolveRequest,
    posed: &Posed,
    catalogue: &Catalogue,
    explained: Explained,
) -> Outcome {
    let Explained { rules, mut reasons } = explained;
    reasons.truncate(REASONS_MAX);
    let mut told = reasons.iter().cloned();
    let text = told.next().map_or_else(String::new, |first| format!(": {first}"));
    let mut record =
        empty(request, Decision::Infeasible, format!("no placement satisfies all demands{text}"));
    record.warnings = told.chain(warnings(request, posed, catalogue)).collect();
    let rules = rules.into_iter().map(RuleName).collect();
    Outcome { outcome: SolveOutcome::Infeasible { rules, reasons }, record }
}

/// Returns the outcome when there is no result, for this reason.
pub(crate) fn failed(request: &SolveRequest, reason: String) -> Outcome {
    let record = empty(request, Decision::Failed, format!("found no plan: {reason}"));
    Outcome { outcome: SolveOutcome::Failed { reason }, record }
}

/// Returns a record without a placement.
fn empty(request: &SolveRequest, verdict: Decision, text: String) -> Record {
    Record {
        at_unix_ms: 0,
        spec: request.terms.spec,
        plan: request.terms.plan,
        cause: CauseText(&request.terms.cause).to_string(),
        forced: request.terms.forced,
        verdict,
        text,
        actions: Vec::new(),
        current: Vec::new(),
        proposed: Vec::new(),
        worth: None,
        gain: None,
        search: None,
        cost_per_hour: None,
        currency: String::new(),
        is_informed: request.is_informed,
        survival: None,
        warnings: Vec::new(),
    }
}

/// Returns a record of a placement, worded as if the plan were kept.
fn described(
    request: &SolveRequest,
    posed: &Posed,
    catalogue: &Catalogue,
    plan: &Plan,
    after: &BTreeMap<InstanceId, Slot>,
    orders: &[rhizo_types::intent::AcquireOrder],
) -> Record {
    let because = because(plan);
    let difference = Difference { request, after, orders, because: &because };
    Record {
        actions: difference.actions(),
        current: difference.current(),
        proposed: difference.proposed(),
        worth: Some(worth(plan)),
        search: Some(Search {
            objective: plan.after.net,
            bound: plan.bound,
            gap: plan.gap,
            proven: plan.proven,
            engine: plan.engine.to_string(),
            solver_seconds: 0.0,
        }),
        cost_per_hour: Some(plan.after.price_per_hour),
        currency: catalogue.currency().unwrap_or_default().to_owned(),
        survival: Some(survival(request, after, orders)),
        warnings: warnings(request, posed, catalogue),
        ..empty(request, Decision::Kept, String::new())
    }
}

/// The losses that the voters would survive on the hosts of a placement. Node 0 is left out, because it may leave.
fn survival(
    request: &SolveRequest,
    after: &BTreeMap<InstanceId, Slot>,
    orders: &[rhizo_types::intent::AcquireOrder],
) -> Survival {
    let slots: BTreeSet<Slot> = after.values().copied().collect();
    let order = |slot: Slot| match slot {
        Slot::Order(position) => orders.get(usize::try_from(position).ok()?),
        Slot::Node(_) | Slot::Intent(_) => request.hosts.get(&slot).map(|host| &host.order),
    };
    let orders = slots.into_iter().filter_map(order);
    Survival::planned(orders.map(|order| (&order.provider, &order.region)))
}

fn warnings(request: &SolveRequest, posed: &Posed, catalogue: &Catalogue) -> Vec<String> {
    let mut warnings = posed.warnings.clone();
    let silent = catalogue.silent().filter(|(provider, _)| request.spec.providers.contains_key(*provider));
    warnings.extend(silent.map(|(name, reason)| format!("provider `{name}` does not answer: {reason}")));
    if !request.is_informed {
        warnings.push(
            "the coordinator could not be asked: offers that were refused, orders without an answer, and failing \
             providers and copies are not known here"
                .to_owned(),
        );
    }
    warnings
}

/// The reason of a change that has none of its own.
fn because(plan: &Plan) -> String {
    let Some(before) = &plan.before else { return "nothing runs yet".to_owned() };
    if !plan.broken_before.is_empty() {
        let broken = plan.broken_before.iter().map(|broken| format!("`{}`: {}", broken.rule, broken.what));
        return format!("what runs now breaks {}", broken.collect::<Vec<_>>().join("; "));
    }
    let rise = |(before, after): &(&Term, &Term)| after.weight * (after.worth - before.worth);
    let mut terms: Vec<(&Term, &Term)> = before.terms.iter().zip(&plan.after.terms).collect();
    terms.retain(|pair| rise(pair) > UTILITY_TOLERANCE);
    terms.sort_by(|a, b| rise(b).total_cmp(&rise(a)));
    let risen = terms.iter().take(TERMS_NAMED_MAX);
    let risen = risen.map(|(before, after)| {
        format!("`{}` goes from {:.4} to {:.4}", after.name, before.worth, after.worth)
    });
    let risen: Vec<String> = risen.collect();
    let (before, after) = (before.utility, plan.after.utility);
    if risen.is_empty() {
        format!("utility goes from {before:.4} to {after:.4}")
    } else {
        format!("{}; utility goes from {before:.4} to {after:.4}", risen.join(", "))
    }
}

/// The placement for the core, without reasons.
fn proposal(posed: &Posed, plan: &Plan) -> Proposal {
    let positions = positions(posed, plan);
    let mut placement: BTreeMap<ComponentName, Vec<Slot>> =
        posed.components.iter().map(|name| (name.clone(), Vec::new())).collect();
    for (instance, place) in plan.assignment.iter() {
        let component = &posed.components[instance.component];
        placement.entry(component.clone()).or_default().push(slot(posed, &positions, place));
    }
    let orders = positions.keys().map(|place| posed.machines[place.machine].order().clone()).collect();
    Proposal { placement, orders, worth: worth(plan), reasons: Vec::new() }
}

/// The position of each bought host among the orders.
///
/// Hosts of an offer are numbered by use: a search may leave gaps among the copies of an offer.
fn positions(posed: &Posed, plan: &Plan) -> BTreeMap<Place, u32> {
    let is_bought = |place: &Place| posed.machines[place.machine].slot().is_none();
    let bought: BTreeSet<Place> = plan.assignment.iter().map(|(_, place)| place).filter(is_bought).collect();
    bought.into_iter().zip(0..).collect()
}

fn slot(posed: &Posed, positions: &BTreeMap<Place, u32>, place: Place) -> Slot {
    match &posed.machines[place.machine] {
        Candidate::Host(slot, _) => *slot,
        // Every place of the assignment on an offer has a position.
        Candidate::Offer(_) => Slot::Order(positions.get(&place).copied().unwrap_or(u32::MAX)),
    }
}

fn number(value: f64) -> Number {
    Number::try_from(value).unwrap_or(Number::ZERO)
}

/// Utility before and after. What breaks a rule has no utility before.
fn worth(plan: &Plan) -> Worth {
    let before = plan.before.as_ref().filter(|_| plan.broken_before.is_empty());
    Worth {
        utility_before: before.map(|score| number(score.utility)),
        utility_after: number(plan.after.utility),
        migration_cost: number(plan.after.migration.total),
        price_micros_per_hour: (plan.after.price_per_hour * 1e6).round() as u64,
        terms: terms(before, &plan.after),
    }
}

fn terms(before: Option<&Score>, after: &Score) -> Vec<TermChange> {
    let term = |(position, term): (usize, &Term)| TermChange {
        name: RuleName(term.name.clone()),
        before: before.and_then(|score| score.terms.get(position)).map(|term| number(term.worth)),
        after: number(term.worth),
        weight: number(term.weight),
    };
    after.terms.iter().enumerate().map(term).collect()
}
