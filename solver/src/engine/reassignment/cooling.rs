//! The temperature over a cycle, and the steps between two calls of the watch.
//!
//! `anneal.rs` runs one configuration through a cycle, `population.rs` several.

use super::incumbent::Incumbent;
use super::moves::Mover;
use rand::rngs::Xoshiro256PlusPlus;

/// Steps between two calls of the watch: a fraction of a millisecond.
pub(super) const STEPS_PER_POLL: u64 = 4_096;
/// Temperature at the end of the slow part of a cycle, relative to its start. Below it the cost hardly falls any more.
const COOLING: f64 = 1e-3;
/// Share of a cycle that its slow part takes. In the rest the temperature falls by [`QUENCH`], so that even the
/// smallest costs settle.
const SLOW_SHARE: f64 = 0.9;
const QUENCH: f64 = 1e-4;
/// Share of the time after which only improving moves are accepted.
pub(super) const COLD_SHARE: f64 = 0.97;

/// The temperature after a share of a cycle.
pub(super) fn temperature(hot: f64, share: f64) -> f64 {
    if share >= 1.0 || hot <= 0.0 {
        0.0
    } else if share < SLOW_SHARE {
        hot * COOLING.powf(share.max(0.0) / SLOW_SHARE)
    } else {
        hot * COOLING * QUENCH.powf((share - SLOW_SHARE) / (1.0 - SLOW_SHARE))
    }
}

/// Runs the steps between two calls of the watch and offers the result to the incumbent.
pub(super) fn advance(mover: &mut Mover, rng: &mut Xoshiro256PlusPlus, incumbent: &mut Incumbent) {
    mover.steps(STEPS_PER_POLL, rng, &mut || incumbent.stop());
    incumbent.count(STEPS_PER_POLL);
    incumbent.offer_when_due(&mover.state);
}
