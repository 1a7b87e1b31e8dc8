//! Tests of the pure step to a new lineage: each guard, and the properties for ledgers made from random commands.

use super::*;
use crate::ledger::{FORMER_MAX, FormerLineage, Recovery, RecoveryRefusal, SKIP};

/// The operator of the ledgers in this file.
const OPERATOR: PeerKey = PeerKey([9; 32]);

const NEXT: Lineage = Lineage(2);

fn recovery(survivor: NodeId, lost: &[NodeId]) -> Recovery {
    Recovery {
        former: FormerLineage { lineage: Lineage(1), operator: OPERATOR, signature: vec![7; 64] },
        lineage: NEXT,
        survivor,
        lost: lost.iter().copied().collect(),
        term: Term(5),
    }
}

impl Fixture {
    fn with_operator() -> Self {
        let mut fixture = Self::new();
        fixture.ledger.genesis.as_mut().unwrap().operators.insert(OPERATOR);
        fixture
    }

    /// Adds a host and its node, and returns the node.
    fn grown(&mut self) -> NodeId {
        let parent = self.ledger.plan_revision().0;
        self.ok(plan(parent, vec![order(10)], &[]));
        let intent = self.ledger.intents_issued;
        self.ok(outcome(intent, Outcome::Bound(host(&format!("h{intent}")))));
        self.ok(join(intent, (intent % 199 + 2) as u8));
        NodeId(self.ledger.index)
    }
}

#[test]
fn the_survivor_votes_alone_and_hosts_without_a_living_member_are_released() {
    let mut fixture = Fixture::with_operator();
    let (first, second, third) = (fixture.grown(), fixture.grown(), fixture.grown());
    fixture.membership(&[FOUNDER, first, second]);
    fixture.ok(target(0, 3, &[(0, first, 1), (1, third, 1)]));
    let parent = fixture.ledger.plan_revision().0;
    fixture.ok(plan(parent, vec![order(1), order(1), order(1)], &[(2, Slot::Order(0))]));
    fixture.ok(outcome(5, Outcome::Unknown));
    fixture.ok(outcome(6, Outcome::Bound(host("h6"))));
    let before = fixture.ledger.clone();
    let after = before.recovered(&recovery(second, &[FOUNDER, first])).unwrap();
    assert_eq!(after.lineage(), NEXT);
    assert_eq!(after.former.iter().map(|former| former.lineage).collect::<Vec<_>>(), [Lineage(1)]);
    assert_eq!(after.voters, BTreeSet::from([second]));
    assert_eq!(after.members.keys().copied().collect::<Vec<_>>(), [second, third]);
    assert!(after.departed[&first].dead && after.departed[&FOUNDER].dead);
    // The host of the lost member, the three that no node has joined from, and not those of living members.
    let states = |state| {
        let intents = after.intents.values().filter(|intent| intent.state == state);
        intents.map(|intent| intent.id.0).collect::<Vec<_>>()
    };
    assert_eq!(states(IntentState::Releasing), [1, 4, 5, 6]);
    assert_eq!(states(IntentState::Bound), [2, 3]);
    assert_eq!(after.slot_state(Slot::Intent(IntentId(4))), SlotState::Lost, "no node can join from it");
    assert!(crate::secret::open_tickets(&after).next().is_none());
    // What is in force stays in force, so that the agents of living members change nothing.
    assert_eq!((&after.target, &after.specs), (&before.target, &before.specs));
    assert!(after.epoch > before.epoch);
}

#[test]
fn numbers_of_the_former_lineage_are_never_issued_again() {
    let mut fixture = Fixture::with_operator();
    let survivor = fixture.grown();
    fixture.membership(&[FOUNDER, survivor]);
    let before = fixture.ledger.clone();
    let mut next =
        Fixture { ledger: before.recovered(&recovery(survivor, &[FOUNDER])).expect("the order fits") };
    let mark = LogEntry::Command(Command::Mark);
    for index in [before.index + 1, before.index + 2, before.index + SKIP] {
        assert_eq!(next.ledger.apply(index, Term(9), &mark), Applied::Ignored, "{index}");
    }
    assert!(next.ledger.term.0 >= 5 + SKIP);
    let node = next.grown();
    assert!(node.0 > before.index + SKIP);
    assert!(next.ledger.members[&node].record.intent.unwrap().0 > before.intents_issued + SKIP);
}

