//! The choice of an exporter for each new connection of one import: a pure state machine without clock or socket.
//!
//! The exporter with the fewest open connections gets the next one; of several, the one that was chosen longest ago. An
//! exporter that could not be reached is left out for a growing time. An exporter that is no longer bound gets no new
//! connection and keeps its old ones. Read next: [`crate::listener`], which drives it.

use crate::Exporter;
use std::collections::{BTreeMap, BTreeSet};

/// An exporter is left out for this time after its first failure; each further failure doubles the time. A copy that
/// restarts in place is back after some tens of milliseconds.
const BACK_OFF_MS: u64 = 50;
/// The longest such time. A recovered exporter gets connections again after at most this time.
const BACK_OFF_MS_MAX: u64 = 1_000;

/// The exporters of one import.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Choice {
    candidates: BTreeMap<Exporter, Candidate>,
    /// Number of choices so far.
    choices: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Candidate {
    /// False for an exporter that is no longer bound and has connections left.
    is_bound: bool,
    /// Connections that were given to it and have not ended.
    open: u32,
    /// The number of the last choice that it won.
    chosen_last: u64,
    /// Failures in a row.
    failures: u32,
    /// It is left out before this time.
    retry_at_ms: u64,
}

/// The result of a choice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Chosen {
    /// This exporter gets the connection, which counts as open from now on.
    Exporter(Exporter),
    /// Every bound exporter has failed; the first of them may be tried again at this time.
    NotBefore(u64),
    /// No exporter is bound.
    Unbound,
}

impl Choice {
    /// Replaces the bound exporters. Those that stay keep their counts.
    pub(crate) fn follow(&mut self, bound: &BTreeSet<Exporter>) {
        for (exporter, candidate) in &mut self.candidates {
            candidate.is_bound = bound.contains(exporter);
        }
        for exporter in bound {
            self.candidates.entry(exporter.clone()).or_default().is_bound = true;
        }
        self.candidates.retain(|_, candidate| candidate.is_bound || candidate.open > 0);
    }

    /// Chooses an exporter for a new connection.
    pub(crate) fn choose(&mut self, now_ms: u64) -> Chosen {
        let bound = || self.candidates.iter().filter(|(_, candidate)| candidate.is_bound);
        let ready = bound().filter(|(_, candidate)| candidate.retry_at_ms <= now_ms);
        let best = ready.min_by_key(|(_, candidate)| (candidate.open, candidate.chosen_last));
        let Some(exporter) = best.map(|(exporter, _)| exporter.clone()) else {
            let retry_at = bound().map(|(_, candidate)| candidate.retry_at_ms).min();
            return retry_at.map_or(Chosen::Unbound, Chosen::NotBefore);
        };
        self.choices += 1;
        if let Some(candidate) = self.candidates.get_mut(&exporter) {
            candidate.open += 1;
            candidate.chosen_last = self.choices;
        }
        Chosen::Exporter(exporter)
    }

    /// The connection reached its exporter.
    pub(crate) fn reached(&mut self, exporter: &Exporter) {
        if let Some(candidate) = self.candidates.get_mut(exporter) {
            candidate.failures = 0;
        }
    }

    /// The exporter could not be reached; the connection is not open there any more.
    pub(crate) fn failed(&mut self, exporter: &Exporter, now_ms: u64) {
        if let Some(candidate) = self.candidates.get_mut(exporter) {
            let wait_ms = BACK_OFF_MS.saturating_mul(1 << candidate.failures.min(16)).min(BACK_OFF_MS_MAX);
            candidate.retry_at_ms = now_ms.saturating_add(wait_ms);
            candidate.failures = candidate.failures.saturating_add(1);
        }
        self.ended(exporter);
    }

