//! The content of the record: the instances that really move, stop and restart, each with its own reason.

mod common;

use common::{component, host, market, plan, spec};
use rhizo_planning::{Action, Change, Decision, Record};
use rhizo_protocol::Ledger;
use rhizo_protocol::coordinator::first_question;
use rhizo_protocol::testing::{LedgerBuilder, Stage, instance};
use rhizo_types::intent::AcquireOrder;
use rhizo_types::spec::{Component, Run, Spec};
use rhizo_types::target::Slot;
use rhizo_types::{ComponentName, InstanceId, NodeId, Number};
use std::collections::BTreeMap;

fn components(list: &[(&str, Component)]) -> BTreeMap<ComponentName, Component> {
    list.iter().map(|(name, component)| (ComponentName::from(*name), component.clone())).collect()
}

fn placed(list: &[(&str, u32, u64)]) -> BTreeMap<InstanceId, Slot> {
    list.iter().map(|(name, ordinal, node)| (instance(name, *ordinal), Slot::Node(NodeId(*node)))).collect()
}

/// Returns the record for an operator who asks about `wanted`.
fn asked(ledger: &Ledger, wanted: Option<Spec>) -> Record {
    let stage = coordinator(ledger);
    let request = stage.node.question(stage.now, wanted).expect("a spec is in force");
    plan(&request, &market(&[host("lab", "small", 2, 5)], &["lab"])).record
}

fn coordinator(ledger: &Ledger) -> Stage {
    let mut stage = Stage::new(ledger.clone());
    stage.feed(rhizo_protocol::Event::Tick);
    stage
}

fn texts(record: &Record) -> Vec<String> {
    record.actions.iter().map(|action| format!("{} {action}", action.symbol())).collect()
}

#[test]
fn the_copy_that_ends_is_named_by_its_own_name() {
    let two = spec(components(&[("web", component(2, 2))]), &["lab"]);
    // The slow host has web.0, the fast one web.2.
    let ledger = LedgerBuilder::new(two)
        .host(3, host("lab", "small", 2, 1))
        .host(4, host("lab", "big", 2, 9))
        .placed(placed(&[("web", 0, 3), ("web", 2, 4)]))
        .build();
    let one = spec(components(&[("web", component(1, 1))]), &["lab"]);
    let record = asked(&ledger, Some(one.clone()));
    let text = "- stop web.0 on n3: the spec wants at most 1 copies of web";
    assert!(texts(&record).contains(&text.to_owned()), "{:#?}", texts(&record));
    assert_eq!(record.proposed.len(), 1);
    assert_eq!(record.proposed[0].instance, "web.2", "the name of the copy that stays is kept");

    // The coordinator commits the plan that was shown.
    let mut stage = Stage::new(ledger);
    stage.feed(rhizo_protocol::Event::Tick);
    let (first, _) = stage.asked.take().expect("a new coordinator looks for something better");
    let failed = rhizo_protocol::SolveOutcome::Failed { reason: "test".to_owned() };
    stage.feed(rhizo_protocol::Event::Solved { id: first.id, outcome: failed });
    let set = rhizo_protocol::Request::SetSpec { spec: Box::new(one), source: String::new(), after: None };
    stage.feed(rhizo_protocol::Event::Request { id: rhizo_protocol::RequestId(1), request: set });
    let (request, _) = stage.asked.take().expect("a new spec is planned for");
    let outcome = plan(&request, &market(&[host("lab", "small", 2, 5)], &["lab"]));
    assert_eq!(texts(&outcome.record), texts(&record));
    stage.feed(rhizo_protocol::Event::Solved { id: request.id, outcome: outcome.outcome });
    let committed = stage.plans.last().expect("the plan is committed");
    assert_eq!(committed.placement, placed(&[("web", 2, 4)]));
}

