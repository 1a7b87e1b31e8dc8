//! Tests of scripts: their check, execution from wait to wait, continuation, end, and the state after them.

use super::room::sized_shop;
use super::*;
use crate::ledger::ScriptState;
use rhizo_types::lifecycle::{Action, Lifecycle, Transition};
use rhizo_types::script::{Order, Place, Script, Statement};

impl Stage {
    fn script(&mut self, orders: Vec<Order>) -> Result<(), (u32, String)> {
        let statements = (1..).zip(orders).map(|(line, order)| Statement { line, order }).collect();
        let script = Script { statements };
        self.ledger.check_script(&script)?;
        let number = self.ledger.scripts_issued + 1;
        self.commit(Command::RunScript { number, script: Box::new(script) });
        Ok(())
    }

    /// The cause for which the coordinator solves, other than the search for a better plan.
    fn cause(&mut self) -> Option<Cause> {
        let (latencies, since) = (BTreeMap::new(), BTreeMap::new());
        let view = view(&self.ledger, &self.log, &self.observer, (&latencies, &since), self.now);
        let mut out = Out::default();
        Coordinator::new(Term(3), Time(0)).advance_control(view, &mut out);
        out.into_turn().effects().find_map(|effect| match effect {
            Effect::Solve(request) if request.terms.forced => Some(request.terms.cause.clone()),
            _ => None,
        })
    }

    fn state(&self) -> Option<ScriptState> {
        self.ledger.script.as_ref().map(|run| run.state.clone())
    }
}

fn add(name: &str, ordinal: u32, node: u64) -> Order {
    Order::Add { instance: instance(name, ordinal), place: Place::Node(NodeId(node)) }
}

fn del(name: &str, ordinal: u32) -> Order {
    Order::Del { instance: instance(name, ordinal) }
}

fn connect(importer: (&str, u32), exporter: (&str, u32)) -> Order {
    let (importer, exporter) = (instance(importer.0, importer.1), instance(exporter.0, exporter.1));
    Order::Connect { importer, import: PortName(exporter.component.0.clone()), exporter }
}

fn disconnect(importer: (&str, u32), exporter: (&str, u32)) -> Order {
    let (importer, exporter) = (instance(importer.0, importer.1), instance(exporter.0, exporter.1));
    Order::Disconnect { importer, import: PortName(exporter.component.0.clone()), exporter }
}

fn push(name: &str, ordinal: u32, behaviour: &str) -> Order {
    Order::Push { instance: instance(name, ordinal), behaviour: BehaviourName::from(behaviour) }
}

fn wait(instances: &[(&str, u32)]) -> Order {
    Order::Wait { instances: instances.iter().map(|(name, n)| instance(name, *n)).collect() }
}

#[test]
fn a_script_is_carried_out_from_wait_to_wait() {
    let mut stage = shop();
    let script = vec![
        add("db", 1, 4),
        wait(&[("db", 1)]),
        connect(("web", 0), ("db", 1)),
        disconnect(("web", 0), ("db", 0)),
        wait(&[("web", 0)]),
        del("db", 0),
        wait(&[]),
    ];
    stage.script(script).unwrap();
    stage.decide();
    assert_eq!(stage.placed(), ["db.0@n2g1", "db.1@n4g1", "web.0@n3g1"]);
    assert_eq!(stage.bound("web", 0, "db"), ["db.0"], "nothing after the wait is done before db.1 is there");
    // Another coordinator takes over in the middle: all that it needs is in the ledger and in the reports.
    stage.coordinator = Coordinator::new(Term(2), Time(0));
    stage.run();
    assert_eq!(stage.state(), Some(ScriptState::Done));
    assert_eq!(stage.placed(), ["db.1@n4g1", "web.0@n3g1"]);
    assert_eq!(stage.bound("web", 0, "db"), ["db.1"]);
    let kinds = stage.entries.iter().map(|entry| {
        let words = entry.split(", ").filter_map(|step| step.split(" web").next()?.split(" db").next());
        words.collect::<Vec<_>>().join(", ")
    });
    let at_most_one_entry_for_each_wait = [
        "advance 0..1, target",
        "settled, advance 1..4, target",
        "settled, advance 4..6, target",
        "settled, advance 6..7",
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), at_most_one_entry_for_each_wait);
}

