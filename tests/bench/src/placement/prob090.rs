//! CSPLib problem 90: WordPress with a number of instances and offers, built in code as the library states it.
//!
//! `--offers FILE` reads the offers of the SAGE data, or `--offers 20|40|250|500` with `--dir DIRECTORY` of them.

use super::sage::{figures, machines, price, resources};
use crate::arguments::Arguments;
use rhizo_solver::rule;
use rhizo_solver::{Component, Constraint, Named, Problem, Scope};
use serde_json::Value;
use std::path::PathBuf;

pub(super) const OPTIONS: &[&str] = &["instances", "offers", "dir", "time", "seed", "problem", "engine"];

/// Instances of a component that no rule limits.
const REPLICAS_MAX: u32 = 60;
/// The needs of each component on the library's page: cores, memory in MB, storage in GB.
const NEEDS: [(&str, [f64; 3]); 5] = [
    ("WordPress", [2.0, 512.0, 1000.0]),
    ("MySQL", [2.0, 512.0, 2000.0]),
    ("DNSLoadBalancer", [4.0, 2048.0, 500.0]),
    ("HTTPLoadBalancer", [4.0, 2048.0, 500.0]),
    ("Varnish", [4.0, 4000.0, 500.0]),
];
const WORDPRESS: usize = 0;
const MYSQL: usize = 1;
const DNS: usize = 2;
const HTTP: usize = 3;
const VARNISH: usize = 4;

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let offers = arguments.path("offers")?;
    let file = match (arguments.text("dir"), offers.to_str().map(str::parse::<u32>)) {
        (Some(directory), Some(Ok(count))) => PathBuf::from(directory).join(format!("offers_{count}.json")),
        _ => offers,
    };
    let text = std::fs::read_to_string(&file).map_err(|error| format!("read {}: {error}", file.display()))?;
    let offers: Value =
        serde_json::from_str(&text).map_err(|error| format!("understand {}: {error}", file.display()))?;
    figures(arguments, &problem(&offers, arguments.value("instances", 3)?)?)
}

pub(super) fn problem(offers: &Value, instances: u32) -> Result<Problem, String> {
    let ranges = [(instances, REPLICAS_MAX), (2, REPLICAS_MAX), (0, 1), (0, REPLICAS_MAX), (2, REPLICAS_MAX)];
    let components = NEEDS.iter().zip(ranges).map(|((name, needs), (min, max))| {
        let mut component = Component::new(*name, min, max);
        component.needs = needs.to_vec();
        component
    });
    let split = |a: usize, b: usize| {
        Constraint::Split(rule::Split {
            scopes: vec![Scope::Component(a), Scope::Component(b)],
            partition: None,
        })
    };
    let mut rules = vec![
        (
            "one kind of balancer",
            Constraint::Alternatives(rule::Alternatives { components: vec![DNS, HTTP], min: 1, max: 1 }),
        ),
        (
            "balancers serve WordPress",
            Constraint::Linear(rule::Linear { terms: vec![(WORDPRESS, 1), (DNS, -7), (HTTP, -3)], max: 0 }),
        ),
        (
            "MySQL serves WordPress",
            Constraint::Require(rule::Require {
                user: WORDPRESS,
                provider: MYSQL,
                per_user: 2,
                per_provider: 3,
                exactly: false,
            }),
        ),
        ("Varnish without MySQL", split(VARNISH, MYSQL)),
    ];
    for balancer in [DNS, HTTP] {
        rules.extend([WORDPRESS, MYSQL, VARNISH].map(|other| ("balancers alone", split(balancer, other))));
    }
    let named = |(at, (name, rule)): (usize, (&str, Constraint))| Named::new(format!("{name} {at}"), rule);
    Ok(Problem {
        resources: resources(),
        machines: machines(offers, REPLICAS_MAX * 5)?,
        components: components.collect(),
        constraints: rules.into_iter().enumerate().map(named).collect(),
        costs: vec![price()],
        ..Problem::default()
    })
}
