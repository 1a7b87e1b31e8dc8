//! How a running search and its caller talk: when to end, how far the time has run, and what was found so far.
//!
//! The crate knows no clock and starts no thread. A caller that has them answers here; a closure that says when to
//! stop is a watch too. Two callers on two threads may run one search each and hand each other their best through
//! [`Watch::exchange`]. Read next: [`mod@crate::solve`].

use crate::assignment::Assignment;
use crate::engine_name::EngineName;

/// A better assignment than all before it in one search; it has passed the checker.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Improvement<'a> {
    /// Where each instance is to run.
    pub assignment: &'a Assignment,
    /// What it is worth: utility less costs and migration, as the evaluator says.
    pub net: f64,
    /// No assignment is worth more; none when unknown.
    pub bound: Option<f64>,
    /// Who found it.
    pub engine: EngineName,
}

/// What a search may take of memory when its caller says nothing else: what a small server can spare.
pub const MEMORY_MAX_BYTES: u64 = 2 << 30;

/// What a running search asks of its caller, and tells it.
pub trait Watch {
    /// Whether to end now; asked about every millisecond.
    fn stop(&mut self) -> bool;

    /// Which share of the time has run, from 0 to 1, or none when there is no deadline.
    ///
    /// A search that cools down is slower when it has more time. Answers from a clock make a run unrepeatable;
    /// without them, or with answers that count the questions, the same seed gives the same plan.
    fn elapsed_share(&mut self) -> Option<f64> {
        None
    }

    /// How many bytes the search may take beside the problem; engines that would take more are passed over.
    fn memory_max_bytes(&self) -> u64 {
        MEMORY_MAX_BYTES
    }

    /// Takes a better assignment than all before it.
    fn improved(&mut self, _improvement: &Improvement) {}

    /// An assignment from elsewhere that is worth more than `net`, if there is one.
    ///
    /// Asked a few times in a run. It is checked before it is used.
    fn exchange(&mut self, _net: f64) -> Option<Assignment> {
        None
    }
}

impl<F: FnMut() -> bool> Watch for F {
    fn stop(&mut self) -> bool {
        self()
    }
}
