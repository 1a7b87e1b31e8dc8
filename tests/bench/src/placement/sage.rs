//! SAGE: rent machines for an application at the least price, under rules on the instances that share a machine.
//!
//! Reads the official JSON of applications and offers. `--instances N` sets the open bound of an application
//! (the number of WordPress instances), which the file marks by -1. Prices are in thousandths of a currency unit.

use super::{chain, options, timed, write_problem};
use crate::arguments::Arguments;
use rhizo_solver::rule;
use rhizo_solver::{
    Component, Constraint, Cost, Machine, Measure, Named, Problem, Resource, Scope, Stock, check,
};
use serde_json::{Value, json};
use std::path::Path;

pub(super) const OPTIONS: &[&str] = &["app", "offers", "instances", "time", "seed", "problem", "engine"];

/// Instances of a component that no rule limits; far above any published optimum.
const REPLICAS_MAX: u32 = 60;

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let application = read(&arguments.path("app")?)?;
    let offers = read(&arguments.path("offers")?)?;
    let instances = arguments.value("instances", 3)?;
    let problem = problem(&application, &offers, instances)?;
    figures(arguments, &problem)
}

/// Solves the problem and returns the figures that both machine-buying benches print.
pub(super) fn figures(arguments: &Arguments, problem: &Problem) -> Result<Value, String> {
    write_problem(arguments, problem)?;
    let (answer, seconds) = timed(problem, options(arguments)?, arguments.value("time", 10.0)?);
    let plan = answer.map_err(|error| chain(&error))?;
    let bought: Vec<Value> = plan
        .orders
        .iter()
        .map(|order| json!({"offer": problem.machines[order.machine].name, "count": order.count}))
        .collect();
    Ok(json!({
        "price": plan.after.price_per_hour,
        "bound": plan.bound.map(|bound| -bound),
        "seconds": seconds,
        "proven": plan.proven,
        "engine": plan.engine,
        "evaluated": plan.evaluated,
        "violations": check(problem, &plan.assignment).len(),
        "bought": bought,
    }))
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("understand {}: {error}", path.display()))
}

/// The number at a path inside a value.
fn number(value: &Value, path: &str) -> Result<f64, String> {
    value.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("find the number {path} in {value}"))
}

pub(super) fn resources() -> Vec<Resource> {
    let named = |name: &str| Resource { name: name.into(), transient: false };
    vec![named("cpu"), named("memory"), named("storage")]
}

pub(super) fn price() -> Named<Cost> {
    Named::new("price", Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 })
}

pub(super) fn machines(offers: &Value, hosts_max: u32) -> Result<Vec<Machine>, String> {
    let offers = offers.as_object().ok_or("find offers by name")?;
    let machine = |(name, offer): (&String, &Value)| {
        Ok(Machine {
            name: name.clone(),
            provider: String::new(),
            region: String::new(),
            stock: Stock::Offer { count_max: hosts_max },
            site: None,
            capacity: vec![number(offer, "/cpu")?, number(offer, "/memory")?, number(offer, "/storage")?],
            safety: Vec::new(),
            price: number(offer, "/price")?,
            move_cost: Vec::new(),
        })
    };
    offers.iter().map(machine).collect()
}

pub(super) fn problem(application: &Value, offers: &Value, instances: u32) -> Result<Problem, String> {
    let list = |name: &str| application[name].as_array().ok_or_else(|| format!("find the list {name}"));
    let mut problem = Problem { resources: resources(), costs: vec![price()], ..Problem::default() };
    for component in list("components")? {
        let name = component["name"].as_str().unwrap_or_default();
        let mut parsed = Component::new(name, 1, REPLICAS_MAX);
        parsed.needs = vec![
            number(component, "/Compute/CPU")?,
            number(component, "/Compute/Memory")?,
            number(component, "/Storage/StorageSize")?,
        ];
        problem.components.push(parsed);
    }
    let hosts_max = REPLICAS_MAX * u32::try_from(problem.components.len()).unwrap_or(1);
    problem.machines = machines(offers, hosts_max)?;
    let restrictions = list("restrictions")?;
    for (at, restriction) in restrictions.iter().enumerate() {
        add(&mut problem, restriction, at, instances)?;
    }
    share_load(&mut problem, restrictions)?;
    Ok(problem)
}

fn component(problem: &Problem, restriction: &Value, key: &str) -> Result<usize, String> {
    identifier(problem, &restriction[key])
}

/// Identifiers count from 1.
fn identifier(problem: &Problem, value: &Value) -> Result<usize, String> {
    let id = value.as_u64().and_then(|id| usize::try_from(id).ok()).unwrap_or(0);
    if (1..=problem.components.len()).contains(&id) {
        Ok(id - 1)
    } else {
        Err(format!("find component {value}"))
    }
}

fn identifiers(problem: &Problem, restriction: &Value) -> Result<Vec<usize>, String> {
    let list = restriction["compsIdList"].as_array().ok_or("find compsIdList")?;
    list.iter().map(|id| identifier(problem, id)).collect()
}

