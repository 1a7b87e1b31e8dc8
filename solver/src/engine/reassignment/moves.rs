//! One annealing step: a shift, an exchange or a return, accepted or rejected.
//!
//! One of n machines is the home of an item. Where rules and costs do not decide, chance alone would put the item
//! elsewhere n - 1 times in n. Items that hold transient resources hold them at home in the meantime, and soon no
//! machine has room for a move. So leaving home is taxed with T ln n, which gives home the same weight as all other
//! machines together; the tax falls with the temperature T. At high temperature only a part of the tax is due: items
//! still return then, and large items need others to make room. Items that hold nothing at home are not taxed. Read
//! next: `rearrange.rs` for larger steps.

use super::model::{NOWHERE, to_u32};
use super::repair::size;
use super::state::State;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};

/// A move that costs more than this many temperatures is never accepted: e^-30 is less than once in 10^13.
const HOPELESS: f64 = 30.0;
/// Of 16 steps, this many return an item to its home machine and [`SHIFTS`] shift an item; the others exchange two
/// items.
const RETURNS: u32 = 1;
const SHIFTS: u32 = 8;

/// Shares of the starting temperature above which large items are picked more often, with the number of additional
/// factors.
///
/// Small items soon reach the distribution of the temperature; large ones do not, and they also stop moving first,
/// after which every attempt to move them is wasted. Of n items in order of size, the one at n u^(1 + factors) is
/// picked, with u uniform. The pick does not depend on where an item is, so that no configuration is preferred.
const LARGE_FIRST: [(f64, u32); 2] = [(0.1, 2), (0.001, 1)];
/// The part of the tax on leaving home that is due above [`TAXED_BELOW`] of the starting temperature; all of it is due
/// below.
///
/// With the whole tax from the start, large items stay until the temperature is too low for others to make room: five
/// public instances ended a third worse. With a fifth to the end, too many resources are held at home at last, on two
/// other instances.
const LIGHT_TAX: f64 = 0.2;
const TAXED_BELOW: f64 = 0.02;

/// The division of the time between single moves and rearrangements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MoveMix {
    /// Single moves for every judgement in a rearrangement.
    steps_per_rearranging: u64,
}

/// The move mixes of the trial: a fortieth and a fifth of the time for rearrangements.
///
/// Where many small items have to be balanced, rearrangements disturb more than they help; where large items block one
/// another, nothing else helps. Half of the time looks better in a short trial than it is.
pub(super) const MOVE_MIXES: [MoveMix; 2] =
    [MoveMix { steps_per_rearranging: 40 }, MoveMix { steps_per_rearranging: 4 }];

/// Single moves for every step's duration of exact subproblems, once annealing is over: half of the time.
const STEPS_PER_EXACT_STEP: u64 = 1;

/// The annealed configuration, with the state of the annealing.
pub(super) struct Mover<'m, 'p> {
    pub(super) state: State<'m, 'p>,
    temperature: f64,
    /// The tax on leaving home, beside the cost of the move.
    pub(super) tax: f64,
    /// The items that the current rearrangement removed, with their machines.
    pub(super) trail: Vec<(usize, u32)>,
    /// Steps until the next rearrangement.
    steps_to_rearrangement: u64,
    /// Duration of the current rearrangement so far, in steps.
    pub(super) work: u64,
    /// Steps until the next exact subproblem.
    steps_to_exact: u64,
    move_mix: MoveMix,
    frozen: bool,
    /// The starting temperature of the first cycle; zero before it.
    hottest: f64,
    /// The items, the largest first.
    by_size: Vec<u32>,
    /// The number of additional factors that make large items more likely.
    factors: u32,
}

impl<'m, 'p> Mover<'m, 'p> {
    pub(super) fn new(state: State<'m, 'p>) -> Self {
        let mut by_size: Vec<u32> = (0..to_u32(state.at.len())).collect();
        by_size.sort_by(|a, b| size(&state, *b as usize).total_cmp(&size(&state, *a as usize)));
        Self {
            state,
            temperature: 0.0,
            tax: 0.0,
            trail: Vec::new(),
            steps_to_rearrangement: 0,
            work: 0,
            steps_to_exact: 0,
            move_mix: MOVE_MIXES[0],
            frozen: false,
            hottest: 0.0,
            by_size,
            factors: 0,
        }
    }

    pub(super) fn restart(&mut self, at: &[u32]) {
        self.state = State::at(self.state.model, at);
    }

    pub(super) fn set_move_mix(&mut self, move_mix: MoveMix) {
        self.move_mix = move_mix;
        self.steps_to_rearrangement = 0;
    }

    /// Sets the starting temperature that shares refer to.
    pub(super) fn set_hottest(&mut self, temperature: f64) {
        self.hottest = temperature;
    }

    pub(super) fn set_temperature(&mut self, temperature: f64) {
        let heat = if self.hottest > 0.0 { temperature / self.hottest } else { 0.0 };
        let due = if heat > TAXED_BELOW { LIGHT_TAX } else { 1.0 };
        self.temperature = temperature;
        self.tax = due * temperature * f64::from(to_u32(self.state.model.machines)).ln();
        self.factors = LARGE_FIRST.iter().find(|(above, _)| heat > *above).map_or(0, |(_, factors)| *factors);
    }

