//! Budget: the price of all used and kept hosts keeps to a limit.

use super::{Broken, CAPACITY_TOLERANCE, Relaxable, Rule};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::evaluate;
use crate::minizinc_text::micro;
use crate::minizinc_text::{MinizincError, Writer};
use crate::objective::Measure;
use crate::problem::Problem;
use crate::problem_error::{Checked, amount};
use crate::rule::Budget;
use crate::scope::Scope;

impl Rule for Budget {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    fn validate(&self, _problem: &Problem, what: &str) -> Checked {
        amount(what, self.max_per_hour)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let max = self.max_per_hour;
        let price = evaluate::measure(problem, assignment, &Scope::All, &Measure::TotalPrice);
        (price > max + CAPACITY_TOLERANCE * max.abs()).then(|| {
            let what = format!("{price} per hour, at most {max} may be spent");
            (what, (price - max) / max.max(price / 2.0))
        })
    }

    fn sentence(&self, _problem: &Problem) -> String {
        format!("all hosts together cost at most {} per hour", self.max_per_hour)
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(format!("{} <= {}", model.total_price(), micro(self.max_per_hour))))
    }

    fn relaxable(&self) -> Option<Relaxable> {
        Some(Relaxable::Measured(Scope::All, Measure::TotalPrice))
    }

    fn with_limit(&self, limit: f64) -> Option<Constraint> {
        Some(Constraint::Budget(Self { max_per_hour: limit }))
    }
}
