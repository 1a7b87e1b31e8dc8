//! Linear: a weighted sum of instance counts keeps to a limit.

use super::wording::component_name;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::sum;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, WEIGHT_MAX, at_most, index};
use crate::rule::Linear;
use crate::scope::Scope;

impl Rule for Linear {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        self.terms.iter().for_each(|(component, _)| visit(&Scope::Component(*component)));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        for (component, weight) in &self.terms {
            index(what, *component, problem.components.len())?;
            at_most("of a weight", weight.unsigned_abs(), WEIGHT_MAX)?;
        }
        at_most("of a bound", self.max.unsigned_abs(), WEIGHT_MAX)
    }

    fn broken(&self, _problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let counted = |(component, weight): &(usize, i64)| {
            weight.saturating_mul(i64::try_from(assignment.count(*component)).unwrap_or(i64::MAX))
        };
        let (sum, max) = (self.terms.iter().map(counted).fold(0i64, i64::saturating_add), self.max);
        let excess = usize::try_from(sum.saturating_sub(max)).unwrap_or(0);
        (excess > 0).then(|| {
            (format!("the weighted sum of instances is {sum}, at most {max} is allowed"), float(excess))
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        let term = |(c, w): &(usize, i64)| format!("{w} for each {}", component_name(problem, *c));
        let terms: Vec<String> = self.terms.iter().map(term).collect();
        format!("{} sum up to at most {}", terms.join(", "), self.max)
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let term = |(c, w): &(usize, i64)| format!("{w} * {}", model.count(*c));
        Ok(Some(format!("{} <= {}", sum(self.terms.iter().map(term)), self.max)))
    }
}