    /// Runs a number of steps, with rearrangements in between; an exact subproblem ends early when `stop` says so.
    pub(super) fn steps(&mut self, count: u64, rng: &mut Xoshiro256PlusPlus, stop: &mut dyn FnMut() -> bool) {
        let mut left = count;
        while left > 0 {
            let now = left.min(self.steps_to_rearrangement.max(1));
            (0..now).for_each(|_| self.step(rng));
            left -= now;
            self.steps_to_rearrangement = self.steps_to_rearrangement.saturating_sub(now);
            self.steps_to_exact = self.steps_to_exact.saturating_sub(now);
            if self.frozen && self.steps_to_exact == 0 {
                self.steps_to_exact = STEPS_PER_EXACT_STEP * self.try_few_machines(rng, stop);
            }
            if self.steps_to_rearrangement == 0 {
                self.steps_to_rearrangement =
                    self.move_mix.steps_per_rearranging * self.try_rearrangement(rng);
            }
        }
    }

    /// Sets whether annealing is over, so that exact subproblems run.
    pub(super) fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Picks an item from 32 random bits; larger items are more likely at high temperature.
    #[inline]
    fn pick(&self, bits: u32) -> usize {
        let mut at = u64::from(bits);
        for _ in 0..self.factors {
            at = (at * u64::from(bits)) >> 32;
        }
        self.by_size[((at * self.by_size.len() as u64) >> 32) as usize] as usize
    }

    #[inline]
    fn step(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let bits = rng.next_u64();
        #[expect(clippy::cast_possible_truncation, reason = "two halves")]
        let (first, second) = ((bits >> 32) as u32, bits as u32);
        let item = self.pick(first);
        if self.state.model.pinned[item] {
            return;
        }
        // The lowest bits of the first number choose the kind of step; they hardly affect which item is picked.
        let kind = first % 16;
        if kind < RETURNS {
            let origin = self.state.model.origin[item];
            if origin != NOWHERE {
                self.try_shift(rng, item, origin as usize);
            }
        } else if kind < RETURNS + SHIFTS {
            self.try_shift(rng, item, below(second, self.state.model.machines));
        } else {
            self.try_exchange(rng, item, self.pick(second));
        }
    }

    #[inline]
    fn try_shift(&mut self, rng: &mut Xoshiro256PlusPlus, item: usize, machine: usize) {
        let state = &self.state;
        if state.at[item] as usize != machine
            && state.has_room(item, machine)
            && self.takes(state.shift_delta(item, machine) + self.taxes(item, machine), rng)
            && state.rules_allow(item, machine, None)
        {
            self.state.shift(item, machine);
        }
    }

    #[inline]
    fn try_exchange(&mut self, rng: &mut Xoshiro256PlusPlus, a: usize, b: usize) {
        let state = &self.state;
        let (m, n) = (state.at[a] as usize, state.at[b] as usize);
        if m != n
            && !state.model.pinned[b]
            && state.exchange_has_room(a, b)
            && self.takes(state.exchange_delta(a, b) + self.taxes(a, n) + self.taxes(b, m), rng)
            && state.rules_allow(a, n, Some(b))
            && state.rules_allow(b, m, Some(a))
        {
            self.state.exchange(a, b);
        }
    }

    /// The tax on leaving home, refunded on return.
    #[inline]
    fn taxes(&self, item: usize, to: usize) -> f64 {
        let origin = self.state.model.origin[item];
        let leaves = origin == self.state.at[item];
        match origin as usize == to {
            _ if !self.state.model.holds[item] => 0.0,
            true if leaves => 0.0,
            true => -self.tax,
            false if leaves => self.tax,
            false => 0.0,
        }
    }

    /// Whether a move with this change of cost is accepted.
    #[inline]
    pub(super) fn takes(&self, delta: f64, rng: &mut Xoshiro256PlusPlus) -> bool {
        if delta <= 0.0 {
            return true;
        }
        if delta >= self.temperature * HOPELESS {
            return false;
        }
        rng.random_range(0.0..1.0f64) < (-delta / self.temperature).exp()
    }
}

/// A number below `n` from 32 random bits.
#[inline]
fn below(bits: u32, n: usize) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::super::model::Model;
    use super::super::rearrange::tests::{component, hall};
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_hotter_it_is_the_more_often_large_items_are_picked_and_the_lighter_the_tax() {
        let mut problem = hall(&[(99.0, 99.0), (99.0, 99.0)]);
        problem.components.push(component("small", 1.0, &[0, 0, 0, 0, 0]));
        problem.components.push(component("large", 9.0, &[0, 0, 0, 0, 0]));
        let model = Model::new(&problem);
        let mut mover = Mover::new(State::at(&model, &model.origin));
        mover.set_hottest(8.0);
        // The shares of u, u² and u³ that are below a half are a half, its square root and its cube root.
        for (temperature, large, due) in
            [(8.0, 0.794, 0.2), (0.4, 0.707, 0.2), (0.08, 0.707, 1.0), (0.004, 0.5, 1.0)]
        {
            mover.set_temperature(temperature);
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
            let picked = (0..20_000).filter(|_| mover.pick(rng.next_u32()) >= 5).count();
            assert!((picked as f64 / 20_000.0 - large).abs() < 0.02, "{picked} at {temperature}");
            assert!(
                (mover.tax - due * temperature * 2f64.ln()).abs() < 1e-12,
                "{} at {temperature}",
                mover.tax
            );
        }
    }
}
