//! Tests of the ledger: each guard, and the invariants under any commands in any order.

mod recover;

use super::{Applied, Ledger, Refusal, SlotState};
use crate::codec;
use rhizo_types::id::*;
use rhizo_types::intent::*;
use rhizo_types::ledger::*;
use rhizo_types::message::LogEntry;
use rhizo_types::number::Number;
use rhizo_types::spec::{Budget, Component, ProviderSpec, Replicas, Run, Spec};
use rhizo_types::target::*;
use rhizo_types::{Generation, Revision, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A ledger with a founder and a spec whose budget allows three hosts of 100 millionths.
struct Fixture {
    ledger: Ledger,
}

fn number(value: f64) -> Number {
    Number::try_from(value).unwrap()
}

fn member(key: u8) -> MemberRecord {
    MemberRecord {
        key: PeerKey([key; 32]),
        addresses: Vec::new(),
        provider: ProviderName::from("founder"),
        region: RegionName::from("founder"),
        intent: None,
    }
}

fn spec() -> Spec {
    let component = Component { replicas: Replicas { min: 1, max: 3 }, ..Component::new(Run::Embedded) };
    let budget = Some(Budget { currency: "EUR".to_owned(), max_hourly: number(0.000_300) });
    let components = BTreeMap::from([(ComponentName::from("web"), component)]);
    Spec { budget, ..Spec::new("app", components) }
}

fn order(micros: u64) -> AcquireOrder {
    AcquireOrder {
        provider: ProviderName::from("lab"),
        offer: OfferName::from("small"),
        region: RegionName::from("r1"),
        price_micros_per_hour: micros,
        capacity: BTreeMap::new(),
        attributes: BTreeMap::new(),
    }
}

fn web(ordinal: u32) -> InstanceId {
    InstanceId { component: ComponentName::from("web"), ordinal }
}

fn host(name: &str) -> BoundHost {
    BoundHost { host: HostId::from(name), address: None }
}

fn outcome(intent: u64, outcome: Outcome) -> Command {
    Command::Outcome { intent: IntentId(intent), outcome }
}

/// The node of host `h{ticket}` joins.
fn join(ticket: u64, key: u8) -> Command {
    join_from(&format!("h{ticket}"), ticket, key)
}

fn join_from(host: &str, ticket: u64, key: u8) -> Command {
    let (ticket, host, key) = (IntentId(ticket), HostId::from(host), PeerKey([key; 32]));
    Command::Join(Join { ticket, host, key, addresses: Vec::new() })
}

fn plan(parent: u64, orders: Vec<AcquireOrder>, placement: &[(u32, Slot)]) -> Command {
    Command::Plan(Box::new(Plan {
        revision: Revision(parent + 1),
        parent: Revision(parent),
        spec: Revision(1),
        orders,
        placement: placement.iter().map(|(ordinal, slot)| (web(*ordinal), *slot)).collect(),
        avoid: BTreeSet::new(),
        verdict: Verdict {
            cause: Cause::SpecChanged,
            forced: true,
            worth: Worth::full(),
            reasons: Vec::new(),
        },
    }))
}

fn target(parent: u64, plan: u64, instances: &[(u32, NodeId, u64)]) -> Command {
    let placed = |node, generation| Placed { node, generation: Generation(generation), version: Revision(1) };
    Command::Target(Arc::new(Configuration {
        revision: Revision(parent + 1),
        parent: Revision(parent),
        plan: Revision(plan),
        instances: instances.iter().map(|(ordinal, node, g)| (web(*ordinal), placed(*node, *g))).collect(),
        bindings: BTreeMap::new(),
        pushes: BTreeMap::new(),
    }))
}

fn dead(node: NodeId) -> Command {
    Command::Dead { nodes: BTreeMap::from([(node, BTreeSet::from([FOUNDER]))]) }
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self { ledger: Ledger::default() };
        let genesis = Genesis {
            app: AppName::from("app"),
            lineage: Lineage(1),
            founder: member(1),
            operators: BTreeSet::new(),
            timers: Timers::LOCAL,
            overlay_secret: OverlaySecret([0; 32]),
        };
        fixture.ok(Command::Genesis(Box::new(genesis)));
        let set = SetSpec { revision: Revision(1), spec: spec(), source: String::new() };
        fixture.ok(Command::SetSpec(Box::new(set)));
        fixture
    }

    fn apply(&mut self, command: Command) -> Applied {
        let index = self.ledger.index + 1;
        self.ledger.apply(index, Term(1), &LogEntry::Command(command))
    }

    fn membership(&mut self, voters: &[NodeId]) {
        let voters = voters.iter().copied().collect();
        let entry = LogEntry::Membership { voters, learners: BTreeSet::new() };
        assert_eq!(self.ledger.apply(self.ledger.index + 1, Term(1), &entry), Applied::Done);
    }

    fn ok(&mut self, command: Command) {
        assert_eq!(self.apply(command.clone()), Applied::Done, "{command:?}");
    }

    /// The command is refused, for a reason that `check` accepts, and changes nothing else.
    fn refused(&mut self, command: Command, check: impl Fn(&Refusal) -> bool) {
        let before = Ledger { index: 0, ..self.ledger.clone() };
        match self.apply(command.clone()) {
            Applied::Refused(refusal) if check(&refusal) => {}
            other => panic!("{command:?}: {other:?}"),
        }
        assert_eq!(Ledger { index: 0, ..self.ledger.clone() }, before, "{command:?}");
    }

    /// Commits a plan with one order, its host, and the join of its node.
    fn joined(&mut self) -> NodeId {
        self.ok(plan(0, vec![order(100)], &[(0, Slot::Order(0))]));
        self.ok(outcome(1, Outcome::Bound(host("h1"))));
        self.ok(join(1, 2));
        NodeId(self.ledger.index)
    }
}

