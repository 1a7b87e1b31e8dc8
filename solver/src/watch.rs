//! The interface between a running search and its caller: when to end, the share of time, improvements.
//!
//! The crate reads no clock and starts no thread; a caller that does implements [`Watch`]. A closure that says when to
//! stop is a watch too. Two callers on two threads may run one search each and exchange their best through
//! [`Watch::exchange`]. Read next: [`mod@crate::solve`].

use crate::assignment::Assignment;
use crate::engine_name::EngineName;

/// An assignment that is better than all before it in one search and has passed the checker.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Improvement<'a> {
    /// The host of each instance.
    pub assignment: &'a Assignment,
    /// Its worth by the evaluator: utility less costs and migration.
    pub net: f64,
    /// Upper bound of the worth of any assignment; none when unknown.
    pub bound: Option<f64>,
    /// The engine that found it.
    pub engine: EngineName,
}

/// The default memory limit of a search, in bytes: what a small server can spare.
pub const MEMORY_MAX_BYTES: u64 = 2 << 30;

/// The caller of a running search.
pub trait Watch {
    /// Whether the search has to end; called about every millisecond.
    fn stop(&mut self) -> bool;

    /// The share of the time that has passed, from 0 to 1; none without a deadline.
    ///
    /// An annealing search cools more slowly when it has more time. Answers from a clock make a run unrepeatable.
    /// Without them, or with answers that count the calls, the same seed gives the same plan.
    fn elapsed_share(&mut self) -> Option<f64> {
        None
    }

    /// The most bytes that the search may allocate beside the problem; engines that would need more are passed over.
    fn memory_max_bytes(&self) -> u64 {
        MEMORY_MAX_BYTES
    }

    /// Receives an assignment that is better than all before it.
    fn improved(&mut self, _improvement: &Improvement) {}

    /// Returns an assignment of another search that is worth more than `net`, if there is one.
    ///
    /// Called a few times in a run. The search checks the assignment before it uses it.
    fn exchange(&mut self, _net: f64) -> Option<Assignment> {
        None
    }
}

impl<F: FnMut() -> bool> Watch for F {
    fn stop(&mut self) -> bool {
        self()
    }
}
