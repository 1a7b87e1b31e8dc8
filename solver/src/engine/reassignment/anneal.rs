//! Simulated annealing: a descent, a trial of the move mixes, then cooling cycles. No clock is read.
//!
//! The descent gives a good answer at once. The trial runs a short cycle with each move mix and keeps the mix that ends
//! at the lowest cost: which one that is differs from problem to problem and shows early. With a deadline, one cycle
//! follows that cools for the whole remaining time; its hot part runs a population when there is time for one
//! (`population.rs`). Without a deadline, cycles start from the best configuration and grow longer, until several in a
//! row find nothing better. `moves.rs` has the moves, `cooling.rs` the temperature, `incumbent.rs` the best
//! configuration so far.

use super::cooling::{COLD_SHARE, STEPS_PER_POLL, advance, temperature};
use super::incumbent::Incumbent;
use super::moves::{MOVE_MIXES, MoveMix, Mover};
use super::population;
use super::state::State;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// Steps of the descent and of the first cycle without a deadline, per item.
const FIRST_STEPS_PER_ITEM: u64 = 20;
/// Factor by which each later cycle is longer, up to [`STEPS_MAX`]; its start is cooler by the factor [`COOLER`].
const GROWTH: f64 = 1.5;
const COOLER: f64 = 0.5;
/// Steps of the longest cycle.
const STEPS_MAX: u64 = 400_000_000;
/// The search ends after this many cycles in a row without a better configuration.
const STALLED_MAX: u32 = 8;
/// Number of worsening moves that are sampled to learn what such a move costs.
const SAMPLES: usize = 4_000;
/// Quantile of the sampled moves that counts as a large worsening move.
const LARGE: f64 = 0.9;
/// Starting temperature of a cycle, in large worsening moves. Of 1 to 8, on three public instances, 2 to 8 did about
/// equally well.
const HOT: f64 = 4.0;
/// Share of the time that the trial of one move mix takes.
const TRIAL_SHARE: f64 = 0.04;
/// Shares of a cycle after which a better configuration of the other thread replaces this one. Before the first, the
/// cost of a configuration says little about where it will end.
const EXCHANGES: [f64; 4] = [0.45, 0.6, 0.75, 1.0];

/// The schedule of a cycle.
#[derive(Clone, Copy)]
enum Pace {
    /// Cools over a number of steps.
    Steps(u64),
    /// Cools from one share of the time to another and takes no configurations from the other thread, so that its
    /// result can be compared.
    Trial { since: f64, until: f64 },
    /// Cools from a share of the time and of the cycle to [`COLD_SHARE`], and continues cold until stopped.
    Deadline { since: f64, from: f64 },
}

/// Improves until stopped, stalled, or at the lower bound of the cost; the incumbent has the result.
pub(super) fn improve(state: State, rng: &mut Xoshiro256PlusPlus, incumbent: &mut Incumbent) {
    let items = state.at.len() as u64;
    let mut mover = Mover::new(state);
    if items == 0 || incumbent.is_least() {
        return;
    }
    let mut steps = (items * FIRST_STEPS_PER_ITEM).min(STEPS_MAX);
    if cycle(&mut mover, rng, incumbent, 0.0, Pace::Steps(steps)) {
        return;
    }
    let mut hot = HOT * large_bad_move(&mover.state, rng);
    mover.set_hottest(hot);
    let (judged, begun) = (incumbent.evaluated(), incumbent.elapsed_share());
    if trial(&mut mover, rng, incumbent, hot, steps) {
        return;
    }
    if let Some((begun, since)) = begun.zip(incumbent.elapsed_share()) {
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let per_share = (incumbent.evaluated() - judged) as f64 / (since - begun).max(1e-9);
        let members = population::size(per_share * (COLD_SHARE - since), items);
        until_deadline(&mut mover, rng, incumbent, hot, members);
        return;
    }
    let mut stalled = 0;
    while stalled < STALLED_MAX {
        let before = incumbent.cost();
        if cycle(&mut mover, rng, incumbent, hot, Pace::Steps(steps)) {
            return;
        }
        stalled = if incumbent.cost() < before { 0 } else { stalled + 1 };
        hot *= COOLER;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "bounded"
        )]
        let longer = (steps as f64 * GROWTH) as u64;
        steps = longer.min(STEPS_MAX);
        mover.restart(incumbent.at());
    }
}

/// Runs one cycle that ends with the time; its hot part runs a population when `members` is more than one.
fn until_deadline(
    mover: &mut Mover,
    rng: &mut Xoshiro256PlusPlus,
    incumbent: &mut Incumbent,
    hot: f64,
    members: usize,
) {
    let mut from = 0.0;
    if members > 1 {
        if population::select(mover, rng, incumbent, hot, members) {
            return;
        }
        from = population::CHOSEN;
    }
    let since = incumbent.elapsed_share().unwrap_or(1.0);
    cycle(mover, rng, incumbent, hot, Pace::Deadline { since, from });
}

