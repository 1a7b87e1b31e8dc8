//! The running instances that an assignment moves or ends.

use crate::assignment::{Assignment, Instance, Place};
use crate::problem::Problem;
use crate::scope::Scope;

/// Running instances of a scope that do not stay on their host.
pub(super) fn displaced(problem: &Problem, assignment: &Assignment, scope: &Scope) -> Vec<Instance> {
    let mut found = Vec::new();
    for (component, c) in problem.components.iter().enumerate() {
        for (ordinal, machine) in c.current.iter().enumerate() {
            let instance = Instance { component, ordinal };
            let moves = machine.is_some_and(|m| assignment.place(instance) != Some(Place::on(m)));
            if moves && scope.contains(component, ordinal) {
                found.push(instance);
            }
        }
    }
    found
}
