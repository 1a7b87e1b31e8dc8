//! Moves after a small failure: the applications of `multicloud` run, and one in a hundred hosts is lost.
//!
//! The minimum is the number of instances that replica ranges require to start again. Further moves have to gain more
//! than they cost. The bench counts those that do not, by undoing each. Prices and moves are in one unit, dollars per
//! hour.

use super::{chain, multicloud, timed, write_problem};
use crate::arguments::Arguments;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rhizo_solver::explain::unpaid_moves;
use rhizo_solver::rule;
use rhizo_solver::{Assignment, Constraint, Machine, Migration, Options, Place, Problem, Stock, check};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const OPTIONS: &[&str] =
    &["n", "seed", "time", "first", "share", "move", "data", "prices", "problem"];

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let seed = arguments.value("seed", 1)?;
    let problem = multicloud::of(arguments)?;
    let (first, _) = timed(&problem, Options { seed, engine: None }, arguments.value("first", 5.0)?);
    let first = first.map_err(|error| chain(&error))?;
    let mut running = installed(&problem, &first.assignment)?;
    running.migration = Migration { per_move: arguments.value("move", MOVE_COST)?, ..Migration::default() };
    let share = arguments.value("share", 0.01)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(format!("lose a share of {share}: 0 to 1 is possible"));
    }
    let (lost, homeless) = lose(&mut running, share, seed);
    write_problem(arguments, &running)?;
    let minimum: usize = running.components.iter().map(missing).sum();
    let (answer, seconds) = timed(&running, Options { seed, engine: None }, arguments.value("time", 5.0)?);
    let plan = answer.map_err(|error| chain(&error))?;
    let changed = plan.after.migration.moved + plan.after.migration.started;
    Ok(json!({
        "hosts": running.machines.iter().filter(|m| m.stock == Stock::Running).count(),
        "lost": lost,
        "homeless": homeless,
        "minimum": minimum,
        "started": plan.after.migration.started,
        "moved": plan.after.migration.moved,
        "ratio": f64::from(changed) / (minimum.max(1) as f64),
        "unpaid": unpaid_moves(&running, &plan.assignment).len(),
        "price_before": first.after.price_per_hour,
        "price": plan.after.price_per_hour,
        "violations": check(&running, &plan.assignment).len(),
        "gap": plan.gap,
        "engine": plan.engine,
        "evaluated": plan.evaluated,
        "seconds": seconds,
    }))
}

/// Cost of a move, in dollars per hour: about the price of the smallest machine.
const MOVE_COST: f64 = 0.05;

/// The number of instances that a component lacks.
fn missing(component: &rhizo_solver::Component) -> usize {
    (component.replicas_min as usize).saturating_sub(component.current.iter().flatten().count())
}

/// The problem after an assignment was carried out: bought hosts exist, and the offers remain.
fn installed(problem: &Problem, assignment: &Assignment) -> Result<Problem, String> {
    let mut running = problem.clone();
    let mut host_of: BTreeMap<Place, usize> = BTreeMap::new();
    for place in assignment.by_host().into_keys() {
        host_of.insert(place, running.machines.len());
        let machine = &problem.machines[place.machine];
        running.machines.push(Machine {
            name: format!("{}#{}", machine.name, place.copy),
            stock: Stock::Running,
            ..machine.clone()
        });
        running.partitions.iter_mut().for_each(|p| p.class_of.push(p.class_of[place.machine]));
        for named in &mut running.constraints {
            match &mut named.item {
                Constraint::Each(rule::Each { allowed, .. }) => allowed.push(allowed[place.machine]),
                Constraint::Bound(_) | Constraint::Spread(_) | Constraint::Require(_) => {}
                other => return Err(format!("widen the rule {other:?} by a host")),
            }
        }
    }
    for (component, places) in running.components.iter_mut().zip(&assignment.places) {
        component.current = places.iter().flatten().map(|place| host_of.get(place).copied()).collect();
    }
    Ok(running)
}

/// Removes a share of the hosts, at least one. Returns the numbers of lost hosts and instances.
fn lose(problem: &mut Problem, share: f64, seed: u64) -> (usize, usize) {
    let mut hosts: Vec<usize> =
        (0..problem.machines.len()).filter(|m| problem.machines[*m].stock == Stock::Running).collect();
    hosts.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let count = ((hosts.len() as f64 * share).ceil().max(1.0) as usize).min(hosts.len());
    hosts.truncate(count);
    for host in &hosts {
        problem.machines[*host].stock = Stock::Offer { count_max: 0 };
    }
    let mut homeless = 0;
    for place in problem.components.iter_mut().flat_map(|c| &mut c.current) {
        if place.is_some_and(|host| hosts.contains(&host)) {
            *place = None;
            homeless += 1;
        }
    }
    (count, homeless)
}
