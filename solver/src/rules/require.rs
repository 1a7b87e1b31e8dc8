//! Require: the number of users is tied to the number of providers.

use super::wording::component_name;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index};
use crate::rule::Require;
use crate::scope::Scope;

impl Rule for Require {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::Component(self.user));
        visit(&Scope::Component(self.provider));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        index(what, self.user, problem.components.len())?;
        index(what, self.provider, problem.components.len())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        // Counts are at most `INSTANCES_MAX` and factors 32 bits, so products stay below 2^53 and `f64` is exact.
        let (users, providers) = (assignment.count(self.user) as u64, assignment.count(self.provider) as u64);
        let (wanted, share) = (users * u64::from(self.per_user), u64::from(self.per_provider));
        let (u, p) = (component_name(problem, self.user), component_name(problem, self.provider));
        // In providers, with fractions, so that one user more or less already counts as progress.
        let amount = |shares: u64| {
            let shares = float(usize::try_from(shares).unwrap_or(usize::MAX));
            shares / float(self.per_provider.max(1) as usize)
        };
        if wanted > providers * share {
            let short = amount(wanted - providers * share);
            return Some((format!("{users} of {u} need more than {providers} of {p}"), short));
        }
        // The last provider is needed from this number of shares on.
        let least = providers.saturating_sub(1) * share + 1;
        (self.exactly && providers > 0 && wanted < least)
            .then(|| (format!("{users} of {u} need fewer than {providers} of {p}"), amount(least - wanted)))
    }

    fn sentence(&self, problem: &Problem) -> String {
        let only = if self.exactly { "just " } else { "" };
        let (u, p) = (component_name(problem, self.user), component_name(problem, self.provider));
        format!("{only}{} share of {p} for each {u}, {} shares in each {p}", self.per_user, self.per_provider)
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let (u, p) = (model.count(self.user), model.count(self.provider));
        let (per_user, per_provider) = (self.per_user, self.per_provider);
        let spare = format!("({p} = 0 \\/ {per_user} * {u} > ({p} - 1) * {per_provider})");
        let enough = format!("{per_user} * {u} <= {per_provider} * {p}");
        Ok(Some(if self.exactly { format!("{enough} /\\ {spare}") } else { enough }))
    }
}
