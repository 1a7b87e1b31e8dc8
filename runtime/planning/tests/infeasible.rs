//! Infeasible requests are answered with numbers and a remedy, for rules and for demands that are no rule.

mod common;

use common::{component, host, market, plan, spec};
use rhizo_planning::{Action, Answer, Catalogue, Change, Decision, Offering, Outcome, Request};
use rhizo_protocol::coordinator::first_question;
use rhizo_protocol::{Cooling, SolveOutcome};
use rhizo_types::expr::Expr;
use rhizo_types::intent::AcquireOrder;
use rhizo_types::spec::{Budget, Component, Export, Import, Pick, Require, Rule, Spec};
use rhizo_types::{AttributeName, ComponentName, Number, ProviderName, RegionName, RuleName};
use std::collections::{BTreeMap, BTreeSet};

/// One component and a market with two offers of four hosts each, two seats a host.
fn wanted(web: Component) -> Spec {
    spec(BTreeMap::from([(ComponentName::from("web"), web)]), &["lab"])
}

fn offers() -> Vec<AcquireOrder> {
    vec![host("lab", "small", 2, 5), host("lab", "large", 2, 5)]
}

fn request(wanted: Spec) -> Request {
    first_question(wanted).expect("a spec")
}

fn number(value: f64) -> Number {
    Number::try_from(value).expect("finite")
}

/// The reasons of an infeasible outcome; the record has each of them once.
fn reasons(outcome: Outcome) -> Vec<String> {
    let SolveOutcome::Infeasible { reasons, .. } = outcome.outcome else {
        panic!("feasible: {:?}", outcome.record.text)
    };
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.trim().is_empty()), "{reasons:?}");
    assert_eq!(outcome.record.verdict, Decision::Infeasible);
    assert_eq!(outcome.record.text, format!("no placement satisfies all demands: {}", reasons[0]));
    assert!(outcome.record.warnings.starts_with(&reasons[1..]), "{:?}", outcome.record.warnings);
    reasons
}

fn asked(wanted: Spec) -> Vec<String> {
    reasons(plan(&request(wanted), &market(&offers(), &["lab"])))
}

#[test]
fn a_need_above_the_largest_host_is_told_with_both_numbers() {
    let mut web = component(1, 1);
    web.needs = BTreeMap::from([("memory".to_owned(), number(64.0 * 1024.0 * 1024.0 * 1024.0))]);
    let mut offers = offers();
    offers[1].capacity.insert("memory".to_owned(), number(4.0 * 1024.0 * 1024.0 * 1024.0));
    let said = reasons(plan(&request(wanted(web)), &market(&offers, &["lab"])));
    assert_eq!(
        said,
        ["web needs memory 64 GiB; the largest host or offer has 4 GiB (lab/large). \
          Remedy: lower `needs.memory` of web to 4 GiB, or add larger hosts"]
    );
}

#[test]
fn more_copies_than_hosts_are_told_with_the_number_that_fits() {
    assert_eq!(
        asked(wanted(component(9, 9))),
        [
            "web needs 9 hosts, because its 9 copies run on different hosts; 8 hosts can be had: 4 of lab/small, \
          4 of lab/large. Remedy: lower `replicas` of web to 8, or add offers"
        ]
    );
}

#[test]
fn a_request_that_allows_no_order_says_so_instead_of_counting_offers() {
    let mut request = request(wanted(component(1, 1)));
    request.terms.orders_max = Some(0);
    let said = reasons(plan(&request, &market(&offers(), &["lab"])));
    assert_eq!(
        said,
        [
            "no other host that is held can take the copies that keep failing, and no host is acquired for them at present"
        ]
    );
}

/// A component with an export that has a fixed port.
fn fixed(min: u32, port: u16) -> Component {
    let mut fixed = component(min, min);
    fixed.exports.insert("http".into(), Export { port: Some(port), ..Export::SERVICE });
    fixed
}

