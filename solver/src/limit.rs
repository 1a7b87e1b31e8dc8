//! Limits of rules, and how a value is compared with one.

pub use rhizo_types::spec::Comparison;
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
