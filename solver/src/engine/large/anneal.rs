//! Local search by shifts, exchanges and returns, under temperatures that fall and rise again.
//!
//! Cycles start from the best configuration and grow longer, so that a short run is a quick descent and a long one
//! a thorough search; no clock is read, so a run is repeatable up to the step at which it is stopped.

use super::model::{NOWHERE, to_u32};
use super::state::State;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// Steps of the first cycle, per item; about a tenth of a second for 50,000 items.
const FIRST_STEPS_PER_ITEM: u64 = 20;
/// Later cycles are longer by this factor, up to [`STEPS_MAX`].
const GROWTH: f64 = 1.5;
/// The longest cycle.
const STEPS_MAX: u64 = 400_000_000;
/// Cycles without a better configuration before the search ends by itself.
const BARREN_MAX: u32 = 8;
/// Steps between two looks at the caller's clock: about a millisecond.
const STEPS_PER_POLL: u64 = 1_024;
/// Steps between two looks whether the best was improved on; a copy takes as long as a few hundred steps.
const STEPS_PER_COPY: u64 = 4_096;
/// Temperature at the end of a cycle, relative to its start.
const COOLING: f64 = 1e-4;
/// Differences of cost below this are rounding.
const ROUNDING: f64 = 1e-9;

struct Best {
    at: Vec<u32>,
    cost: f64,
}

/// Improves until stopped, barren or at the `least` possible cost; returns the machine of each item.
pub(super) fn improve(
    state: State,
    rng: &mut Xoshiro256PlusPlus,
    stop: &mut dyn FnMut() -> bool,
    least: f64,
    evaluated: &mut u64,
) -> Vec<u32> {
    let mut state = state;
    let mut best = Best { at: state.at.clone(), cost: state.cost };
    let items = state.at.len() as u64;
    let is_least = |cost: f64| cost <= least + ROUNDING * least.abs().max(1.0);
    if items == 0 || is_least(state.cost) {
        return best.at;
    }
    let mut steps = (items * FIRST_STEPS_PER_ITEM).min(STEPS_MAX);
    let (mut barren, mut cycle) = (0, 0u32);
    while barren < BARREN_MAX && !is_least(best.cost) {
        let before = best.cost;
        // The first cycle only descends: a good answer first.
        let start = if cycle == 0 { 0.0 } else { temperature(&state, rng, cycle) };
        let stopped = run(&mut state, &mut best, rng, stop, start, steps, evaluated);
        if stopped {
            break;
        }
        barren = if best.cost < before - ROUNDING { 0 } else { barren + 1 };
        cycle += 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "bounded"
        )]
        let longer = (steps as f64 * GROWTH) as u64;
        steps = longer.min(STEPS_MAX);
        restore(&mut state, &best);
    }
    best.at
}

/// A fraction of what a typical bad move costs; later cycles start cooler.
fn temperature(state: &State, rng: &mut Xoshiro256PlusPlus, cycle: u32) -> f64 {
    let mut worse = Vec::new();
    for _ in 0..2_000 {
        let item = rng.random_range(0..state.at.len());
        let machine = rng.random_range(0..state.model.machines);
        if state.at[item] as usize != machine && state.has_room(item, machine) {
            let delta = state.delta(item, to_u32(machine));
            if delta > 0.0 {
                worse.push(delta);
            }
        }
    }
    worse.sort_by(f64::total_cmp);
    let typical = worse.get(worse.len() / 4).copied().unwrap_or(1.0);
    typical * 0.1 * 0.7f64.powi(i32::try_from(cycle).unwrap_or(i32::MAX))
}

fn restore(state: &mut State, best: &Best) {
    for item in 0..state.at.len() {
        if state.at[item] != best.at[item] && state.at[item] != NOWHERE {
            state.remove(item);
        }
    }
    for item in 0..state.at.len() {
        if state.at[item] == NOWHERE {
            state.insert(item, best.at[item] as usize);
        }
    }
    // Sums of many changes drift; the sum at the best configuration is the one that was kept.
    state.cost = best.cost;
}

/// One cycle; whether it was stopped.
fn run(
    state: &mut State,
    best: &mut Best,
    rng: &mut Xoshiro256PlusPlus,
    stop: &mut dyn FnMut() -> bool,
    start: f64,
    steps: u64,
    evaluated: &mut u64,
) -> bool {
    let mut temperature = start;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let cooling = COOLING.powf(STEPS_PER_POLL as f64 / steps as f64);
    for step in 0..steps {
        if step.is_multiple_of(STEPS_PER_POLL) {
            temperature *= cooling;
            if stop() {
                keep(state, best);
                return true;
            }
        }
        *evaluated += 1;
        // What a move may cost at most: minus T times the logarithm of a uniform number.
        let allowance =
            if temperature > 0.0 { -temperature * rng.random_range(1e-12..1.0f64).ln() } else { 0.0 };
        let item = rng.random_range(0..state.at.len());
        match rng.random_range(0..16u32) {
            0 => back_home(state, item, allowance),
            1..=9 => {
                let machine = rng.random_range(0..state.model.machines);
                shift(state, item, machine, allowance);
            }
            _ => {
                let other = rng.random_range(0..state.at.len());
                exchange(state, item, other, allowance);
            }
        }
        // Copying is dear, so the best is looked for now and then; cooling ends every cycle near its best.
        if step.is_multiple_of(STEPS_PER_COPY) {
            keep(state, best);
        }
    }
    keep(state, best);
    false
}

fn keep(state: &State, best: &mut Best) {
    if state.cost < best.cost - ROUNDING {
        best.at.copy_from_slice(&state.at);
        best.cost = state.cost;
    }
}

fn shift(state: &mut State, item: usize, machine: usize, allowance: f64) {
    let from = state.at[item] as usize;
    if from == machine || state.model.pinned[item] || !state.has_room(item, machine) {
        return;
    }
    if state.delta(item, to_u32(machine)) > allowance || !state.may_leave(item, machine) {
        return;
    }
    state.remove(item);
    let to =
        if state.model.may_use(item, machine) && state.groups_allow(item, machine) { machine } else { from };
    state.insert(item, to);
}

fn back_home(state: &mut State, item: usize, allowance: f64) {
    let origin = state.model.origin[item];
    if origin != NOWHERE && state.at[item] != origin {
        shift(state, item, origin as usize, allowance);
    }
}

fn exchange(state: &mut State, a: usize, b: usize, allowance: f64) {
    let (m, n) = (state.at[a] as usize, state.at[b] as usize);
    if m == n || state.model.pinned[a] || state.model.pinned[b] || !state.exchange_has_room(a, b) {
        return;
    }
    if !(state.may_leave(a, n) && state.may_leave(b, m)) {
        return;
    }
    let before = state.cost;
    state.remove(a);
    state.remove(b);
    if state.fits(a, n) {
        state.insert(a, n);
        if state.fits(b, m) {
            state.insert(b, m);
            if state.cost - before <= allowance {
                return;
            }
            state.remove(b);
        }
        state.remove(a);
    }
    state.insert(a, m);
    state.insert(b, n);
    state.cost = before;
}
