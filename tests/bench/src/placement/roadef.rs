//! ROADEF/EURO 2012 machine reassignment, with the challenge's own files and flags.
//!
//! `-t SECONDS -p MODEL -i ASSIGNMENT -o OUT -s SEED --threads 2`. A service is a component whose instances are its
//! processes. The whole cost is minimised: loads beyond safety capacities, balances, and three kinds of move cost.

mod published;

use super::{chain, limit};
use crate::arguments::Arguments;
use rhizo_solver::rule;
use rhizo_solver::{
    Component, Constraint, Cost, Limit, Machine, Measure, Migration, Named, Options, Partition, Problem,
    Resource, Scope, Stock, check,
};
use rhizo_solver_threads::{Time, solve_within};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

pub(super) const OPTIONS: &[&str] = &["t", "p", "i", "o", "s", "name", "threads"];

/// Seconds per process that are kept for checking and writing the answer.
const CLOSING_PER_PROCESS: f64 = 1e-5;

/// A model with its assignment, and where each process is in the problem.
pub(super) struct Instance {
    pub(super) problem: Problem,
    /// Component and ordinal of each process.
    process: Vec<(usize, usize)>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let start = Instant::now();
    let model = arguments.path("p")?;
    let instance = parse(&text_of(&model)?, &text_of(&arguments.path("i")?)?)?;
    let problem = &instance.problem;
    let closing =
        0.2 + CLOSING_PER_PROCESS * f64::from(u32::try_from(instance.process.len()).unwrap_or(u32::MAX));
    let seconds = arguments.value("t", 10.0)? - start.elapsed().as_secs_f64() - closing;
    let options = Options { seed: arguments.value("s", 1)?, engine: None };
    // The challenge's machine had two cores, and so did its programs.
    let threads = arguments.value("threads", 2)?;
    let time = Time { limit: limit(seconds), use_all: true, threads };
    let begun = Instant::now();
    let answer = solve_within(problem, &options, time);
    let seconds = begun.elapsed().as_secs_f64();
    let plan = answer.map_err(|error| chain(&error))?;
    let violations = check(problem, &plan.assignment).len();
    if let Some(path) = arguments.text("o") {
        let mut text = String::new();
        for (component, ordinal) in &instance.process {
            let place = plan.assignment.places[*component].get(*ordinal).copied().flatten();
            let machine = place.ok_or("place every process")?.machine;
            write!(text, "{machine} ").unwrap_or(());
        }
        std::fs::write(path, text.trim_end()).map_err(|error| format!("write {path}: {error}"))?;
    }
    let cost = -plan.after.net;
    let initial = plan.before.map(|before| -before.net);
    let bound = plan.bound.map(|bound| -bound);
    let best = published::best_cost(&model);
    Ok(json!({
        "cost": cost,
        "initial": initial,
        "bound": bound,
        // The gap relative to the bound; none when the bound is 0.
        "gap": bound.filter(|bound| *bound > 0.0).map(|bound| (cost - bound) / bound),
        // The score of the challenge: the cost beyond the best published one, in percent of the initial cost.
        "score": best.zip(initial).map(|(best, initial)| 100.0 * (cost - best) / initial),
        "moves": plan.after.migration.moved,
        "violations": violations,
        "evaluated": plan.evaluated,
        "moves_per_second": plan.evaluated as f64 / seconds.max(1e-9),
        "seconds": start.elapsed().as_secs_f64(),
    }))
}

/// Whole numbers separated by white space, taken one by one.
struct Numbers<'a> {
    words: std::str::SplitWhitespace<'a>,
}

