//! Breaks: a component never runs beside a package in a range of versions.

use super::needs::{meeting, wanted_name};
use super::wording::component_name;
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::rule::{Breaks, Conflict};
use crate::scope::Scope;

impl Rule for Breaks {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::Component(self.component));
    }

    /// The components that it conflicts with are known only with the problem.
    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    /// A range that no component is in is no mistake: the component then conflicts with nothing.
    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        index(what, self.component, problem.components.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        if assignment.count(self.component) == 0 {
            return None;
        }
        let mut running = problem.components.iter().enumerate().filter(|(c, _)| assignment.count(*c) > 0);
        let (_, other) = running.find(|(c, other)| *c != self.component && other.meets(&self.wanted))?;
        Some((format!("{} and {} both run", component_name(problem, self.component), other.name), 1.0))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let name = component_name(problem, self.component);
        format!("{name} never runs beside {}", wanted_name(&self.wanted))
    }

    /// Ranges of versions are lowered before a model is written.
    fn minizinc(&self, _model: &Writer, name: &str) -> Result<Option<String>, MinizincError> {
        Err(MinizincError::Unknown { name: name.to_owned(), why: "ranges of versions" })
    }

    fn lowered(&self, problem: &Problem) -> Option<Vec<Constraint>> {
        let others = meeting(problem, &self.wanted).into_iter().filter(|other| *other != self.component);
        let conflict = |second| Constraint::Conflict(Conflict { first: self.component, second });
        Some(others.map(conflict).collect())
    }
}
