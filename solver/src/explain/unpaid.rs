//! Moves that cost more than they save: the check that no instance moves for nothing.
//!
//! It takes a plan's moves back one at a time and judges what is left. It changes no plan.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::check;
use crate::evaluate::{WORTH_TOLERANCE, evaluate};
use crate::problem::Problem;

/// A move that need not have been.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Unpaid {
    /// Which instance moves.
    pub instance: Instance,
    /// By how much the plan would be better if it stayed.
    pub loss: f64,
}

/// Every single move without which the assignment would keep to all rules and be worth more.
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
