//! During a change no host holds more than its capacity, and no change waits for room without end.

use super::*;

/// A component that needs this many quarters of a host.
fn sized(quarters: u32, imports: &[&str]) -> Component {
    let need = Number::try_from(f64::from(quarters) / 4.0).unwrap();
    Component { needs: BTreeMap::from([("cpu".to_owned(), need)]), ..component(4, imports) }
}

/// On hosts of one core: a database that needs three quarters on n2, a web server that needs half on n3.
pub(super) fn sized_shop(web_imports: &[&str]) -> Stage {
    let mut stage = Stage::new(&[("db", sized(3, &[])), ("web", sized(2, web_imports))]);
    for intent in stage.ledger.intents.values_mut() {
        intent.order.capacity = BTreeMap::from([("cpu".to_owned(), Number::ONE)]);
    }
    stage.plan(&[("db", 0, 2), ("web", 0, 3)]);
    stage.run();
    stage
}

/// The room of the instances that run or may run on a node, in quarters.
fn quarters(stage: &Stage, node: u64) -> f64 {
    let ledger = &stage.ledger;
    let all = ledger.target.instances.iter().chain(&ledger.lingering);
    let here = all.filter(|(_, placed)| placed.node == NodeId(node));
    let needs =
        here.map(|(instance, placed)| ledger.component_of(instance, placed.version).unwrap().needs["cpu"]);
    needs.map(|need| need.get() * 4.0).sum()
}

/// Runs until there is no further step, and checks that no host ever holds more than its capacity.
fn run_within_capacity(stage: &mut Stage) {
    for _ in 0..50 {
        let before = stage.ledger.index;
        while let Some(command) = stage.command() {
            stage.commit(command);
            for node in 2..=5 {
                assert!(quarters(stage, node) <= 4.0, "n{node} holds {:?}", stage.placed());
            }
        }
        stage.report();
        if stage.ledger.index == before && stage.command().is_none() {
            return;
        }
    }
    panic!("never at rest: {:?}", stage.placed());
}

#[test]
fn what_comes_waits_until_what_leaves_its_host_is_gone() {
    let mut stage = sized_shop(&[]);
    // The database moves to the host of the web server, and the web server to a host with room.
    stage.plan(&[("db", 1, 3), ("web", 1, 4)]);
    stage.decide();
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g1", "web.1@n4g1"], "the database has no room yet");
    run_within_capacity(&mut stage);
    assert_eq!(stage.placed(), ["db.1@n3g1", "web.1@n4g1"]);
}

#[test]
fn where_all_wait_for_room_one_makes_way() {
    let mut stage = sized_shop(&[]);
    stage.plan(&[("db", 1, 3), ("web", 1, 2)]);
    stage.decide();
    assert_eq!(stage.placed(), ["db.0@n2g1"], "one of the two is down, not both");
    run_within_capacity(&mut stage);
    assert_eq!(stage.placed(), ["db.1@n3g1", "web.1@n2g1"]);
}

#[test]
fn nobody_makes_way_for_the_sake_of_what_fails() {
    let mut stage = sized_shop(&[]);
    stage.plan(&[("db", 1, 3), ("web", 1, 4)]);
    stage.broken.insert((instance("web", 1), Generation(1)));
    for _ in 0..10 {
        stage.decide();
        stage.report();
    }
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g1", "web.1@n4g1"], "the old web server serves on");
}

#[test]
fn what_waits_for_the_blocked_is_waited_for_no_more() {
    // The host of the database is lost. The new database has room when the web server has ended; the successor of the
    // web server waits for the database.
    let mut stage = sized_shop(&["db"]);
    stage.commit(Command::Dead { nodes: BTreeMap::from([(NodeId(2), BTreeSet::from([FOUNDER]))]) });
    stage.plan(&[("db", 1, 3), ("web", 1, 4)]);
    stage.waiting.insert(instance("web", 1));
    for _ in 0..10 {
        stage.decide();
        stage.report();
    }
    assert_eq!(stage.placed(), ["db.1@n3g1", "web.1@n4g1"]);
    stage.waiting.clear();
    run_within_capacity(&mut stage);
}

#[test]
fn a_copy_with_a_fixed_port_waits_until_the_port_is_free_on_its_host() {
    let fixed = || {
        let mut fixed = component(4, &[]);
        fixed.exports.insert("http".into(), Export { port: Some(8080), ..Export::SERVICE });
        fixed
    };
    let mut stage = Stage::new(&[("db", fixed()), ("web", fixed())]);
    stage.plan(&[("db", 0, 2), ("web", 0, 3)]);
    stage.run();
    // The database moves to the host of the web server, and the web server to a free host.
    stage.plan(&[("db", 1, 3), ("web", 1, 4)]);
    while let Some(command) = stage.command() {
        stage.commit(command);
    }
    assert_eq!(stage.placed(), ["db.0@n2g1", "web.0@n3g1", "web.1@n4g1"], "the port is not free yet");
    for _ in 0..50 {
        stage.report();
        while let Some(command) = stage.command() {
            stage.commit(command);
            let ledger = &stage.ledger;
            let all = ledger.target.instances.iter().chain(&ledger.lingering);
            let on_3 = all.filter(|(_, placed)| placed.node == NodeId(3));
            assert!(on_3.count() <= 1, "both use the port: {:?}", stage.placed());
        }
    }
    assert_eq!(stage.placed(), ["db.1@n3g1", "web.1@n4g1"]);
}
