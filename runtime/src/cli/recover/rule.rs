//! The rule that decides whether a new lineage may begin, and which member is its survivor. Pure.
//!
//! A second lineage beside a quorum that still works would be two applications that release each other's hosts. So
//! every member has to be accounted for. It *answers*; or it is *gone*: its provider lists its host as ended or not at
//! all; or the operator *names* it as lost. A member that does neither (hung, cut off, not started) may be part of a
//! quorum, also when it was no voter for the members that answer: a lost majority may have made it one. When all
//! members are accounted for, a new lineage may begin unless the voters that answer are a majority. The survivor is the
//! member whose log reaches furthest, in the order in which voters compare their logs, so it holds every entry that a
//! member that answers has applied.

use crate::admin::Standing;
use rhizo_types::{NodeId, Term};
use std::collections::{BTreeMap, BTreeSet};

/// The state of one member as the command found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum MemberState {
    /// It answers.
    Answers(Standing),
    /// Its provider lists its host as ended, or not at all.
    Gone,
    /// It does not answer, and nothing shows that its host is gone.
    Silent,
    /// Node 0 of this home does not run, and its files are there: `up` starts it again.
    NotStarted,
}

/// The members of the lineage, and which of them the operator names as lost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Known {
    pub(super) members: BTreeMap<NodeId, MemberState>,
    pub(super) named_lost: BTreeSet<NodeId>,
}

/// How the new lineage begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Choice {
    pub(super) survivor: NodeId,
    /// The members that answer, the survivor included: they stay members.
    pub(super) kept: BTreeSet<NodeId>,
    pub(super) lost: BTreeSet<NodeId>,
    /// The newest term of any member that answers.
    pub(super) term: Term,
    /// Number of the survivor's last entries that it does not know to be committed.
    pub(super) uncommitted: u64,
}

/// Why no new lineage may begin. Completes "failed to begin a new lineage: …".
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refused {
    /// No member answers.
    #[error("no known member answers")]
    NobodyAnswers,
    /// The operator named a node that is no member.
    #[error("{} is no member", list(.0))]
    NoMember(BTreeSet<NodeId>),
    /// The operator named a member that answers.
    #[error("{} answers, so it is not lost", list(.0))]
    NotLost(BTreeSet<NodeId>),
    /// A member has a quorum.
    #[error("a quorum exists: {0} knows a coordinator that has one")]
    Quorum(NodeId),
    /// Voters that answer are a majority.
    #[error("a quorum may still exist: {} answer and are a majority of the voters", list(.0))]
    Majority(BTreeSet<NodeId>),
    /// Members are not accounted for.
    #[error("a quorum may still exist: {}", unaccounted(.silent, .not_started))]
    Unaccounted {
        /// Members that do not answer.
        silent: BTreeSet<NodeId>,
        /// Node 0, when it does not run.
        not_started: BTreeSet<NodeId>,
    },
}

impl Refused {
    /// The remedy.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::NobodyAnswers => {
                "`up` starts the application again after a power cut; `down` gives back what its providers list".to_owned()
            }
            Self::NoMember(_) | Self::NotLost(_) => "`status` lists the members".to_owned(),
            Self::Quorum(_) => "there is nothing to recover; `status` shows the state".to_owned(),
            Self::Majority(_) => {
                "they elect a coordinator as soon as they reach each other: mend the network between them".to_owned()
            }
            Self::Unaccounted { silent, not_started } if silent.is_empty() => {
                format!("`up` starts it again; if its disk is lost for good, say so: {}", named(not_started))
            }
            Self::Unaccounted { silent, not_started } => {
                let all: BTreeSet<NodeId> = silent.union(not_started).copied().collect();
                let verb = if all.len() == 1 { "is" } else { "are" };
                format!(
                    "a member that is only cut off or hung comes back; if {} {verb} lost for good, say so: {}",
                    list(&all),
                    named(&all)
                )
            }
        }
    }
}

fn named(nodes: &BTreeSet<NodeId>) -> String {
    let options: Vec<String> = nodes.iter().map(|node| format!("--lost {node}")).collect();
    format!("`recover --new-lineage {}`", options.join(" "))
}

