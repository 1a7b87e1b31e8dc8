//! Spread: instances are spread over the classes of a partition.

use super::cells::{cell_name, cells, is_unclassed};
use super::wording::{limit_text as limit_words, scope_name};
use super::{Broken, Relaxable, Rule, float};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::limit::Limit;
use crate::minizinc_text::{MinizincError, Writer};
use crate::minizinc_text::{and, limit_text};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, limit_of, scope_of};
use crate::rule::Spread;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

impl Rule for Spread {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        index(what, self.partition, problem.partitions.len())?;
        self.max_in_class.iter().chain(&self.min_distinct).try_for_each(|limit| limit_of(what, limit))
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let cells = match cells(problem, assignment, &self.scope, Some(self.partition)) {
            Ok(cells) => cells,
            Err(what) => return Some((what, 1.0)),
        };
        let size = cells.values().map(Vec::len).sum();
        if let Some(limit) = self.max_in_class.as_ref().map(|l| l.at(size))
            && let Some((cell, members)) = cells.iter().find(|(_, members)| float(members.len()) > limit)
        {
            let class = cell_name(problem, *cell, Some(self.partition));
            let excess = cells.values().map(|members| (float(members.len()) - limit).max(0.0)).sum();
            return Some((
                format!("{} of {size} are in {class}, at most {limit} may be", members.len()),
                excess,
            ));
        }
        let distinct = cells.len();
        let limit = self.min_distinct.as_ref()?.at(size);
        (float(distinct) < limit).then(|| {
            (format!("{distinct} classes are used, at least {limit} have to be"), limit - float(distinct))
        })
    }

    fn sentence(&self, problem: &Problem) -> String {
        let (by, scope) = (&problem.partitions[self.partition].name, scope_name(problem, &self.scope));
        let most = self.max_in_class.iter();
        let most = most.map(|l| format!("at most {} of {scope} share one {by}", limit_words(l)));
        let least = self.min_distinct.iter();
        let least = least.map(|l| format!("{scope} use at least {} different {by}", limit_words(l)));
        most.chain(least).collect::<Vec<_>>().join(" and ")
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let (g, k, count) = model.classed(&self.scope, self.partition);
        let mut all = vec![format!("classed({g}, {k})")];
        if let Some(limit) = &self.max_in_class {
            let limit = limit_text(limit, &g, 1.0, f64::floor);
            all.push(format!("forall(c in 1..{count})(in_class({g}, {k}, c) <= {limit})"));
        }
        if let Some(limit) = &self.min_distinct {
            let distinct = format!("sum(c in 1..{count})(bool2int(in_class({g}, {k}, c) > 0))");
            all.push(format!("{distinct} >= {}", limit_text(limit, &g, 1.0, f64::ceil)));
        }
        Ok(Some(and(&all)))
    }

    fn refuses(&self, problem: &Problem, component: ComponentIndex, machine: MachineIndex) -> bool {
        is_unclassed(problem, &self.scope, self.partition, component, machine)
    }

    fn relaxable(&self) -> Option<Relaxable> {
        (self.max_in_class.is_some() && self.min_distinct.is_none()).then_some(Relaxable::Counted)
    }

    fn with_limit(&self, limit: f64) -> Option<Constraint> {
        Some(Constraint::Spread(Self { max_in_class: Some(Limit::Constant(limit)), ..self.clone() }))
    }
}
