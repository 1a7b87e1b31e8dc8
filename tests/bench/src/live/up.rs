//! `rhizo-bench up`: the time that `up --yes --wait` takes until stable, and `down` until nothing is left.

use std::time::Instant;

use serde_json::{Value, json};

use super::application::median_and_max;
use super::options::Options;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let runs = options.number("runs", 5)?;
    let mut seconds = Vec::new();
    let mut ends = Vec::new();
    for number in 1..=runs {
        let application = options.application()?;
        let start = Instant::now();
        application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
        seconds.push(start.elapsed().as_secs_f64());
        let status = application.status().unwrap_or_default();
        if status["state"] != "stable" {
            return Err(format!("come up: the state is {}", status["state"]));
        }
        let start = Instant::now();
        drop(application);
        ends.push(start.elapsed().as_secs_f64());
        eprintln!(
            "run {number} of {runs}: up {:.3} s, down {:.3} s",
            seconds[seconds.len() - 1],
            ends[ends.len() - 1]
        );
    }
    let ((median, max), (down_median, down_max)) = (median_and_max(&seconds), median_and_max(&ends));
    Ok(json!({"runs": runs, "median": median, "max": max, "down_median": down_median, "down_max": down_max}))
}
