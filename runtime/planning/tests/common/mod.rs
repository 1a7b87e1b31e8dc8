//! Shared parts of the tests of planning: offers, facts and a search with a budget of steps.

use rhizo_knowledge::{Knowledge, Snapshot};
use rhizo_planning::{Answer, Budget, Catalogue, Explanation, Offering, Outcome, Request};
use rhizo_protocol::testing::order;
use rhizo_solver::{Options, Problem, solve};
use rhizo_types::expr::Expr;
use rhizo_types::intent::AcquireOrder;
use rhizo_types::spec::{Component, Of, ProviderSpec, Replicas, Run, Spec, Utility};
use rhizo_types::{AttributeName, ComponentName, Number, ProviderName, RuleName, Time, Value};
use std::collections::{BTreeMap, BTreeSet};

/// More steps than any of these problems takes.
const LOOKS_MAX: u32 = 10_000;

/// A component that needs one seat a copy.
pub(crate) fn component(min: u32, max: u32) -> Component {
    Component {
        replicas: Replicas { min, max },
        needs: BTreeMap::from([("seats".to_owned(), Number::ONE)]),
        ..Component::new(Run::Exec { argv: vec!["serve".to_owned()] })
    }
}

/// A spec of components on hosts of some providers. The components prefer fast hosts.
pub(crate) fn spec(components: BTreeMap<ComponentName, Component>, providers: &[&str]) -> Spec {
    let mut spec = Spec::new("app", components);
    let source = ProviderSpec { kind: "test".to_owned(), settings: String::new(), regions: BTreeSet::new() };
    spec.providers = providers.iter().map(|name| (ProviderName::from(*name), source.clone())).collect();
    spec.utilities = spec.components.keys().map(fast).collect();
    spec
}

fn fast(component: &ComponentName) -> Utility {
    Utility {
        name: RuleName(format!("fast-{component}")),
        component: component.clone(),
        of: Of::Each(Expr::Attribute(AttributeName::from("speed"))),
        best: Number::ONE,
        worst: Number::ZERO,
        weight: Number::ONE,
        source: String::new(),
    }
}

/// Returns an order for a host with this number of seats, and with `speed` in tenths.
pub(crate) fn host(provider: &str, offer: &str, seats: u32, speed: u32) -> AcquireOrder {
    let speed = Number::try_from(f64::from(speed) / 10.0).expect("finite");
    AcquireOrder {
        price_micros_per_hour: 50_000,
        capacity: BTreeMap::from([("seats".to_owned(), Number::from(seats))]),
        attributes: BTreeMap::from([(AttributeName::from("speed"), Value::Number(speed))]),
        ..order(provider, offer)
    }
}

/// The catalogue of offers, and the facts that follow from it.
pub(crate) fn market(offers: &[AcquireOrder], providers: &[&str]) -> (Catalogue, Snapshot) {
    let answer = |provider: &&str| {
        let own = offers.iter().filter(|order| order.provider.as_str() == *provider);
        let offering = |order: &AcquireOrder| Offering {
            order: order.clone(),
            available: Some(4),
            currency: "EUR".to_owned(),
        };
        let answer = Answer::Sells { offers: own.map(offering).collect(), paths: Vec::new() };
        (ProviderName::from(*provider), answer)
    };
    let (mut catalogue, mut knowledge) = (Catalogue::default(), Knowledge::new());
    catalogue.take(providers.iter().map(answer).collect(), &mut knowledge, Time::ZERO);
    let snapshot = Snapshot::cut(&knowledge, &BTreeMap::new(), Time::ZERO);
    (catalogue, snapshot)
}

/// Plans to the end of the search.
pub(crate) fn plan(request: &Request, (catalogue, snapshot): &(Catalogue, Snapshot)) -> Outcome {
    let mut search = |problem: &Problem, options: &Options| {
        let mut looks = 0;
        solve(problem, options, &mut || {
            looks += 1;
            looks > LOOKS_MAX
        })
    };
    let mut stops = 0;
    let mut stop = || {
        stops += 1;
        stops > LOOKS_MAX
    };
    let explanation = Explanation { stop: &mut stop, at_unix_ms: None };
    let mut budget = Budget { search: &mut search, explains: false, explanation };
    rhizo_planning::plan(request, snapshot, catalogue, &mut budget)
}
