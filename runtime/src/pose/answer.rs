//! From a solver's plan back to names: the proposal for the core, and the report for people.

use super::machines::slot_name;
use super::{Candidate, Posed};
use crate::admin::{ActionReport, PlacedReport, PlanReport, TermReport};
use rhizo_protocol::event::Proposal;
use rhizo_solver::{Place, Plan, Score};
use rhizo_types::target::{Slot, TermChange};
use rhizo_types::{ComponentName, Number, RuleName};
use std::collections::BTreeMap;

/// Most sentences in a proposal: it goes through the log.
const REASONS_MAX: usize = 32;

/// What the core is given.
pub(crate) fn proposal(posed: &Posed, plan: &Plan) -> Proposal {
    let positions = positions(plan);
    let mut placement: BTreeMap<ComponentName, Vec<Slot>> =
        posed.components.iter().map(|name| (name.clone(), Vec::new())).collect();
    for (instance, place) in plan.assignment.iter() {
        let component = &posed.components[instance.component];
        placement.entry(component.clone()).or_default().push(slot(posed, &positions, place));
    }
    let orders = positions.keys().map(|place| posed.machines[place.machine].order().clone()).collect();
    let before = plan.before.as_ref().filter(|_| plan.broken_before.is_empty());
    Proposal {
        placement,
        orders,
        utility_before: before.map(|score| number(score.utility)),
        utility_after: number(plan.after.utility),
        migration_cost: number(plan.after.migration.total),
        price_micros_per_hour: (plan.after.price_per_hour * 1e6).round() as u64,
        terms: terms(before, &plan.after),
        reasons: actions(posed, plan)
            .into_iter()
            .map(|a| format!("{} {}: {}", a.action, a.subject, a.reason))
            .take(REASONS_MAX)
            .collect(),
    }
}

/// The position of each bought host among the orders.
fn positions(plan: &Plan) -> BTreeMap<Place, u32> {
    let bought = plan
        .orders
        .iter()
        .flat_map(|order| (0..order.count).map(|copy| Place { machine: order.machine, copy }));
    bought.zip(0..).collect()
}

fn slot(posed: &Posed, positions: &BTreeMap<Place, u32>, place: Place) -> Slot {
    match &posed.machines[place.machine] {
        Candidate::Host(host) => host.slot,
        // The solver's checker made sure that every used copy was ordered.
        Candidate::Offer(_) => Slot::Order(positions.get(&place).copied().unwrap_or(u32::MAX)),
    }
}

fn number(value: f64) -> Number {
    Number::try_from(value).unwrap_or(Number::ZERO)
}

fn terms(before: Option<&Score>, after: &Score) -> Vec<TermChange> {
    let term = |(position, term): (usize, &rhizo_solver::evaluate::Term)| TermChange {
        name: RuleName(term.name.clone()),
        before: before.and_then(|score| score.terms.get(position)).map(|term| number(term.worth)),
        after: number(term.worth),
        weight: number(term.weight),
    };
    after.terms.iter().enumerate().map(term).collect()
}

/// What people are shown.
pub(crate) fn report(posed: &Posed, plan: &Plan, currency: &str, solver_seconds: f64) -> PlanReport {
    let before = plan.before.as_ref().filter(|_| plan.broken_before.is_empty());
    let term = |(position, term): (usize, &rhizo_solver::evaluate::Term)| TermReport {
        name: term.name.clone(),
        weight: term.weight,
        before: before.and_then(|score| score.terms.get(position)).map(|term| term.worth),
        after: term.worth,
    };
    PlanReport {
        current: current(posed),
        proposed: plan
            .assignment
            .iter()
            .map(|(at, place)| placed(posed, at.component, at.ordinal, place.machine))
            .collect(),
        actions: actions(posed, plan),
        terms: plan.after.terms.iter().enumerate().map(term).collect(),
        utility_before: before.map(|score| score.utility),
        utility_after: plan.after.utility,
        migration_cost: plan.after.migration.total,
        objective: plan.after.net,
        bound: plan.bound,
        gap: plan.gap,
        proven: plan.proven,
        cost_per_hour: plan.after.price_per_hour,
        currency: currency.to_owned(),
        solver_seconds,
        engine: plan.engine.to_string(),
        warnings: posed.warnings.clone(),
    }
}

fn current(posed: &Posed) -> Vec<PlacedReport> {
    let components = posed.problem.components.iter().enumerate();
    let running = components.flat_map(|(at, component)| {
        component
            .current
            .iter()
            .enumerate()
            .filter_map(move |(ordinal, host)| host.map(|host| (at, ordinal, host)))
    });
    running.map(|(at, ordinal, host)| placed(posed, at, ordinal, host)).collect()
}

fn placed(posed: &Posed, component: usize, ordinal: usize, machine: usize) -> PlacedReport {
    let candidate = &posed.machines[machine];
    let order = candidate.order();
    let (node, offer) = match candidate {
        Candidate::Host(host) => (Some(slot_name(host.slot)), None),
        Candidate::Offer(_) => (None, Some(order.offer.to_string())),
    };
    PlacedReport {
        instance: format!("{}.{ordinal}", posed.components[component]),
        node,
        provider: order.provider.to_string(),
        region: order.region.to_string(),
        offer,
    }
}

/// Each step of the change, with its reason.
fn actions(posed: &Posed, plan: &Plan) -> Vec<ActionReport> {
    let mut actions = Vec::new();
    let because = match &plan.before {
        None => "nothing runs yet".to_owned(),
        Some(_) if !plan.broken_before.is_empty() => {
            let rules: Vec<String> = plan
                .broken_before
                .iter()
                .map(|broken| format!("`{}`: {}", broken.rule, broken.what))
                .collect();
            format!("what runs now breaks {}", rules.join("; "))
        }
        Some(before) => {
            format!("utility minus migration cost goes from {:.4} to {:.4}", before.net, plan.after.net)
        }
    };
    for order in &plan.orders {
        let offered = posed.machines[order.machine].order();
        let price = offered.price_micros_per_hour as f64 / 1e6;
        let reason = format!(
            "hosts {} in the best placement found, at {price:.4} an hour",
            hosted(posed, plan, order.machine)
        );
        let subject =
            format!("{}× {}/{} in {}", order.count, offered.provider, offered.offer, offered.region);
        actions.push(ActionReport { action: "acquire".to_owned(), subject, reason });
    }
    for change in &plan.changes {
        let (action, host) = match (change.from, change.to) {
            (None, Some(place)) => ("start", Some(place.machine)),
            (Some(_), Some(place)) => ("move", Some(place.machine)),
            (Some(host), None) => ("stop", Some(host)),
            (None, None) => continue,
        };
        let at = host.map(|host| posed.problem.machines[host].name.clone()).unwrap_or_default();
        let subject =
            format!("{}.{} at {at}", posed.components[change.instance.component], change.instance.ordinal);
        actions.push(ActionReport { action: action.to_owned(), subject, reason: because.clone() });
    }
    for host in &plan.released {
        let subject = posed.problem.machines[*host].name.clone();
        actions.push(ActionReport {
            action: "release".to_owned(),
            subject,
            reason: "nothing is left to run on it".to_owned(),
        });
    }
    actions
}

fn hosted(posed: &Posed, plan: &Plan, machine: usize) -> String {
    let names: Vec<String> = plan
        .assignment
        .iter()
        .filter(|(_, place)| place.machine == machine)
        .map(|(instance, _)| format!("{}.{}", posed.components[instance.component], instance.ordinal))
        .collect();
    names.join(", ")
}
