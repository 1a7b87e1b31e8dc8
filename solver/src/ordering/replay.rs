//! The independent judge of a sequence: checks every moment of every wave from the definitions alone.
//!
//! It shares no judgement with the search. Resources are counted on both hosts of every change. Rules are checked on
//! every subset of a wave; for larger waves, on every subset of the steps that the rule depends on.

use super::sequence::{Step, Wave};
use super::task::{apply, depends_on, difference};
use crate::assignment::{Assignment, Place};
use crate::check::{CAPACITY_TOLERANCE, Violation, broken_rule, capacity_of, check_counts, effective_needs};
use crate::problem::Problem;
use std::collections::BTreeMap;

/// Waves of at most this many steps are checked in every subset for every rule.
const WHOLE_MAX: usize = 8;
/// The most steps of a larger wave that one rule may depend on: 2^12 subsets. More cannot be judged, which is a
/// violation.
const CLOSE_MAX: usize = 12;
/// Rule amounts differ by rounding.
const ROUNDING: f64 = 1e-9;

/// Returns all faults of a sequence; an empty list means that it is safe and leads to the target.
///
/// During the change a rule may be broken as far as it is at the worse of both ends, and no further.
#[must_use]
pub fn replay(problem: &Problem, from: &Assignment, to: &Assignment, waves: &[Wave]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut now = from.clone();
    for (number, wave) in waves.iter().enumerate() {
        let steps = difference(&now, &wave.target);
        let mut stated = wave.steps.clone();
        stated.sort_unstable();
        if steps.is_empty() || steps != stated {
            found.push(finding("[steps]", format!("wave {number} does not do what it says"), 1.0));
        }
        capacity(problem, &now, &steps, number, &mut found);
        rules(problem, (from, to), &now, &steps, number, &mut found);
        now = wave.target.clone();
    }
    if !difference(&now, to).is_empty() {
        found.push(finding("[target]", "the last wave does not lead to the target".into(), 1.0));
    }
    found
}

fn finding(rule: &str, what: String, amount: f64) -> Violation {
    Violation { rule: rule.to_owned(), what, amount }
}

/// The loads during a wave: every instance that is on a host before or after the wave counts there.
fn capacity(problem: &Problem, now: &Assignment, steps: &[Step], number: usize, found: &mut Vec<Violation>) {
    for (resource, r) in problem.resources.iter().enumerate() {
        let needs = effective_needs(problem, resource);
        let mut before: BTreeMap<Place, f64> = BTreeMap::new();
        let mut coming: BTreeMap<Place, f64> = BTreeMap::new();
        now.iter().for_each(|(instance, place)| *before.entry(place).or_default() += needs(instance));
        for step in steps {
            if let Some(to) = step.to {
                *coming.entry(to).or_default() += needs(step.instance);
            }
        }
        for (place, coming) in coming.into_iter().filter(|(_, coming)| *coming > 0.0) {
            let capacity = capacity_of(problem, place.machine, resource);
            let amount = before.get(&place).copied().unwrap_or(0.0) + coming;
            if amount > capacity + CAPACITY_TOLERANCE * capacity.abs() {
                let host = &problem.machines[place.machine].name;
                let what = format!(
                    "in wave {number} {host} has {capacity} of {}, {amount} is needed for a while",
                    r.name
                );
                found.push(finding("[capacity]", what, amount - capacity));
            }
        }
    }
}

fn rules(
    problem: &Problem,
    ends: (&Assignment, &Assignment),
    now: &Assignment,
    steps: &[Step],
    number: usize,
    found: &mut Vec<Violation>,
) {
    let rules = problem.constraints.iter().map(|named| (named.name.as_str(), Some(&named.item)));
    for (name, rule) in rules.chain([("[counts]", None)]) {
        let fault = |assignment: &Assignment| match rule {
            Some(rule) => broken_rule(problem, assignment, rule).map_or(0.0, |(_, amount)| amount),
            None => check_counts(problem, assignment).iter().map(|violation| violation.amount).sum(),
        };
        let most = fault(ends.0).max(fault(ends.1)) + ROUNDING;
        let parts: Vec<Vec<Step>> = match rule {
            _ if steps.len() <= WHOLE_MAX => vec![steps.to_vec()],
            Some(rule) => vec![steps.iter().copied().filter(|s| depends_on(rule, s.instance)).collect()],
            // The counts of one component do not depend on those of another.
            None => (0..problem.components.len())
                .map(|c| steps.iter().copied().filter(|s| s.instance.component == c).collect())
                .collect(),
        };
        for close in parts {
            if close.len() > CLOSE_MAX {
                let what = format!("wave {number} has too many steps for this rule to be judged");
                found.push(finding(name, what, 1.0));
                continue;
            }
            let worst = (0..1u32 << close.len())
                .map(|subset| {
                    let mut then = now.clone();
                    let done = close.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1);
                    done.for_each(|(_, step)| apply(&mut then, step));
                    fault(&then)
                })
                .fold(0.0, f64::max);
            if worst > most {
                found.push(finding(name, format!("broken while wave {number} runs"), worst - most));
            }
        }
    }
}
