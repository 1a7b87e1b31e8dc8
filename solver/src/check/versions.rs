//! Checkers of the rules over ranges of versions, from the ranges themselves.
//!
//! Engines see these rules turned into others ([`crate::versions::lowered`]); nothing of that is used here.

use super::{Broken, float};
use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::problem::{Component, Problem};
use std::collections::BTreeSet;

/// Why an assignment breaks such a rule; nothing for other rules.
pub(super) fn broken(problem: &Problem, assignment: &Assignment, rule: &Constraint) -> Option<Broken> {
    let running: Vec<(usize, &Component)> =
        problem.components.iter().enumerate().filter(|(c, _)| assignment.count(*c) > 0).collect();
    match rule {
        Constraint::Versions { package, max } => {
            let releases = running.iter().filter_map(|(_, c)| c.release.as_ref());
            let versions: BTreeSet<_> =
                releases.filter(|r| r.package == *package).map(|r| &r.version).collect();
            let (have, max) = (versions.len(), *max as usize);
            (have > max).then(|| {
                let list: Vec<String> = versions.iter().map(ToString::to_string).collect();
                (
                    format!("versions {} of {package} run, at most {max} may", list.join(", ")),
                    float(have - max),
                )
            })
        }
        Constraint::Needs { component, any_of } => {
            let unmet = assignment.count(*component) > 0
                && !running.iter().any(|(_, c)| any_of.iter().any(|wanted| wanted.is_met_by(c)));
            unmet.then(|| {
                let name = &problem.components[*component].name;
                (format!("{name} runs without any version it depends on"), 1.0)
            })
        }
        Constraint::Breaks { component, wanted } if assignment.count(*component) > 0 => {
            let (_, other) = running.iter().find(|(c, other)| c != component && wanted.is_met_by(other))?;
            Some((format!("{} and {} both run", problem.components[*component].name, other.name), 1.0))
        }
        _ => None,
    }
}
