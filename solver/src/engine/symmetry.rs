//! Whether the instances of a component may be exchanged for one another in a problem.

use crate::constraint::Constraint;
use crate::objective::{Measure, Of};
use crate::problem::Problem;
use crate::rules::table::meaning;
use crate::scope::Scope;

/// Whether it matters which instance of a component runs on which host, beyond staying or moving.
///
/// When it does not, engines choose hosts first and ordinals follow ([`crate::Assignment::from_hosts`]).
pub(crate) fn tells_instances_apart(problem: &Problem) -> bool {
    let single = |scope: &Scope| matches!(scope, Scope::Instances(_));
    let measures_single = |measure: &Measure| match measure {
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => single(other),
        _ => false,
    };
    let utility_does =
        |of: &Of| matches!(of, Of::Group { scope, measure } if single(scope) || measures_single(measure));
    let rule_does = |rule: &Constraint| meaning(rule).tells_instances_apart();
    // Transient resources are held on the old host by instances that move, not by those that end.
    let running = problem.components.iter().any(|c| c.current.iter().flatten().next().is_some());
    (running && problem.resources.iter().any(|r| r.transient))
        || problem.migration.per_pair != 0.0
        || problem.constraints.iter().any(|named| rule_does(&named.item))
        || problem.utilities.iter().any(|named| utility_does(&named.item.of))
        || problem.costs.iter().any(|named| single(&named.item.scope) || measures_single(&named.item.measure))
}
