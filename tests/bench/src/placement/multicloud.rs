//! Applications over three clouds: buy machines in 69 regions for `n` components at the least price.
//!
//! Regions, round-trip times and the price lists of Azure and AWS us-east-1 are real; applications and other prices
//! are **synthetic** (`tests/bench/data/README.md` says which). Components form applications of three to six, each
//! with users in one region; rules bound round-trip times between components and over the whole application, keep a
//! front near the users, spread replicas over regions and clouds, and relate counts. `catalogue.rs` has the machines,
//! `applications.rs` makes the applications.

mod applications;
mod catalogue;

use super::{chain, options, timed, write_problem};
use crate::arguments::Arguments;
use rhizo_solver::{Cost, Measure, Named, Problem, Scope, check};
use serde_json::{Value, json};
use std::path::Path;

pub(super) const OPTIONS: &[&str] = &["n", "seed", "time", "data", "prices", "problem", "engine"];

/// Most components; the stretch goal is 10,000.
const COMPONENTS_MAX: usize = 100_000;

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let problem = of(arguments)?;
    write_problem(arguments, &problem)?;
    let (answer, seconds) = timed(&problem, options(arguments)?, arguments.value("time", 5.0)?);
    let plan = answer.map_err(|error| chain(&error))?;
    let price = plan.after.price_per_hour;
    let bound = plan.bound.map(|bound| -bound);
    Ok(json!({
        "components": problem.components.len(),
        "instances": plan.assignment.iter().count(),
        "hosts": plan.orders.iter().map(|order| order.count).sum::<u32>(),
        "price": price,
        "bound": bound,
        "gap": bound.map(|bound| (price - bound) / price),
        "proven": plan.proven,
        "seconds": seconds,
        "engine": plan.engine,
        "evaluated": plan.evaluated,
        "violations": check(&problem, &plan.assignment).len(),
    }))
}

/// The problem of the given options.
pub(super) fn of(arguments: &Arguments) -> Result<Problem, String> {
    let components = arguments.value("n", 30)?;
    if !(1..=COMPONENTS_MAX).contains(&components) {
        return Err(format!("use {components} components: 1 to {COMPONENTS_MAX} are possible"));
    }
    let seed = arguments.value("seed", 1)?;
    let data = arguments.text("data").unwrap_or("examples/psepr/data");
    let prices = arguments.text("prices").unwrap_or("tests/bench/data/machine_prices.csv");
    problem(Path::new(data), Path::new(prices), components, seed)
}

/// The problem of a number of components and a seed; always the same.
fn problem(data: &Path, prices: &Path, components: usize, seed: u64) -> Result<Problem, String> {
    let mut problem = catalogue::problem(data, prices)?;
    applications::add(&mut problem, components, seed);
    let price = Cost { scope: Scope::All, measure: Measure::TotalPrice, per_unit: 1.0 };
    problem.costs.push(Named::new("price", price));
    Ok(problem)
}
