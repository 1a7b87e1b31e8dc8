//! Benches of the solver: each reads or makes a problem, solves it, has it checked, and prints figures.
//!
//! All of them pose an ordinary `Problem`; there is no solver of their own.

mod btrplace;
mod latency_file;
mod prob090;
mod psepr;
mod roadef;
mod sage;

use crate::arguments::Arguments;
use rhizo_solver::{Options, Plan, Problem, SolveError, Watch, solve_watched};
use serde_json::Value;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Their names.
pub(crate) const NAMES: &[&str] = &["psepr", "sage", "prob090", "btrplace", "roadef"];

/// Runs the bench of this name, or none when it is not one of these.
pub(crate) fn run(name: &str, arguments: &[String]) -> Option<ExitCode> {
    let figures = match name {
        "psepr" => Arguments::parse(arguments, psepr::OPTIONS).and_then(|a| psepr::run(&a).map(|f| (a, f))),
        "sage" => Arguments::parse(arguments, sage::OPTIONS).and_then(|a| sage::run(&a).map(|f| (a, f))),
        "prob090" => {
            Arguments::parse(arguments, prob090::OPTIONS).and_then(|a| prob090::run(&a).map(|f| (a, f)))
        }
        "btrplace" => {
            Arguments::parse(arguments, btrplace::OPTIONS).and_then(|a| btrplace::run(&a).map(|f| (a, f)))
        }
        "roadef" => {
            Arguments::parse(arguments, roadef::OPTIONS).and_then(|a| roadef::run(&a).map(|f| (a, f)))
        }
        _ => return None,
    };
    Some(match figures {
        Ok((arguments, figures)) => {
            print_figures(&figures, arguments.json);
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    })
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

/// Solves under a time limit and says how long it took.
fn timed(problem: &Problem, seed: u64, seconds: f64) -> (Result<Plan, SolveError>, f64) {
    let mut deadline = Deadline { start: Instant::now(), limit: Duration::from_secs_f64(seconds.max(0.0)) };
    let answer = solve_watched(problem, &Options { seed, engine: None }, &mut deadline);
    (answer, deadline.start.elapsed().as_secs_f64())
}

/// A wall clock that says when to stop.
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
