//! Tests of copies with state: where their data keeps them, and what ends the wait after a loss.

use super::*;
use rhizo_types::intent::Outcome;
use rhizo_types::state::{Home, OnDataLoss, State};

fn pinned(copies: u32, on_loss: OnDataLoss) -> Component {
    Component { state: State::Pinned { on_loss }, ..component(copies, &[]) }
}

fn dead(node: u64) -> Command {
    Command::Dead { nodes: BTreeMap::from([(NodeId(node), BTreeSet::from([FOUNDER]))]) }
}

fn refused(stage: &mut Stage, command: Command) -> bool {
    let entry = LogEntry::Command(command);
    let applied = stage.ledger.apply(stage.ledger.index + 1, Term(1), &entry);
    matches!(applied, Applied::Refused(_))
}

/// A stage with one pinned copy on node 2.
fn stage(on_loss: OnDataLoss) -> Stage {
    let mut stage = Stage::new(&[("db", pinned(1, on_loss))]);
    stage.plan(&[("db", 0, 2)]);
    stage.run();
    stage
}

#[test]
fn no_plan_and_no_target_moves_a_pinned_copy() {
    let mut stage = stage(OnDataLoss::Wait);
    let home = Home { node: NodeId(2), since: Generation(1) };
    assert_eq!(stage.ledger.homes, BTreeMap::from([(instance("db", 0), home)]));
    let plan = stage.ledger.plan.clone().expect("a plan");
    let elsewhere = Plan {
        revision: plan.revision.next(),
        parent: plan.revision,
        placement: BTreeMap::from([(instance("db", 0), Slot::Node(NodeId(3)))]),
        ..plan
    };
    assert!(refused(&mut stage, Command::Plan(Box::new(elsewhere))));
    let mut target = Arc::clone(&stage.ledger.target);
    let next = Arc::make_mut(&mut target);
    (next.parent, next.revision) = (next.revision, next.revision.next());
    next.instances.clear();
    stage.commit(Command::Target(Arc::clone(&target)));
    stage.commit(Command::Gone {
        target: stage.ledger.target.revision,
        instances: stage.ledger.lingering.clone(),
    });
    let next = Arc::make_mut(&mut target);
    (next.parent, next.revision) = (next.revision, next.revision.next());
    let placed = Placed { node: NodeId(3), generation: Generation(2), version: Revision(1) };
    next.instances.insert(instance("db", 0), placed);
    assert!(refused(&mut stage, Command::Target(target)), "the plan still wants it on n2");
}

#[test]
fn a_new_version_continues_with_the_data() {
    let mut stage = stage(OnDataLoss::Wait);
    let newer =
        Component { env: BTreeMap::from([("A".to_owned(), "2".to_owned())]), ..pinned(1, OnDataLoss::Wait) };
    stage.set_spec(&[("db", newer)]);
    stage.plan(&[("db", 0, 2)]);
    stage.run();
    assert_eq!(stage.placed(), ["db.0@n2g2"]);
    assert_eq!(stage.ledger.homes[&instance("db", 0)].since, Generation(1));
}

