//! The descents of local search and the disturbances between them.
//!
//! `start.rs` adds the ways to a first assignment that keeps every rule. Read next: `incremental.rs`.

use super::incremental::{IncrementalScore, Rank};
use crate::assignment::{Assignment, Instance, Place};
use crate::engine::{Aim, Request};
use crate::evaluate::WORTH_TOLERANCE;
use crate::problem::Problem;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::cell::OnceCell;
use std::collections::BTreeSet;

/// The search ends after this many descents in a row that found nothing better.
///
/// On the 69 measured regions the optimum is found within the first few; more only cost time.
const STALLED_ROUNDS_MAX: u32 = 30;
/// The search ends after this many rounds without a feasible assignment; each round is some twenty descents with rising
/// penalties.
///
/// Of 956 random shops that have an answer (`tests/it/buying.rs`), 951 have it after one round, 955 after two, all
/// after ten.
const INFEASIBLE_ROUNDS_MAX: u32 = 10;
/// Exchanges that are tried before a descent counts as ended; all pairs of a hundred instances are fewer.
const EXCHANGES_MAX: usize = 5_000;

pub(super) struct Search<'a> {
    pub(super) problem: &'a Problem,
    /// For each component, its eligible machines; computed on first use, because a repair needs few of thousands of
    /// components.
    pub(super) eligible: Vec<OnceCell<Vec<usize>>>,
    pub(super) score: IncrementalScore<'a>,
    pub(super) rank: Rank,
    pub(super) aim: Aim,
    pub(super) rng: Xoshiro256PlusPlus,
    pub(super) stop: &'a mut dyn FnMut() -> bool,
    pub(super) stopped: bool,
}

/// A change of a few instances at once.
type Change = Vec<(Instance, Option<Place>)>;

impl<'a> Search<'a> {
    pub(super) fn new(
        problem: &'a Problem,
        request: &Request,
        warm: Option<Assignment>,
        stop: &'a mut dyn FnMut() -> bool,
    ) -> Self {
        let eligible = vec![OnceCell::new(); problem.components.len()];
        let rng = Xoshiro256PlusPlus::seed_from_u64(request.seed);
        let mut score = IncrementalScore::new(problem, Assignment::current(problem));
        let mut rank = score.rank();
        if let Some(warm) = warm {
            score.reset(warm);
            if score.rank().better_than(rank) {
                rank = score.rank();
            } else {
                score.reset(Assignment::current(problem));
            }
        }
        Self { problem, eligible, score, rank, aim: request.aim, rng, stop, stopped: false }
    }

    /// Descends from the current assignment and then from disturbed optima, until too many descents in a row fail.
    pub(super) fn rounds(&mut self) -> (Assignment, Rank) {
        match self.aim {
            Aim::Repair | Aim::Feasible => self.repair(),
            Aim::Best | Aim::Proof => self.descend(),
        }
        self.descend_with_penalties();
        let (mut best, mut best_rank) = (self.score.assignment().clone(), self.rank);
        let mut stalled = 0;
        while !self.stopped {
            let rounds_max = if best_rank.broken > 0.0 { INFEASIBLE_ROUNDS_MAX } else { STALLED_ROUNDS_MAX };
            if stalled >= rounds_max || (!self.improves() && best_rank.broken <= 0.0) {
                break;
            }
            self.disturb();
            self.descend();
            if best_rank.broken > 0.0 {
                self.descend_with_penalties();
            }
            stalled += 1;
            if self.rank.better_than(best_rank) {
                (best, best_rank, stalled) = (self.score.assignment().clone(), self.rank, 0);
            } else if best_rank.broken <= 0.0 && self.rank != best_rank {
                self.score.reset(best.clone());
                self.rank = best_rank;
            }
        }
        (best, best_rank)
    }

    /// Whether the search goes on when every rule is kept.
    pub(super) fn improves(&self) -> bool {
        matches!(self.aim, Aim::Best | Aim::Proof)
    }

    /// Applies a change and returns the new rank; the caller then keeps or undoes the change.
    pub(super) fn after(&mut self, change: &[(Instance, Option<Place>)]) -> Rank {
        self.stopped |= (self.stop)();
        self.score.change(change)
    }

    /// Whether a rank is better than another one; a repair accepts it only when less is broken.
    pub(super) fn is_gain(&self, rank: Rank, than: Rank) -> bool {
        let repairs = || rank.broken < self.rank.broken - WORTH_TOLERANCE;
        rank.better_than(than) && (self.improves() || repairs())
    }

    /// Keeps a change when it improves the rank, and undoes it otherwise; returns whether it was kept.
    pub(super) fn take_if_better(&mut self, change: &[(Instance, Option<Place>)]) -> bool {
        let rank = self.after(change);
        let better = self.is_gain(rank, self.rank);
        if better {
            self.rank = self.score.keep();
        } else {
            self.score.undo();
        }
        better
    }

    /// Keeps improving changes until none is found.
    pub(super) fn descend(&mut self) {
        while !self.stopped {
            // Components with broken rules first: the others may not have to change.
            let broken_components = self.score.broken_components();
            if !broken_components.is_empty()
                && self.shift_each(&|component| broken_components.contains(&component))
            {
                continue;
            }
            let singles = self.shift_each(&|_| true);
            // Costlier neighbourhoods only when the cheap one is exhausted.
            if !singles && !self.move_hosts() && !self.exchange() {
                break;
            }
        }
    }

    /// Keeps changes until nothing is broken: of components with broken rules first, of others only when that fails.
    pub(super) fn repair(&mut self) {
        while !self.stopped && self.rank.broken > 0.0 {
            let broken_components = self.score.broken_components();
            if !self.shift_each(&|component| broken_components.contains(&component))
                && !self.shift_each(&|_| true)
                && !self.move_hosts()
                && !self.exchange()
            {
                break;
            }
        }
    }

