//! The commit rule of the Raft engine, checked where it lives: the crate `quorum-set`.
//!
//! openraft issue 1802: with five voters the "greatest value accepted by a quorum" could advance although only two
//! voters had reached it, because an entry above the accepted value was not kept in order. These tests replay such
//! orders against an independent implementation of the rule: sort, take the median. They do not test code of this
//! project. They decide whether the pinned versions may be trusted, and so run before the rest.

use quorum_set::QuorumSet;
use quorum_set::VecProgress;
use quorum_set::VecProgressEntry;
use rand::RngExt;
use rand::SeedableRng;
use std::collections::BTreeSet;

/// One voter and the known end of its log.
#[derive(Clone, Debug)]
struct Reached {
    id: u64,
    index: u64,
}

impl VecProgressEntry for Reached {
    type Id = u64;
    type Progress = u64;

    fn id(&self) -> &u64 {
        &self.id
    }

    fn progress(&self) -> &u64 {
        &self.index
    }

    fn progress_mut(&mut self) -> &mut u64 {
        &mut self.index
    }
}

fn tracker(voters: u64) -> VecProgress<Reached, Majority> {
    VecProgress::new(Majority((0..voters).collect()), [], |id| Reached { id, index: 0 })
}

/// More than half of a set of ids.
#[derive(Clone, Debug)]
struct Majority(BTreeSet<u64>);

impl QuorumSet for Majority {
    type Id = u64;
    type Iter = std::collections::btree_set::IntoIter<u64>;

    fn is_quorum<'a, I: Iterator<Item = &'a u64> + Clone>(&self, ids: I) -> bool {
        let present: BTreeSet<u64> = ids.filter(|id| self.0.contains(id)).copied().collect();
        present.len() * 2 > self.0.len()
    }

    fn ids(&self) -> Self::Iter {
        self.0.clone().into_iter()
    }
}

/// The greatest index that more than half of the voters have reached.
fn committable(reached: &[u64]) -> u64 {
    let mut descending = reached.to_vec();
    descending.sort_unstable_by(|a, b| b.cmp(a));
    descending[reached.len() / 2]
}

#[test]
fn five_voters_never_commit_what_two_have_reached() {
    // Voters above the accepted value overtake one another, and then a third one crosses it: the order in
    // which the defect of issue 1802 returned 6 although voters 0 and 2 alone had reached it.
    let steps = [(0, 4), (1, 5), (0, 6), (2, 6), (3, 5), (4, 1), (1, 7), (3, 6)];
    let mut progress = tracker(5);
    let mut reached = [0_u64; 5];
    for (voter, index) in steps {
        reached[voter] = index;
        let accepted = *progress.update_progress(&(voter as u64), index).expect("the voter is tracked");
        assert_eq!(accepted, committable(&reached), "after voter {voter} reached {index}: {reached:?}");
    }
}

#[test]
fn every_order_of_four_advances_of_five_voters_commits_the_median() {
    // Exhaustive over the shape of the defect: each step moves one of five voters to one of four heights. The
    // defect needs four steps; a model of it fails in 1,560 of these orders and in none of three steps.
    let moves: Vec<(u64, u64)> = (0..5).flat_map(|voter| (1..=4).map(move |index| (voter, index))).collect();
    let mut cases = 0_u32;
    let mut path = vec![0_usize; 4];
    loop {
        let mut progress = tracker(5);
        let mut reached = [0_u64; 5];
        for &step in &path {
            let (voter, index) = moves[step];
            if index <= reached[voter as usize] {
                break;
            }
            reached[voter as usize] = index;
            let accepted = *progress.update_progress(&voter, index).expect("the voter is tracked");
            assert_eq!(accepted, committable(&reached), "moves {path:?}");
            cases += 1;
        }
        let Some(place) = path.iter().rposition(|&step| step + 1 < moves.len()) else { break };
        path[place] += 1;
        path[place + 1..].fill(0);
    }
    assert!(cases > 100_000, "only {cases} advances were checked");
}

#[test]
fn long_random_histories_of_three_to_seven_voters_commit_the_median() {
    let mut random = rand::rngs::StdRng::seed_from_u64(1802);
    for history in 0..2_000 {
        let voters = random.random_range(3..=7_u64);
        let mut progress = tracker(voters);
        let mut reached = vec![0_u64; voters as usize];
        for _ in 0..60 {
            let voter = random.random_range(0..voters);
            let index = reached[voter as usize] + random.random_range(0..4);
            reached[voter as usize] = index;
            let accepted = *progress.update_progress(&voter, index).expect("the voter is tracked");
            assert_eq!(accepted, committable(&reached), "history {history}: {reached:?}");
        }
    }
}
