//! The errors of validation, and the checks of single fields that return them.
//!
//! [`mod@crate::validate`] applies them to a problem, and each rule in `rules/` to its own fields.

use crate::limit::Limit;
use crate::objective::Measure;
use crate::problem::Problem;
use crate::scope::Scope;
use std::collections::BTreeSet;
use thiserror::Error;

/// The most machines of a problem: ten times the largest published benchmark, with room.
pub const MACHINES_MAX: usize = 200_000;
/// The most instances of a problem.
pub const INSTANCES_MAX: u64 = 2_000_000;
/// Largest weight of a linear rule; with [`INSTANCES_MAX`] instances, sums stay exact in `f64` and `i64`.
pub const WEIGHT_MAX: u64 = 1 << 30;

/// Largest number of a problem: sums and products of two of them over [`INSTANCES_MAX`] instances stay finite.
pub const NUMBER_MAX: f64 = 1e100;

/// Why a problem cannot be posed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ProblemError {
    /// A number is NaN or infinite.
    #[error("accept {what}: the number is not finite")]
    NotFinite {
        /// The place in the problem.
        what: String,
    },
    /// A number is so large that sums of such numbers would not be finite.
    #[error("accept {what}: the number is beyond {NUMBER_MAX}")]
    Huge {
        /// The place in the problem.
        what: String,
    },
    /// A number that must not be negative is.
    #[error("accept {what}: the number is negative")]
    Negative {
        /// The place in the problem.
        what: String,
    },
    /// A list does not have one entry for each machine, resource or site.
    #[error("accept {what}: it has {have} entries, not {want}")]
    Length {
        /// Which list.
        what: String,
        /// Its length.
        have: usize,
        /// The length it must have.
        want: usize,
    },
    /// An index names nothing.
    #[error("accept {what}: there is no number {index}, only {count} exist")]
    Index {
        /// The place in the problem.
        what: String,
        /// The index.
        index: usize,
        /// The number of things that an index may name.
        count: usize,
    },
    /// A range is empty.
    #[error("accept {what}: {min} is more than {max}")]
    EmptyRange {
        /// The place in the problem.
        what: String,
        /// Its lower end.
        min: u32,
        /// Its upper end.
        max: u32,
    },
    /// Two things have the same name.
    #[error("accept the name `{name}`: it is used twice")]
    SameName {
        /// The name.
        name: String,
    },
    /// A list of instances or components holds one of them twice.
    #[error("accept {what}: it names the same instance or component twice")]
    Twice {
        /// The place in the problem.
        what: String,
    },
    /// The best value of a utility is also its worst.
    #[error("accept utility `{name}`: its best and worst values are the same")]
    NoScale {
        /// The utility's name.
        name: String,
    },
    /// A rule names a package that no component is a version of.
    #[error("accept {what}: no component is a version of `{package}`")]
    NoPackage {
        /// The place in the problem.
        what: String,
        /// The package.
        package: String,
    },
    /// The problem has more of something than the solver accepts.
    #[error("accept {have} {what}: at most {max} are")]
    TooLarge {
        /// The things that the problem has too many of.
        what: &'static str,
        /// Their number.
        have: u64,
        /// The limit.
        max: u64,
    },
}

/// The result of checking a field.
pub(crate) type Checked = Result<(), ProblemError>;

/// A count is at most `max`.
pub(crate) fn at_most(what: &'static str, have: u64, max: u64) -> Checked {
    if have > max { Err(ProblemError::TooLarge { what, have, max }) } else { Ok(()) }
}

/// A number is finite and not beyond [`NUMBER_MAX`].
pub(crate) fn finite(what: impl Into<String>, value: f64) -> Checked {
    if !value.is_finite() {
        return Err(ProblemError::NotFinite { what: what.into() });
    }
    if value.abs() > NUMBER_MAX { Err(ProblemError::Huge { what: what.into() }) } else { Ok(()) }
}

/// A number is finite and not negative.
pub(crate) fn amount(what: impl Into<String>, value: f64) -> Checked {
    let what = what.into();
    finite(what.clone(), value)?;
    if value < 0.0 { Err(ProblemError::Negative { what }) } else { Ok(()) }
}

/// A list has the expected number of entries.
pub(crate) fn length(what: impl Into<String>, have: usize, want: usize) -> Checked {
    if have == want { Ok(()) } else { Err(ProblemError::Length { what: what.into(), have, want }) }
}

/// A list has the expected number of entries, or none.
pub(crate) fn length_or_empty(what: impl Into<String>, have: usize, want: usize) -> Checked {
    if have == 0 { Ok(()) } else { length(what, have, want) }
}

/// An index is below the number of things it may name.
pub(crate) fn index(what: impl Into<String>, index: usize, count: usize) -> Checked {
    if index < count { Ok(()) } else { Err(ProblemError::Index { what: what.into(), index, count }) }
}

/// A range is not empty.
pub(crate) fn range(what: impl Into<String>, min: u32, max: u32) -> Checked {
    if min <= max { Ok(()) } else { Err(ProblemError::EmptyRange { what: what.into(), min, max }) }
}

/// A scope names existing components and instances, none of them twice.
pub(crate) fn scope_of(p: &Problem, what: &str, scope: &Scope) -> Checked {
    match scope {
        Scope::All => Ok(()),
        Scope::Component(c) => index(what, *c, p.components.len()),
        Scope::Components(cs) => {
            cs.iter().try_for_each(|c| index(what, *c, p.components.len()))?;
            once(what, cs)
        }
        Scope::Instances(instances) => {
            instances.iter().try_for_each(|(c, ordinal)| {
                index(what, *c, p.components.len())?;
                let component = &p.components[*c];
                index(what, *ordinal, component.current.len().max(component.replicas_max as usize))
            })?;
            once(what, instances)
        }
    }
}

/// A list holds nothing twice.
fn once<T: Ord>(what: &str, list: &[T]) -> Checked {
    let distinct: BTreeSet<&T> = list.iter().collect();
    if distinct.len() == list.len() { Ok(()) } else { Err(ProblemError::Twice { what: what.to_owned() }) }
}

/// A measure names existing partitions, quantities and resources.
pub(crate) fn measure_of(p: &Problem, what: &str, measure: &Measure) -> Checked {
    match measure {
        Measure::Size
        | Measure::Hosts
        | Measure::DiameterMs
        | Measure::AnchorLatencyMs
        | Measure::Price
        | Measure::TotalPrice => Ok(()),
        Measure::PairLatencyMs(other) | Measure::MeanPairLatencyMs(other) => scope_of(p, what, other),
        Measure::Distinct(partition) => index(what, *partition, p.partitions.len()),
        Measure::Count(mask) | Measure::Share(mask) => length(what, mask.len(), p.machines.len()),
        Measure::Sum(quantity) | Measure::Average(quantity) => index(what, *quantity, p.quantities.len()),
        Measure::Overload { resource } => index(what, *resource, p.resources.len()),
        Measure::Imbalance { first, second, target } => {
            index(what, *first, p.resources.len())?;
            index(what, *second, p.resources.len())?;
            amount(what, *target)
        }
    }
}

/// A limit has at least one value, and all are finite.
pub(crate) fn limit_of(what: &str, limit: &Limit) -> Checked {
    match limit {
        Limit::Constant(value) => finite(what, *value),
        Limit::BySize(values) if values.is_empty() => length(what, 0, 1),
        Limit::BySize(values) => values.iter().try_for_each(|v| finite(what, *v)),
    }
}
