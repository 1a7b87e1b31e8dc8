//! Versions: a limit of how many versions of a package run.

use super::{Broken, Rule, float};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::minizinc_text::{MinizincError, Writer};
use crate::problem::Problem;
use crate::problem_error::{Checked, ProblemError};
use crate::rule::{Alternatives, Versions};
use crate::scope::{ComponentIndex, Scope};
use std::collections::BTreeSet;

impl Rule for Versions {
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope)) {
        visit(&Scope::All);
    }

    fn validate(&self, problem: &Problem, what: &str) -> Checked {
        if of_package(problem, &self.package).is_empty() {
            return Err(ProblemError::NoPackage { what: what.to_owned(), package: self.package.clone() });
        }
        Ok(())
    }

    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken> {
        let running = problem.components.iter().enumerate().filter(|(c, _)| assignment.count(*c) > 0);
        let releases = running.filter_map(|(_, c)| c.release.as_ref());
        let versions: BTreeSet<_> =
            releases.filter(|release| release.package == self.package).map(|r| &r.version).collect();
        let (have, max) = (versions.len(), self.max as usize);
        (have > max).then(|| {
            let list: Vec<String> = versions.iter().map(ToString::to_string).collect();
            let what = format!("versions {} of {} run, at most {max} may", list.join(", "), self.package);
            (what, float(have - max))
        })
    }

    fn sentence(&self, _problem: &Problem) -> String {
        match self.max {
            1 => format!("one version of {} runs at a time", self.package),
            max => format!("at most {max} versions of {} run at a time", self.package),
        }
    }

    /// Ranges of versions are lowered before a model is written.
    fn minizinc(&self, _model: &Writer, name: &str) -> Result<Option<String>, MinizincError> {
        Err(MinizincError::Unknown { name: name.to_owned(), why: "ranges of versions" })
    }

    fn lowered(&self, problem: &Problem) -> Option<Vec<Constraint>> {
        let components = of_package(problem, &self.package);
        Some(vec![Constraint::Alternatives(Alternatives { components, min: 0, max: self.max })])
    }
}

/// The components that are versions of a package.
fn of_package(problem: &Problem, package: &str) -> Vec<ComponentIndex> {
    let releases = problem.components.iter().map(|c| c.release.as_ref());
    let is_one = releases.map(|release| release.is_some_and(|release| release.package == package));
    is_one.enumerate().filter(|(_, is_one)| *is_one).map(|(index, _)| index).collect()
}
