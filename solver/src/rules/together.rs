//! Together: a host runs an instance of each of some components, or of none of them.

use super::wording::names;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::assignment::{Instance, Place};
use crate::minizinc_text::and;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::rule::Together;
use crate::scope::Scope;

impl Rule for Together {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        self.components.iter().for_each(|component| visit(&Scope::Component(*component)));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        self.components.iter().try_for_each(|component| index(what, *component, problem.components.len()))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let all = self.components.len();
        let hosts = assignment.by_host();
        let partly = |(place, instances): (&Place, &Vec<Instance>)| {
            let has = |c: &usize| instances.iter().any(|i| i.component == *c);
            let present = self.components.iter().filter(|c| has(c)).count();
            (present != 0 && present != all).then_some((*place, present))
        };
        let mut partly = hosts.iter().filter_map(partly);
        let (place, present) = partly.next()?;
        let host = &problem.machines[place.machine].name;
        let missing: usize = partly.map(|(_, present)| all - present).sum();
        Some((format!("{host} runs {present} of {all} that belong together"), float(all - present + missing)))
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("a host runs all or none of {}", names(problem, &self.components))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let groups: Vec<String> =
            self.components.iter().map(|c| model.group(&Scope::Component(*c))).collect();
        let pairs: Vec<String> =
            groups.windows(2).map(|w| format!("has({}, h) = has({}, h)", w[0], w[1])).collect();
        Ok(Some(format!("forall(h in 1..H)({})", and(&pairs))))
    }
}
