//! The way to a first assignment that keeps to all rules, where descents alone do not get there, and the way back.
//!
//! Counts tied by rules, or instances that have to be near each other, leave a descent where every single change breaks
//! as much as it mends. What is broken there then counts more, and the descent goes on (the breakout method: Morris,
//! AAAI 1993); `penalties.rs` has the weights. Small problems where that leads nowhere are searched whole. A repair
//! takes back in the end what it did without need. It does not improve what is whole already.

use super::incremental::Rank;
use super::search::Search;
use crate::assignment::{Assignment, Instance, Place};
use crate::engine::exhaustive::{self, Exhaustive};
use crate::engine::{Aim, Engine, Request};

/// What came of looking for a start by other means than descents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// There is one already.
    Needless,
    /// The search stands on one.
    Found,
    /// None was found.
    Missing,
    /// There is none.
    Impossible,
}

impl Search<'_> {
    /// Descends under rising penalties until nothing is broken, or the weights are as far apart as they may be.
    pub(super) fn press_on(&mut self) {
        if self.rank.broken <= 0.0 {
            return;
        }
        while !self.stopped && self.rank.broken > 0.0 {
            let Some(rank) = self.score.press() else { break };
            self.rank = rank;
            self.mend();
        }
        self.rank = self.score.ease();
    }

    /// Looks at every assignment of a small problem until one keeps to all rules.
    pub(super) fn start(&mut self, best: Rank) -> Start {
        if best.broken <= 0.0 {
            return Start::Needless;
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

    /// Of a repair, what is left of an answer when every change is taken back that is not needed for it.
    pub(super) fn settled(&mut self, (best, rank): (Assignment, Rank)) -> (Assignment, Rank) {
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

    /// Instances that are not where they run now, with that place.
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
