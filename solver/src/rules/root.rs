//! Root: running instances neither move nor end.

use super::displaced::displaced;
use super::wording::{instance_name, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, scope_of};
use crate::rule::Root;
use crate::scope::Scope;

impl Rule for Root {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    /// An instance stays whenever its host is chosen for the component at all, so hosts may be chosen first.
    fn tells_instances_apart(&self) -> bool {
        false
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let moved = displaced(problem, assignment, &self.scope);
        let what = format!("{} has to stay where it is", instance_name(problem, *moved.first()?));
        Some((what, float(moved.len())))
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("{} stay where they are", scope_name(problem, &self.scope))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(format!("{} = 0", model.displaced(&self.scope))))
    }
}