#[test]
fn a_deleted_name_comes_back_as_a_new_instance_also_in_the_same_place() {
    let mut stage = shop();
    stage.script(vec![del("web", 0), add("web", 0, 3), wait(&[("web", 0)])]).unwrap();
    stage.run();
    assert_eq!(stage.state(), Some(ScriptState::Done));
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g2"]);
    assert!(stage.ledger.dropped.is_empty());
}

#[test]
fn what_was_pushed_somewhere_does_not_stay_there_when_that_is_forgotten() {
    let mut stage = shop();
    stage.script(vec![push("web", 0, "stop"), wait(&[])]).unwrap();
    stage.resting.insert(instance("web", 0));
    stage.run();
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g1"]);
    stage.resting.clear();
    // One plan drops the instance, and the next has it again before any target followed the first.
    stage.plan(&[("db", 0, 2)]);
    stage.plan(&[("db", 0, 2), ("web", 0, 3)]);
    stage.run();
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g2"]);
    assert_eq!(stage.ledger.settled, stage.ledger.target.revision);
}

#[test]
fn a_wait_for_something_broken_is_a_wait() {
    let mut stage = shop();
    stage.broken.insert((instance("db", 1), Generation(1)));
    stage.script(vec![add("db", 1, 4), wait(&[("db", 1)]), del("db", 0)]).unwrap();
    stage.decide();
    stage.report();
    stage.decide();
    assert_eq!(stage.state(), Some(ScriptState::Running));
    assert_eq!(stage.placed(), ["db.0@n2g1", "db.1@n4g1", "web.0@n3g1"]);
    let number = stage.ledger.scripts_issued;
    stage.commit(Command::EndScript { number });
    assert_eq!(stage.state(), Some(ScriptState::Ended));
    assert_eq!(stage.placed(), ["db.0@n2g1", "db.1@n4g1", "web.0@n3g1"], "what it did stays");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_line_before_anything_is_done() {
    let mut stage = shop();
    let wrong = |stage: &mut Stage, orders, line, part: &str| {
        let (at, reason) = stage.script(orders).expect_err(part);
        assert_eq!(at, line, "{reason}");
        assert!(reason.contains(part), "{reason}");
    };
    wrong(&mut stage, vec![wait(&[]), add("web", 0, 4)], 2, "web.0 is there already");
    wrong(&mut stage, vec![add("web", 1, 9)], 1, "n9 is no member");
    wrong(&mut stage, vec![add("web", 1, 1)], 1, "n1 is no member that hosts");
    wrong(&mut stage, vec![del("web", 7)], 1, "there is no web.7");
    wrong(&mut stage, vec![connect(("web", 0), ("db", 1))], 1, "there is no db.1");
    wrong(&mut stage, vec![push("web", 0, "dance")], 1, "no behaviour dance");
    wrong(&mut stage, vec![del("db", 0)], 1, "0 copies of db are left");
    wrong(&mut stage, vec![add("db", 1, 4), add("db", 2, 5)], 2, "3 copies of db");
    let many = vec![push("web", 0, "start"); PUSHES_MAX + 1];
    wrong(&mut stage, many, PUSHES_MAX as u32 + 1, "more than 64");
    stage.script(vec![wait(&[])]).unwrap();
    let again = Command::RunScript { number: 2, script: Box::default() };
    let applied = stage.ledger.apply(stage.ledger.index + 1, Term(1), &LogEntry::Command(again));
    assert!(matches!(applied, Applied::Refused(_)), "one script at a time");
}

#[test]
fn a_statement_that_cannot_be_carried_out_any_more_ends_the_script() {
    let mut stage = shop();
    stage.script(vec![wait(&[]), add("db", 1, 5)]).unwrap();
    let nodes = BTreeMap::from([(NodeId(5), BTreeSet::from([FOUNDER]))]);
    stage.commit(Command::Dead { nodes });
    stage.decide();
    let state = stage.state();
    assert!(
        matches!(&state, Some(ScriptState::Failed { line: 2, reason }) if reason.contains("n5")),
        "{state:?}"
    );
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g1"]);
}

#[test]
fn a_pushed_behaviour_is_in_the_target_and_ends_where_it_leads() {
    let mut db = component(2, &[]);
    let mut cycle = Lifecycle::service();
    cycle.places.insert(PlaceName::from("repaired"));
    let repair = Transition::plain("started", "repaired", Action::Nothing);
    cycle.transitions.insert(TransitionName::from("repair"), repair);
    let name = BehaviourName::from("repair");
    cycle.behaviours.insert(name.clone(), BTreeSet::from([TransitionName::from("repair")]));
    db.lifecycle = Some(Box::new(cycle));
    let mut stage = Stage::new(&[("db", db)]);
    stage.plan(&[("db", 0, 2)]);
    stage.run();
    stage.script(vec![push("db", 0, "repair"), wait(&[("db", 0)])]).unwrap();
    stage.run();
    assert_eq!(stage.state(), Some(ScriptState::Done));
    let pushes = &stage.ledger.target.pushes[&instance("db", 0)];
    assert_eq!(pushes.iter().map(|push| &push.behaviour).collect::<Vec<_>>(), [&name]);
}

#[test]
fn imports_bound_by_hand_fall_back_when_nothing_of_it_is_left() {
    let mut stage = shop();
    stage
        .script(vec![add("db", 1, 4), connect(("web", 0), ("db", 1)), disconnect(("web", 0), ("db", 0))])
        .unwrap();
    stage.run();
    assert_eq!(stage.bound("web", 0, "db"), ["db.1"]);
    stage.plan(&[("db", 0, 2), ("web", 0, 3)]);
    stage.run();
    assert_eq!(stage.bound("web", 0, "db"), ["db.0"]);
}

#[test]
fn imports_bound_by_hand_fall_back_when_too_few_are_left() {
    let two = component(1, &["db"]);
    let imports = two.imports.iter().map(|(port, import)| {
        (port.clone(), rhizo_types::spec::Import { pick: rhizo_types::spec::Pick::Some(2), ..import.clone() })
    });
    let web = Component { imports: imports.collect(), ..two.clone() };
    let mut stage = Stage::new(&[("db", component(3, &[])), ("web", web)]);
    stage.plan(&[("db", 0, 2), ("db", 1, 3), ("web", 0, 2)]);
    stage.run();
    stage
        .script(vec![add("db", 2, 4), connect(("web", 0), ("db", 2)), disconnect(("web", 0), ("db", 0))])
        .unwrap();
    stage.run();
    assert_eq!(stage.bound("web", 0, "db"), ["db.1", "db.2"]);
    // One of the two exporters that the script chose is removed, and one alone is not enough.
    stage.plan(&[("db", 0, 2), ("db", 1, 3), ("web", 0, 2)]);
    stage.run();
    assert_eq!(stage.bound("web", 0, "db"), ["db.0", "db.1"]);
}

#[test]
fn a_script_that_is_asked_for_again_while_it_runs_is_accepted_and_another_is_not() {
    let mut stage = shop();
    let script = |orders: Vec<Order>| {
        let statements = (1..).zip(orders).map(|(line, order)| Statement { line, order }).collect();
        Request::Script(Box::new(Script { statements }))
    };
    let orders = || vec![add("db", 1, 4), wait(&[])];
    stage.script(orders()).unwrap();
    assert_eq!(stage.answer(script(orders())), Some(Answer::Accepted));
    let other = stage.answer(script(vec![add("db", 1, 4)]));
    assert!(matches!(other, Some(Answer::Refused(_))), "{other:?}");
}

#[test]
fn a_successor_that_rests_where_it_was_pushed_replaces_its_predecessor() {
    let mut stage = Stage::new(&[("db", component(2, &[]))]);
    stage.plan(&[("db", 0, 2), ("db", 1, 3)]);
    stage.run();
    stage.script(vec![push("db", 1, "stop")]).unwrap();
    stage.resting.insert(instance("db", 1));
    stage.run();
    stage.plan(&[("db", 1, 3)]);
    stage.run();
    assert_eq!(stage.placed(), ["db.1@n3g1"]);
    assert_eq!(stage.ledger.settled, stage.ledger.target.revision);
}

#[test]
fn a_script_never_waits_for_more_exclusive_copies_than_may_run() {
    let mut stage = Stage::new(&[("db", Component { exclusive: true, ..component(1, &[]) })]);
    stage.plan(&[("db", 0, 2)]);
    stage.run();
    let beside = stage.script(vec![add("db", 1, 2), wait(&[("db", 1)]), del("db", 0)]);
    assert_eq!(beside.map_err(|(line, _)| line), Err(2), "the wait would never end");
    let after = stage.script(vec![del("db", 0), add("db", 1, 2), wait(&[])]);
    assert_eq!(after, Ok(()));
    stage.run();
    assert_eq!(stage.state(), Some(ScriptState::Done));
}

#[test]
fn what_a_script_adds_has_room_or_ends_it() {
    let mut stage = sized_shop(&[]);
    stage.script(vec![add("web", 1, 3), wait(&[]), add("web", 2, 2)]).unwrap();
    stage.run();
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g1", "web.1@n3g1"]);
    let Some(ScriptState::Failed { line, reason }) = stage.state() else { panic!("{:?}", stage.state()) };
    assert_eq!((line, reason.as_str()), (3, "n2 has no room for web.2: it needs 0.5 of cpu, 0.25 is left"));
    let any = Order::Add { instance: instance("db", 1), place: Place::Any };
    stage.script(vec![del("web", 1), any, wait(&[])]).unwrap();
    stage.run();
    assert_eq!(
        stage.placed(),
        ["db.0@n2g1", "db.1@n4g1", "web.0@n3g1"],
        "of the hosts with room the emptiest"
    );
}

#[test]
fn a_wait_that_would_never_be_over_ends_the_script() {
    let mut stage = shop();
    stage.script(vec![push("web", 0, "stop"), push("db", 0, "stop"), wait(&[])]).unwrap();
    // The web server failed before it rests and is deployed again; the database that it needs rests already.
    stage.waiting.insert(instance("web", 0));
    stage.decide();
    stage.report();
    stage.decide();
    assert_eq!(stage.state(), Some(ScriptState::Running), "the database does not rest yet");
    stage.resting.insert(instance("db", 0));
    stage.run();
    let reason = "web.0 needs db.0, which rests".to_owned();
    assert_eq!(stage.state(), Some(ScriptState::Failed { line: 3, reason }));
}

#[test]
fn what_a_script_left_half_done_is_made_up_for() {
    let mut stage = shop();
    stage.script(vec![del("web", 0), wait(&[]), add("web", 1, 5)]).unwrap();
    stage.commit(Command::Drain { node: NodeId(5) });
    assert_eq!(stage.cause(), None, "what a script does is its own business");
    stage.run();
    assert!(matches!(stage.state(), Some(ScriptState::Failed { line: 3, .. })), "{:?}", stage.state());
    assert_eq!(stage.placed(), ["db.0@n2g1"]);
    assert_eq!(stage.cause(), Some(Cause::CopiesMissing(BTreeSet::from([ComponentName::from("web")]))));
}
