//! Needs: a component has instances only beside a package in a range of versions.

use super::wording::component_name;
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::release::Wanted;
use crate::rule::{DependsOn, Needs};
use crate::scope::{ComponentIndex, Scope};

impl Rule for Needs {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::Component(self.component));
    }

    /// The components that satisfy it are known only with the problem.
    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    /// A range that no component is in is no mistake: the component then cannot run, and the rule is named.
    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        index(what, self.component, problem.components.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let mut running = problem.components.iter().enumerate().filter(|(c, _)| assignment.count(*c) > 0);
        let unmet = assignment.count(self.component) > 0
            && !running.any(|(_, c)| self.any_of.iter().any(|wanted| c.meets(wanted)));
        unmet.then(|| {
            let name = component_name(problem, self.component);
            (format!("{name} runs without any version it depends on"), 1.0)
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        let names: Vec<String> = self.any_of.iter().map(wanted_name).collect();
        format!("{} runs only with {}", component_name(problem, self.component), names.join(" or "))
    }

    /// Ranges of versions are lowered before a model is written.
    fn minizinc(&self, _model: &Writer, name: &str) -> Result<Option<String>, MinizincError> {
        Err(MinizincError::Unknown { name: name.to_owned(), why: "ranges of versions" })
    }

    fn lowered(&self, problem: &Problem) -> Option<Vec<Constraint>> {
        let mut any_of: Vec<ComponentIndex> =
            self.any_of.iter().flat_map(|wanted| meeting(problem, wanted)).collect();
        any_of.sort_unstable();
        any_of.dedup();
        Some(vec![Constraint::DependsOn(DependsOn { component: self.component, any_of })])
    }
}

/// The components that are, or provide, a wanted package.
pub(super) fn meeting(problem: &Problem, wanted: &Wanted) -> Vec<ComponentIndex> {
    let all = problem.components.iter().enumerate();
    all.filter(|(_, component)| component.meets(wanted)).map(|(index, _)| index).collect()
}

/// A wanted package as operators see it: its name and range.
pub(super) fn wanted_name(wanted: &Wanted) -> String {
    format!("{} {}", wanted.package, wanted.range)
}
