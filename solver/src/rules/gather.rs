//! Gather: all instances share one host or one class.

use super::cells::{cells, is_unclassed};
use super::wording::{cell_kind, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, scope_of};
use crate::rule::Gather;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Gather {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        self.partition.map_or(Ok(()), |p| index(what, p, problem.partitions.len()))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        match cells(problem, assignment, &self.scope, self.partition) {
            Err(what) => Some((what, 1.0)),
            Ok(cells) => (cells.len() > 1).then(|| {
                let size: usize = cells.values().map(Vec::len).sum();
                let largest = cells.values().map(Vec::len).max().unwrap_or(0);
                (format!("they are in {} places, not in one", cells.len()), float(size - largest))
            }),
        }
    }

    fn sentence(&self, problem: &Problem) -> String {
        let scope = scope_name(problem, &self.scope);
        format!("all of {scope} share one {}", cell_kind(problem, self.partition))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let g = model.group(&self.scope);
        let (known, cell) = match self.partition {
            None => ("true".to_owned(), "at".to_owned()),
            Some(p) => (format!("classed({g}, {})", model.classes(p)), model.classes(p)),
        };
        let of = |s: &str| {
            if self.partition.is_some() { format!("{cell}[at[{s}]]") } else { format!("at[{s}]") }
        };
        let same = format!("{} = {}", of("s"), of("t"));
        Ok(Some(format!("{known} /\\ forall(s, t in {g} where s < t)(at[s] = 0 \\/ at[t] = 0 \\/ {same})")))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        self.partition.is_some_and(|p| is_unclassed(problem, &self.scope, p, component, machine))
    }
}
