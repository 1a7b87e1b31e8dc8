//! The interface of an engine: the problems it accepts, the memory it needs, and its search.
//!
//! An engine is a search algorithm for assignments. No engine is trusted: [`mod@crate::solve`] checks every assignment
//! that one returns. A new engine is a file with an implementation of [`Engine`], its name in `engine_name.rs` and its
//! line in `registry.rs`. This file knows no engine. Read next: `registry.rs`.

pub(crate) mod branch;
pub(crate) mod configurations;
pub(crate) mod decomposition;
pub(crate) mod exhaustive;
pub(crate) mod linear;
pub(crate) mod local;
pub(crate) mod memory;
pub(crate) mod reassignment;
pub(crate) mod registry;
pub(crate) mod single_component;
pub(crate) mod symmetry;

use crate::assignment::Assignment;
use crate::engine_name::EngineName;
use crate::problem::Problem;
use crate::watch::Watch;
use memory::Sizes;

/// The aim of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    /// The best assignment that can be found.
    Best,
    /// The best assignment together with the proof that none is better.
    Proof,
    /// Any assignment that keeps every rule, or the proof that there is none.
    Feasible,
    /// An assignment that keeps every rule and moves as few running instances as possible.
    Repair,
}

/// One request to an engine.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Request {
    pub(crate) aim: Aim,
    /// Seeds every random choice of the search.
    pub(crate) seed: u64,
    /// A feasible assignment that the search starts from and has to improve on; none starts from what runs now.
    pub(crate) start: Option<Assignment>,
}

impl Request {
    /// A request without an assignment to start from.
    pub(crate) fn new(aim: Aim, seed: u64) -> Self {
        Self { aim, seed, start: None }
    }
}

/// The result of a search.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Found {
    /// The best feasible assignment, if one was found.
    pub(crate) best: Option<Assignment>,
    /// Upper bound of the worth of any assignment; none when unknown.
    pub(crate) bound: Option<f64>,
    /// The search was complete: `best` is optimal, or nothing is feasible.
    pub(crate) complete: bool,
    /// Candidates or search nodes that were evaluated.
    pub(crate) evaluated: u64,
}

impl Found {
    /// Whether the search answered: with an assignment, or with the proof that there is none.
    pub(crate) fn is_answer(&self) -> bool {
        self.best.is_some() || self.complete
    }
}

/// A search algorithm.
pub(crate) trait Engine: Sync {
    fn name(&self) -> EngineName;

    /// Whether the engine can represent every rule, utility and cost of the problem.
    fn accepts(&self, problem: &Problem) -> bool;

    /// Whether automatic selection asks this engine for the aim; asked only for problems that it accepts.
    fn is_asked_for(&self, aim: Aim, problem: &Problem) -> bool;

    /// Upper estimate of the bytes that a search allocates, beside those that every engine needs.
    fn memory_bytes(&self, problem: &Problem, sizes: &Sizes) -> u64;

    /// Searches until done or until the watch says to stop.
    ///
    /// None leaves the problem to the next engine: the search ran into a limit of its own or was stopped before its
    /// first answer. Never called for a problem that the engine does not accept.
    fn search(&self, problem: &Problem, request: &Request, watch: &mut dyn Watch) -> Option<Found>;
}