#[test]
fn entries_apply_in_order_and_only_once() {
    let mut fixture = Fixture::new();
    let mark = LogEntry::Command(Command::Mark);
    assert_eq!(fixture.ledger.apply(2, Term(1), &mark), Applied::Ignored);
    assert_eq!(fixture.ledger.apply(4, Term(1), &mark), Applied::Ignored);
    assert_eq!(fixture.ledger.apply(3, Term(1), &mark), Applied::Done);
    assert_eq!(fixture.ledger.index, 3);
}

#[test]
fn a_lineage_begins_once_and_before_everything_else() {
    let mut ledger = Ledger::default();
    let refused = ledger.apply(1, Term(1), &LogEntry::Command(Command::TakeDown));
    assert_eq!(refused, Applied::Refused(Refusal::NotBegun));
    let mut fixture = Fixture::new();
    let genesis = fixture.ledger.genesis.clone().unwrap();
    fixture.refused(Command::Genesis(Box::new(genesis)), |r| *r == Refusal::Begun);
}

#[test]
fn a_plan_creates_its_intents_and_needs_its_parent() {
    let mut fixture = Fixture::new();
    fixture.refused(plan(1, vec![], &[]), |r| matches!(r, Refusal::Stale { .. }));
    fixture.ok(plan(0, vec![order(100), order(100)], &[(0, Slot::Order(0)), (1, Slot::Order(1))]));
    assert_eq!(fixture.ledger.plan.as_ref().unwrap().placement[&web(1)], Slot::Intent(IntentId(2)));
    assert_eq!(fixture.ledger.slot_state(Slot::Intent(IntentId(2))), SlotState::Arriving);
    // A coordinator that did not learn of the success repeats the command. No host is ordered twice.
    let again = plan(0, vec![order(100)], &[(0, Slot::Order(0))]);
    fixture.refused(again, |r| matches!(r, Refusal::Stale { .. }));
    assert_eq!(fixture.ledger.intents.len(), 2);
}

#[test]
fn a_plan_over_the_budget_is_refused_until_hosts_are_gone() {
    let mut fixture = Fixture::new();
    let over = |r: &Refusal| matches!(r, Refusal::Budget { micros: 301, budget_micros: 300 });
    fixture.refused(plan(0, vec![order(200), order(101)], &[]), over);
    fixture.ok(plan(0, vec![order(200)], &[]));
    fixture.refused(plan(1, vec![order(101)], &[]), over);
    fixture.ok(outcome(1, Outcome::Bound(host("h1"))));
    fixture.ok(outcome(1, Outcome::Releasing(ReleaseReason::Unneeded)));
    fixture.refused(plan(1, vec![order(101)], &[]), over);
    fixture.ok(outcome(1, Outcome::Released));
    fixture.ok(plan(1, vec![order(101)], &[]));
}

