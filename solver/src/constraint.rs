//! The enum of all hard rules of a problem.
//!
//! It only gathers the declarations of [`crate::rule`]. A new kind of rule is its declaration there, a file in `rules/`
//! with its meaning, and its line in `rules/table.rs`. Read next: `rules.rs`.

pub use crate::limit::{Comparison, Limit};
use crate::rule;
pub use crate::scope::Scope;
use serde::{Deserialize, Serialize};

/// A hard rule: an assignment that breaks it is never returned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// See [`rule::Each`].
    Each(rule::Each),
    /// See [`rule::Bound`].
    Bound(rule::Bound),
    /// See [`rule::Spread`].
    Spread(rule::Spread),
    /// See [`rule::Apart`].
    Apart(rule::Apart),
    /// See [`rule::Gather`].
    Gather(rule::Gather),
    /// See [`rule::Split`].
    Split(rule::Split),
    /// See [`rule::Lonely`].
    Lonely(rule::Lonely),
    /// See [`rule::Together`].
    Together(rule::Together),
    /// See [`rule::Everywhere`].
    Everywhere(rule::Everywhere),
    /// See [`rule::Root`].
    Root(rule::Root),
    /// See [`rule::Quarantine`].
    Quarantine(rule::Quarantine),
    /// See [`rule::MaxOnline`].
    MaxOnline(rule::MaxOnline),
    /// See [`rule::Overbook`].
    Overbook(rule::Overbook),
    /// See [`rule::Preserve`].
    Preserve(rule::Preserve),
    /// See [`rule::Require`].
    Require(rule::Require),
    /// See [`rule::Linear`].
    Linear(rule::Linear),
    /// See [`rule::Alternatives`].
    Alternatives(rule::Alternatives),
    /// See [`rule::DependsOn`].
    DependsOn(rule::DependsOn),
    /// See [`rule::Conflict`].
    Conflict(rule::Conflict),
    /// See [`rule::Neighbour`].
    Neighbour(rule::Neighbour),
    /// See [`rule::Budget`].
    Budget(rule::Budget),
    /// See [`rule::Moves`].
    Moves(rule::Moves),
    /// See [`rule::Survive`].
    Survive(rule::Survive),
    /// See [`rule::Reserve`].
    Reserve(rule::Reserve),
    /// See [`rule::Versions`].
    Versions(rule::Versions),
    /// See [`rule::Needs`].
    Needs(rule::Needs),
    /// See [`rule::Breaks`].
    Breaks(rule::Breaks),
    /// See [`rule::Count`].
    Count(rule::Count),
    /// See [`rule::Ban`].
    Ban(rule::Ban),
}
