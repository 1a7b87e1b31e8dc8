//! The choice of voters among members whose disks cannot be written.

use super::*;
use crate::turn::MembershipChange;

/// A group of three voters (n1, n2, n3) in an overlay of this many members, all linked and caught up.
fn group(members: u64) -> Stage {
    let mut stage = Stage::new(&[]);
    stage.ledger.members.retain(|node, _| node.0 <= members);
    let all: BTreeSet<NodeId> = stage.ledger.members.keys().copied().collect();
    stage.log.voters = [1, 2, 3].map(NodeId).into();
    stage.log.learners = all.difference(&stage.log.voters).copied().collect();
    stage.ledger.voters = stage.log.voters.clone();
    stage.log.last_index = stage.ledger.index;
    stage.log.matched = all.iter().map(|node| (*node, stage.ledger.index)).collect();
    stage.observer.follow(&stage.ledger, stage.now);
    for node in all {
        stage.observer.link_up(node);
    }
    stage
}

impl Stage {
    /// The effects of the coordinator's look at the voters, now and after the time in which a choice has to be stable.
    fn voter_effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for _ in 0..2 {
            let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
            let view = view(&self.ledger, &self.log, &self.observer, (&latencies, &since), self.now);
            let mut out = Out::default();
            self.coordinator.advance_voters(view, &mut out);
            effects.extend(out.into_turn().effects().cloned());
            self.now = self.now.after_ms(self.ledger.timers().stabilise_ms);
        }
        effects
    }
}

fn set_voters(nodes: [u64; 3]) -> Effect {
    Effect::ChangeMembership(MembershipChange::SetVoters(nodes.map(NodeId).into()))
}

#[test]
fn a_voter_that_cannot_write_its_disk_is_replaced() {
    let mut stage = group(4);
    assert_eq!(stage.voter_effects(), []);
    stage.log.unwritable = BTreeSet::from([NodeId(2)]);
    assert_eq!(stage.voter_effects(), [set_voters([1, 3, 4])]);
}

#[test]
fn a_coordinator_that_cannot_write_its_disk_hands_over() {
    let mut stage = group(4);
    stage.log.unwritable = BTreeSet::from([FOUNDER]);
    assert_eq!(stage.voter_effects()[0], Effect::TransferLeadership { to: NodeId(2) });
}

#[test]
fn no_voter_is_given_up_when_too_few_are_left() {
    let mut stage = group(3);
    stage.log.unwritable = BTreeSet::from([NodeId(2)]);
    assert_eq!(
        stage.voter_effects(),
        [],
        "two voters survive no loss, and neither do three of which one cannot write"
    );
    let mut stage = group(4);
    stage.log.unwritable = [1, 2, 3, 4].map(NodeId).into();
    assert_eq!(stage.voter_effects(), [], "all nodes lie on one full disk");
}
