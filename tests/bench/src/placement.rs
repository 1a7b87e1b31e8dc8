//! Benches of the solver: each reads or makes a problem, solves it, checks the plan, and prints figures.
//!
//! All of them pose an ordinary `Problem`; none has a solver of its own.

mod btrplace;
#[cfg(test)]
mod fuzz;
mod latency_file;
mod multicloud;
mod prob090;
mod psepr;
mod replan;
mod roadef;
mod sage;
mod table;

use crate::arguments::Arguments;
use rhizo_solver::{Options, Plan, Problem, SolveError, UnknownEngine, Watch, solve_watched};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Their names.
pub(crate) const NAMES: &[&str] =
    &["psepr", "sage", "prob090", "btrplace", "multicloud", "replan", "roadef", "table"];

/// A bench: a function from its options to its figures.
type Bench = fn(&[String]) -> Result<Value, String>;

/// The bench of this name, and the options it knows.
fn bench(name: &str) -> Option<(Bench, &'static [&'static str])> {
    Some(match name {
        "psepr" => (|a| psepr::run(&Arguments::parse(a, psepr::OPTIONS)?), psepr::OPTIONS),
        "sage" => (|a| sage::run(&Arguments::parse(a, sage::OPTIONS)?), sage::OPTIONS),
        "prob090" => (|a| prob090::run(&Arguments::parse(a, prob090::OPTIONS)?), prob090::OPTIONS),
        "btrplace" => (|a| btrplace::run(&Arguments::parse(a, btrplace::OPTIONS)?), btrplace::OPTIONS),
        "multicloud" => {
            (|a| multicloud::run(&Arguments::parse(a, multicloud::OPTIONS)?), multicloud::OPTIONS)
        }
        "replan" => (|a| replan::run(&Arguments::parse(a, replan::OPTIONS)?), replan::OPTIONS),
        "roadef" => (|a| roadef::run(&Arguments::parse(a, roadef::OPTIONS)?), roadef::OPTIONS),
        "table" => (|a| table::run(&Arguments::parse(a, table::OPTIONS)?), table::OPTIONS),
        _ => return None,
    })
}

/// Runs the bench of this name, or none when it is not one of these.
pub(crate) fn run(name: &str, arguments: &[String]) -> Option<ExitCode> {
    let (bench, options) = bench(name)?;
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        println!(
            "rhizo-bench {name}: options {} --json",
            options.iter().map(|o| format!("--{o}")).collect::<Vec<_>>().join(" ")
        );
        return Some(ExitCode::SUCCESS);
    }
    Some(match bench(arguments) {
        Ok(mut figures) => {
            if let (Value::Object(figures), Some(mib)) = (&mut figures, memory_mib()) {
                figures.insert("memory_mib".into(), json!(mib));
            }
            print_figures(&figures, arguments.iter().any(|a| a == "--json"));
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    })
}

/// The largest resident memory of this process so far, as Linux reports it.
fn memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024)
}

fn print_figures(figures: &Value, json: bool) {
    match figures {
        Value::Object(figures) if !json => {
            for (name, value) in figures {
                println!("{name:<16} {value}");
            }
        }
        _ => println!("{figures}"),
    }
}

/// Reads `--seed`, and `--engine NAME` where a bench uses only one engine.
fn options(arguments: &Arguments) -> Result<Options, String> {
    let engine = |name: &str| name.parse().map_err(|error: UnknownEngine| error.to_string());
    Ok(Options {
        seed: arguments.value("seed", 1)?,
        engine: arguments.text("engine").map(engine).transpose()?,
    })
}

/// Solves under a time limit. Returns the plan and the duration in seconds.
fn timed(problem: &Problem, options: Options, seconds: f64) -> (Result<Plan, SolveError>, f64) {
    let mut deadline = Deadline { start: Instant::now(), limit: limit(seconds) };
    let answer = solve_watched(problem, &options, &mut deadline);
    (answer, deadline.start.elapsed().as_secs_f64())
}

/// The time limit of a number of seconds: none when no clock can represent it, zero when it is not a number.
fn limit(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// A wall clock that ends a search at its deadline.
struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Watch for Deadline {
    fn stop(&mut self) -> bool {
        self.start.elapsed() >= self.limit
    }

    fn elapsed_share(&mut self) -> Option<f64> {
        Some(self.start.elapsed().as_secs_f64() / self.limit.as_secs_f64().max(1e-9))
    }
}

/// Writes the problem as JSON to the file of `--problem FILE`.
fn write_problem(arguments: &Arguments, problem: &Problem) -> Result<(), String> {
    let Some(path) = arguments.text("problem") else { return Ok(()) };
    let text = serde_json::to_string(problem).map_err(|error| format!("write the problem: {error}"))?;
    std::fs::write(path, text).map_err(|error| format!("write {path}: {error}"))
}

/// An error with all its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
