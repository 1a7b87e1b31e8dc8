//! Lonely: the hosts of some instances run no others.

use super::wording::{instance_name, scope_name};
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::assignment::Place;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, scope_of};
use crate::rule::Lonely;
use crate::scope::Scope;
use std::collections::BTreeSet;

impl Rule for Lonely {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    /// Any other instance can come to a host of the scope.
    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let own: BTreeSet<Place> = assignment.in_scope(&self.scope).into_iter().map(|(_, p)| p).collect();
        let is_other = |component, ordinal| !self.scope.contains(component, ordinal);
        let mut others =
            assignment.iter().filter(|(i, p)| own.contains(p) && is_other(i.component, i.ordinal));
        let (other, place) = others.next()?;
        let host = &problem.machines[place.machine].name;
        let what = format!("{} runs on {host}, which is to be theirs alone", instance_name(problem, other));
        Some((what, float(1 + others.count())))
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("{} share a host with nothing else", scope_name(problem, &self.scope))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let g = model.group(&self.scope);
        Ok(Some(format!(
            "forall(s in {g}, t in 1..S where not (t in array2set({g})))(at[s] = 0 \\/ at[s] != at[t])"
        )))
    }
}