fn count(restriction: &Value, key: &str) -> Result<u32, String> {
    restriction[key]
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| format!("find the count {key}"))
}

fn add(problem: &mut Problem, restriction: &Value, at: usize, instances: u32) -> Result<(), String> {
    let kind = restriction["type"].as_str().unwrap_or_default();
    let bound =
        || if restriction["bound"] == json!(-1) { Ok(instances) } else { count(restriction, "bound") };
    let alpha = |problem: &Problem| component(problem, restriction, "alphaCompId");
    let pair = |p: &Problem| Ok::<_, String>((alpha(p)?, component(p, restriction, "betaCompId")?));
    let mut rules = Vec::new();
    match kind {
        "Conflicts" => {
            let alpha = alpha(problem)?;
            for other in identifiers(problem, restriction)? {
                let scopes = vec![Scope::Component(alpha), Scope::Component(other)];
                rules.push(Constraint::Split(rule::Split { scopes, partition: None }));
            }
        }
        "LowerBound" | "EqualBound" | "UpperBound" => {
            let (min, max) = match kind {
                "LowerBound" => (bound()?, u32::MAX),
                "EqualBound" => (bound()?, bound()?),
                _ => (0, bound()?),
            };
            let components = identifiers(problem, restriction)?;
            // A limit of several components counts their instances together; each component still has at least one.
            rules.push(Constraint::Count(rule::Count { components, min, max }));
        }
        "FullDeployment" => {
            let component = alpha(problem)?;
            rules.push(Constraint::Everywhere(rule::Everywhere { component }));
        }
        "OneToOneDependency" => {
            let (alpha, beta) = pair(problem)?;
            rules.push(Constraint::Together(rule::Together { components: vec![alpha, beta] }));
        }
        "OneToManyDependency" => {
            // One alpha serves up to `number` betas, and there are no more alphas than needed.
            let (alpha, beta) = pair(problem)?;
            let number = i64::from(count(restriction, "number")?);
            let mut add = |terms, max| rules.push(Constraint::Linear(rule::Linear { terms, max }));
            add(vec![(beta, 1), (alpha, -number)], -1);
            add(vec![(alpha, number), (beta, -1)], number);
        }
        "AlternativeComponents" => {
            let (alpha, beta) = pair(problem)?;
            problem.components[alpha].replicas_min = 0;
            problem.components[beta].replicas_min = 0;
            let components = vec![alpha, beta];
            rules.push(Constraint::Alternatives(rule::Alternatives { components, min: 1, max: 1 }));
        }
        // `share_load` reads several such rules together.
        "RequireProvideDependency" => {}
        other => return Err(format!("understand a restriction of type {other}")),
    }
    for (part, rule) in rules.into_iter().enumerate() {
        problem.constraints.push(Named::new(format!("{kind} {at}.{part}"), rule));
    }
    Ok(())
}

/// The share of a provider that a component needs; alternative providers count together, because only one of them runs.
fn share_load(problem: &mut Problem, restrictions: &[Value]) -> Result<(), String> {
    let alternatives: Vec<Vec<usize>> = problem
        .constraints
        .iter()
        .filter_map(|named| match &named.item {
            Constraint::Alternatives(rule::Alternatives { components, .. }) => Some(components.clone()),
            _ => None,
        })
        .collect();
    let mut shared: Vec<(usize, Vec<(usize, i64)>)> = Vec::new();
    for (at, restriction) in restrictions.iter().enumerate() {
        if restriction["type"] != json!("RequireProvideDependency") {
            continue;
        }
        let user = component(problem, restriction, "alphaCompId")?;
        let provider = component(problem, restriction, "betaCompId")?;
        let per_user = count(restriction, "alphaCompIdInstances")?;
        let per_provider = count(restriction, "betaCompIdInstances")?;
        if let Some(group) = alternatives.iter().find(|group| group.contains(&provider)) {
            let of_group =
                |(u, terms): &&mut (usize, Vec<(usize, i64)>)| *u == user && group.contains(&terms[0].0);
            let term = (provider, -i64::from(per_provider));
            match shared.iter_mut().find(of_group) {
                Some((_, terms)) => terms.push(term),
                None if per_user == 1 => shared.push((user, vec![term])),
                None => return Err("share alternatives between users of more than one share".to_owned()),
            }
        } else {
            let rule =
                Constraint::Require(rule::Require { user, provider, per_user, per_provider, exactly: false });
            problem.constraints.push(Named::new(format!("RequireProvide {at}"), rule));
        }
    }
    for (at, (user, mut terms)) in shared.into_iter().enumerate() {
        terms.push((user, 1));
        problem.constraints.push(Named::new(
            format!("RequireProvide alternatives {at}"),
            Constraint::Linear(rule::Linear { terms, max: 0 }),
        ));
    }
    Ok(())
}
