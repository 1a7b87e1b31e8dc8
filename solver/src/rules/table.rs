//! The table of all rules: which declaration has which meaning.

use super::Rule;
use crate::constraint::Constraint;
use crate::scope::Scope;

/// The meaning of a rule.
pub(crate) fn meaning(rule: &Constraint) -> &dyn Rule {
    match rule {
        Constraint::Each(rule) => rule,
        Constraint::Bound(rule) => rule,
        Constraint::Spread(rule) => rule,
        Constraint::Apart(rule) => rule,
        Constraint::Gather(rule) => rule,
        Constraint::Split(rule) => rule,
        Constraint::Lonely(rule) => rule,
        Constraint::Together(rule) => rule,
        Constraint::Everywhere(rule) => rule,
        Constraint::Root(rule) => rule,
        Constraint::Quarantine(rule) => rule,
        Constraint::MaxOnline(rule) => rule,
        Constraint::Overbook(rule) => rule,
        Constraint::Preserve(rule) => rule,
        Constraint::Require(rule) => rule,
        Constraint::Linear(rule) => rule,
        Constraint::Alternatives(rule) => rule,
        Constraint::DependsOn(rule) => rule,
        Constraint::Conflict(rule) => rule,
        Constraint::Neighbour(rule) => rule,
        Constraint::Budget(rule) => rule,
        Constraint::Moves(rule) => rule,
        Constraint::Survive(rule) => rule,
        Constraint::Reserve(rule) => rule,
        Constraint::Versions(rule) => rule,
        Constraint::Needs(rule) => rule,
        Constraint::Breaks(rule) => rule,
        Constraint::Count(rule) => rule,
        Constraint::Ban(rule) => rule,
    }
}

impl Constraint {
    /// The scopes that the rule names; a component that it names counts as the scope of its instances.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = Vec::new();
        meaning(self).visit_scopes(&mut |scope| scopes.push(scope.clone()));
        scopes
    }
}
