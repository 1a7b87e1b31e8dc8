//! Why an instance runs where it does: the effect of every other machine, with all other instances unchanged.
//!
//! It judges single changes of a plan with the checker and the evaluator. For whole other plans see `alternative.rs`.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::check;
use crate::eligible::refused_by;
use crate::evaluate::{Score, evaluate};
use crate::problem::{MachineIndex, Problem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why an instance runs where it does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WhyHere {
    /// Where it runs.
    pub machine: MachineIndex,
    /// The best of the other machines; none when each of them breaks a rule.
    pub next: Option<Next>,
    /// For each rule, the number of other machines that it refuses; a machine counts for the first refusing rule.
    pub kept_from: BTreeMap<String, usize>,
    /// Number of other machines on which no rule is broken.
    pub possible: usize,
    /// Number of other machines that would be worth more; zero unless the plan was stopped early.
    pub better: usize,
}

/// The nearest alternative.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Next {
    /// Which machine.
    pub machine: MachineIndex,
    /// The loss of worth on that machine; negative when it would be better.
    pub worse_by: f64,
    /// The terms that change: utilities, costs and `[migration]` by name, the largest first.
    pub because: Vec<(String, f64)>,
}

/// Explains why an instance of a plan runs where it does; none when it does not run.
///
/// `machines_max` bounds the machines that are tried, in the order of the problem.
#[must_use]
pub fn why_here(
    problem: &Problem,
    assignment: &Assignment,
    instance: Instance,
    machines_max: usize,
) -> Option<WhyHere> {
    let here = assignment.place(instance)?;
    let score = evaluate(problem, assignment);
    let mut why =
        WhyHere { machine: here.machine, next: None, kept_from: BTreeMap::new(), possible: 0, better: 0 };
    for machine in (0..problem.machines.len()).filter(|m| *m != here.machine).take(machines_max) {
        if let Some(rule) = refused_by(problem, instance.component, machine) {
            *why.kept_from.entry(rule.to_owned()).or_default() += 1;
            continue;
        }
        match moved(problem, assignment, instance, machine) {
            Err(rule) => *why.kept_from.entry(rule).or_default() += 1,
            Ok(other) => {
                let other = evaluate(problem, &other);
                let worse_by = score.net - other.net;
                why.possible += 1;
                why.better += usize::from(worse_by < -crate::evaluate::WORTH_TOLERANCE);
                if why.next.as_ref().is_none_or(|next| worse_by < next.worse_by) {
                    why.next = Some(Next { machine, worse_by, because: differences(&score, &other) });
                }
            }
        }
    }
    Some(why)
}

/// The assignment with one instance on another machine, or the first rule that this breaks.
///
/// For an offer, the hosts already bought and one new host are tried, and the best feasible one counts.
fn moved(
    problem: &Problem,
    assignment: &Assignment,
    instance: Instance,
    machine: MachineIndex,
) -> Result<Assignment, String> {
    let used = assignment.by_host();
    let mut rule = "[copies]".to_owned();
    let mut best: Option<(f64, Assignment)> = None;
    for copy in 0..problem.machines[machine].copies_max() {
        let place = Place { machine, copy };
        let mut other = assignment.clone();
        other.places[instance.component][instance.ordinal] = Some(place);
        match check(problem, &other).into_iter().next() {
            Some(violation) if best.is_none() => rule = violation.rule,
            Some(_) => {}
            None => {
                let net = evaluate(problem, &other).net;
                if best.as_ref().is_none_or(|(b, _)| net > *b) {
                    best = Some((net, other));
                }
            }
        }
        if !used.contains_key(&place) {
            break;
        }
    }
    best.map(|(_, other)| other).ok_or(rule)
}

/// The differences of two scores by term, in the unit of the objective.
pub(super) fn differences(one: &Score, other: &Score) -> Vec<(String, f64)> {
    let weights: f64 = one.terms.iter().map(|t| t.weight).sum();
    let share = |weight: f64| if weights > 0.0 { weight / weights } else { 0.0 };
    let utilities = one.terms.iter().zip(&other.terms);
    let mut found: Vec<(String, f64)> =
        utilities.map(|(a, b)| (a.name.clone(), share(a.weight) * (a.worth - b.worth))).collect();
    found.extend(one.costs.iter().zip(&other.costs).map(|(a, b)| (a.name.clone(), b.cost - a.cost)));
    found.push(("[migration]".to_owned(), other.migration.total - one.migration.total));
    found.retain(|(_, by)| by.abs() > crate::evaluate::WORTH_TOLERANCE);
    found.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then_with(|| a.0.cmp(&b.0)));
    found
}
