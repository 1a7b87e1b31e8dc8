//! The facts that a node believes, as an operator sees them.
//!
//! Plain records, as JSON. Read next: `node::admin::facts`, which composes them.

use serde::{Deserialize, Serialize};

/// The believed facts, by subject and attribute.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The facts.
    pub(crate) facts: Vec<FactRecord>,
    /// Number of facts that were left out because the answer has a limit.
    pub(crate) left_out: usize,
    /// The node that answered.
    pub(crate) answered_by: String,
}

/// One fact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FactRecord {
    /// `app`, `node`, `copy`, `link`, `path` or `offer`.
    pub kind: String,
    /// The thing described, such as `n2`, `web.0`, `n1 to n2`, `lab/small`.
    pub subject: String,
    /// The quantity, as expressions spell it.
    pub attribute: String,
    /// The value: a number in the unit, or a text.
    pub value: FactValue,
    /// The unit of a number; empty when it has none, or when nothing declares it.
    pub unit: String,
    /// The kind of sensor that read it, such as `host`, `emulated`, `http`; `derived` for a result of `[[derive]]`.
    pub sensor: String,
    /// The node that measured it, or the catalogue that lists it; empty for a derived fact.
    pub source: String,
    /// Milliseconds since the answering node received it last. A derived fact has the age of its computation: zero.
    pub age_ms: u64,
}

/// The value of a fact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FactValue {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}
