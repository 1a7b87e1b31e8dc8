//! Each: instances run only on a set of machines.
//!
//! The checker's words and its count of misplaced instances also serve `ban.rs`.

use super::wording::{count, instance_name, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, length, scope_of};
use crate::rule::Each;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Each {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        length(what, self.allowed.len(), problem.machines.len())?;
        scope_of(problem, what, &self.scope)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        misplaced(problem, assignment, &self.scope, &|machine| !self.allowed[machine])
    }

    fn sentence(&self, problem: &Problem) -> String {
        let scope = scope_name(problem, &self.scope);
        format!("{scope} may use {} of {} machines", count(&self.allowed), self.allowed.len())
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(model.within(&self.scope, &|machine| self.allowed[machine])))
    }

    fn refuses(&self, _problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        self.scope.covers(component) && !self.allowed[machine]
    }
}

/// The first instance of a scope on a refused machine, and how many there are.
pub(super) fn misplaced(
    problem: &Problem,
    assignment: &Assignment,
    scope: &Scope,
    is_refused: &dyn Fn(MachineIndex) -> bool,
) -> Option<Broken> {
    let hosts = assignment.in_scope(scope);
    let mut wrong = hosts.iter().filter(|(_, place)| is_refused(place.machine));
    let (instance, place) = wrong.next()?;
    let (name, host) = (instance_name(problem, *instance), &problem.machines[place.machine].name);
    Some((format!("{name} may not run on {host}"), float(1 + wrong.count())))
}
