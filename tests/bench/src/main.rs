//! `rhizo-bench`: figures of the parts and of the whole, one subcommand per bench, JSON with `--json`.
//!
//! `placement` holds the benches of the solver, `live` those of running applications. Targets for the
//! figures are in `docs/benchmarks.md`.

#![forbid(unsafe_code)]

mod arguments;
mod artifacts;
mod deploy;
mod live;
mod placement;
mod traffic;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = deploy::as_application() {
        return code;
    }
    let all: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = all.split_first() else {
        eprintln!(
            "usage: rhizo-bench <bench> [--option value]…\nbenches: {} artifacts crash-loop deploy disk-full failover grow idle power-cut races recover repair teardown traffic up",
            placement::NAMES.join(" ")
        );
        return ExitCode::from(2);
    };
    if name == "deploy" {
        return deploy::run(rest);
    }
    if name == "artifacts" {
        return artifacts::run(rest);
    }
    if name == "traffic" {
        return traffic::run(rest);
    }
    if let Some(code) = placement::run(name, rest).or_else(|| live::run(name, rest)) {
        return code;
    }
    eprintln!("failed to find a bench named {name}");
    ExitCode::from(2)
}
