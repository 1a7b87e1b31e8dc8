//! Rules over ranges of versions, turned into rules over components.
//!
//! A version is a component with a [`Release`]. Versions are judged as EDOS judges packages: a dependency is met by
//! every component that is, or provides, the package in the range, and a conflict excludes all of those but the
//! component itself (Mancinelli et al., "Managing the complexity of large free and open source package-based software
//! distributions", ASE 2006). Engines see only the lowered rules, under the same names; the checker judges the ranges
//! themselves. Read next: `rules/needs.rs`.

use crate::constraint::Constraint;
use crate::problem::{Named, Problem};
pub use crate::release::{Provided, Release, Version, VersionReq, Wanted};
use crate::rules::table::meaning;
use std::borrow::Cow;

/// Returns the problem with rules over ranges of versions turned into rules over components.
///
/// A rule may become several, all under its name.
#[must_use]
pub fn lowered(problem: &Problem) -> Cow<'_, Problem> {
    let lower = |named: &Named<Constraint>| meaning(&named.item).lowered(problem);
    if problem.constraints.iter().all(|named| lower(named).is_none()) {
        return Cow::Borrowed(problem);
    }
    let mut other = problem.clone();
    let renamed = |named: &Named<Constraint>| {
        let rules = lower(named).unwrap_or_else(|| vec![named.item.clone()]);
        rules.into_iter().map(|rule| Named::new(named.name.clone(), rule)).collect::<Vec<_>>()
    };
    other.constraints = problem.constraints.iter().flat_map(renamed).collect();
    Cow::Owned(other)
}