    /// A connection has ended.
    pub(crate) fn ended(&mut self, exporter: &Exporter) {
        if let Some(candidate) = self.candidates.get_mut(exporter) {
            candidate.open = candidate.open.saturating_sub(1);
            if candidate.open == 0 && !candidate.is_bound {
                self.candidates.remove(exporter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhizo_types::{InstanceId, NodeId};

    fn exporter(ordinal: u32) -> Exporter {
        let node = NodeId(u64::from(ordinal) + 1);
        Exporter { instance: InstanceId { component: "web".into(), ordinal }, node }
    }

    fn bound(ordinals: &[u32]) -> BTreeSet<Exporter> {
        ordinals.iter().map(|ordinal| exporter(*ordinal)).collect()
    }

    fn following(ordinals: &[u32]) -> Choice {
        let mut choice = Choice::default();
        choice.follow(&bound(ordinals));
        choice
    }

    fn chosen(choice: &mut Choice, now_ms: u64) -> u32 {
        match choice.choose(now_ms) {
            Chosen::Exporter(exporter) => exporter.instance.ordinal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_exporter_with_the_fewest_open_connections_gets_the_next_one() {
        let mut choice = following(&[0, 1, 2]);
        let mut first: Vec<u32> = (0..3).map(|_| chosen(&mut choice, 0)).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
        choice.ended(&exporter(1));
        assert_eq!(chosen(&mut choice, 0), 1);
        choice.ended(&exporter(2));
        choice.ended(&exporter(0));
        let mut next = [chosen(&mut choice, 0), chosen(&mut choice, 0)];
        next.sort_unstable();
        assert_eq!(next, [0, 2], "1 still has its second connection");
    }

    #[test]
    fn exporters_without_connections_take_turns() {
        let mut choice = following(&[0, 1]);
        let turns: Vec<u32> = (0..4)
            .map(|_| {
                let ordinal = chosen(&mut choice, 0);
                choice.ended(&exporter(ordinal));
                ordinal
            })
            .collect();
        assert_eq!(turns, [0, 1, 0, 1]);
    }

    #[test]
    fn an_exporter_that_leaves_gets_no_new_connection_and_is_forgotten_after_its_last_one() {
        let mut choice = following(&[0]);
        assert_eq!(chosen(&mut choice, 0), 0);
        choice.follow(&bound(&[1]));
        assert_eq!((0..3).map(|_| chosen(&mut choice, 0)).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(choice.candidates.len(), 2);
        choice.ended(&exporter(0));
        assert_eq!(choice.candidates.len(), 1);
        choice.follow(&BTreeSet::new());
        assert_eq!(choice.choose(0), Chosen::Unbound);
    }

    #[test]
    fn an_exporter_that_fails_is_left_out_for_a_growing_time() {
        let mut choice = following(&[0]);
        let (mut now_ms, mut waits) = (0, Vec::new());
        for _ in 0..7 {
            assert_eq!(chosen(&mut choice, now_ms), 0);
            choice.failed(&exporter(0), now_ms);
            let Chosen::NotBefore(at) = choice.choose(now_ms) else { panic!("it has just failed") };
            waits.push(at - now_ms);
            now_ms = at;
        }
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(chosen(&mut choice, now_ms), 0);
        choice.reached(&exporter(0));
        choice.failed(&exporter(0), now_ms);
        assert_eq!(choice.choose(now_ms), Chosen::NotBefore(now_ms + 50), "the failures are not in a row");
    }

    #[test]
    fn a_failing_exporter_leaves_its_connections_to_the_others() {
        let mut choice = following(&[0, 1]);
        assert_eq!(chosen(&mut choice, 0), 0);
        choice.failed(&exporter(0), 0);
        assert_eq!((0..3).map(|_| chosen(&mut choice, 10)).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(chosen(&mut choice, 50), 0);
    }

    #[test]
    fn a_copy_that_moves_is_another_exporter() {
        let mut choice = following(&[0]);
        assert_eq!(chosen(&mut choice, 0), 0);
        choice.failed(&exporter(0), 0);
        let moved = Exporter { node: NodeId(9), ..exporter(0) };
        choice.follow(&BTreeSet::from([moved.clone()]));
        assert_eq!(choice.choose(0), Chosen::Exporter(moved));
    }
}