#[test]
fn an_order_for_another_ledger_is_refused() {
    let mut fixture = Fixture::with_operator();
    let node = fixture.grown();
    let refused = |ledger: &Ledger, order: &Recovery| ledger.recovered(order).unwrap_err();
    let ledger = &fixture.ledger;
    let strange = recovery(NodeId(77), &[]);
    assert_eq!(refused(ledger, &strange), RecoveryRefusal::NotSurvivor(NodeId(77)));
    assert_eq!(refused(ledger, &recovery(node, &[node])), RecoveryRefusal::NotSurvivor(node));
    let same = Recovery { lineage: Lineage(1), ..recovery(node, &[FOUNDER]) };
    assert_eq!(refused(ledger, &same), RecoveryRefusal::UsedLineage(Lineage(1)));
    let mut stranger = recovery(node, &[FOUNDER]);
    stranger.former.operator = PeerKey([8; 32]);
    assert_eq!(refused(ledger, &stranger), RecoveryRefusal::NotOperator);
    // The same order cannot be carried out twice, and no lineage comes back.
    let next = ledger.recovered(&recovery(node, &[FOUNDER])).unwrap();
    let other = RecoveryRefusal::OtherLineage { ordered: Lineage(1), found: NEXT };
    assert_eq!(refused(&next, &recovery(node, &[])), other);
    let mut back = Recovery { lineage: Lineage(1), ..recovery(node, &[]) };
    back.former.lineage = NEXT;
    assert_eq!(refused(&next, &back), RecoveryRefusal::UsedLineage(Lineage(1)));
    assert_eq!(
        refused(&Ledger::default(), &recovery(node, &[])),
        RecoveryRefusal::OtherLineage { ordered: Lineage(1), found: Lineage(0) }
    );
}

#[test]
fn former_lineages_are_kept_up_to_a_bound() {
    let mut ledger = Fixture::with_operator().ledger;
    for number in 1..=FORMER_MAX as u64 + 3 {
        let mut order = Recovery { lineage: Lineage(number + 1), ..recovery(FOUNDER, &[]) };
        order.former.lineage = Lineage(number);
        ledger = ledger.recovered(&order).unwrap();
    }
    assert_eq!(ledger.former.len(), FORMER_MAX);
    assert_eq!(ledger.former.last().unwrap().lineage, Lineage(FORMER_MAX as u64 + 3));
    assert_eq!(codec::decode_ledger(&codec::encode_ledger(&ledger)).unwrap(), ledger);
}

/// A small generator of pseudo-random numbers (Marsaglia's xorshift64), so that a seed gives one ledger.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn command(&mut self, ledger: &Ledger) -> Command {
        let intent = 1 + self.below(ledger.intents_issued + 1);
        let node = *ledger.members.keys().nth(self.below(ledger.members.len() as u64) as usize).unwrap();
        match self.below(9) {
            0 | 1 => plan(ledger.plan_revision().0, vec![order(1); 1 + self.below(2) as usize], &[]),
            2 => outcome(intent, Outcome::Bound(host(&format!("h{intent}")))),
            3 => outcome(intent, Outcome::Unknown),
            4 => outcome(intent, Outcome::Released),
            5 | 6 => join(intent, (intent + 1) as u8),
            7 if node != FOUNDER => dead(node),
            _ => target(ledger.target.revision.0, ledger.plan_revision().0, &[]),
        }
    }
}

/// A ledger made from random commands, and a random order that fits it.
fn any_recovery(seed: u64) -> (Ledger, Recovery) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut fixture = Fixture::with_operator();
    for _ in 0..random.below(80) {
        let command = random.command(&fixture.ledger);
        let _refused = fixture.apply(command);
        if random.below(6) == 0 {
            let voters: Vec<NodeId> = fixture.ledger.members.keys().copied().take(3).collect();
            fixture.membership(&voters);
        }
    }
    let members: Vec<NodeId> = fixture.ledger.members.keys().copied().collect();
    let survivor = members[random.below(members.len() as u64) as usize];
    let others = members.into_iter().filter(|node| *node != survivor);
    let lost: Vec<NodeId> = others.filter(|_| random.below(2) == 0).collect();
    (fixture.ledger, recovery(survivor, &lost))
}

#[test]
fn no_host_is_forgotten_and_none_stays_without_a_living_member() {
    let (mut lost, mut arriving) = (0, 0);
    for seed in 0..500 {
        let (before, order) = any_recovery(seed);
        let after = before.recovered(&order).unwrap();
        lost += order.lost.len();
        arriving += before.arriving().count();
        let open = |ledger: &Ledger| -> BTreeSet<IntentId> {
            ledger.intents.values().filter(|intent| intent.is_open()).map(|intent| intent.id).collect()
        };
        assert_eq!(open(&after), open(&before), "seed {seed}: a host that is paid for stays in the ledger");
        assert_eq!(after.spending_micros(), before.spending_micros(), "seed {seed}");
        for intent in after.intents.values().filter(|intent| intent.is_open()) {
            let lives = intent.node.is_some_and(|node| after.members.contains_key(&node));
            assert!(lives || intent.state == IntentState::Releasing, "seed {seed}: {intent:?}");
            assert_eq!(intent.host, before.intents[&intent.id].host, "seed {seed}");
        }
        let survivors = before.members.keys().filter(|node| !order.lost.contains(node));
        assert!(after.members.keys().eq(survivors), "seed {seed}: exactly the lost members are gone");
        assert!(order.lost.iter().all(|node| after.departed[node].dead), "seed {seed}");
        assert!(after.keeps_quorum([]), "seed {seed}");
        assert_eq!(after.recovered(&order).ok(), None, "seed {seed}: no order is carried out twice");
    }
    assert!(
        lost > 100 && arriving > 100,
        "the ledgers have lost members ({lost}) and arriving hosts ({arriving})"
    );
}
