//! Apart: no two instances share a host or a class.

use super::cells::{cell_name, cells, is_unclassed};
use super::wording::{cell_kind, instance_name, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, scope_of};
use crate::rule::Apart;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Apart {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        self.partition.map_or(Ok(()), |p| index(what, p, problem.partitions.len()))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let cells = match cells(problem, assignment, &self.scope, self.partition) {
            Ok(cells) => cells,
            Err(what) => return Some((what, 1.0)),
        };
        let (cell, members) = cells.iter().find(|(_, members)| members.len() > 1)?;
        let (a, b) = (instance_name(problem, members[0]), instance_name(problem, members[1]));
        let excess = cells.values().map(|members| float(members.len() - 1)).sum();
        Some((format!("{a} and {b} share {}", cell_name(problem, *cell, self.partition)), excess))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let scope = scope_name(problem, &self.scope);
        format!("no two of {scope} share a {}", cell_kind(problem, self.partition))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(Some(match self.partition {
            None => format!("forall(h in 1..H)(on({}, h) <= 1)", model.group(&self.scope)),
            Some(p) => {
                let (g, k, count) = model.classed(&self.scope, p);
                format!("classed({g}, {k}) /\\ forall(c in 1..{count})(in_class({g}, {k}, c) <= 1)")
            }
        }))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        self.partition.is_some_and(|p| is_unclassed(problem, &self.scope, p, component, machine))
    }
}
