//! Limits of rules, and how a value is compared with one.

use serde::{Deserialize, Serialize};

/// A limit that may depend on how many instances a group has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// One limit for every number of instances.
    Constant(f64),
    /// Indexed by the number of instances in scope, from zero; the last entry holds for all larger numbers.
    BySize(Vec<f64>),
}

impl Limit {
    /// The limit for a group of `size` instances.
    #[must_use]
    pub fn at(&self, size: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::BySize(values) => values.get(size).or(values.last()).copied().unwrap_or(0.0),
        }
    }
}

/// The comparison of a value with a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

impl Comparison {
    /// Whether `value` stands in this relation to `limit`.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
            Self::Equal => value == limit,
        }
    }
}
