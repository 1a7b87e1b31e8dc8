//! Population annealing of the hot part: several configurations cool side by side, and the better ones continue.
//!
//! Which items remain on the costliest machines is decided by chance at high temperature, and longer cooling does not
//! decide it better: of twelve cycles on one public instance the worst ended 13 % above the best, and their final order
//! was their order before half of the cooling. So the hot part runs for a population. After each stage the members that
//! are behind restart from the configurations of the leaders (as in population annealing, Hukushima and Iba 2003,
//! except that the worst quarter is replaced even if the difference is small). One member continues with the cold part
//! in `anneal.rs`, which also decides whether there is a population at all.

use super::cooling::{COLD_SHARE, advance, temperature};
use super::incumbent::Incumbent;
use super::moves::{MOVE_MIXES, MoveMix, Mover};
use rand::rngs::Xoshiro256PlusPlus;

/// The share of a cycle after which one member is chosen. Later, the order of the members hardly changes.
pub(super) const CHOSEN: f64 = 0.6;
/// Share of the time for the population; the chosen member gets the rest.
const TIME_SHARE: f64 = 0.75;
/// The least steps per item of each member; with fewer, one configuration that cools longer ends better.
const STEPS_PER_ITEM: f64 = 200_000.0;
/// The largest population. It bounds the memory; on the public instances five minutes are enough for about this many.
pub(super) const MEMBERS_MAX: usize = 24;
/// Number of stages of the hot part; the worst members are replaced after each.
const STAGES: u32 = 24;
/// One in this many members is replaced after a stage. Smaller populations replace none and only choose the best at the
/// end.
const REPLACED: usize = 4;
/// The share of a cycle before which costs do not predict the final order, so that no member is replaced.
const TELLING: f64 = 0.1;

struct Member {
    at: Vec<u32>,
    move_mix: MoveMix,
    /// Mean cost over the last stage. The cost at a single step depends too much on chance to rank the members.
    cost: f64,
}

/// The number of members that a number of steps is enough for.
pub(super) fn size(steps: f64, items: u64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bounded, and not negative"
    )]
    let members = (steps * TIME_SHARE / (STEPS_PER_ITEM * items as f64)) as usize;
    members.min(MEMBERS_MAX)
}

/// Cools a population that starts from the mover's configuration and leaves the best member in the mover. Returns true
/// when the search has to end.
pub(super) fn select(
    mover: &mut Mover,
    rng: &mut Xoshiro256PlusPlus,
    incumbent: &mut Incumbent,
    hot: f64,
    members: usize,
) -> bool {
    let begun = incumbent.elapsed_share().unwrap_or(1.0);
    let until = begun + (COLD_SHARE - begun) * TIME_SHARE;
    let start = mover.state.at.clone();
    let member =
        |k: usize| Member { at: start.clone(), move_mix: MOVE_MIXES[k % MOVE_MIXES.len()], cost: 0.0 };
    let mut population: Vec<Member> = (0..members).map(member).collect();
    let share = |part: u32| CHOSEN * f64::from(part) / f64::from(STAGES);
    for stage in 0..STAGES {
        for k in 0..population.len() {
            // The remaining time is divided among the remaining runs, so that a slow run costs all others the same.
            let now = incumbent.elapsed_share().unwrap_or(1.0);
            let to_come = (STAGES - stage) as usize * population.len() - k;
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            let slice = (now, now + (until - now) / to_come as f64);
            let member = &mut population[k];
            mover.restart(&member.at);
            mover.set_move_mix(member.move_mix);
            let Some(cost) = anneal(mover, rng, incumbent, slice, &|part| {
                temperature(hot, share(stage) + (share(stage + 1) - share(stage)) * part)
            }) else {
                return true;
            };
            member.cost = cost;
            member.at.copy_from_slice(&mover.state.at);
        }
        rank(&mut population, share(stage + 1) >= TELLING);
    }
    mover.restart(&population[0].at);
    mover.set_move_mix(population[0].move_mix);
    false
}