#[test]
fn a_lost_host_with_data_is_kept_until_an_operator_gives_the_data_up() {
    let mut stage = stage(OnDataLoss::Wait);
    stage.commit(dead(2));
    assert_eq!(stage.ledger.intents[&IntentId(2)].state, IntentState::Bound, "the host is not released");
    stage.plan(&[]);
    stage.run();
    assert_eq!(stage.placed(), [""; 0]);
    assert_eq!(stage.ledger.waiting_copies(&ComponentName::from("db")), 1);
    let give_up = || Request::GiveUpData { instance: instance("db", 0) };
    assert_eq!(stage.answer(give_up()), None, "it needs a command");
    let home = stage.ledger.homes[&instance("db", 0)];
    let other = Home { since: Generation(7), ..home };
    stage.commit(Command::GiveUpData { copies: BTreeMap::from([(instance("db", 0), other)]) });
    assert_eq!(stage.ledger.homes.len(), 1, "an order about other data changes nothing");
    stage.commit(Command::GiveUpData { copies: BTreeMap::from([(instance("db", 0), home)]) });
    assert_eq!(stage.ledger.intents[&IntentId(2)].state, IntentState::Releasing);
    assert_eq!(stage.answer(give_up()), Some(Answer::Accepted), "a repeated order is done already");
    stage.plan(&[("db", 0, 3)]);
    stage.run();
    assert_eq!(stage.placed(), [""; 0], "the lost host may still run it");
    stage.commit(Command::Outcome { intent: IntentId(2), outcome: Outcome::Released });
    stage.run();
    assert_eq!(stage.placed(), ["db.0@n3g2"]);
    assert_eq!(stage.ledger.homes[&instance("db", 0)], Home { node: NodeId(3), since: Generation(2) });
}

#[test]
fn a_copy_that_may_start_empty_waits_for_nobody() {
    let mut stage = stage(OnDataLoss::Empty);
    stage.commit(dead(2));
    assert_eq!(stage.ledger.intents[&IntentId(2)].state, IntentState::Releasing);
    assert!(stage.ledger.homes.is_empty());
}

#[test]
fn a_spec_that_no_longer_waits_ends_the_wait() {
    for spec in [vec![("db", pinned(1, OnDataLoss::Empty))], vec![("other", component(1, &[]))]] {
        let mut stage = stage(OnDataLoss::Wait);
        stage.commit(dead(2));
        stage.set_spec(&spec);
        assert!(stage.ledger.homes.is_empty());
        assert_eq!(stage.ledger.intents[&IntentId(2)].state, IntentState::Releasing);
    }
}

#[test]
fn taking_the_application_down_releases_a_lost_host_with_data() {
    let mut stage = stage(OnDataLoss::Wait);
    stage.commit(dead(2));
    stage.commit(Command::TakeDown);
    assert_eq!(stage.ledger.intents[&IntentId(2)].state, IntentState::Releasing);
}

#[test]
fn a_copy_that_waits_for_its_data_is_not_missing_and_its_name_is_not_free() {
    let db = Component { replicas: Replicas { min: 2, max: 2 }, ..pinned(2, OnDataLoss::Wait) };
    let mut stage = Stage::new(&[("db", db)]);
    stage.plan(&[("db", 0, 2), ("db", 1, 3)]);
    stage.run();
    stage.commit(dead(2));
    stage.plan(&[("db", 1, 3)]);
    stage.run();
    assert!(stage.ledger.is_plan_in_effect());
    let one =
        BTreeMap::from([(ComponentName::from("db"), vec![Slot::Node(NodeId(3)), Slot::Node(NodeId(4))])]);
    let names = crate::assign::assign(&stage.ledger, &one);
    let names: Vec<String> = names.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["db.1", "db.2"]);
}

#[test]
fn a_copy_with_state_keeps_its_name_on_another_host() {
    let mut stage = stage(OnDataLoss::Empty);
    stage.commit(dead(2));
    let moved = BTreeMap::from([(ComponentName::from("db"), vec![Slot::Node(NodeId(4))])]);
    let names = crate::assign::assign(&stage.ledger, &moved);
    assert_eq!(names, BTreeMap::from([(instance("db", 0), Slot::Node(NodeId(4)))]));
}

#[test]
fn a_copy_that_the_plan_drops_leaves_no_home() {
    let mut stage = Stage::new(&[("db", pinned(2, OnDataLoss::Wait))]);
    stage.plan(&[("db", 0, 2), ("db", 1, 3)]);
    stage.run();
    stage.plan(&[("db", 0, 2)]);
    assert_eq!(stage.ledger.homes.len(), 2, "its process may still run");
    stage.run();
    let left: Vec<String> = stage.ledger.homes.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["db.0"]);
}