    /// The eligible machines of a component.
    fn eligible(&self, component: usize) -> &[usize] {
        self.eligible[component].get_or_init(|| crate::eligible::eligible(self.problem, component))
    }

    /// Moves every instance of the selected components, in random order, to the place that is best for it alone.
    fn shift_each(&mut self, of: &dyn Fn(usize) -> bool) -> bool {
        let mut slots: Vec<Instance> = Vec::new();
        let components = self.score.assignment().places.iter().enumerate();
        for (component, places) in components.filter(|(component, _)| of(*component)) {
            slots.extend((0..places.len()).map(|ordinal| Instance { component, ordinal }));
            let max = self.problem.components[component].replicas_max as usize;
            // One more instance may start.
            if places.len() < max {
                slots.push(Instance { component, ordinal: places.len() });
            }
        }
        slots.shuffle(&mut self.rng);
        let mut any = false;
        for instance in slots {
            any |= self.shift(instance);
            if self.stopped {
                break;
            }
        }
        any
    }

    fn shift(&mut self, instance: Instance) -> bool {
        let own = self.score.assignment().place(instance);
        let c = &self.problem.components[instance.component];
        let count = self.score.assignment().count(instance.component);
        let mut options: Vec<Option<Place>> = Vec::new();
        if own.is_some() || count < c.replicas_max as usize {
            options.extend(self.places(instance.component).into_iter().map(Some));
        }
        if own.is_some() && count > c.replicas_min as usize {
            options.push(None);
        }
        let mut best: Option<(Rank, Option<Place>)> = None;
        for place in options.into_iter().filter(|place| *place != own) {
            let rank = self.after(&[(instance, place)]);
            self.score.undo();
            if self.is_gain(rank, best.map_or(self.rank, |(rank, _)| rank)) {
                best = Some((rank, place));
            }
            if self.stopped {
                break;
            }
        }
        let Some((_, place)) = best else { return false };
        self.take_if_better(&[(instance, place)])
    }

    /// Hosts that a component may use: the used ones, and the next unused one of each offer.
    fn places(&self, component: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for machine in self.eligible(component) {
            for copy in 0..self.problem.machines[*machine].copies_max() {
                let place = Place { machine: *machine, copy };
                places.push(place);
                if !self.score.hosts().contains_key(&place) {
                    break;
                }
            }
        }
        places
    }

    /// Moves all instances of one host to another host, used or new.
    fn move_hosts(&mut self) -> bool {
        let mut hosts: Vec<(Place, Vec<Instance>)> =
            self.score.hosts().iter().map(|(place, here)| (*place, here.clone())).collect();
        hosts.shuffle(&mut self.rng);
        for (host, here) in hosts {
            let components: BTreeSet<usize> = here.iter().map(|i| i.component).collect();
            let Some(first) = components.first() else { continue };
            let allowed = |place: &Place| {
                *place != host
                    && components.iter().all(|c| self.eligible(*c).binary_search(&place.machine).is_ok())
            };
            let targets: Vec<Place> = self.places(*first).into_iter().filter(allowed).collect();
            let mut best: Option<(Rank, Place)> = None;
            for target in targets {
                let change: Change = here.iter().map(|i| (*i, Some(target))).collect();
                let rank = self.after(&change);
                self.score.undo();
                if self.is_gain(rank, best.map_or(self.rank, |(rank, _)| rank)) {
                    best = Some((rank, target));
                }
                if self.stopped {
                    return false;
                }
            }
            if let Some((_, target)) = best {
                let change: Change = here.iter().map(|i| (*i, Some(target))).collect();
                return self.take_if_better(&change);
            }
        }
        false
    }

    /// Exchanges the places of two instances; keeps the first exchange that improves the rank.
    fn exchange(&mut self) -> bool {
        let all: Vec<(Instance, Place)> = self.score.assignment().iter().collect();
        let problem = self.problem;
        let differs = |(a, p): (Instance, Place), (b, q): (Instance, Place)| {
            let alike = a.component == b.component && problem.components[a.component].is_exchangeable();
            p != q && !alike
        };
        let mut pairs: Vec<(usize, usize)> = if all.len() * all.len() / 2 <= EXCHANGES_MAX {
            (0..all.len()).flat_map(|a| (a + 1..all.len()).map(move |b| (a, b))).collect()
        } else {
            // All pairs of thousands of instances would not fit the memory.
            let mut any = || self.rng.random_range(0..all.len());
            (0..EXCHANGES_MAX).map(|_| (any(), any())).collect()
        };
        pairs.retain(|(a, b)| differs(all[*a], all[*b]));
        pairs.shuffle(&mut self.rng);
        pairs.into_iter().any(|(a, b)| {
            let ((a, p), (b, q)) = (all[a], all[b]);
            !self.stopped && self.take_if_better(&[(a, Some(q)), (b, Some(p))])
        })
    }

    /// Moves a few instances to random places, so that the next descent ends elsewhere.
    fn disturb(&mut self) {
        for _ in 0..self.rng.random_range(2..=4) {
            let all: Vec<(Instance, Place)> = self.score.assignment().iter().collect();
            if all.is_empty() {
                return;
            }
            let (instance, _) = all[self.rng.random_range(0..all.len())];
            let places = self.places(instance.component);
            if !places.is_empty() {
                let place = places[self.rng.random_range(0..places.len())];
                self.score.change(&[(instance, Some(place))]);
                self.rank = self.score.keep();
            }
        }
    }
}
