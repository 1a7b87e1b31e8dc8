//! `rhizo-bench races`: commands that meet in one home, and answers to questions that are out of date.
//!
//! Each round draws a race from the seed: two `up`, an `up` and a `down`, an `up` that is interrupted while another one
//! joins, or a command that waits at its question while another terminal changes the application. After the commands
//! have ended, the home has one whole application or nothing, and every command has ended as it may. After `down --yes`
//! nothing is left: no process, no host, no record. The bench fails otherwise, after all rounds.
//!
//! `--homes N` rounds run at the same time, each in a home of its own. `--only N` repeats one round. Read next:
//! [`race`], for what is drawn; [`check`], for what must hold afterwards.

mod check;
mod command;
mod race;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::application::{Application, median_and_max};
use super::options::Options;
use race::Race;

/// Rounds at the same time. Most of a round is waiting, so two cores are busy with four.
const HOMES: u64 = 4;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let rounds = options.number("rounds", 200)?;
    let seed = options.number("seed", rand::random::<u32>().into())?;
    let homes = options.number("homes", HOMES)?;
    let only = options.number("only", 0)?;
    let (first, last) = if only > 0 { (only, only) } else { (1, rounds) };
    if homes == 0 || last < first {
        return Err("run a race: --homes and --rounds are at least 1".to_owned());
    }
    let next = AtomicU64::new(first);
    let ended: Mutex<Vec<Ended>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..homes.min(last - first + 1) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number <= last
                {
                    let round = one_round(options, seed, number);
                    // No code panics while it holds the lock.
                    ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(round);
                }
            });
        }
    });
    figures(seed, &ended.into_inner().unwrap_or_default())
}

/// How one round ended.
struct Ended {
    kind: &'static str,
    seconds: f64,
    failure: Option<String>,
}

fn figures(seed: u64, ended: &[Ended]) -> Result<Value, String> {
    let failures: Vec<&str> = ended.iter().filter_map(|round| round.failure.as_deref()).collect();
    if !failures.is_empty() {
        let count = failures.len();
        return Err(format!(
            "pass {count} of {} rounds of seed {seed}:\n{}",
            ended.len(),
            failures.join("\n")
        ));
    }
    let (median, max) = median_and_max(&ended.iter().map(|round| round.seconds).collect::<Vec<_>>());
    let count = |kind: &str| ended.iter().filter(|round| round.kind == kind).count();
    let kinds: serde_json::Map<String, Value> =
        race::KINDS.iter().map(|kind| ((*kind).to_owned(), json!(count(kind)))).collect();
    Ok(json!({
        "rounds": ended.len(), "seed": seed, "kinds": kinds, "failures": 0, "median": median, "max": max,
    }))
}

fn one_round(options: &Options, seed: u64, number: u64) -> Ended {
    // Each round has a generator of its own, so that it can be repeated without those before it.
    let race = Race::draw(&mut StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)));
    let begun = Instant::now();
    let application = options.application();
    let failure = application
        .and_then(|application| contest(&application, &race))
        .err()
        .map(|error| format!("round {number}, {race:?} (again: --seed {seed} --only {number}): {error}"));
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("round {number}: {seconds:.1} s, {race:?}{}", if failure.is_some() { ": FAILED" } else { "" });
    if let Some(failure) = &failure {
        eprintln!("{failure}");
    }
    Ended { kind: race.kind(), seconds, failure }
}

/// Lets the commands of a race meet, checks the outcome, and takes the application down.
fn contest(application: &Application, race: &Race) -> Result<(), String> {
    race::write_configs(application)?;
    let outcome = race::run(application, race)
        .and_then(|outcomes| {
            check::outcomes(race, &outcomes).map_err(|error| error + &check::said(&outcomes))
        })
        .and_then(|()| check::one_application_or_none(application));
    let down = check::nothing_left(application);
    match (outcome, down) {
        (Err(first), Err(second)) => Err(format!("{first}; and then {second}")),
        (outcome, down) => outcome.and(down),
    }
    .map_err(|error| format!("{error}\nnode 0 logged:\n{}", check::tail(&application.founder_log())))
}