impl Numbers<'_> {
    fn next(&mut self) -> Result<u32, String> {
        let word = self.words.next().ok_or("go on: the file ends too soon")?;
        word.parse().map_err(|error| format!("understand {word}: {error}"))
    }

    fn index(&mut self) -> Result<usize, String> {
        self.next().map(|n| n as usize)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f64>, String> {
        (0..count).map(|_| self.next().map(f64::from)).collect()
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// Reads the two files of an instance.
pub(super) fn parse(model: &str, assignment: &str) -> Result<Instance, String> {
    let mut numbers = Numbers { words: model.split_whitespace() };
    let mut problem = Problem::default();
    let weights = resources(&mut numbers, &mut problem)?;
    machines(&mut numbers, &mut problem)?;
    services(&mut numbers, &mut problem)?;
    let mut process = Vec::new();
    let resources = problem.resources.len();
    for _ in 0..numbers.index()? {
        let service = numbers.index()?;
        let needs = numbers.floats(resources)?;
        let move_cost = f64::from(numbers.next()?);
        let component = problem.components.get_mut(service).ok_or("find the service of a process")?;
        process.push((service, component.needs_each.len()));
        component.needs_each.push(needs);
        component.move_cost_each.push(move_cost);
    }
    for component in &mut problem.components {
        let count = u32::try_from(component.needs_each.len()).unwrap_or(u32::MAX);
        (component.replicas_min, component.replicas_max) = (count, count);
    }
    costs(&mut numbers, &mut problem, &weights)?;
    let mut places = Numbers { words: assignment.split_whitespace() };
    for (service, _) in &process {
        problem.components[*service].current.push(Some(places.index()?));
    }
    Ok(Instance { problem, process })
}

/// The weights of the load costs.
fn resources(numbers: &mut Numbers, problem: &mut Problem) -> Result<Vec<f64>, String> {
    let mut weights = Vec::new();
    for r in 0..numbers.index()? {
        let transient = numbers.next()? == 1;
        problem.resources.push(Resource { name: format!("r{r}"), transient });
        weights.push(f64::from(numbers.next()?));
    }
    Ok(weights)
}

fn machines(numbers: &mut Numbers, problem: &mut Problem) -> Result<(), String> {
    let count = numbers.index()?;
    let resources = problem.resources.len();
    let (mut neighbourhoods, mut locations) = (Vec::new(), Vec::new());
    for m in 0..count {
        neighbourhoods.push(numbers.index()?);
        locations.push(numbers.index()?);
        problem.machines.push(Machine {
            name: format!("m{m}"),
            provider: String::new(),
            region: String::new(),
            stock: Stock::Kept,
            site: None,
            capacity: numbers.floats(resources)?,
            safety: numbers.floats(resources)?,
            price: 0.0,
            move_cost: numbers.floats(count)?,
        });
    }
    for (name, class_of) in [("location", locations), ("neighbourhood", neighbourhoods)] {
        // Locations are renumbered: a huge location number would need as many classes.
        let classes: BTreeSet<usize> = class_of.iter().copied().collect();
        let index: BTreeMap<usize, usize> =
            classes.iter().enumerate().map(|(at, class)| (*class, at)).collect();
        problem.partitions.push(Partition {
            name: name.into(),
            classes: classes.iter().map(usize::to_string).collect(),
            class_of: class_of.iter().map(|class| index.get(class).copied()).collect(),
        });
    }
    Ok(())
}

fn services(numbers: &mut Numbers, problem: &mut Problem) -> Result<(), String> {
    for service in 0..numbers.index()? {
        problem.components.push(Component::new(format!("s{service}"), 0, 0));
        let scope = Scope::Component(service);
        let spread = numbers.next()?;
        if spread > 1 {
            let rule = Constraint::Spread(rule::Spread {
                scope: scope.clone(),
                partition: 0,
                max_in_class: None,
                min_distinct: Some(Limit::Constant(f64::from(spread))),
            });
            problem.constraints.push(Named::new(format!("spread {service}"), rule));
        }
        for d in 0..numbers.next()? {
            let provider = Scope::Component(numbers.index()?);
            let rule = Constraint::Neighbour(rule::Neighbour { user: scope.clone(), provider, partition: 1 });
            problem.constraints.push(Named::new(format!("dependency {service}.{d}"), rule));
        }
    }
    Ok(())
}

fn costs(numbers: &mut Numbers, problem: &mut Problem, weights: &[f64]) -> Result<(), String> {
    for (resource, weight) in weights.iter().enumerate() {
        let cost = Cost { scope: Scope::All, measure: Measure::Overload { resource }, per_unit: *weight };
        problem.costs.push(Named::new(format!("load {resource}"), cost));
    }
    for b in 0..numbers.next()? {
        let (first, second) = (numbers.index()?, numbers.index()?);
        let target = f64::from(numbers.next()?);
        let per_unit = f64::from(numbers.next()?);
        let cost =
            Cost { scope: Scope::All, measure: Measure::Imbalance { first, second, target }, per_unit };
        problem.costs.push(Named::new(format!("balance {b}"), cost));
    }
    problem.migration = Migration {
        per_move: f64::from(numbers.next()?),
        per_service: f64::from(numbers.next()?),
        per_pair: f64::from(numbers.next()?),
        ..Migration::default()
    };
    Ok(())
}
