//! A posed problem: what the solver reads, and the names of what its indices stand for.
//!
//! Plain data. It is made in [`crate::problem`] and `rules`.

use crate::hosts::Candidate;
use rhizo_solver::Problem;
use rhizo_types::ComponentName;
use std::collections::BTreeMap;

/// A problem, with the names of what its indices stand for.
#[derive(Debug)]
pub struct Posed {
    /// What the solver reads.
    pub problem: Problem,
    /// For each machine, the host or offer.
    pub(crate) machines: Vec<Candidate>,
    /// For each component, its name.
    pub(crate) components: Vec<ComponentName>,
    /// Which rule refuses a machine to a component, and why.
    pub refusals: BTreeMap<(ComponentName, usize), Refusal>,
    /// What could not be taken at face value, in words.
    pub warnings: Vec<String>,
}

/// Why a machine cannot host a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The first rule that refuses it.
    pub rule: String,
    /// The values that the rule read.
    pub reason: String,
}
