//! Conflict: two components never both have instances.

use super::wording::component_name;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::rule::Conflict;
use crate::scope::Scope;

impl Rule for Conflict {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::Component(self.first));
        visit(&Scope::Component(self.second));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        index(what, self.first, problem.components.len())?;
        index(what, self.second, problem.components.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let fewer = assignment.count(self.first).min(assignment.count(self.second));
        let (a, b) = (component_name(problem, self.first), component_name(problem, self.second));
        (fewer > 0).then(|| (format!("{a} and {b} both run"), float(fewer)))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let (a, b) = (component_name(problem, self.first), component_name(problem, self.second));
        format!("{a} and {b} never both run")
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(format!("{} + {} <= 1", model.runs(self.first), model.runs(self.second))))
    }
}
