//! The temperature over a cycle, and the steps between two questions to the caller.
//!
//! `anneal.rs` runs one configuration through a cycle, `population.rs` several.

use super::incumbent::Incumbent;
use super::moves::Mover;
use rand::rngs::Xoshiro256PlusPlus;

/// Steps between two questions to the caller: a fraction of a millisecond.
pub(super) const STEPS_PER_POLL: u64 = 4_096;
/// Temperature at the end of the slow part of a cycle, relative to its start: below it costs hardly fall any more.
const COOLING: f64 = 1e-3;
/// The slow part takes so much of a cycle; the rest falls by [`QUENCH`], so that even the smallest costs settle.
const SLOW_SHARE: f64 = 0.9;
const QUENCH: f64 = 1e-4;
/// Share of the time after which only improvements are taken.
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

/// The steps between two questions to the caller, and what they found.
pub(super) fn advance(mover: &mut Mover, rng: &mut Xoshiro256PlusPlus, incumbent: &mut Incumbent) {
    mover.steps(STEPS_PER_POLL, rng, &mut || incumbent.stop());
    incumbent.count(STEPS_PER_POLL);
    incumbent.offer_when_due(&mover.state);
}