#[test]
fn two_components_with_one_fixed_port_are_placed_on_different_hosts() {
    let components = |port: u16| {
        BTreeMap::from([("api", fixed(1, 8080)), ("web", fixed(1, port))].map(|(n, c)| (n.into(), c)))
    };
    // Two seats and a lower price on one host: only the port keeps the two apart.
    for (port, hosts) in [(8081, 1), (8080, 2)] {
        let mut wanted = spec(components(port), &["lab"]);
        wanted.migration.add = number(0.1);
        let outcome = plan(&request(wanted), &market(&offers(), &["lab"]));
        let bought = |action: &Action| match action.change {
            Change::Acquire { count, .. } => count,
            _ => 0,
        };
        let count: u32 = outcome.record.actions.iter().map(bought).sum();
        assert_eq!(count, hosts, "port {port}: {:?}", outcome.record);
    }
}

#[test]
fn a_fixed_port_that_too_few_hosts_have_is_named() {
    let components =
        BTreeMap::from([("api", fixed(1, 8080)), ("web", fixed(1, 8080))].map(|(n, c)| (n.into(), c)));
    let mut offers = offers();
    offers.truncate(1);
    let mut catalogue = market(&offers, &["lab"]);
    let one = Offering { order: offers[0].clone(), available: Some(1), currency: "EUR".to_owned() };
    let mut knowledge = rhizo_knowledge::Knowledge::new();
    let answer = Answer::Sells { offers: vec![one], paths: Vec::new() };
    catalogue.0.take(vec![("lab".into(), answer)], &mut knowledge, rhizo_types::Time::ZERO);
    assert_eq!(
        reasons(plan(&request(spec(components, &["lab"])), &catalogue)),
        ["api and web both need port 8080, which a host has once; 1 host can be had: 1 of lab/small. \
          Remedy: give one of them another `port`, or no `port` to have one allocated, or add offers"]
    );
}

#[test]
fn a_budget_is_told_beside_the_cheapest_placement() {
    let mut wanted = wanted(component(3, 4));
    wanted.budget = Some(Budget { currency: "EUR".to_owned(), max_hourly: number(0.1) });
    assert_eq!(
        asked(wanted),
        [
            "the cheapest placement costs 0.15 EUR an hour, the budget is 0.1 EUR an hour; web has at least 3 copies. \
          Remedy: raise `budget.max_hourly` to 0.15, or lower `replicas` of web to 2"
        ]
    );
}

#[test]
fn a_spread_over_too_few_regions_names_them() {
    let mut wanted = wanted(component(3, 3));
    let by = Expr::Attribute(AttributeName::from("region"));
    let rule = Rule::Spread { by, max: Some(Expr::Number(Number::ONE)), min_distinct: None };
    let source = "spread = { by = \"node.region\", max = 1 }".to_owned();
    let (name, web) = (RuleName("apart".to_owned()), ComponentName::from("web"));
    wanted.requires = vec![Require { name, component: web, rule, source }];
    let mut offers = offers();
    offers[1].region = RegionName::from("us");
    let said = reasons(plan(&request(wanted), &market(&offers, &["lab"])));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("rule `apart`: spread"), "{said:#?}");
    assert!(said[0].contains("`node.region` has 2 values there: r, us"), "{said:#?}");
    assert!(said[0].contains("allow 2 in one `node.region`, or lower `replicas` of web to 2"), "{said:#?}");
}

#[test]
fn the_built_in_rule_about_providers_is_said_in_a_sentence() {
    let providers = ["a", "b", "c"];
    let components = BTreeMap::from([(ComponentName::from("web"), component(3, 3))]);
    let mut wanted = spec(components, &providers);
    let near = Expr::In(
        Box::new(Expr::Attribute(AttributeName::from("provider"))),
        vec![Expr::Text("a".to_owned()), Expr::Text("b".to_owned())],
    );
    let (name, web) = (RuleName("near".to_owned()), ComponentName::from("web"));
    let source = "node.provider in [\"a\", \"b\"]".to_owned();
    wanted.requires = vec![Require { name, component: web, rule: Rule::Each(near), source }];
    let offers = providers.map(|provider| host(provider, "small", 2, 5));
    let said = reasons(plan(&request(wanted), &market(&offers, &providers)));
    let sentence = "at least three providers are configured, so that the copies run on hosts of three; \
                    the hosts and offers that can be used are of a, b";
    assert!(said[0].contains(sentence) && said[0].contains("configure fewer than three"), "{said:#?}");
    assert!(!said[0].contains("[three"), "the name in brackets says nothing to an operator: {said:#?}");
}

