//! Everywhere: every used host runs an instance of a component, unless a split rule keeps it away.

use super::split::kept_apart;
use super::wording::component_name;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::assignment::Instance;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::rule::Everywhere;
use crate::scope::Scope;

impl Rule for Everywhere {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::Component(self.component));
    }

    /// Any instance can make a host a used one.
    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        index(what, self.component, problem.components.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let (component, hosts) = (self.component, assignment.by_host());
        let lacks = |instances: &[Instance]| {
            !instances.iter().any(|i| i.component == component || kept_apart(problem, component, i.component))
        };
        let mut lacking = hosts.iter().filter(|(_, instances)| lacks(instances)).map(|(place, _)| *place);
        let first = lacking.next()?;
        let (host, name) = (&problem.machines[first.machine].name, component_name(problem, component));
        Some((format!("{host} runs no {name}"), float(1 + lacking.count())))
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("every used host runs {}", component_name(problem, self.component))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let all = 0..model.problem.components.len();
        let excuses = all.filter(|c| kept_apart(model.problem, self.component, *c));
        let here: Vec<String> = std::iter::once(self.component)
            .chain(excuses)
            .map(|c| format!("has({}, h)", model.group(&Scope::Component(c))))
            .collect();
        Ok(Some(format!("forall(h in 1..H)(used[h] -> {})", here.join(" \\/ "))))
    }
}