#[test]
fn a_changed_definition_restarts_its_copies_and_says_which_key_changed() {
    let before = spec(components(&[("web", component(2, 2)), ("db", component(1, 1))]), &["lab"]);
    let ledger = LedgerBuilder::new(before)
        .host(3, host("lab", "small", 2, 5))
        .host(4, host("lab", "small", 2, 5))
        .placed(placed(&[("web", 0, 3), ("web", 1, 4), ("db", 0, 3)]))
        .build();
    let mut web = component(2, 2);
    web.run = Run::Exec { argv: vec!["serve".to_owned(), "--new".to_owned()] };
    web.env.insert("MODE".to_owned(), "new".to_owned());
    let mut db = component(1, 1);
    db.attributes.insert("key".into(), "value".to_owned());
    let record = asked(&ledger, Some(spec(components(&[("web", web), ("db", db)]), &["lab"])));
    assert_eq!(
        texts(&record),
        [
            "~ notify db.0 on n3: its definition changed in what needs no restart",
            "~ restart web.0 on n3: its exec, env changed",
            "~ restart web.1 on n4: its exec, env changed",
        ]
    );
    assert_eq!(record.verdict, Decision::Planned);
}

#[test]
fn a_renamed_and_a_removed_component_end_each_for_its_own_reason() {
    let before = spec(components(&[("web", component(1, 1)), ("old", component(1, 1))]), &["lab"]);
    let ledger = LedgerBuilder::new(before)
        .host(3, host("lab", "small", 4, 5))
        .placed(placed(&[("web", 0, 3), ("old", 0, 3)]))
        .build();
    let mut odd = component(1, 1);
    odd.env.insert("ODD".to_owned(), "1".to_owned());
    let renamed = spec(components(&[("site", component(1, 1))]), &["lab"]);
    let record = asked(&ledger, Some(renamed));
    assert_eq!(
        texts(&record),
        [
            "- end old.0 on n3: its component was renamed to site",
            "+ start site.0 on n3: the component old was renamed to site",
            "- end web.0 on n3: its component was renamed to site",
        ]
    );
    let removed = spec(components(&[("other", odd)]), &["lab"]);
    let record = asked(&ledger, Some(removed));
    assert!(texts(&record).contains(&"- end web.0 on n3: its component is no longer in the spec".to_owned()));
    let start = "+ start other.0 on n3: the spec has the component other now".to_owned();
    assert!(texts(&record).contains(&start), "{:#?}", texts(&record));
}

#[test]
fn hosts_and_copies_that_come_and_go_are_named_with_their_reasons() {
    let wanted = spec(components(&[("web", component(2, 2))]), &["lab"]);
    let ledger = LedgerBuilder::new(wanted.clone())
        .host(3, host("lab", "small", 2, 5))
        .host(4, host("lab", "small", 2, 5))
        .draining(3)
        .placed(placed(&[("web", 0, 3), ("web", 1, 9)]))
        .build();
    // n3 is being drained, n9 is gone, n4 is there and one host has to be bought.
    let record = asked(&ledger, None);
    let actions = texts(&record);
    assert_eq!(actions.len(), 3, "{actions:#?}");
    assert!(
        actions[0].starts_with("+ acquire 1× lab/small in r at 0.0500 an hour: for web."),
        "{actions:#?}"
    );
    assert!(
        actions
            .iter()
            .any(|a| a.starts_with("> move web.0 from n3 to ") && a.ends_with("n3 is being drained"))
    );
    assert!(actions.iter().any(|a| a.contains("it replaces web.1, because n9 is gone")), "{actions:#?}");
    let first = first_question(wanted).expect("there is a spec");
    let record = plan(&first, &market(&[host("lab", "small", 2, 5)], &["lab"])).record;
    let starts = |action: &&Action| matches!(action.change, Change::Start { .. });
    assert_eq!(record.actions.iter().filter(starts).count(), 2);
    assert!(record.actions.iter().filter(starts).all(|action| action.reason == "nothing runs yet"));
}