#[test]
fn a_plan_that_does_not_fit_into_the_log_is_refused_with_the_sizes() {
    let mut web = component(300, 300);
    let pick = Pick::All;
    web.exports.insert("http".into(), Export::SERVICE);
    web.imports.insert("peers".into(), Import { pick, ..Import::of("web".into(), "http".into()) });
    let mut knowledge = rhizo_knowledge::Knowledge::new();
    let mut catalogue = Catalogue::default();
    let offering =
        Offering { order: host("lab", "small", 2, 5), available: None, currency: "EUR".to_owned() };
    let answer = Answer::Sells { offers: vec![offering], paths: Vec::new() };
    catalogue.take(vec![("lab".into(), answer)], &mut knowledge, rhizo_types::Time::ZERO);
    let snapshot = rhizo_knowledge::Snapshot::cut(&knowledge, &BTreeMap::new(), rhizo_types::Time::ZERO);
    let said = reasons(plan(&request(wanted(web)), &(catalogue, snapshot)));
    assert!(said[0].starts_with("the target of these 300 copies takes up to "), "{said:#?}");
    assert!(
        said[0].contains("bytes in the log, and at most 245760 fit. Remedy: lower `replicas`"),
        "{said:#?}"
    );
}

#[test]
fn a_number_that_the_solver_would_refuse_is_refused_by_the_config() {
    assert_eq!(rhizo_config::NUMBER_MAX, rhizo_solver::NUMBER_MAX);
    let mut offers = offers();
    let huge = number(1e200);
    offers[0].attributes.insert(AttributeName::from("speed"), rhizo_types::Value::Number(huge));
    let outcome = plan(&request(wanted(component(1, 1))), &market(&offers, &["lab"]));
    assert_eq!(outcome.record.verdict, Decision::Planned, "{}", outcome.record.text);
}

#[test]
fn a_rule_that_holds_nowhere_shows_the_values_that_it_read() {
    let mut wanted = wanted(component(1, 1));
    let mars = Expr::In(
        Box::new(Expr::Attribute(AttributeName::from("region"))),
        vec![Expr::Text("mars".to_owned())],
    );
    let (name, web) = (RuleName("far".to_owned()), ComponentName::from("web"));
    let source = "node.region in [\"mars\"]".to_owned();
    wanted.requires = vec![Require { name, component: web, rule: Rule::Each(mars), source }];
    assert_eq!(
        asked(wanted),
        ["rule `far`: node.region in [\"mars\"] holds on no host or offer; elsewhere node.region = r. \
          Remedy: change rule `far`, or add offers on which it holds"]
    );
}

#[test]
fn a_utility_over_an_attribute_that_is_missing_says_which() {
    let mut offers = offers();
    offers.iter_mut().for_each(|order| order.attributes.clear());
    let said = reasons(plan(&request(wanted(component(1, 1))), &market(&offers, &["lab"])));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("utility `fast-web` reads `node.speed`, which too few"), "{said:#?}");
}

