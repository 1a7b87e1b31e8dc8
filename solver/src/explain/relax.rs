//! The cheapest relaxation: the fewest rules to relax so that all others hold, with the nearest limit of each.
//!
//! Conflicts and relaxations are each other's hitting sets: a set of rules that contains one rule of every known
//! conflict either is a relaxation, or leaves another conflict to be found (Reiter, "A theory of diagnosis from first
//! principles", 1987).

use crate::infeasibility::{self, Relaxation};
use crate::problem::Problem;

/// The largest number of rules that are relaxed together.
const GIVEN_UP_MAX: usize = 6;

/// The fewest rules without which all others can hold, each with the nearest limit that could be met instead.
///
/// None when it could not be decided in time, or when not even the built-in rules can hold. Empty when all rules can
/// hold. Of equally short relaxations, rules that come later in the problem are relaxed first. The limits hold
/// together: each one is found with those before it in force.
#[must_use]
pub fn cheapest_relaxation(problem: &Problem, stop: &mut dyn FnMut() -> bool) -> Option<Vec<Relaxation>> {
    let mut conflicts: Vec<Vec<usize>> = Vec::new();
    let number = |name: &String| problem.constraints.iter().position(|named| named.name == *name);
    loop {
        let given_up = (0..=GIVEN_UP_MAX).find_map(|size| hitting(&conflicts, size, &mut Vec::new()))?;
        let part = without(problem, &given_up);
        match infeasibility::decide(&part, stop)? {
            None => return relaxed(problem, &given_up, stop),
            Some(names) if names.is_empty() => return None,
            Some(names) => conflicts.push(names.iter().filter_map(number).collect()),
        }
    }
}

fn without(problem: &Problem, rules: &[usize]) -> Problem {
    let mut part = problem.clone();
    let kept = problem.constraints.iter().enumerate().filter(|(at, _)| !rules.contains(at));
    part.constraints = kept.map(|(_, named)| named.clone()).collect();
    part
}

/// A set of `size` rules with one rule of each conflict; later rules are tried first.
fn hitting(conflicts: &[Vec<usize>], size: usize, chosen: &mut Vec<usize>) -> Option<Vec<usize>> {
    let Some(open) = conflicts.iter().find(|c| !c.iter().any(|rule| chosen.contains(rule))) else {
        return Some(chosen.clone());
    };
    if chosen.len() == size {
        return None;
    }
    for rule in open.iter().rev() {
        chosen.push(*rule);
        let found = hitting(conflicts, size, chosen);
        chosen.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The nearest limits of these rules when all of them are relaxed.
fn relaxed(problem: &Problem, given_up: &[usize], stop: &mut dyn FnMut() -> bool) -> Option<Vec<Relaxation>> {
    let mut rules = given_up.to_vec();
    rules.sort_unstable();
    let mut part = without(problem, &rules);
    let mut found = Vec::new();
    for rule in rules {
        let named = &problem.constraints[rule];
        let limit = infeasibility::nearest(&part, &named.item, stop);
        if let Some(limit) = limit {
            part.constraints.push(infeasibility::with_limit(named, limit));
        }
        found.push(Relaxation { rule: named.name.clone(), limit });
    }
    Some(found)
}