#[test]
fn hosts_of_a_removed_provider_are_drained_and_released() {
    let before = spec(components(&[("web", component(2, 2))]), &["lab", "spare"]);
    let ledger = LedgerBuilder::new(before)
        .host(3, host("lab", "small", 2, 1))
        .host(4, host("spare", "big", 2, 9))
        .placed(placed(&[("web", 0, 3), ("web", 1, 4)]))
        .build();
    let without_spare = spec(components(&[("web", component(2, 2))]), &["lab"]);
    let record = asked(&ledger, Some(without_spare));
    assert_eq!(record.verdict, Decision::Planned, "{record:#?}");
    let removed = "its provider `spare` is no longer in the config";
    let of =
        |change: &str| texts(&record).into_iter().filter(|text| text.contains(change)).collect::<Vec<_>>();
    let moves = of("move");
    assert!(moves.len() == 1 && moves[0].starts_with("> move web.1 from n4 to "), "{:#?}", texts(&record));
    assert!(moves[0].ends_with(removed), "{moves:#?}");
    let releases = of("release");
    assert_eq!(releases, [format!("- release n4: {removed}")]);
    assert!(record.proposed.iter().all(|copy| copy.on.provider == "lab"), "{:#?}", record.proposed);
}

#[test]
fn no_more_copies_move_voluntarily_than_max_moves_allows() {
    let mut wanted = spec(components(&[("a", component(1, 1)), ("b", component(1, 1))]), &["lab"]);
    // Both copies share a slow host: one host would be replaced, two copies would move.
    let build = |spec: &Spec| {
        let ledger = LedgerBuilder::new(spec.clone()).host(3, host("lab", "old", 2, 1));
        ledger.placed(placed(&[("a", 0, 3), ("b", 0, 3)])).build()
    };
    let moved = |spec: &Spec| {
        let record = asked(&build(spec), None);
        let moves =
            record.actions.iter().filter(|action| matches!(action.change, Change::Move { .. })).count();
        (record.verdict, moves)
    };
    assert_eq!(moved(&wanted), (Decision::Planned, 2));
    wanted.optimise.max_moves = Some(1);
    assert_eq!(moved(&wanted), (Decision::Planned, 1));
    wanted.optimise.max_moves = Some(0);
    assert_eq!(moved(&wanted), (Decision::Kept, 0));
    // A forced change has no limit.
    let lost = LedgerBuilder::new(wanted).placed(placed(&[("a", 0, 3), ("b", 0, 3)])).build();
    assert_eq!(asked(&lost, None).proposed.len(), 2);
}

#[test]
fn a_change_that_does_not_pay_is_shown_and_kept_by_the_cores_judgement() {
    let mut wanted = spec(components(&[("web", component(1, 1))]), &["lab"]);
    wanted.optimise.min_gain = Number::try_from(0.5).expect("finite");
    let ledger =
        LedgerBuilder::new(wanted).host(3, host("lab", "old", 2, 1)).placed(placed(&[("web", 0, 3)])).build();
    // From 0.1 to 0.5: a gain of 0.4.
    let record = asked(&ledger, None);
    assert_eq!(record.verdict, Decision::Kept);
    assert!(record.text.ends_with("it does not pay"), "{}", record.text);
    assert!(record.gain.is_some_and(|gain| (gain - 0.4).abs() < 1e-9), "{:?}", record.gain);
}

#[test]
fn a_node_that_does_not_coordinate_says_what_it_does_not_know() {
    let wanted = spec(components(&[("web", component(1, 1))]), &["lab"]);
    let ledger = LedgerBuilder::new(wanted).host(3, host("lab", "small", 2, 5)).build();
    let config = rhizo_protocol::NodeConfig { me: NodeId(3), ledger, records: Vec::new(), genesis: None };
    let node = rhizo_protocol::Node::new(config);
    let request = node.question(rhizo_types::Time::ZERO, None).expect("a spec is in force");
    let record = plan(&request, &market(&[host("lab", "small", 2, 5)], &["lab"])).record;
    assert!(!record.is_informed);
    assert!(
        record.warnings.iter().any(|warning| warning.contains("could not be asked")),
        "{:?}",
        record.warnings
    );
}

