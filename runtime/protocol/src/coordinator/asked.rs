//! The question as an operator asks it: about the spec in force, or about one that is not in force yet.
//!
//! It decides nothing; the question is made by [`question`], as for the coordinator's own runs.

use super::question::question;
use super::{Coordinator, View, control};
use crate::request::SolveRequest;
use rhizo_types::ledger::{Command, SetSpec};
use rhizo_types::spec::Spec;
use rhizo_types::target::Cause;

/// The question about a spec that is not in force yet, or about the one in force, as an operator asks it.
///
/// None when no spec is in force and none is given, and when the ledger would refuse the spec.
pub(crate) fn asked(
    wanted: Option<Spec>,
    coordinator: Option<&Coordinator>,
    view: View<'_>,
) -> Option<SolveRequest> {
    let is_new = |spec: &Spec| view.ledger.spec() != Some(spec) || !view.ledger.unwound.is_empty();
    let Some(spec) = wanted.filter(is_new) else {
        let cause = control::urgent(coordinator, view).unwrap_or(Cause::Better);
        return question(cause, coordinator, view);
    };
    let mut ahead = view.ledger.clone();
    let set = SetSpec { revision: ahead.spec_revision().next(), spec, source: String::new() };
    ahead.foresee(&Command::SetSpec(Box::new(set))).ok()?;
    question(Cause::SpecChanged, coordinator, View { ledger: &ahead, ..view })
}
