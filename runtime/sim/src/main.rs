//! `rhizo-sim`: runs seeds of the simulated world, or replays one.
//!
//! `rhizo-sim run --seeds N [--first-seed S] [--json]` exits with 1 when a check failed or a fault never fired;
//! `rhizo-sim replay SEED` prints every event of one seed.

#![forbid(unsafe_code)]

use rhizo_sim::fault::Coverage;
use rhizo_sim::{Options, Outcome, run_seed};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: rhizo-sim run --seeds N [--first-seed S] [--json] | rhizo-sim replay SEED";

/// With at least this number of seeds, a fault that never fired is a mistake and not chance.
const COVERAGE_SEEDS: u64 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", rest @ ..] => run(rest),
        ["replay", seed] => seed.parse().map_or_else(|_| usage(), replay),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn run(words: &[&str]) -> ExitCode {
    let (mut seeds, mut first, mut as_json) = (None, 0_u64, false);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--json" => as_json = true,
            "--seeds" => seeds = rest.next().and_then(|text| text.parse::<u64>().ok()),
            "--first-seed" => match rest.next().and_then(|text| text.parse().ok()) {
                Some(seed) => first = seed,
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    let Some(seeds) = seeds else { return usage() };
    let began = Instant::now();
    let mut coverage = Coverage::default();
    let (mut failed, mut events, mut healed) = (Vec::new(), 0, Vec::new());
    for seed in first..first.saturating_add(seeds) {
        let outcome = run_seed(seed, &Options::default());
        events += outcome.events;
        coverage.add(&outcome.coverage);
        healed.extend(outcome.healed_ms);
        if let Some(violation) = &outcome.violation {
            eprintln!(
                "seed {seed}: {}: {} (reproduce: rhizo-sim replay {seed})",
                violation.check, violation.detail
            );
            failed.push(outcome);
        }
    }
    healed.sort_unstable();
    let missing = coverage.missing();
    let missing: Vec<&str> = missing.iter().map(|fault| fault.name()).collect();
    let seconds = began.elapsed().as_secs_f64();
    let faults: serde_json::Map<String, serde_json::Value> =
        coverage.0.iter().map(|(fault, count)| (fault.name().to_owned(), json!(count))).collect();
    let failures: Vec<_> = failed.iter().map(failure).collect();
    let median = healed.get(healed.len() / 2).copied();
    let report = json!({
        "seeds": seeds, "first_seed": first, "violations": failed.len(), "failures": failures, "events": events,
        "seconds": seconds, "faults": faults, "faults_missing": missing, "healed_ms_median": median,
        "healed_ms_max": healed.last(), "converged": healed.len(),
    });
    if as_json {
        println!("{report}");
    } else {
        println!(
            "sim: {seeds} seeds, {events} events, {} violations, {} of {} kinds of faults fired, {seconds:.1} s",
            failed.len(),
            coverage.0.len(),
            rhizo_sim::Fault::ALL.len()
        );
    }
    let covered = missing.is_empty() || seeds < COVERAGE_SEEDS;
    if !covered {
        eprintln!("never fired: {}", missing.join(", "));
    }
    if failed.is_empty() && covered { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn failure(outcome: &Outcome) -> serde_json::Value {
    let violation = outcome.violation.as_ref();
    json!({
        "seed": outcome.seed,
        "check": violation.map(|violation| violation.check),
        "detail": violation.map(|violation| violation.detail.clone()),
        "trace": outcome.trace,
    })
}

fn replay(seed: u64) -> ExitCode {
    let outcome = run_seed(seed, &Options { verbose: true });
    let mut out = std::io::stdout().lock();
    for line in &outcome.lines {
        // A reader that closes its pipe early is no error.
        if writeln!(out, "{line}").is_err() {
            return ExitCode::SUCCESS;
        }
    }
    let _ = writeln!(out, "trace {}", outcome.trace);
    match outcome.violation {
        Some(violation) => {
            eprintln!("seed {seed}: {}: {}", violation.check, violation.detail);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