#[test]
fn a_plan_uses_only_places_that_exist() {
    let mut fixture = Fixture::new();
    let lost = |r: &Refusal| *r == Refusal::SlotLost(web(0));
    fixture.refused(plan(0, vec![], &[(0, Slot::Order(0))]), lost);
    fixture.refused(plan(0, vec![], &[(0, Slot::Node(NodeId(9)))]), lost);
    fixture.refused(plan(0, vec![], &[(0, Slot::Intent(IntentId(1)))]), lost);
    // The founder is the operator's own machine.
    fixture.refused(plan(0, vec![], &[(0, Slot::Node(FOUNDER))]), lost);
}

#[test]
fn an_intent_follows_its_steps_and_no_others() {
    let steps = [
        ("bound", Outcome::Bound(host("h1"))),
        ("unknown", Outcome::Unknown),
        ("absent", Outcome::Absent(AbsentReason::NotListed)),
        ("releasing", Outcome::Releasing(ReleaseReason::Unneeded)),
        ("released", Outcome::Released),
    ];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("open", ["bound", "unknown", "absent"].as_slice()),
        ("unknown", &["bound", "absent"]),
        ("bound", &["releasing"]),
        ("releasing", &["released"]),
        ("absent", &[]),
        ("released", &[]),
    ]);
    let paths: BTreeMap<&str, &[usize]> = BTreeMap::from([
        ("open", [].as_slice()),
        ("unknown", &[1]),
        ("bound", &[0]),
        ("releasing", &[0, 3]),
        ("absent", &[2]),
        ("released", &[0, 3, 4]),
    ]);
    for (state, path) in paths {
        for (name, step) in &steps {
            let mut fixture = Fixture::new();
            fixture.ok(plan(0, vec![order(100)], &[]));
            path.iter().for_each(|at| fixture.ok(outcome(1, steps[*at].1.clone())));
            let done = fixture.apply(outcome(1, step.clone())) == Applied::Done;
            assert_eq!(done, allowed[state].contains(name), "{state} → {name}");
        }
    }
}

#[test]
fn one_host_belongs_to_one_open_intent() {
    let mut fixture = Fixture::new();
    fixture.ok(plan(0, vec![order(100), order(100)], &[]));
    fixture.ok(outcome(1, Outcome::Bound(host("h1"))));
    fixture.refused(outcome(2, Outcome::Bound(host("h1"))), |r| matches!(r, Refusal::HostTaken { .. }));
    let reclaim = |name| Command::Reclaim {
        provider: ProviderName::from("lab"),
        host: HostId::from(name),
        order: Box::new(order(100)),
    };
    fixture.refused(reclaim("h1"), |r| matches!(r, Refusal::HostTaken { .. }));
    fixture.ok(reclaim("h9"));
    fixture.refused(reclaim("h9"), |r| matches!(r, Refusal::HostTaken { .. }));
    assert_eq!(fixture.ledger.intents[&IntentId(3)].state, IntentState::Releasing);
}

#[test]
fn a_ticket_is_used_once_and_the_same_key_gets_the_same_answer() {
    let mut fixture = Fixture::new();
    let node = fixture.joined();
    assert_eq!(fixture.ledger.intents[&IntentId(1)].node, Some(node));
    fixture.ok(join(1, 2));
    assert_eq!(fixture.ledger.members.len(), 2, "asking again adds nobody");
    fixture.refused(join(1, 3), |r| *r == Refusal::TicketUsed(IntentId(1)));
    fixture.refused(join(7, 3), |r| *r == Refusal::UnknownIntent(IntentId(7)));
    fixture.ok(plan(1, vec![order(100)], &[]));
    fixture.refused(join(2, 2), |r| *r == Refusal::KeyTaken(node));
    fixture.ok(outcome(2, Outcome::Absent(AbsentReason::NotListed)));
    fixture.refused(join(2, 4), |r| matches!(r, Refusal::IntentState { .. }));
}

