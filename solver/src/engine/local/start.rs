//! The search for a first feasible assignment where descents alone find none, and the undoing of needless changes.
//!
//! When rules tie counts together, or instances have to be near each other, a descent ends where every single change
//! breaks as much as it repairs. The rules that are broken there then get a higher weight, and the descent continues
//! (the breakout method: Morris, AAAI 1993); `penalties.rs` has the weights. Small problems that still have no feasible
//! assignment are enumerated. At the end a repair undoes every change that is not needed. A feasible assignment is not
//! improved here.

use super::incremental::Rank;
use super::search::Search;
use crate::assignment::{Assignment, Instance, Place};
use crate::engine::exhaustive::{self, Exhaustive};
use crate::engine::{Aim, Engine, Request};

/// The result of the search for a first feasible assignment by other means than descents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// There already is a feasible assignment.
    NotNeeded,
    /// One was found, and the search has adopted it.
    Found,
    /// None was found; there may be one.
    Missing,
    /// Proven: no assignment is feasible.
    Impossible,
}

impl Search<'_> {
    /// Descends under rising penalties until nothing is broken, or the weights differ by the largest allowed factor.
    pub(super) fn descend_with_penalties(&mut self) {
        if self.rank.broken <= 0.0 {
            return;
        }
        while !self.stopped && self.rank.broken > 0.0 {
            let Some(rank) = self.score.raise_penalties() else { break };
            self.rank = rank;
            self.repair();
        }
        self.rank = self.score.reset_penalties();
    }

    /// Enumerates the assignments of a small problem until one is feasible.
    pub(super) fn start(&mut self, best: Rank) -> Start {
        if best.broken <= 0.0 {
            return Start::NotNeeded;
        }
        if self.stopped || !Exhaustive.accepts(self.problem) {
            return Start::Missing;
        }
        let found = exhaustive::search(self.problem, &Request::new(Aim::Feasible, 0), self.stop);
        match found.best {
            Some(start) => {
                self.score.reset(start);
                self.rank = self.score.rank();
                Start::Found
            }
            None if found.complete => Start::Impossible,
            None => Start::Missing,
        }
    }

    /// For a repair, undoes every change without which the assignment stays feasible.
    pub(super) fn without_needless_changes(
        &mut self,
        (best, rank): (Assignment, Rank),
    ) -> (Assignment, Rank) {
        if self.improves() || rank.broken > 0.0 {
            return (best, rank);
        }
        self.score.reset(best);
        self.rank = self.score.rank();
        let mut any = true;
        while any && !self.stopped {
            any = false;
            for (instance, place) in self.changed() {
                let rank = self.after(&[(instance, place)]);
                if rank.broken <= 0.0 {
                    (self.rank, any) = (self.score.keep(), true);
                } else {
                    self.score.undo();
                }
            }
        }
        (self.score.assignment().clone(), self.rank)
    }

    /// Instances that are not on their current host, with that host.
    fn changed(&self) -> Vec<(Instance, Option<Place>)> {
        let mut changed = Vec::new();
        for (component, c) in self.problem.components.iter().enumerate() {
            let count = self.score.assignment().places[component].len().max(c.current.len());
            for ordinal in 0..count {
                let (instance, place) =
                    (Instance { component, ordinal }, c.current_of(ordinal).map(Place::on));
                if self.score.assignment().place(instance) != place {
                    changed.push((instance, place));
                }
            }
        }
        changed
    }
}
