//! Survive: enough instances are left whichever single class is lost.

use super::cells::{cell_name, cells, is_unclassed};
use super::wording::{limit_text as limit_words, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::limit_text;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, limit_of, scope_of};
use crate::rule::Survive;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Survive {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        index(what, self.partition, problem.partitions.len())?;
        limit_of(what, &self.min_left)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let cells = match cells(problem, assignment, &self.scope, Some(self.partition)) {
            Ok(cells) => cells,
            Err(what) => return Some((what, 1.0)),
        };
        let size: usize = cells.values().map(Vec::len).sum();
        let limit = self.min_left.at(size);
        let largest = cells.iter().max_by_key(|(_, members)| members.len());
        let (lost, place) = largest.map_or((0, "nothing".to_owned()), |(cell, members)| {
            (members.len(), cell_name(problem, *cell, Some(self.partition)))
        });
        let left = size - lost;
        (float(left) < limit).then(|| {
            let what = format!("{left} are left when {place} is lost, at least {limit} have to be");
            (what, limit - float(left))
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        let (by, scope) = (&problem.partitions[self.partition].name, scope_name(problem, &self.scope));
        format!("at least {} of {scope} are left whichever {by} is lost", limit_words(&self.min_left))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let (g, k, count) = model.classed(&self.scope, self.partition);
        let left = limit_text(&self.min_left, &g, 1.0, f64::ceil);
        Ok(Some(format!(
            "classed({g}, {k}) /\\ size({g}) >= {left} /\\ forall(c in 1..{count})(size({g}) - in_class({g}, {k}, c) >= {left})"
        )))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        is_unclassed(problem, &self.scope, self.partition, component, machine)
    }
}
