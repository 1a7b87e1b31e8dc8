//! Neighbour: every class that holds a user also holds a provider.

use super::cells::{Cell, cell_name, cells, is_unclassed};
use super::wording::{instance_name, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::assignment::Place;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, scope_of};
use crate::rule::Neighbour;
use crate::scope::{ComponentIndex, MachineIndex, Scope};
use std::collections::BTreeSet;

impl Rule for Neighbour {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.user);
        visit(&self.provider);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.user)?;
        scope_of(problem, what, &self.provider)?;
        index(what, self.partition, problem.partitions.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let users = match cells(problem, assignment, &self.user, Some(self.partition)) {
            Ok(cells) => cells,
            Err(what) => return Some((what, 1.0)),
        };
        let class = |p: Place| problem.partitions[self.partition].class_of[p.machine];
        let providers = assignment.in_scope(&self.provider).into_iter();
        let served: BTreeSet<usize> = providers.filter_map(|(_, place)| class(place)).collect();
        let is_served = |cell: &Cell| matches!(cell, Cell::Class(c) if served.contains(c));
        let (cell, members) = users.iter().find(|(cell, _)| !is_served(cell))?;
        let unserved = users.keys().filter(|cell| !is_served(cell)).count();
        let name = instance_name(problem, members[0]);
        let class = cell_name(problem, *cell, Some(self.partition));
        Some((format!("{name} has nothing to depend on in {class}"), float(unserved)))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let by = &problem.partitions[self.partition].name;
        let (user, provider) = (scope_name(problem, &self.user), scope_name(problem, &self.provider));
        format!("each {by} with {user} also has {provider}")
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let (g, k, count) = model.classed(&self.user, self.partition);
        let p = model.group(&self.provider);
        Ok(Some(format!(
            "classed({g}, {k}) /\\ forall(c in 1..{count})(in_class({g}, {k}, c) > 0 -> in_class({p}, {k}, c) > 0)"
        )))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        is_unclassed(problem, &self.user, self.partition, component, machine)
    }
}
