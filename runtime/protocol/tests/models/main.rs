//! The bounded model checks of the core: every scenario of the catalogue, every property, exhaustively.
//!
//! `cargo test --release -p rhizo-protocol --test models -- --nocapture` is the bounded run; `--long` behind it
//! explores more, and `--policy` only the failure policy. The last line says how much was looked at. A violation prints
//! its shortest trace. See README.md beside this file for the bounds.

mod assemblies;
mod broken;
mod catalogue;
mod failure_policy;
mod lifecycles;

use rhizo_verify::scenario::Scenario;
use rhizo_verify::{Rule, Rules, Verdict, check};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

/// The most states of one scenario in the bounded run; a scenario with more fails the run.
const STATES_MAX: u32 = 150_000;
/// The most states of one scenario in the long run.
const STATES_MAX_LONG: u32 = 2_000_000;

/// The totals of a run.
#[derive(Default)]
struct Sum {
    scenarios: usize,
    states: u64,
    transitions: u64,
    violations: usize,
    occurred: Rules,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let most = if has("--long") { STATES_MAX_LONG } else { STATES_MAX };
    if has("--policy") {
        let is_good = failure_policy::run(most, !has("--whole"));
        return if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let tens = std::env::var("MODELS_TENS").ok().and_then(|tens| tens.parse().ok());
    let tens = tens.unwrap_or(if has("--long") { 2.8 } else { 2.4 });
    let mut scenarios = catalogue::scenarios(tens, |plain| check(plain, STATES_MAX).states);
    if let Ok(part) = std::env::var("MODELS_ONLY") {
        scenarios.retain(|scenario| scenario.name.contains(&part));
    }
    let sum = run(&scenarios, most);
    let whole = if has("--whole") { 0 } else { run_broken() };
    let policy = failure_policy::run(most, !has("--whole"));
    let unmet: Vec<&str> =
        Rule::ALL.iter().filter(|rule| !sum.occurred.contains(**rule)).map(|rule| rule.name()).collect();
    for name in &unmet {
        println!("the condition of {name} was never met");
    }
    println!(
        "models: {} scenarios, {} properties, {} states, {} transitions, {} violations",
        sum.scenarios,
        Rule::ALL.len(),
        sum.states,
        sum.transitions,
        sum.violations
    );
    let is_good = sum.violations == 0 && unmet.is_empty() && whole == 0 && policy;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries every broken variant, on two threads; how many properties nothing broke.
fn run_broken() -> usize {
    let (whole, next) = (Mutex::new(0), Mutex::new(broken::BROKEN.iter()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let variant = next.lock().expect("no thread panicked").next();
                    let Some((rule, sabotage, hint)) = variant else { return };
                    let begin = Instant::now();
                    let found = broken::breaks(*rule, *sabotage, hint);
                    let ms = begin.elapsed().as_millis();
                    match found {
                        Some((scenario, steps)) => {
                            println!(
                                "{} is broken by {sabotage:?}: {steps} steps, {ms} ms: {scenario}",
                                rule.name()
                            );
                        }
                        None => {
                            println!("{} is NOT broken by {sabotage:?} ({ms} ms)", rule.name());
                            *whole.lock().expect("no thread panicked") += 1;
                        }
                    }
                }
            });
        }
    });
    let without = Rule::ALL.iter().filter(|rule| broken::BROKEN.iter().all(|(broken, ..)| broken != *rule));
    without.inspect(|rule| println!("{} has no broken variant", rule.name())).count()
        + whole.into_inner().expect("no thread panicked")
}

/// Explores every scenario, on two threads.
fn run(scenarios: &[Scenario], states_max: u32) -> Sum {
    let (sum, next) = (Mutex::new(Sum::default()), Mutex::new(scenarios.iter()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let scenario = next.lock().expect("no thread panicked").next();
                    let Some(scenario) = scenario else { return };
                    let begin = Instant::now();
                    if std::env::var_os("MODELS_VERBOSE").is_some() {
                        println!("begin {}", scenario.name);
                    }
                    let verdict = check(scenario, states_max);
                    add(&sum, scenario, &verdict, begin.elapsed().as_millis());
                }
            });
        }
    });
    sum.into_inner().expect("no thread panicked")
}

fn add(sum: &Mutex<Sum>, scenario: &Scenario, verdict: &Verdict, ms: u128) {
    let mut sum = sum.lock().expect("no thread panicked");
    sum.scenarios += 1;
    sum.states += u64::from(verdict.states);
    sum.transitions += u64::from(verdict.transitions);
    sum.occurred.extend(verdict.occurred);
    if std::env::var_os("MODELS_VERBOSE").is_some() {
        println!("{ms:7} ms {:8} states  {}", verdict.states, scenario.name);
    }
    if !verdict.is_complete {
        sum.violations += 1;
        println!("{}: more than {} states, not complete", scenario.name, verdict.states - 1);
    }
    if let Some(violation) = &verdict.violation {
        sum.violations += 1;
        println!("{}\n{}", scenario.name, violation.text());
    }
}
