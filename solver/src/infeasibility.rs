//! Infeasibility: the named rules that cannot hold together, and the nearest limits that could be met.
//!
//! The minimal conflicting set is found by dividing the rules in halves (Junker, "QuickXplain", AAAI 2004); an engine
//! decides each subset. Built-in rules (counts, capacity, known values) are taken as given.

use crate::assignment::Assignment;
use crate::check::check;
use crate::constraint::Constraint;
use crate::engine::{Aim, Request, registry};
use crate::evaluate;
use crate::objective::{Cost, Migration};
use crate::problem::{Named, Problem};
use crate::rules::Relaxable;
use crate::rules::table::meaning;
use crate::versions::lowered;
use serde::{Deserialize, Serialize};

/// A rule that has to be relaxed for the others to hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Relaxation {
    /// The rule's name.
    pub rule: String,
    /// The nearest limit that can be met instead; none when only leaving the rule out helps.
    pub limit: Option<f64>,
}

/// Returns a minimal set of rules that cannot hold together; none when they can, or when that could not be decided.
///
/// The set is empty when not even the built-in rules can hold.
pub fn conflict(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<Vec<String>> {
    decide(problem, stop).flatten()
}

/// As [`conflict`], but distinguishes undecided (outer none) from proven to have no conflict (inner none).
pub(crate) fn decide(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<Option<Vec<String>>> {
    let bare = bare(problem);
    let mut feasible = |rules: &[usize]| {
        let mut part = bare.clone();
        part.constraints.extend(rules.iter().map(|rule| problem.constraints[*rule].clone()));
        satisfiable(&part, stop)
    };
    let all: Vec<usize> = (0..problem.constraints.len()).collect();
    if feasible(&all)? {
        return Some(None);
    }
    if !feasible(&[])? {
        return Some(Some(Vec::new()));
    }
    let mut found = minimal(&[], false, &all, &mut feasible)?;
    found.sort_unstable();
    Some(Some(found.into_iter().map(|rule| problem.constraints[rule].name.clone()).collect()))
}

/// The problem without rules. Its utilities and costs have no weight, but still refuse machines with unknown values.
fn bare(problem: &Problem) -> Problem {
    let mut bare = problem.clone();
    bare.constraints.clear();
    bare.utilities.iter_mut().for_each(|utility| utility.item.weight = 0.0);
    bare.costs.iter_mut().for_each(|cost| cost.item.per_unit = 0.0);
    bare.migration = Migration::default();
    bare
}

/// Decides whether a set of items, by their numbers, can hold together; none when that could not be decided.
pub(crate) type Feasible<'a> = dyn FnMut(&[usize]) -> Option<bool> + 'a;

/// Returns a minimal subset of `items` that conflicts with `given`; none when that could not be decided.
///
/// `given` and `items` conflict together, and `given` alone does not unless `grew` is true. Where several subsets are
/// minimal, one of early items is returned.
pub(crate) fn minimal(
    given: &[usize],
    grew: bool,
    items: &[usize],
    feasible: &mut Feasible<'_>,
) -> Option<Vec<usize>> {
    if grew && !feasible(given)? {
        return Some(Vec::new());
    }
    if let [_] = items {
        return Some(items.to_vec());
    }
    let (left, right) = items.split_at(items.len() / 2);
    let with_left: Vec<usize> = given.iter().chain(left).copied().collect();
    let of_right = minimal(&with_left, !left.is_empty(), right, feasible)?;
    let with_right: Vec<usize> = given.iter().chain(&of_right).copied().collect();
    let mut found = minimal(&with_right, !of_right.is_empty(), left, feasible)?;
    found.extend(of_right);
    Some(found)
}

/// Whether all rules can hold; none when it could not be decided.
pub(crate) fn satisfiable(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<bool> {
    let problem = &*lowered(problem);
    let request = Request::new(Aim::Feasible, 0);
    let (_, found) = registry::first_answer(problem, &request, &mut || stop()).ok()?;
    match found.best {
        // Engines are not trusted: their assignment is checked like that of any plan.
        Some(best) => check(problem, &best).is_empty().then_some(true),
        None if found.complete => Some(false),
        None => None,
    }
}

/// The nearest limit of a rule that could be met beside the others; none where the rule has no such limit.
pub(crate) fn nearest(others: &Problem, rule: &Constraint, stop: &mut dyn FnMut() -> bool) -> Option<f64> {
    let (scope, measure) = match meaning(rule).relaxable()? {
        Relaxable::Measured(scope, measure) => (scope, measure),
        Relaxable::Counted => return smallest_count(others, rule, stop),
    };
    // The smallest value that the other rules allow is the limit that could be met.
    let mut problem = bare(others);
    problem.constraints.clone_from(&others.constraints);
    let cost = Cost { scope: scope.clone(), measure: measure.clone(), per_unit: 1.0 };
    problem.costs.push(Named::new("[nearest]", cost));
    let best = optimum(&problem, stop)?;
    Some(evaluate::measure(&problem, &best, &scope, &measure))
}

/// A rule with another limit; rules without one are returned as they are.
pub(crate) fn with_limit(named: &Named<Constraint>, limit: f64) -> Named<Constraint> {
    let item = meaning(&named.item).with_limit(limit).unwrap_or_else(|| named.item.clone());
    Named { item, ..named.clone() }
}

fn optimum(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<Assignment> {
    let problem = &*lowered(problem);
    let request = Request::new(Aim::Proof, 0);
    let (_, found) = registry::first_answer(problem, &request, &mut || stop()).ok()?;
    found.best.filter(|_| found.complete)
}

/// The largest limit that is tried for a rule over counts before the rule counts as one to leave out.
const COUNT_LIMIT_MAX: u32 = 16;

/// The smallest limit of a rule over counts that could be met beside the others.
fn smallest_count(others: &Problem, rule: &Constraint, stop: &mut dyn FnMut() -> bool) -> Option<f64> {
    (1..=COUNT_LIMIT_MAX).map(f64::from).find(|limit| {
        let mut problem = others.clone();
        problem.constraints.extend(meaning(rule).with_limit(*limit).map(|rule| Named::new("[wider]", rule)));
        satisfiable(&problem, stop) == Some(true)
    })
}
