//! MaxOnline: a limit of the used hosts of a set of machines.

use super::wording::count;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::assignment::Place;
use crate::minizinc_text::list;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, length};
use crate::rule::MaxOnline;
use crate::scope::{ComponentIndex, MachineIndex, Scope};
use std::collections::BTreeSet;

impl Rule for MaxOnline {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        length(what, self.machines.len(), problem.machines.len())
    }

    fn broken(&self, _problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let places = assignment.iter().map(|(_, place)| place).filter(|p| self.machines[p.machine]);
        let (on, max) = (places.collect::<BTreeSet<Place>>().len(), self.max as usize);
        (on > max).then(|| (format!("{on} hosts are used, at most {max} may be"), float(on - max)))
    }

    fn sentence(&self, _problem: &Problem) -> String {
        format!("at most {} of {} machines are used", self.max, count(&self.machines))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let hosts = list(model.hosts(&|m| self.machines[m]));
        Ok(Some(format!("sum(h in {hosts})(bool2int(used[h])) <= {}", self.max)))
    }

    fn refuses(&self, _problem: &Problem, _component: ComponentIndex, machine: MachineIndex) -> bool {
        self.max == 0 && self.machines[machine]
    }
}