/// Sorts the members by cost. If costs predict the final order, the worst members take over the leaders'
/// configurations.
fn rank(population: &mut [Member], is_telling: bool) {
    population.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let replaced = if is_telling { population.len() / REPLACED } else { 0 };
    let (kept, lost) = population.split_at_mut(population.len() - replaced);
    for (leader, member) in kept.iter().zip(lost) {
        member.at.copy_from_slice(&leader.at);
        member.move_mix = leader.move_mix;
    }
}

/// Anneals for a slice of the time. Returns the mean cost, or none when the search has to end.
fn anneal(
    mover: &mut Mover,
    rng: &mut Xoshiro256PlusPlus,
    incumbent: &mut Incumbent,
    (since, until): (f64, f64),
    temperature: &dyn Fn(f64) -> f64,
) -> Option<f64> {
    let (mut sum, mut polls) = (0.0, 0.0);
    loop {
        if incumbent.stop() || incumbent.is_least() {
            incumbent.offer(&mover.state);
            return None;
        }
        let part = (incumbent.elapsed_share().unwrap_or(1.0) - since) / (until - since).max(1e-9);
        if part >= 1.0 && polls > 0.0 {
            return Some(sum / polls);
        }
        mover.set_temperature(temperature(part.min(1.0)));
        advance(mover, rng, incumbent);
        sum += mover.state.cost;
        polls += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::anneal::tests::{Asked, blocked};
    use super::super::incumbent::assignment;
    use super::super::model::Model;
    use super::super::state::State;
    use super::*;
    use crate::check::check;
    use rand::SeedableRng;

    #[test]
    fn the_members_share_the_time_and_keep_to_the_rules() {
        let problem = blocked();
        let model = Model::new(&problem);
        let state = State::at(&model, &model.origin);
        let mut watch = Asked { questions: 0, of: 20_000 };
        let mut incumbent = Incumbent::new(&state, &mut watch, 0.0, 0);
        let mut mover = Mover::new(state);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        assert!(!select(&mut mover, &mut rng, &mut incumbent, 10.0, 8));
        let over = incumbent.elapsed_share().expect("a deadline is in sight");
        assert!((over - COLD_SHARE * TIME_SHARE).abs() < 0.02, "{over}");
        assert_eq!(check(&problem, &assignment(&model, &mover.state.at)), []);
        // Nothing but a rearrangement brings the large item there.
        assert_eq!(incumbent.at()[0], 1, "{:?}", incumbent.at());
    }

    #[test]
    fn the_worse_quarter_starts_again_from_the_leaders_once_costs_are_telling() {
        let member = |k: u32, cost: f64| Member { at: vec![k], move_mix: MOVE_MIXES[k as usize % 2], cost };
        let costs = [5.0, 1.0, 7.0, 3.0, 8.0, 2.0, 6.0, 4.0];
        let mut population: Vec<Member> = (0..).zip(costs).map(|(k, cost)| member(k, cost)).collect();
        let places = |population: &[Member]| population.iter().map(|m| m.at[0]).collect::<Vec<_>>();
        rank(&mut population, false);
        assert_eq!(places(&population), [1, 5, 3, 7, 0, 6, 2, 4]);
        rank(&mut population, true);
        assert_eq!(places(&population), [1, 5, 3, 7, 0, 6, 1, 5]);
        assert!(population.iter().all(|m| m.move_mix == MOVE_MIXES[m.at[0] as usize % 2]));
    }

    #[test]
    fn there_is_a_population_only_when_each_member_has_time_to_cool() {
        assert_eq!(size(100_000.0 * 1_000.0, 1_000), 0);
        assert_eq!(size(200_000.0 * 1_000.0 / TIME_SHARE * 5.5, 1_000), 5);
        assert_eq!(size(1e15, 1_000), MEMBERS_MAX);
        assert_eq!(size(f64::NAN, 1_000), 0);
    }
}
