//! Split: instances of different scopes share no host or class.

use super::cells::{Cell, cell_name, cells, is_unclassed};
use super::wording::{cell_kind, instance_name, scope_name};
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::assignment::Instance;
use crate::constraint::Constraint;
use crate::minizinc_text::and;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, scope_of};
use crate::rule::Split;
use crate::scope::{ComponentIndex, MachineIndex, Scope};
use std::collections::BTreeMap;

impl Rule for Split {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        self.scopes.iter().for_each(visit);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        self.partition.map_or(Ok(()), |p| index(what, p, problem.partitions.len()))?;
        self.scopes.iter().try_for_each(|scope| scope_of(problem, what, scope))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let mut owner: BTreeMap<Cell, (usize, Instance)> = BTreeMap::new();
        for (index, scope) in self.scopes.iter().enumerate() {
            let cells = match cells(problem, assignment, scope, self.partition) {
                Ok(cells) => cells,
                Err(what) => return Some((what, 1.0)),
            };
            for (cell, members) in cells {
                let (other, first) = *owner.entry(cell).or_insert((index, members[0]));
                if other != index {
                    let (a, b) = (instance_name(problem, first), instance_name(problem, members[0]));
                    // The first shared cell is named; a larger amount would need all of them.
                    return Some((
                        format!("{a} and {b} share {}", cell_name(problem, cell, self.partition)),
                        1.0,
                    ));
                }
            }
        }
        None
    }

    fn sentence(&self, problem: &Problem) -> String {
        let names: Vec<String> = self.scopes.iter().map(|scope| scope_name(problem, scope)).collect();
        format!("{} never share a {}", names.join(" and "), cell_kind(problem, self.partition))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let mut all = Vec::new();
        for (at, a) in self.scopes.iter().enumerate() {
            if let Some(p) = self.partition {
                all.push(format!("classed({}, {})", model.group(a), model.classes(p)));
            }
            for b in &self.scopes[at + 1..] {
                let (a, b) = (model.group(a), model.group(b));
                let apart = match self.partition {
                    None => "at[s] != at[t]".to_owned(),
                    Some(p) => format!("{0}[at[s]] != {0}[at[t]]", model.classes(p)),
                };
                all.push(format!("forall(s in {a}, t in {b})(at[s] = 0 \\/ at[t] = 0 \\/ {apart})"));
            }
        }
        Ok(Some(and(&all)))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        let unclassed =
            |p: usize| self.scopes.iter().any(|scope| is_unclassed(problem, scope, p, component, machine));
        self.partition.is_some_and(unclassed)
    }
}

/// Whether a split rule over hosts keeps two components apart.
pub(crate) fn kept_apart(problem: &Problem, a: ComponentIndex, b: ComponentIndex) -> bool {
    let side = |scopes: &[Scope], c: usize| {
        scopes.iter().position(|scope| !matches!(scope, Scope::All) && scope.covers(c))
    };
    problem.constraints.iter().any(|named| match &named.item {
        Constraint::Split(Split { scopes, partition: None }) => match (side(scopes, a), side(scopes, b)) {
            (Some(x), Some(y)) => x != y,
            _ => false,
        },
        _ => false,
    })
}
