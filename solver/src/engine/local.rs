//! Local search over the whole model: start, end, shift and swap, scored by the checker and the evaluator.
//!
//! It takes any problem but evaluates from scratch, so it suits small and middle sizes (up to some hundred
//! instances); `choice` is exact for one component. Deterministic for a problem, a seed and a number of steps.

use crate::assignment::{Assignment, Instance, Place};
use crate::check::check;
use crate::engine::Found;
use crate::evaluate::evaluate;
use crate::problem::Problem;
use crate::solve::WORTH_TOLERANCE;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Descents from disturbed optima without a better one before the search ends by itself.
///
/// On the 69 measured regions the optimum is found within the first few; more only costs time.
const BARREN_ROUNDS_MAX: u32 = 30;

/// How an assignment compares: less broken first, then worth more.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Rank {
    broken: f64,
    net: f64,
}

impl Rank {
    fn better_than(self, other: Self) -> bool {
        self.broken < other.broken - WORTH_TOLERANCE
            || (self.broken <= other.broken + WORTH_TOLERANCE && self.net > other.net + WORTH_TOLERANCE)
    }
}

struct Search<'a> {
    problem: &'a Problem,
    /// For each component, machines that no rule about single machines refuses.
    eligible: Vec<Vec<usize>>,
    rng: Xoshiro256PlusPlus,
    evaluated: u64,
    stop: &'a mut dyn FnMut() -> bool,
    stopped: bool,
}

/// Searches from what runs now, or from nothing.
pub(crate) fn search(problem: &Problem, seed: u64, stop: &mut dyn FnMut() -> bool) -> Found {
    let eligible = (0..problem.components.len()).map(|c| crate::explain::eligible(problem, c)).collect();
    let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut search = Search { problem, eligible, rng, evaluated: 0, stop, stopped: false };
    let mut best = Assignment::current(problem);
    let mut best_rank = search.descend(&mut best);
    let mut barren = 0;
    while barren < BARREN_ROUNDS_MAX && !search.stopped {
        let mut next = best.clone();
        search.disturb(&mut next);
        let rank = search.descend(&mut next);
        barren += 1;
        if rank.better_than(best_rank) {
            (best, best_rank, barren) = (next, rank, 0);
        }
    }
    let feasible = check(problem, &best).is_empty();
    Found { best: feasible.then_some(best), bound: None, complete: false, evaluated: search.evaluated }
}

impl Search<'_> {
    fn rank(&mut self, assignment: &Assignment) -> Rank {
        self.evaluated += 1;
        self.stopped |= (self.stop)();
        let broken = check(self.problem, assignment).iter().map(|v| v.amount).sum();
        Rank { broken, net: evaluate(self.problem, assignment).net }
    }

    /// Takes the best change of each round until none helps.
    fn descend(&mut self, assignment: &mut Assignment) -> Rank {
        let mut rank = self.rank(assignment);
        while !self.stopped {
            let mut best: Option<(Rank, Assignment)> = None;
            for next in self.neighbours(assignment) {
                let next_rank = self.rank(&next);
                if best.as_ref().map_or(rank, |(r, _)| *r).better_than(next_rank)
                    || !next_rank.better_than(rank)
                {
                    continue;
                }
                if best.as_ref().is_none_or(|(r, _)| next_rank.better_than(*r)) {
                    best = Some((next_rank, next));
                }
                if self.stopped {
                    break;
                }
            }
            match best {
                Some((next_rank, next)) => (rank, *assignment) = (next_rank, next),
                None => break,
            }
        }
        rank
    }

    /// Hosts a component may use: those in use, and the next one of each offer.
    fn places(&self, assignment: &Assignment, component: usize) -> Vec<Place> {
        let used = assignment.by_host();
        let mut places = Vec::new();
        for machine in &self.eligible[component] {
            for copy in 0..self.problem.machines[*machine].copies_max() {
                let place = Place { machine: *machine, copy };
                places.push(place);
                if !used.contains_key(&place) {
                    break;
                }
            }
        }
        places
    }

    fn neighbours(&self, assignment: &Assignment) -> Vec<Assignment> {
        let mut found = Vec::new();
        let put = |instance: Instance, place: Option<Place>| {
            let mut next = assignment.clone();
            let places = &mut next.places[instance.component];
            if places.len() <= instance.ordinal {
                places.resize(instance.ordinal + 1, None);
            }
            places[instance.ordinal] = place;
            next
        };
        for (component, c) in self.problem.components.iter().enumerate() {
            let places = self.places(assignment, component);
            let slots = &assignment.places[component];
            let count = assignment.count(component);
            if count < c.replicas_max as usize {
                let ordinal = slots.iter().position(Option::is_none).unwrap_or(slots.len());
                found.extend(places.iter().map(|p| put(Instance { component, ordinal }, Some(*p))));
            }
            for (ordinal, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.is_some()) {
                let instance = Instance { component, ordinal };
                if count > c.replicas_min as usize {
                    found.push(put(instance, None));
                }
                found.extend(places.iter().filter(|p| Some(**p) != *slot).map(|p| put(instance, Some(*p))));
            }
        }
        found.extend(self.swaps(assignment));
        found
    }

    fn swaps(&self, assignment: &Assignment) -> Vec<Assignment> {
        let all: Vec<(Instance, Place)> = assignment.iter().collect();
        let mut found = Vec::new();
        for (at, (a, p)) in all.iter().enumerate() {
            for (b, q) in &all[at + 1..] {
                let alike =
                    a.component == b.component && self.problem.components[a.component].is_exchangeable();
                if p != q && !alike {
                    let mut next = assignment.clone();
                    next.places[a.component][a.ordinal] = Some(*q);
                    next.places[b.component][b.ordinal] = Some(*p);
                    found.push(next);
                }
            }
        }
        found
    }

    /// Moves a few instances anywhere, so that the next descent ends elsewhere.
    fn disturb(&mut self, assignment: &mut Assignment) {
        for _ in 0..self.rng.random_range(2..=4) {
            let all: Vec<(Instance, Place)> = assignment.iter().collect();
            if all.is_empty() {
                return;
            }
            let (instance, _) = all[self.rng.random_range(0..all.len())];
            let places = self.places(assignment, instance.component);
            if !places.is_empty() {
                let place = places[self.rng.random_range(0..places.len())];
                assignment.places[instance.component][instance.ordinal] = Some(place);
            }
        }
    }
}
