//! Several annealings side by side, of which the better ones go on.
//!
//! Which items a machine is left with that cost most is decided while it is still hot, by chance, and no longer
//! cooling decides it better: of twelve cycles on one public instance the worst ended 13 % above the best, and the
//! order they ended in was the order they were in before half of the cooling. So the hot part is run for a
//! population; whoever is behind starts again from where one of the leaders is (as in population annealing, Hukushima
//! and Iba 2003, but the worse quarter is replaced whatever the difference). One goes on to the cold
//! part, which is in `anneal.rs`, as is whether there is a population at all.

use super::cooling::{COLD_SHARE, advance, temperature};
use super::incumbent::Incumbent;
use super::moves::{MOVE_MIXES, MoveMix, Mover};
use rand::rngs::Xoshiro256PlusPlus;

/// The share of a cycle that is over when one is chosen. Later, the order hardly changes any more.
pub(super) const CHOSEN: f64 = 0.6;
/// Share of the time for the population; the rest is for the one that is chosen.
const TIME_SHARE: f64 = 0.75;
/// Steps per item that each member needs at least: with fewer, one that cools longer is better.
const STEPS_PER_ITEM: f64 = 200_000.0;
/// Bounds the memory; on the public instances five minutes are enough for about so many.
pub(super) const MEMBERS_MAX: usize = 24;
/// The hot part is cut into so many; after each the worse members are replaced.
const STAGES: u32 = 24;
/// One in so many members is replaced after a stage: of fewer, none, and the best is chosen at the end.
const REPLACED: usize = 4;
/// The share of a cycle before which costs say nothing about the end, so that nobody is replaced.
const TELLING: f64 = 0.1;

struct Member {
    at: Vec<u32>,
    move_mix: MoveMix,
    /// The mean during the last stage: at one moment it is a matter of chance.
    cost: f64,
}

/// How many members so many steps are enough for.
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

/// Cools a population from what the mover has and leaves the best in it; whether the search is to end.
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
            // What is left is shared among all that are still to come, so that a slow one costs all others alike.
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

/// Puts the best first; if costs are telling, the worse members start again from where the leaders are.
fn rank(population: &mut [Member], is_telling: bool) {
    population.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let replaced = if is_telling { population.len() / REPLACED } else { 0 };
    let (kept, lost) = population.split_at_mut(population.len() - replaced);
    for (leader, member) in kept.iter().zip(lost) {
        member.at.copy_from_slice(&leader.at);
        member.move_mix = leader.move_mix;
    }
}

/// Anneals for a slice of the time; the mean cost, or none when the search is to end.
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
