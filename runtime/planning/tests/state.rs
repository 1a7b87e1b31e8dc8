//! Copies with state: a plan leaves them where their data is, and says what waits for lost data.

mod common;

use common::{component, host, market, plan, spec};
use rhizo_planning::{Decision, Record};
use rhizo_protocol::Ledger;
use rhizo_protocol::testing::{LedgerBuilder, Stage, instance};
use rhizo_types::expr::{BinaryOp, Expr};
use rhizo_types::ledger::{Command, FOUNDER};
use rhizo_types::message::LogEntry;
use rhizo_types::spec::{Component, Import, Require, Rule, Spec};
use rhizo_types::state::{OnDataLoss, State};
use rhizo_types::target::Slot;
use rhizo_types::{AttributeName, ComponentName, NodeId, Number, RuleName, Term};
use std::collections::{BTreeMap, BTreeSet};

const PINNED: State = State::Pinned { on_loss: OnDataLoss::Wait };

fn db(copies: u32, state: State) -> Component {
    Component { state, ..component(copies, copies) }
}

fn app(db: Component) -> Spec {
    let from = (ComponentName::from("db"), "sql".into());
    let mut web = component(1, 1);
    web.imports.insert("db".into(), Import::of(from.0, from.1));
    spec([("db".into(), db), ("web".into(), web)].into(), &["lab"])
}

/// The databases run on slow hosts, the front end on a fast one.
fn deployed(db: Component) -> Ledger {
    let copies = db.replicas.max;
    let mut builder = LedgerBuilder::new(app(db)).host(3, host("lab", "small", 2, 1));
    builder = builder.host(4, host("lab", "big", 4, 9)).host(5, host("lab", "small", 2, 1));
    let dbs = [(instance("db", 0), 3), (instance("db", 1), 5)].into_iter().take(copies as usize);
    let placed = dbs.chain([(instance("web", 0), 4)]);
    builder.placed(placed.map(|(copy, node)| (copy, Slot::Node(NodeId(node)))).collect()).build()
}

fn apply(ledger: &mut Ledger, command: Command) {
    let applied = ledger.apply(ledger.index + 1, Term(1), &LogEntry::Command(command));
    assert_eq!(applied, rhizo_protocol::Applied::Done);
}

fn lost(mut ledger: Ledger, node: u64) -> Ledger {
    apply(&mut ledger, Command::Dead { nodes: BTreeMap::from([(NodeId(node), BTreeSet::from([FOUNDER]))]) });
    ledger
}

fn asked(ledger: &Ledger, wanted: Option<Spec>) -> Record {
    let mut stage = Stage::new(ledger.clone());
    stage.feed(rhizo_protocol::Event::Tick);
    let request = stage.node.question(stage.now, wanted).expect("a spec is in force");
    plan(&request, &market(&[host("lab", "small", 2, 5)], &["lab"])).record
}

fn texts(record: &Record) -> Vec<String> {
    record.actions.iter().map(|action| format!("{} {action}", action.symbol())).collect()
}

fn place_of(record: &Record, instance: &str) -> Option<String> {
    let placed = record.proposed.iter().find(|placed| placed.instance == instance)?;
    placed.on.node.clone()
}

#[test]
fn a_pinned_copy_stays_although_another_host_is_better() {
    let moved = asked(&deployed(db(1, State::None)), None);
    assert_eq!(place_of(&moved, "db.1").as_deref(), Some("n4"), "without state: {:#?}", texts(&moved));
    let stays = asked(&deployed(db(1, PINNED)), None);
    assert_eq!(place_of(&stays, "db.0").as_deref(), Some("n3"), "{:#?}", texts(&stays));
    // A forced plan for another reason leaves it as well.
    let forced = asked(&lost(deployed(db(1, PINNED)), 4), None);
    assert_eq!(forced.verdict, Decision::Planned);
    assert_eq!(place_of(&forced, "db.0").as_deref(), Some("n3"), "{:#?}", texts(&forced));
}

#[test]
fn a_rule_that_excludes_the_host_of_pinned_data_is_named_with_it() {
    let mut wanted = app(db(1, PINNED));
    let speed = Expr::Attribute(AttributeName::from("speed"));
    let fast = Expr::Number(Number::try_from(0.7).expect("finite"));
    wanted.requires.push(Require {
        name: RuleName("fast hosts".to_owned()),
        component: "db".into(),
        rule: Rule::Each(Expr::Binary(BinaryOp::GreaterOrEqual, Box::new(speed), Box::new(fast))),
        source: "node.speed >= 0.7".to_owned(),
    });
    let record = asked(&deployed(db(1, PINNED)), Some(wanted));
    assert_eq!(record.verdict, Decision::Infeasible);
    let said = format!("{} {}", record.text, record.warnings.join(" "));
    assert!(said.contains("fast hosts") && said.contains("db.0 is pinned to n3"), "{said}");
}

#[test]
fn a_copy_whose_data_is_lost_waits_and_the_others_go_on() {
    for copies in [1, 2] {
        let ledger = lost(deployed(db(copies, PINNED)), 3);
        let record = asked(&ledger, None);
        assert_eq!(record.verdict, Decision::Planned, "{}", record.text);
        let wait = "! db.0 waits for its data on n3: n3 is gone, which has its data".to_owned();
        assert!(texts(&record).contains(&wait), "{:#?}", texts(&record));
        let dbs = record.proposed.iter().filter(|placed| placed.instance.starts_with("db."));
        assert_eq!(dbs.count() as u32, copies - 1, "no other copy takes its place");
        assert_eq!(place_of(&record, "web.0").as_deref(), Some("n4"), "the front end waits with it");
        let remedy = "`snapshot restore db.0 --empty` starts it without the data";
        assert!(record.warnings.iter().any(|text| text.contains(remedy)), "{:?}", record.warnings);
    }
}

#[test]
fn data_that_is_given_up_is_replaced_by_an_empty_copy_of_the_same_name() {
    let mut ledger = lost(deployed(db(1, PINNED)), 3);
    let copies = ledger.homes.clone();
    apply(&mut ledger, Command::GiveUpData { copies });
    let record = asked(&ledger, None);
    assert_eq!(record.verdict, Decision::Planned, "{}", record.text);
    assert!(place_of(&record, "db.0").is_some(), "{:#?}", texts(&record));
    assert!(record.warnings.is_empty(), "{:?}", record.warnings);
}

#[test]
fn a_spec_with_fewer_copies_ends_pinned_ones() {
    let record = asked(&deployed(db(2, PINNED)), Some(app(db(1, PINNED))));
    assert_eq!(record.verdict, Decision::Planned, "{}", record.text);
    assert_eq!(place_of(&record, "db.0").as_deref(), Some("n3"));
    assert_eq!(place_of(&record, "db.1"), None, "{:#?}", texts(&record));
    // One copy waits, and its running sibling is not ended for it.
    let record = asked(&lost(deployed(db(2, PINNED)), 3), Some(app(db(1, PINNED))));
    assert_eq!(place_of(&record, "db.1").as_deref(), Some("n5"), "{:#?}", texts(&record));
}
