//! Alternatives: a range of how many of some components have instances.

use super::count::outside;
use super::wording::names;
use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::minizinc_text::sum;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, index, range};
use crate::rule::Alternatives;
use crate::scope::Scope;

impl Rule for Alternatives {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        self.components.iter().for_each(|component| visit(&Scope::Component(*component)));
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        self.components.iter().try_for_each(|component| index(what, *component, problem.components.len()))?;
        range(what, self.min, self.max)
    }

    /// Of too many components, all instances of the ones that have fewest would have to end.
    fn broken(&self, _problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let counts = self.components.iter().map(|c| assignment.count(*c)).filter(|n| *n > 0);
        let mut counts: Vec<usize> = counts.collect();
        let (what, _) = outside(counts.len(), self.min, self.max, "of the alternatives")?;
        counts.sort_unstable();
        let beyond = counts.len().saturating_sub(self.max as usize);
        let missing = (self.min as usize).saturating_sub(counts.len());
        Some((what, float(missing + counts[..beyond].iter().sum::<usize>())))
    }

    fn sentence(&self, problem: &Problem) -> String {
        format!("{} to {} of {} run", self.min, self.max, names(problem, &self.components))
    }

    fn minizinc(&self, model: &Writer, _name: &str) -> Result<Option<String>, MinizincError> {
        let running = sum(self.components.iter().map(|c| model.runs(*c)));
        Ok(Some(format!("{running} in {}..{}", self.min, self.max)))
    }
}
