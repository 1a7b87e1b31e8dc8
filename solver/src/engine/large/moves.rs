//! One step of the local search: a shift, an exchange or a return, taken or left.
//!
//! Of n machines one is the home of an item. Where rules and costs leave it free, chance alone would put it elsewhere
//! n - 1 times in n; what holds transient resources keeps them at home there, and soon nothing has room to move. So
//! its going away is taxed with T ln n, which weighs home as much as all other machines together; the tax melts with T.
//! What holds nothing at home goes free. Read next: `rearrange.rs` for larger steps.

use super::model::NOWHERE;
use super::state::State;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};

/// Beyond this many temperatures a worse configuration is never taken: e^-30 is less than once in 10^13.
const HOPELESS: f64 = 30.0;
/// Of 16 steps, so many try to return an item to where it runs now, and so many shift one; the rest exchange two.
const RETURNS: u32 = 1;
const SHIFTS: u32 = 8;

/// How a search divides its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Manner {
    /// Steps for every step's worth of judging in rearrangements.
    steps_per_rearranging: u64,
}

/// The manners that are tried: a fortieth and a fifth of the time for rearrangements.
///
/// Where many small items are to be balanced, rearrangements disturb more than they help; where large items block one
/// another, nothing else helps. Half of the time looks better than it is in a short trial.
pub(super) const MANNERS: [Manner; 2] =
    [Manner { steps_per_rearranging: 40 }, Manner { steps_per_rearranging: 4 }];

/// Steps for every step's worth of solving few machines exactly, once annealing is over: half of the time.
const STEPS_PER_EXACT_STEP: u64 = 1;

/// A configuration that moves.
pub(super) struct Mover<'m, 'p> {
    pub(super) state: State<'m, 'p>,
    temperature: f64,
    /// What leaving home costs beside the move itself.
    pub(super) tax: f64,
    /// What the current rearrangement took up, and from which machines.
    pub(super) trail: Vec<(usize, u32)>,
    /// How many steps have to come before the next rearrangement.
    owed: u64,
    /// What the current rearrangement took so far, in steps.
    pub(super) work: u64,
    /// How many steps have to come before the next few machines are solved exactly.
    owed_exact: u64,
    manner: Manner,
    frozen: bool,
}

impl<'m, 'p> Mover<'m, 'p> {
    pub(super) fn new(state: State<'m, 'p>) -> Self {
        Self {
            state,
            temperature: 0.0,
            tax: 0.0,
            trail: Vec::new(),
            owed: 0,
            work: 0,
            owed_exact: 0,
            manner: MANNERS[0],
            frozen: false,
        }
    }

    pub(super) fn restart(&mut self, at: &[u32]) {
        self.state = State::at(self.state.model, at);
    }

    pub(super) fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
        self.owed = 0;
    }

    pub(super) fn set_temperature(&mut self, temperature: f64) {
        self.temperature = temperature;
        self.tax = temperature * f64::from(super::model::to_u32(self.state.model.machines)).ln();
    }

    /// So many steps, with rearrangements in between.
    pub(super) fn steps(&mut self, count: u64, rng: &mut Xoshiro256PlusPlus) {
        let mut left = count;
        while left > 0 {
            let now = left.min(self.owed.max(1));
            (0..now).for_each(|_| self.step(rng));
            left -= now;
            self.owed = self.owed.saturating_sub(now);
            self.owed_exact = self.owed_exact.saturating_sub(now);
            if self.frozen && self.owed_exact == 0 {
                self.owed_exact = STEPS_PER_EXACT_STEP * self.try_few_machines(rng);
            }
            if self.owed == 0 {
                self.owed = self.manner.steps_per_rearranging * self.try_rearrangement(rng);
            }
        }
    }

    /// Says whether annealing is over: what is left to gain needs several items to change places together.
    pub(super) fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    #[inline]
    fn step(&mut self, rng: &mut Xoshiro256PlusPlus) {
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
            _ if !self.state.model.holds[item] => 0.0,
            true if leaves => 0.0,
            true => -self.tax,
            false if leaves => self.tax,
            false => 0.0,
        }
    }

    /// Whether a move that costs so much is taken.
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
