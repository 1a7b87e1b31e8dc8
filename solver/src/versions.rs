//! Versions: several of one package, chosen together with where they run.
//!
//! A version is a component with a [`Release`]; which versions fit is judged as EDOS judges packages: a dependency
//! is met by whatever is, or provides, the package in the range, a conflict excludes all of that but the component
//! itself (Mancinelli et al., "Managing the complexity of large free and open source package-based software
//! distributions", ASE 2006). Engines never see ranges: [`lowered`] turns these rules into rules about which
//! components run, under the same names. The checker judges the ranges themselves. Read next: `check/rules.rs`.

use crate::constraint::Constraint;
use crate::problem::{Component, ComponentIndex, Named, Problem};
pub use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Which version of which package a component is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The package; components of one package are versions of it.
    pub package: String,
    /// The version, as semantic versioning writes it.
    pub version: Version,
    /// What else it can stand for.
    #[serde(default)]
    pub provides: Vec<Provided>,
}

/// Something that a release can stand for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provided {
    /// The name that others ask for.
    pub package: String,
    /// In which version; none meets only those who ask for any version.
    #[serde(default)]
    pub version: Option<Version>,
}

/// A package in a range of versions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The package, or what another one provides.
    pub package: String,
    /// The range, for example `>=1.2, <3`; `*` is any version.
    pub range: VersionReq,
}

impl Wanted {
    /// Whether a component is, or provides, what is wanted.
    #[must_use]
    pub fn is_met_by(&self, component: &Component) -> bool {
        let Some(release) = &component.release else { return false };
        let is_it = release.package == self.package && self.range.matches(&release.version);
        let stands_for = |provided: &Provided| {
            let in_range = match &provided.version {
                Some(version) => self.range.matches(version),
                None => self.range == VersionReq::STAR,
            };
            provided.package == self.package && in_range
        };
        is_it || release.provides.iter().any(stands_for)
    }
}

/// The components that are, or provide, what is wanted.
pub(crate) fn meeting(problem: &Problem, wanted: &Wanted) -> Vec<ComponentIndex> {
    let all = problem.components.iter().enumerate();
    all.filter(|(_, c)| wanted.is_met_by(c)).map(|(index, _)| index).collect()
}

/// The components that are versions of a package.
pub(crate) fn of_package(problem: &Problem, package: &str) -> Vec<ComponentIndex> {
    let is_one = |c: &Component| c.release.as_ref().is_some_and(|release| release.package == package);
    let all = problem.components.iter().enumerate();
    all.filter(|(_, c)| is_one(c)).map(|(index, _)| index).collect()
}

/// The same problem with rules over ranges of versions turned into rules over components.
///
/// A rule may become several, all under its name.
#[must_use]
pub fn lowered(problem: &Problem) -> Cow<'_, Problem> {
    let over_versions = |named: &Named<Constraint>| {
        matches!(
            named.item,
            Constraint::Versions { .. } | Constraint::Needs { .. } | Constraint::Breaks { .. }
        )
    };
    if !problem.constraints.iter().any(over_versions) {
        return Cow::Borrowed(problem);
    }
    let mut other = problem.clone();
    let lower = |named: &Named<Constraint>| {
        let rules = lower(problem, &named.item);
        rules.into_iter().map(|rule| Named::new(named.name.clone(), rule)).collect::<Vec<_>>()
    };
    other.constraints = problem.constraints.iter().flat_map(lower).collect();
    Cow::Owned(other)
}

fn lower(problem: &Problem, rule: &Constraint) -> Vec<Constraint> {
    match rule {
        Constraint::Versions { package, max } => {
            vec![Constraint::Alternatives { components: of_package(problem, package), min: 0, max: *max }]
        }
        Constraint::Needs { component, any_of } => {
            let mut met: Vec<usize> = any_of.iter().flat_map(|w| meeting(problem, w)).collect();
            met.sort_unstable();
            met.dedup();
            vec![Constraint::DependsOn { component: *component, any_of: met }]
        }
        Constraint::Breaks { component, wanted } => {
            let others = meeting(problem, wanted).into_iter().filter(|other| other != component);
            others.map(|second| Constraint::Conflict { first: *component, second }).collect()
        }
        other => vec![other.clone()],
    }
}
