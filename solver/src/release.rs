//! Versions of packages, and what one package wants of another.
//!
//! [`mod@crate::versions`] turns rules over them into rules over components; `rules/needs.rs` has their meaning.

pub use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

/// The package and version that a component is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The package; the components of one package are its versions.
    pub package: String,
    /// The version, as semantic versioning writes it.
    pub version: Version,
    /// Other packages that the release provides.
    #[serde(default)]
    pub provides: Vec<Provided>,
}

/// A package that a release provides beside its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provided {
    /// The name of the provided package.
    pub package: String,
    /// The provided version; none satisfies only a range of `*`.
    #[serde(default)]
    pub version: Option<Version>,
}

/// A package in a range of versions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The package, which may be provided by another one.
    pub package: String,
    /// The range, for example `>=1.2, <3`; `*` is any version.
    pub range: VersionReq,
}

impl Wanted {
    /// Whether a release is, or provides, the package in the range.
    #[must_use]
    pub fn is_met_by(&self, release: &Release) -> bool {
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
