//! The value of an attribute: a number or a word.
//!
//! It has no unit of its own; the documentation of the attribute states the unit. Read next: [`crate::provider`],
//! whose offers carry these values.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A figure or a word that describes an offer or a host.
#[derive(Clone, PartialEq, PartialOrd, Debug, Serialize, Deserialize)]
pub enum Value {
    /// A finite number in the unit that the attribute's documentation states.
    Number(f64),
    /// A word, compared for equality only.
    Text(String),
}

impl Value {
    /// The number, when it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => f.pad(text),
        }
    }
}