#[test]
fn offers_that_cannot_be_ordered_now_say_for_how_long_and_why() {
    let mut request = request(wanted(component(1, 1)));
    for offer in ["small", "large"] {
        let cooling = Cooling { left_ms: 39_500, reason: "no capacity".to_owned() };
        request.cooling.insert(("lab".into(), offer.into()), cooling);
    }
    assert_eq!(
        reasons(plan(&request, &market(&offers(), &["lab"]))),
        [
            "offer lab/large cools down for another 40 s (no capacity); offer lab/small cools down for another 40 s \
          (no capacity). Remedy: wait"
        ]
    );
    request.cooling.clear();
    request.failing = BTreeSet::from([ProviderName::from("lab")]);
    assert_eq!(
        reasons(plan(&request, &market(&offers(), &["lab"]))),
        ["provider lab does not answer, so that lab/small, lab/large cannot be ordered. Remedy: wait"]
    );
    let mut mars = wanted(component(1, 1));
    let lab = mars.providers.get_mut(&ProviderName::from("lab")).expect("the provider");
    lab.regions = BTreeSet::from([RegionName::from("mars")]);
    assert_eq!(
        asked(mars),
        [
            "provider lab is limited to mars; it also sells in r. Remedy: add a region to `regions` of provider lab"
        ]
    );
}

#[test]
fn a_provider_that_never_answered_is_the_reason() {
    let (mut catalogue, mut knowledge) = (Catalogue::default(), rhizo_knowledge::Knowledge::new());
    let silent = Answer::Silent("connection refused".to_owned());
    catalogue.take(vec![("lab".into(), silent)], &mut knowledge, rhizo_types::Time::ZERO);
    let snapshot = rhizo_knowledge::Snapshot::cut(&knowledge, &BTreeMap::new(), rhizo_types::Time::ZERO);
    let said = reasons(plan(&request(wanted(component(1, 1))), &(catalogue, snapshot)));
    assert_eq!(
        said[0],
        "the offers of provider lab are not known, because it does not answer: connection refused"
    );
}

#[test]
fn more_than_64_copies_fit_on_one_offer_without_a_limit() {
    let (mut catalogue, mut knowledge) = (Catalogue::default(), rhizo_knowledge::Knowledge::new());
    let offering =
        Offering { order: host("lab", "small", 2, 5), available: None, currency: "EUR".to_owned() };
    let answer = Answer::Sells { offers: vec![offering], paths: Vec::new() };
    catalogue.take(vec![("lab".into(), answer)], &mut knowledge, rhizo_types::Time::ZERO);
    let snapshot = rhizo_knowledge::Snapshot::cut(&knowledge, &BTreeMap::new(), rhizo_types::Time::ZERO);
    let outcome = plan(&request(wanted(component(65, 300))), &(catalogue, snapshot));
    assert_eq!(outcome.record.verdict, Decision::Planned, "{}", outcome.record.text);
    assert!(outcome.record.proposed.len() >= 65);
}

#[test]
fn generated_requests_that_are_infeasible_always_have_a_reason() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut infeasible = 0;
    for seed in 0..200 {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let mut web = component(rng.random_range(1..=6), 6);
        web.needs.insert("seats".to_owned(), Number::from(rng.random_range(1..=3_u32)));
        let mut wanted = wanted(web);
        if rng.random_bool(0.5) {
            let max_hourly = number(f64::from(rng.random_range(0..=6_u32)) * 0.05);
            wanted.budget = Some(Budget { currency: "EUR".to_owned(), max_hourly });
        }
        let mut request = request(wanted);
        if rng.random_bool(0.3) {
            let cooling = Cooling { left_ms: 1, reason: "refused".to_owned() };
            request.cooling.insert(("lab".into(), "small".into()), cooling);
        }
        if rng.random_bool(0.1) {
            request.failing.insert("lab".into());
        }
        let mut offers = offers();
        offers.truncate(rng.random_range(0..=2));
        let outcome = plan(&request, &market(&offers, &["lab"]));
        if outcome.record.verdict == Decision::Infeasible {
            infeasible += 1;
            let said = reasons(outcome);
            let is_told =
                said.iter().any(|reason| reason.contains("Remedy: ") || reason.contains("add offers"));
            assert!(is_told, "seed {seed}: {said:#?}");
        }
    }
    assert!(infeasible > 60, "only {infeasible} were infeasible");
}
