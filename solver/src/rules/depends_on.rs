//! DependsOn: a component has instances only when one of some others has.

use super::wording::{component_name, names};
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::minizinc_text::sum;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::rule::DependsOn;
use crate::scope::Scope;

impl Rule for DependsOn {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::Component(self.component));
        self.any_of.iter().for_each(|component| visit(&Scope::Component(*component)));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        index(what, self.component, problem.components.len())?;
        self.any_of.iter().try_for_each(|component| index(what, *component, problem.components.len()))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let unmet = assignment.count(self.component) > 0
            && self.any_of.iter().all(|component| assignment.count(*component) == 0);
        unmet.then(|| {
            let name = component_name(problem, self.component);
            (format!("{name} runs without anything it depends on"), 1.0)
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        let name = component_name(problem, self.component);
        format!("{name} runs only with one of {}", names(problem, &self.any_of))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let running = sum(self.any_of.iter().map(|c| model.runs(*c)));
        Ok(Some(format!("{} > 0 -> {running} > 0", model.count(self.component))))
    }
}
