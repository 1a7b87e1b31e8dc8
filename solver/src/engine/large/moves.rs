//! One step of the local search: a shift, an exchange or a return, taken or left.
//!
//! Of n machines one is an item's home. Where rules and costs leave it free, chance alone would put it elsewhere n - 1
//! times in n; there it keeps holding transient resources at home, and soon nothing has room to move. So going away
//! is taxed with T ln n, which weighs home as much as all other machines together; the tax melts with T.

use super::model::NOWHERE;
use super::state::State;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};

/// Beyond this many temperatures a worse configuration is never taken: e^-30 is less than once in 10^13.
const HOPELESS: f64 = 30.0;
/// Of 16 steps, so many try to return an item to where it runs now, and so many shift one; the rest exchange two.
const RETURNS: u32 = 1;
const SHIFTS: u32 = 8;

/// A configuration that moves.
pub(super) struct Mover<'m, 'p> {
    pub(super) state: State<'m, 'p>,
    temperature: f64,
    /// What leaving home costs beside the move itself.
    tax: f64,
}

impl<'m, 'p> Mover<'m, 'p> {
    pub(super) fn new(state: State<'m, 'p>) -> Self {
        Self { state, temperature: 0.0, tax: 0.0 }
    }

    pub(super) fn restart(&mut self, at: &[u32]) {
        self.state = State::at(self.state.model, at);
    }

    pub(super) fn set_temperature(&mut self, temperature: f64) {
        self.temperature = temperature;
        self.tax = temperature * f64::from(super::model::to_u32(self.state.model.machines)).ln();
    }

    #[inline]
    pub(super) fn step(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let bits = rng.next_u64();
        #[expect(clippy::cast_possible_truncation, reason = "two halves")]
        let (first, second) = ((bits >> 32) as u32, bits as u32);
        let item = below(first, self.state.at.len());
        if self.state.model.pinned[item] {
            return;
        }
        // The lowest bits of the first number choose the kind: they hardly matter for which item it is.
        let kind = first % 16;
        if kind < RETURNS {
            let origin = self.state.model.origin[item];
            if origin != NOWHERE {
                self.try_shift(rng, item, origin as usize);
            }
        } else if kind < RETURNS + SHIFTS {
            self.try_shift(rng, item, below(second, self.state.model.machines));
        } else {
            self.try_exchange(rng, item, below(second, self.state.at.len()));
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

    /// The tax on leaving home, given back on return.
    #[inline]
    fn taxes(&self, item: usize, to: usize) -> f64 {
        let origin = self.state.model.origin[item];
        let leaves = origin == self.state.at[item];
        match origin as usize == to {
            _ if origin == NOWHERE => 0.0,
            true if leaves => 0.0,
            true => -self.tax,
            false if leaves => self.tax,
            false => 0.0,
        }
    }

    /// Whether a move that costs so much is taken.
    #[inline]
    fn takes(&self, delta: f64, rng: &mut Xoshiro256PlusPlus) -> bool {
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
