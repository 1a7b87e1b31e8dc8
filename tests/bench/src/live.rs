//! Benches of whole applications in real processes: `crash-loop`, `disk-full`, `failover`, `grow`, `idle`,
//! `power-cut`, `races`, `recover`, `repair`, `teardown`, `up`.
//!
//! They start an application, observe it from outside and print figures as JSON. They set no limits for the figures.

pub(crate) mod application;
mod crash_loop;
mod disk_full;
mod exclusive;
mod failover;
mod grow;
mod idle;
pub(crate) mod options;
mod power_cut;
mod processes;
mod races;
mod recover;
mod repair;
mod teardown;
mod up;

use std::process::ExitCode;

use options::Options;

/// Runs the bench of this name; returns none when there is no such bench.
pub(crate) fn run(name: &str, arguments: &[String]) -> Option<ExitCode> {
    let figures = match name {
        "crash-loop" => {
            Options::parse(arguments, &["app", "seconds"]).and_then(|options| crash_loop::run(&options))
        }
        "disk-full" => Options::parse(arguments, &["app", "rounds", "fault"])
            .and_then(|options| disk_full::run(&options)),
        "failover" => Options::parse(arguments, &["app", "config", "kills", "signal", "victim"])
            .and_then(|options| failover::run(&options)),
        "grow" => Options::parse(arguments, &["app", "hosts", "compare", "seconds"])
            .and_then(|options| grow::run(&options)),
        "idle" => {
            Options::parse(arguments, &["app", "config", "seconds"]).and_then(|options| idle::run(&options))
        }
        "power-cut" => Options::parse(arguments, &["app", "config", "rounds", "seed"])
            .and_then(|options| power_cut::run(&options)),
        "races" => Options::parse(arguments, &["app", "rounds", "seed", "homes", "only"])
            .and_then(|options| races::run(&options)),
        "recover" => {
            Options::parse(arguments, &["app", "rounds", "seed"]).and_then(|options| recover::run(&options))
        }
        "repair" => Options::parse(arguments, &["app", "config", "kills", "victim"])
            .and_then(|options| repair::run(&options)),
        "teardown" => {
            Options::parse(arguments, &["app", "rounds", "seed"]).and_then(|options| teardown::run(&options))
        }
        "up" => Options::parse(arguments, &["app", "config", "runs"]).and_then(|options| up::run(&options)),
        _ => return None,
    };
    Some(match figures {
        Ok(figures) => {
            println!("{figures:#}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("failed to {message}");
            ExitCode::FAILURE
        }
    })
}
