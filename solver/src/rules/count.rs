//! Count: the number of instances of some components keeps to a range.

use super::wording::names;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::sum;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, range};
use crate::rule::Count;
use crate::scope::Scope;

impl Rule for Count {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        self.components.iter().for_each(|component| visit(&Scope::Component(*component)));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        self.components.iter().try_for_each(|component| index(what, *component, problem.components.len()))?;
        range(what, self.min, self.max)
    }

    fn broken(&self, _problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let count: usize = self.components.iter().map(|c| assignment.count(*c)).sum();
        outside(count, self.min, self.max, "instances")
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("{} to {} instances of {} run", self.min, self.max, names(problem, &self.components))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let count = sum(self.components.iter().map(|c| model.count(*c)));
        Ok(Some(format!("{count} in {}..{}", self.min, self.max)))
    }
}

/// Why a number is outside a range, and by how much.
pub(super) fn outside(value: usize, min: u32, max: u32, what: &str) -> Option<Broken> {
    let (low, high) = (min as usize, max as usize);
    let distance = low.saturating_sub(value) + value.saturating_sub(high);
    (distance > 0).then(|| (format!("{value} {what} run, not {min}..{max}"), float(distance)))
}
