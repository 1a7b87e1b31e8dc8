//! Preserve: instances get a least amount of a resource, even if they need less.
//!
//! The built-in capacity check judges it: the rule changes what an instance needs.

use super::wording::scope_name;
use super::{Broken, Rule};
use crate::assignment::Assignment;
use crate::assignment::Instance;
use crate::constraint::Constraint;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, amount, index, scope_of};
use crate::rule::Preserve;
use crate::scope::Scope;
use std::collections::BTreeMap;

impl Rule for Preserve {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&self.scope);
    }

    /// The rule itself is never broken.
    fn visit_dependencies(&self, _visit: &mut dyn FnMut(&Scope)) {}

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        scope_of(problem, what, &self.scope)?;
        index(what, self.resource, problem.resources.len())?;
        amount(what, self.amount)
    }

    fn broken(&self, _problem: &Problem, _assignment: &Assignment) -> Option<Broken> {
        None
    }

    fn sentence(&self, problem: &Problem) -> String {
        let (scope, resource) = (scope_name(problem, &self.scope), &problem.resources[self.resource].name);
        format!("{scope} get at least {} of {resource}", self.amount)
    }

    /// The built-in capacity constraint contains it.
    fn minizinc(&self, _model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        Ok(None)
    }
}

/// The need of each instance of one resource, preserve rules included.
///
/// Rules that list single instances are indexed once: large problems have thousands of them.
pub(crate) fn effective_needs(problem: &Problem, resource: usize) -> impl Fn(Instance) -> f64 + '_ {
    let mut least_of: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut wide = Vec::new();
    for named in &problem.constraints {
        if let Constraint::Preserve(rule) = &named.item
            && rule.resource == resource
        {
            if let Scope::Instances(instances) = &rule.scope {
                for key in instances {
                    let least = least_of.entry(*key).or_insert(rule.amount);
                    *least = least.max(rule.amount);
                }
            } else {
                wide.push((&rule.scope, rule.amount));
            }
        }
    }
    move |instance| {
        let Instance { component, ordinal } = instance;
        let own = problem.components[component].need(ordinal, resource);
        let least = least_of.get(&(component, ordinal)).copied().unwrap_or(0.0);
        let wide = wide.iter().filter(|(scope, _)| scope.contains(component, ordinal));
        wide.map(|(_, amount)| *amount).fold(own.max(least), f64::max)
    }
}