#[test]
fn of_two_hosts_with_one_ticket_the_intent_has_the_one_whose_node_joined() {
    let mut fixture = Fixture::new();
    fixture.ok(plan(0, vec![order(100), order(100)], &[(0, Slot::Order(0))]));
    fixture.ok(join_from("second", 1, 2));
    let intent = &fixture.ledger.intents[&IntentId(1)];
    assert_eq!((intent.state, intent.host.clone()), (IntentState::Bound, Some(host("second"))));
    // The provider answers the call that created the first host too late, and the node of that host asks to join too
    // late.
    fixture.refused(outcome(1, Outcome::Bound(host("first"))), |r| matches!(r, Refusal::IntentState { .. }));
    fixture.ok(outcome(2, Outcome::Bound(host("h2"))));
    let other = |r: &Refusal| *r == Refusal::OtherHost { ticket: IntentId(2), host: HostId::from("h2") };
    fixture.refused(join_from("first", 2, 3), other);
    fixture.refused(join_from("second", 2, 3), other);
}

#[test]
fn a_node_cannot_claim_the_host_of_another_intent() {
    let mut fixture = Fixture::new();
    fixture.joined();
    fixture.ok(plan(1, vec![order(100)], &[(0, Slot::Order(0))]));
    fixture.refused(join_from("h1", 2, 3), |r| matches!(r, Refusal::HostTaken { .. }));
}

#[test]
fn the_host_of_a_member_is_released_only_after_the_member_left_or_died() {
    let mut fixture = Fixture::new();
    let node = fixture.joined();
    let release = || outcome(1, Outcome::Releasing(ReleaseReason::Unneeded));
    fixture.refused(release(), |r| matches!(r, Refusal::IntentState { .. }));
    fixture.ok(target(0, 1, &[(0, node, 1)]));
    fixture.refused(Command::Leave { node }, |r| *r == Refusal::NotEmpty(node));
    fixture.ok(dead(node));
    assert_eq!(fixture.ledger.intents[&IntentId(1)].state, IntentState::Releasing);
    assert_eq!(fixture.ledger.slot_state(Slot::Intent(IntentId(1))), SlotState::Lost);
    assert!(fixture.ledger.departed[&node].dead);
}

#[test]
fn voters_that_the_decision_needs_are_not_declared_dead() {
    let mut fixture = Fixture::new();
    let first = fixture.joined();
    fixture.ok(plan(1, vec![order(100)], &[(0, Slot::Order(0))]));
    fixture.ok(join(2, 3));
    let second = NodeId(fixture.ledger.index);
    fixture.membership(&[FOUNDER, first, second]);
    let both = || Command::Dead { nodes: [(first, BTreeSet::new()), (second, BTreeSet::new())].into() };
    fixture.refused(both(), |r| *r == Refusal::QuorumDeclaredDead);
    fixture.ok(dead(first));
    fixture.refused(dead(second), |r| *r == Refusal::QuorumDeclaredDead);
    fixture.ok(dead(first));
    fixture.membership(&[FOUNDER]);
    fixture.ok(dead(second));
}

#[test]
fn a_name_is_free_again_when_its_host_is_gone() {
    let mut fixture = Fixture::new();
    let first = fixture.joined();
    fixture.ok(plan(1, vec![order(100)], &[(0, Slot::Order(0))]));
    fixture.ok(join(2, 3));
    let second = NodeId(fixture.ledger.index);
    fixture.ok(target(0, 2, &[(0, first, 1)]));
    fixture.ok(dead(first));
    fixture.ok(target(1, 2, &[]));
    assert!(fixture.ledger.lingering.contains_key(&web(0)), "the dead node may still run it");
    fixture.refused(target(2, 2, &[(0, second, 2)]), |r| *r == Refusal::Unresolved(web(0)));
    fixture.ok(Command::Settled { target: Revision(2) });
    assert!(fixture.ledger.lingering.contains_key(&web(0)), "no agent can speak for a dead node");
    fixture.ok(outcome(1, Outcome::Released));
    fixture.refused(target(2, 2, &[(0, second, 1)]), |r| *r == Refusal::Unresolved(web(0)));
    fixture.ok(target(2, 2, &[(0, second, 2)]));
}

#[test]
fn a_plan_can_still_be_placed_when_a_newer_spec_is_in_force() {
    let mut fixture = Fixture::new();
    let node = fixture.joined();
    fixture.ok(Command::SetSpec(Box::new(SetSpec {
        revision: Revision(2),
        spec: spec(),
        source: String::new(),
    })));
    fixture.ok(target(0, 1, &[(0, node, 1)]));
}

