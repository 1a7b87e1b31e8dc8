//! A broken rule, as the checker reports it.

use crate::rules::Broken;
use serde::{Deserialize, Serialize};

/// A rule that an assignment breaks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's name; built-in ones are in square brackets.
    pub rule: String,
    /// The reason, as a sentence fragment with names and numbers.
    pub what: String,
    /// The distance from keeping the rule: above zero, about 1 for each instance that would have to change.
    pub amount: f64,
}

impl Violation {
    pub(super) fn new(rule: &str, (what, amount): Broken) -> Self {
        Self { rule: rule.to_owned(), what, amount }
    }
}
