//! Ban: instances do not run on a few machines.

use super::each::misplaced;
use super::wording::scope_name;
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, scope_of};
use crate::rule::Ban;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Ban {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        self.machines.iter().try_for_each(|machine| index(what, *machine, problem.machines.len()))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        misplaced(problem, assignment, &self.scope, &|machine| self.machines.contains(&machine))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let names: Vec<&str> = self.machines.iter().map(|m| problem.machines[*m].name.as_str()).collect();
        format!("{} may not use {}", scope_name(problem, &self.scope), names.join(", "))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(model.within(&self.scope, &|machine| !self.machines.contains(&machine))))
    }

    fn refuses(&self, _problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        self.scope.covers(component) && self.machines.contains(&machine)
    }
}