#[test]
fn hosts_that_are_held_count_against_the_budget_of_a_new_spec() {
    let two = |name: &str| {
        let mut wanted = spec(components(&[(name, component(2, 2))]), &["lab"]);
        // Four hosts: two that are held, and two at most beside them.
        let max_hourly = Number::try_from(0.2).expect("finite");
        wanted.budget = Some(rhizo_types::spec::Budget { currency: "EUR".to_owned(), max_hourly });
        wanted
    };
    let build = |hosts: u64| {
        let ledger = (3..3 + hosts).fold(LedgerBuilder::new(two("old")), |ledger, node| {
            ledger.host(node, host("lab", "slow", 2, 1))
        });
        ledger.placed(placed(&[("old", 0, 3), ("old", 1, 4)])).build()
    };
    let bought = |record: &Record| -> u32 {
        let count = |action: &Action| match action.change {
            Change::Acquire { count, .. } => count,
            _ => 0,
        };
        record.actions.iter().map(count).sum()
    };
    // The new component wants two fast hosts: they can be bought beside two held ones, not beside three or four.
    let new = || Some(two("new"));
    assert_eq!(bought(&asked(&build(2), new())), 2);
    assert_eq!(bought(&asked(&build(3), new())), 1);
    let full = asked(&build(4), new());
    assert_eq!((full.verdict, bought(&full)), (Decision::Planned, 0), "{:#?}", texts(&full));
}

#[test]
fn without_utilities_the_cheapest_offer_wins_and_a_running_copy_stays() {
    let mut wanted = spec(components(&[("web", component(1, 1))]), &["lab"]);
    wanted.utilities.clear();
    wanted.migration.add = Number::try_from(0.01).expect("finite");
    let priced =
        |offer: &str, micros| AcquireOrder { price_micros_per_hour: micros, ..host("lab", offer, 1, 1) };
    let offers = [priced("dear", 90_000), priced("cheap", 40_000), priced("middle", 60_000)];

    let request = first_question(wanted.clone()).expect("there is a spec");
    let record = plan(&request, &market(&offers, &["lab"])).record;
    assert!(texts(&record)[0].contains("lab/cheap"), "{:#?}", texts(&record));

    let ledger =
        LedgerBuilder::new(wanted).host(3, priced("dear", 90_000)).placed(placed(&[("web", 0, 3)])).build();
    let stage = coordinator(&ledger);
    let request = stage.node.question(stage.now, None).expect("a spec is in force");
    let record = plan(&request, &market(&offers, &["lab"])).record;
    assert_eq!(record.verdict, Decision::Kept, "{record:#?}");
}

#[test]
fn a_held_host_costs_what_its_offer_costs_now() {
    let wanted = spec(components(&[("web", component(1, 1))]), &["lab"]);
    let mut wanted = wanted;
    let utility = &mut wanted.utilities[0];
    utility.of = rhizo_types::spec::Of::Group(rhizo_types::spec::Measure::CostPerHour);
    let dear = AcquireOrder { price_micros_per_hour: 900_000, ..host("lab", "small", 2, 5) };
    let ledger = LedgerBuilder::new(wanted.clone()).host(3, dear).placed(placed(&[("web", 0, 3)])).build();
    // The offer costs 0.05 now: neither does a move to a host of the same offer gain anything, nor is the old price
    // kept.
    let record = asked(&ledger, None);
    assert_eq!(
        (record.verdict, record.actions.as_slice()),
        (Decision::Kept, [].as_slice()),
        "{}",
        record.text
    );
    assert_eq!(record.cost_per_hour, Some(0.05));
    // A price that has risen above the budget is reported with both numbers.
    wanted.budget = Some(rhizo_types::spec::Budget {
        currency: "EUR".to_owned(),
        max_hourly: Number::try_from(0.04).expect("finite"),
    });
    let cheap = AcquireOrder { price_micros_per_hour: 10_000, ..host("lab", "small", 2, 5) };
    let ledger = LedgerBuilder::new(wanted).host(3, cheap).placed(placed(&[("web", 0, 3)])).build();
    let record = asked(&ledger, None);
    assert_eq!(record.verdict, Decision::Infeasible);
    let text = "the cheapest placement costs 0.05 EUR an hour, the budget is 0.04 EUR an hour";
    assert!(record.text.contains(text), "{}", record.text);
}
