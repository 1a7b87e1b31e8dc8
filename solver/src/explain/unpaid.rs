//! Moves that cost more than they gain: a check that no instance of a plan moves needlessly.
//!
//! It undoes the moves of a plan one at a time and judges the result. It changes no plan.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::check;
use crate::evaluate::{WORTH_TOLERANCE, evaluate};
use crate::problem::Problem;

/// A move without which the plan would be better.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Unpaid {
    /// Which instance moves.
    pub instance: Instance,
    /// The worth that the plan would gain if the instance stayed.
    pub loss: f64,
}

/// Returns every single move without which the assignment would keep every rule and be worth more.
///
/// Costs one check and one evaluation for each move; an optimal assignment has none.
#[must_use]
pub fn unpaid_moves(problem: &Problem, assignment: &Assignment) -> Vec<Unpaid> {
    let net = evaluate(problem, assignment).net;
    let mut found = Vec::new();
    for (instance, place) in assignment.iter() {
        let Some(from) = problem.components[instance.component].current_of(instance.ordinal) else {
            continue;
        };
        if Place::on(from) == place {
            continue;
        }
        let mut other = assignment.clone();
        other.places[instance.component][instance.ordinal] = Some(Place::on(from));
        let loss = evaluate(problem, &other).net - net;
        if loss > WORTH_TOLERANCE && check(problem, &other).is_empty() {
            found.push(Unpaid { instance, loss });
        }
    }
    found
}