#[test]
fn a_target_needs_members_and_its_parent() {
    let mut fixture = Fixture::new();
    let node = fixture.joined();
    fixture.refused(target(1, 1, &[]), |r| matches!(r, Refusal::Stale { .. }));
    fixture.refused(target(0, 2, &[]), |r| matches!(r, Refusal::Stale { .. }));
    fixture.refused(target(0, 1, &[(0, NodeId(99), 1)]), |r| *r == Refusal::NotMember(NodeId(99)));
    fixture.ok(target(0, 1, &[(0, node, 1)]));
}

#[test]
fn nothing_new_is_planned_while_the_application_is_taken_down() {
    let mut fixture = Fixture::new();
    fixture.ok(Command::TakeDown);
    fixture.refused(plan(0, vec![order(1)], &[]), |r| *r == Refusal::TakingDown);
    fixture.ok(plan(0, vec![], &[]));
    let set = SetSpec { revision: Revision(2), spec: spec(), source: String::new() };
    fixture.refused(Command::SetSpec(Box::new(set)), |r| *r == Refusal::TakingDown);
}

#[test]
fn a_batch_applies_each_command_with_its_own_guard_and_one_join() {
    let mut fixture = Fixture::new();
    fixture.ok(plan(0, vec![order(100), order(100)], &[]));
    let commands = vec![
        outcome(1, Outcome::Bound(host("h1"))),
        outcome(9, Outcome::Unknown),
        outcome(2, Outcome::Bound(host("h2"))),
        join(1, 2),
        join(2, 3),
    ];
    let applied = fixture.apply(Command::Batch(commands));
    assert_eq!(applied, Applied::Refused(Refusal::UnknownIntent(IntentId(9))));
    assert_eq!(fixture.ledger.intents[&IntentId(2)].state, IntentState::Bound);
    assert_eq!(fixture.ledger.members.len(), 2, "one entry adds one member");
}

#[test]
fn a_ledger_survives_its_encoding() {
    let mut fixture = Fixture::new();
    fixture.joined();
    let bytes = codec::encode_ledger(&fixture.ledger);
    assert_eq!(codec::decode_ledger(&bytes).unwrap(), fixture.ledger);
    for end in 0..bytes.len() {
        assert!(codec::decode_ledger(&bytes[..end]).is_err());
    }
}

#[test]
fn the_table_of_a_removed_provider_is_kept_until_its_hosts_are_gone() {
    let with = |providers: &[&str], settings: &str| {
        let table =
            ProviderSpec { kind: "test".to_owned(), settings: settings.to_owned(), regions: BTreeSet::new() };
        let providers = providers.iter().map(|name| (ProviderName::from(*name), table.clone())).collect();
        Spec { providers, ..spec() }
    };
    let mut fixture = Fixture::new();
    let set = |revision, spec| {
        Command::SetSpec(Box::new(SetSpec { revision: Revision(revision), spec, source: String::new() }))
    };
    fixture.ok(set(2, with(&["lab", "other"], "old")));
    let planned = |parent: u64, spec, orders, placement: &[(u32, Slot)]| match plan(parent, orders, placement)
    {
        Command::Plan(plan) => Command::Plan(Box::new(Plan { spec: Revision(spec), ..*plan })),
        other => other,
    };
    fixture.ok(planned(0, 2, vec![order(100)], &[(0, Slot::Order(0))]));
    fixture.ok(set(3, with(&["lab", "other"], "new")));
    fixture.ok(set(4, with(&["other"], "new")));
    fixture.ok(planned(1, 4, Vec::new(), &[]));
    fixture.ok(set(5, with(&["other"], "new")));
    let tables = |ledger: &Ledger| -> Vec<(String, u64)> {
        let callable = ledger.callable_providers().into_iter();
        callable.map(|(name, (revision, _))| (name.to_string(), revision.0)).collect()
    };
    let both = [("lab".to_owned(), 3), ("other".to_owned(), 5)];
    assert_eq!(tables(&fixture.ledger), both, "the newest table of each");
    fixture.ok(outcome(1, Outcome::Absent(AbsentReason::Cancelled)));
    assert_eq!(tables(&fixture.ledger), [("other".to_owned(), 5)], "no host, no call");
    fixture.ok(set(6, with(&["other"], "new")));
    assert!(!fixture.ledger.specs.contains_key(&Revision(3)), "nothing needs the old table any more");
}