/// Runs a short cycle with each move mix and keeps the best mix. Returns true when the search has to end.
fn trial(
    mover: &mut Mover,
    rng: &mut Xoshiro256PlusPlus,
    incumbent: &mut Incumbent,
    hot: f64,
    steps: u64,
) -> bool {
    let start = mover.state.at.clone();
    let mut best: Option<(f64, MoveMix)> = None;
    for move_mix in MOVE_MIXES {
        mover.restart(&start);
        mover.set_move_mix(move_mix);
        let pace = match incumbent.elapsed_share() {
            Some(since) => Pace::Trial { since, until: since + TRIAL_SHARE },
            None => Pace::Steps(steps),
        };
        if cycle(mover, rng, incumbent, hot, pace) {
            return true;
        }
        let cost = mover.state.cost;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, move_mix));
        }
    }
    if let Some((_, move_mix)) = best {
        mover.set_move_mix(move_mix);
    }
    // The main cycle starts near the running configuration. At its starting temperature it does not find back from a
    // configuration that is good but far away.
    mover.restart(&start);
    false
}

/// The cost of a move that is worse than most worsening moves.
fn large_bad_move(state: &State, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let mut worse = Vec::new();
    for _ in 0..SAMPLES * 20 {
        let item = rng.random_range(0..state.at.len());
        let machine = rng.random_range(0..state.model.machines);
        if worse.len() < SAMPLES && state.at[item] as usize != machine && state.has_room(item, machine) {
            worse.extend(Some(state.shift_delta(item, machine)).filter(|delta| *delta > 0.0));
        }
    }
    worse.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a few thousand"
    )]
    let at = (worse.len() as f64 * LARGE) as usize;
    worse.get(at).copied().unwrap_or(1.0)
}

/// The share of a cycle that is over after a number of steps.
fn progress(pace: Pace, step: u64, incumbent: &mut Incumbent) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let of_steps = |steps: u64| step as f64 / steps as f64;
    let mut between = |since: f64, until: f64| {
        (incumbent.elapsed_share().unwrap_or(1.0) - since) / (until - since).max(1e-9)
    };
    match pace {
        Pace::Steps(steps) => of_steps(steps),
        Pace::Trial { since, until } => between(since, until),
        Pace::Deadline { since, from } => from + (1.0 - from) * between(since, COLD_SHARE),
    }
}

/// Runs one cycle. Returns true when the search has to end.
fn cycle(
    mover: &mut Mover,
    rng: &mut Xoshiro256PlusPlus,
    incumbent: &mut Incumbent,
    hot: f64,
    pace: Pace,
) -> bool {
    // The chosen member of a population is still hot and costs more than an old cold answer of the other thread, which
    // must not replace it.
    let from = if let Pace::Deadline { from, .. } = pace { from } else { 0.0 };
    let mut exchanges = EXCHANGES.iter().filter(|at| **at > from).peekable();
    let mut step = 0u64;
    loop {
        if incumbent.stop() {
            incumbent.offer(&mover.state);
            return true;
        }
        let share = progress(pace, step, incumbent);
        let is_trial = matches!(pace, Pace::Trial { .. });
        if hot > 0.0 && !is_trial && exchanges.next_if(|at| share >= **at).is_some() {
            incumbent.offer(&mover.state);
            if incumbent.exchange() {
                mover.restart(incumbent.at());
            }
        }
        if share >= 1.0 && !matches!(pace, Pace::Deadline { .. }) {
            incumbent.offer(&mover.state);
            return incumbent.is_least();
        }
        mover.set_temperature(temperature(hot, share));
        mover.set_frozen(hot > 0.0 && share >= 1.0);
        advance(mover, rng, incumbent);
        step += STEPS_PER_POLL;
        if incumbent.is_least() {
            return true;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::incumbent::assignment;
    use super::super::model::Model;
    use super::super::rearrange::tests::{component, hall};
    use super::*;
    use crate::check::check;
    use crate::problem::Problem;
    use crate::watch::Watch;
    use rand::SeedableRng;

    /// A clock that only knows how often it was asked.
    pub(in crate::engine::reassignment) struct Asked {
        pub(in crate::engine::reassignment) questions: u32,
        pub(in crate::engine::reassignment) of: u32,
    }

    impl Watch for Asked {
        fn stop(&mut self) -> bool {
            self.questions += 1;
            self.questions >= self.of
        }

        fn elapsed_share(&mut self) -> Option<f64> {
            Some(f64::from(self.questions) / f64::from(self.of))
        }
    }

    /// A large item that nothing but a rearrangement leads to the one machine where it costs nothing.
    pub(in crate::engine::reassignment) fn blocked() -> Problem {
        let mut problem = hall(&[(10.0, 0.0), (10.0, 10.0), (4.0, 4.0), (4.0, 4.0), (3.0, 1.0)]);
        problem.components.push(component("large", 8.0, &[0]));
        problem.components.push(component("small", 1.0, &[1, 1, 1, 1, 1, 1, 1, 1, 4, 4]));
        problem
    }

    fn improved(problem: &Problem, questions: u32) -> (Vec<u32>, f64) {
        let model = Model::new(problem);
        let state = State::at(&model, &model.origin);
        let mut watch = Asked { questions: 0, of: questions };
        let mut incumbent = Incumbent::new(&state, &mut watch, 0.0, 0);
        improve(state, &mut Xoshiro256PlusPlus::seed_from_u64(2), &mut incumbent);
        assert_eq!(check(problem, &assignment(&model, incumbent.at())), []);
        (incumbent.at().to_vec(), incumbent.cost())
    }

    #[test]
    fn what_is_blocked_is_freed_in_the_time_there_is_and_the_same_way_each_time() {
        let problem = blocked();
        let (at, cost) = improved(&problem, 400);
        assert_eq!(at[0], 1, "{at:?}");
        assert!(cost < 0.2, "only moves cost: {cost}");
        assert_eq!(improved(&problem, 400), (at, cost));
    }
}
