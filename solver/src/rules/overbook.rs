//! Overbook: instances on some machines may together need more than the capacity.
//!
//! The built-in capacity check judges it: the rule changes what a machine's capacity is.

use super::wording::count;
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, amount, index, length};
use crate::rule::Overbook;
use crate::scope::{MachineIndex, Scope};

impl Rule for Overbook {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    /// The rule itself is never broken.
    fn visit_dependencies(&self, _visit: &mut dyn FnMut(&Scope)) {}

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        length(what, self.machines.len(), problem.machines.len())?;
        index(what, self.resource, problem.resources.len())?;
        amount(what, self.ratio)
    }

    fn broken(&self, _problem: &Problem, _assignment: &Assignment) -> Option<Broken> {
        None
    }

    fn sentence(&self, problem: &Problem) -> String {
        let resource = &problem.resources[self.resource].name;
        format!("{} machines may give {} times their {resource}", count(&self.machines), self.ratio)
    }

    /// The built-in capacity constraint contains it.
    fn minizinc(&self, _model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(None)
    }
}

/// The capacity of a machine, changed by overbook rules; the last rule for a machine and resource counts.
pub(crate) fn capacity_of(problem: &Problem, machine: MachineIndex, resource: usize) -> f64 {
    let own = problem.machines[machine].capacity.get(resource).copied().unwrap_or(0.0);
    let mut capacity = own;
    for named in &problem.constraints {
        if let Constraint::Overbook(rule) = &named.item
            && rule.resource == resource
            && rule.machines[machine]
        {
            capacity = own * rule.ratio;
        }
    }
    capacity
}