fn unaccounted(silent: &BTreeSet<NodeId>, not_started: &BTreeSet<NodeId>) -> String {
    let mut parts = Vec::new();
    if !silent.is_empty() {
        let verb = if silent.len() == 1 {
            "does not answer, and no provider shows that its host is gone"
        } else {
            "do not answer, and no provider shows that their hosts are gone"
        };
        parts.push(format!("{} {verb}", list(silent)));
    }
    if !not_started.is_empty() {
        parts.push(format!("{} (node 0 of this directory) does not run", list(not_started)));
    }
    parts.join("; ")
}

/// The nodes in a sentence.
pub(super) fn list(nodes: &BTreeSet<NodeId>) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Decides whether a new lineage may begin.
pub(super) fn decide(known: &Known) -> Result<Choice, Refused> {
    let answers = |(node, state): (&NodeId, &MemberState)| match state {
        MemberState::Answers(standing) => Some((*node, standing.clone())),
        _ => None,
    };
    let answering: BTreeMap<NodeId, Standing> = known.members.iter().filter_map(answers).collect();
    let kept: BTreeSet<NodeId> = answering.keys().copied().collect();
    if let Some(with_quorum) = answering.values().find(|standing| standing.has_quorum) {
        return Err(Refused::Quorum(with_quorum.node));
    }
    let strangers: BTreeSet<NodeId> =
        known.named_lost.iter().filter(|node| !known.members.contains_key(node)).copied().collect();
    if !strangers.is_empty() && !kept.is_empty() {
        return Err(Refused::NoMember(strangers));
    }
    let alive: BTreeSet<NodeId> = known.named_lost.intersection(&kept).copied().collect();
    if !alive.is_empty() {
        return Err(Refused::NotLost(alive));
    }
    // Of equal logs that of the oldest member is taken, so that a repeated command makes the same choice.
    let best = answering.values().max_by_key(|each| (each.last, std::cmp::Reverse(each.node)));
    let Some(best) = best else { return Err(Refused::NobodyAnswers) };
    let is_majority = |voters: &BTreeSet<NodeId>| {
        voters.intersection(&kept).count() * 2 > voters.len() && !voters.is_empty()
    };
    if !best.voter_sets.is_empty() && best.voter_sets.iter().all(is_majority) {
        let voters: BTreeSet<NodeId> = best.voter_sets.iter().flatten().copied().collect();
        return Err(Refused::Majority(voters.intersection(&kept).copied().collect()));
    }
    let unnamed = |wanted: &MemberState| -> BTreeSet<NodeId> {
        let like =
            known.members.iter().filter(|(node, state)| *state == wanted && !known.named_lost.contains(node));
        like.map(|(node, _)| *node).collect()
    };
    let (silent, not_started) = (unnamed(&MemberState::Silent), unnamed(&MemberState::NotStarted));
    if !silent.is_empty() || !not_started.is_empty() {
        return Err(Refused::Unaccounted { silent, not_started });
    }
    let lost = known.members.keys().filter(|node| !kept.contains(node)).copied().collect();
    let term = answering.values().map(|standing| standing.term).max().unwrap_or(Term::ZERO);
    Ok(Choice { survivor: best.node, kept, lost, term, uncommitted: best.uncommitted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Place;
    use rhizo_types::Lineage;

    const VOTERS: [u64; 3] = [1, 2, 3];

    fn ids(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn standing(node: u64, term: u64, index: u64) -> Standing {
        Standing {
            node: NodeId(node),
            lineage: Lineage(1),
            term: Term(term),
            has_quorum: false,
            last: Place { term, index },
            uncommitted: 0,
            voter_sets: vec![ids(&VOTERS)],
            members: Vec::new(),
        }
    }

    fn known(members: Vec<(u64, MemberState)>, lost: &[u64]) -> Known {
        let members = members.into_iter().map(|(node, state)| (NodeId(node), state)).collect();
        Known { members, named_lost: ids(lost) }
    }

    fn answers(node: u64) -> (u64, MemberState) {
        (node, MemberState::Answers(standing(node, 4, 10)))
    }

    #[test]
    fn a_member_that_is_neither_gone_nor_named_may_be_part_of_a_quorum() {
        let silent = |lost: &[u64]| {
            decide(&known(vec![answers(1), (2, MemberState::Silent), (3, MemberState::Gone)], lost))
        };
        let refused = Refused::Unaccounted { silent: ids(&[2]), not_started: ids(&[]) };
        assert_eq!(silent(&[]), Err(refused.clone()));
        assert_eq!(
            refused.to_string(),
            "a quorum may still exist: n2 does not answer, and no provider shows that its host is gone"
        );
        assert!(refused.hint().ends_with("`recover --new-lineage --lost n2`"), "{}", refused.hint());
        let choice = silent(&[2]).unwrap();
        assert_eq!((choice.survivor, choice.lost, choice.kept), (NodeId(1), ids(&[2, 3]), ids(&[1])));
        // A member that was no voter for those that answer: the lost majority may have made it one.
        let other = known(
            vec![answers(1), (2, MemberState::Gone), (3, MemberState::Gone), (4, MemberState::Silent)],
            &[],
        );
        assert!(matches!(decide(&other), Err(Refused::Unaccounted { .. })));
        let stopped = known(vec![answers(2), (1, MemberState::NotStarted), (3, MemberState::Gone)], &[]);
        assert!(decide(&stopped).unwrap_err().hint().starts_with("`up` starts it again"));
    }

    #[test]
    fn a_quorum_or_a_majority_that_answers_is_refused() {
        let mut with_quorum = standing(4, 4, 10);
        with_quorum.has_quorum = true;
        let members = vec![
            answers(1),
            (2, MemberState::Gone),
            (3, MemberState::Gone),
            (4, MemberState::Answers(with_quorum)),
        ];
        assert_eq!(decide(&known(members, &[])), Err(Refused::Quorum(NodeId(4))));
        let two = known(vec![answers(1), answers(2), (3, MemberState::Gone)], &[]);
        assert_eq!(decide(&two), Err(Refused::Majority(ids(&[1, 2]))));
        assert_eq!(decide(&known(vec![(1, MemberState::Gone)], &[])), Err(Refused::NobodyAnswers));
    }

    #[test]
    fn a_half_done_change_needs_a_majority_of_each_set() {
        let decide_with = |sets: Vec<BTreeSet<NodeId>>| {
            let state = |node| {
                let standing = Standing { voter_sets: sets.clone(), ..standing(node, 4, 10) };
                (node, MemberState::Answers(standing))
            };
            let gone = [3, 5].map(|node| (node, MemberState::Gone));
            decide(&known([1, 2, 4].map(state).into_iter().chain(gone).collect(), &[]))
        };
        assert!(matches!(decide_with(vec![ids(&[1, 2, 3]), ids(&[1, 2, 4])]), Err(Refused::Majority(_))));
        assert!(decide_with(vec![ids(&[1, 2, 3]), ids(&[2, 3, 5])]).is_ok(), "one of three in the new set");
    }

    #[test]
    fn a_member_that_answers_cannot_be_named_lost_and_neither_can_a_stranger() {
        let members = || vec![answers(1), (2, MemberState::Gone), (3, MemberState::Gone)];
        assert_eq!(decide(&known(members(), &[1])), Err(Refused::NotLost(ids(&[1]))));
        assert_eq!(decide(&known(members(), &[9])), Err(Refused::NoMember(ids(&[9]))));
        assert!(decide(&known(members(), &[2])).is_ok(), "what is gone may be named");
    }

    #[test]
    fn the_log_that_reaches_furthest_survives_and_the_newest_term_is_kept() {
        let state = |node, term, index| (node, MemberState::Answers(standing(node, term, index)));
        let survivor = |members: Vec<(u64, MemberState)>| {
            let gone = [(2, MemberState::Gone), (3, MemberState::Gone)];
            decide(&known(members.into_iter().chain(gone).collect(), &[])).unwrap()
        };
        assert_eq!(survivor(vec![state(1, 4, 10), state(7, 4, 11)]).survivor, NodeId(7));
        let choice = survivor(vec![state(1, 5, 10), state(7, 4, 11)]);
        assert_eq!((choice.survivor, choice.term), (NodeId(1), Term(5)), "terms come before indices");
        assert_eq!(survivor(vec![state(8, 4, 10), state(1, 4, 10)]).survivor, NodeId(1));
    }
}
