//! The meaning of hard rules: the trait that every rule implements.
//!
//! One file for each kind of rule, named after its declaration in [`crate::rule`], has the whole meaning of that rule.
//! The checker works from the definition alone and shares no arithmetic with the MiniZinc form beside it or with the
//! encodings of the engines, so that a mistake in one of them shows as a difference. Encodings that need the state of
//! an engine stay with that engine. Read next: `table.rs`, the list of all rules.

mod alternatives;
mod apart;
mod ban;
mod bound;
mod breaks;
mod budget;
mod cells;
mod conflict;
mod count;
mod depends_on;
mod displaced;
mod each;
mod everywhere;
mod gather;
mod linear;
mod lonely;
mod max_online;
mod moves;
mod needs;
mod neighbour;
pub(crate) mod overbook;
pub(crate) mod preserve;
mod quarantine;
mod require;
mod reserve;
mod root;
pub(crate) mod split;
mod spread;
mod survive;
pub(crate) mod table;
mod together;
pub(crate) mod unknown;
mod versions;
mod wording;

use crate::assignment::Assignment;
use crate::constraint::Constraint;
use crate::minizinc_text::{MinizincError, Writer};
use crate::objective::Measure;
use crate::problem::Problem;
use crate::problem_error::Checked;
use crate::scope::{ComponentIndex, MachineIndex, Scope};

/// The largest excess of a sum of needs over a capacity that counts as rounding, relative to the capacity.
///
/// Sums of a few thousand `f64` differ by about 1e-13 with their order; this is far above that and far below any unit.
pub(crate) const CAPACITY_TOLERANCE: f64 = 1e-9;

/// Why a rule is broken, as a sentence fragment, and by how much.
///
/// The amount is above zero and about 1 for each instance that would have to change.
pub(crate) type Broken = (String, f64);

/// The way in which a rule can be relaxed, for the explanation of a conflict.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Relaxable {
    /// The rule is an upper limit of a measure: the least value of the measure is the limit that can be met.
    Measured(Scope, Measure),
    /// The rule is an upper limit of a small count: limits are tried from 1 upwards.
    Counted,
}

/// The meaning of one hard rule.
pub(crate) trait Rule {
    /// Calls `visit` with every scope that the rule names, whole components included.
    fn visit_scopes(&self, visit: &mut dyn FnMut(&Scope));

    /// Calls `visit` with scopes that hold every instance whose host can change whether the rule is kept.
    ///
    /// Too large a scope costs time, too small a one lets a broken rule go unnoticed.
    fn visit_dependencies(&self, visit: &mut dyn FnMut(&Scope)) {
        self.visit_scopes(visit);
    }

    /// Whether it matters to the rule which instance of a component runs on which host.
    fn tells_instances_apart(&self) -> bool {
        let mut any = false;
        self.visit_scopes(&mut |scope| any |= matches!(scope, Scope::Instances(_)));
        any
    }

    /// Refuses a declaration that makes no sense for the problem; `what` names the rule.
    ///
    /// # Errors
    /// The first field found wrong.
    fn validate(&self, problem: &Problem, what: &str) -> Checked;

    /// Why an assignment breaks the rule, from its definition; none when the rule is kept.
    fn broken(&self, problem: &Problem, assignment: &Assignment) -> Option<Broken>;

    /// The demand of the rule, in the names of the problem; one clause without a full stop.
    fn sentence(&self, problem: &Problem) -> String;

    /// The MiniZinc constraint; none when the rule is part of the built-in constraints.
    ///
    /// # Errors
    /// [`MinizincError::Unknown`] with the rule's `name` when MiniZinc cannot express it.
    fn minizinc(&self, model: &Writer, name: &str) -> Result<Option<String>, MinizincError>;

    /// Whether the rule forbids every instance of a component on a machine, in every placement of the others.
    fn refuses(&self, _problem: &Problem, _component: ComponentIndex, _machine: MachineIndex) -> bool {
        false
    }

    /// The rules over components that engines see in place of this one; none when they see the rule itself.
    fn lowered(&self, _problem: &Problem) -> Option<Vec<Constraint>> {
        None
    }

    /// The way in which the rule can be relaxed to another limit; none when it can only be left out.
    fn relaxable(&self) -> Option<Relaxable> {
        None
    }

    /// The rule with another upper limit; none when it has no limit.
    fn with_limit(&self, _limit: f64) -> Option<Constraint> {
        None
    }
}

/// Converts a count; counts stay far below 2^53, so the conversion is exact.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn float(n: usize) -> f64 {
    n as f64
}
