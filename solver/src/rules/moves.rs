//! Moves: a limit of how many running instances move or end.

use super::displaced::displaced;
use super::wording::scope_name;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, scope_of};
use crate::rule::Moves;
use crate::scope::Scope;

impl Rule for Moves {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let (moved, max) = (displaced(problem, assignment, &self.scope).len(), self.max as usize);
        (moved > max).then(|| {
            (format!("{moved} running instances move or end, at most {max} may"), float(moved - max))
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("at most {} of {} move or end", self.max, scope_name(problem, &self.scope))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(format!("{} <= {}", model.displaced(&self.scope), self.max)))
    }
}
