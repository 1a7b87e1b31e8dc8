//! `rhizo-bench failover`: how long an application is without a coordinator when its coordinator is killed.
//!
//! Measured from just before `kill -9` of the coordinator's process to the first answer of a *third* node (neither
//! the dead one nor the successor) that has seen a committed entry of the new term. Each look is a whole command
//! (process, dial, handshake), so the figures are upper bounds. Between two kills the application is stable again.

use std::time::Instant;

use serde_json::{Value, json};

use super::application::{is_at_rest, median_and_max, members};
use super::options::Options;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let kills = options.number("kills", 50)?;
    let application = options.application()?;
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let mut seconds = Vec::new();
    let mut repaired = Vec::new();
    for number in 1..=kills {
        let before = application.until("stable", is_at_rest)?;
        let (leader, term) = (before["coordinator"].clone(), before["term"].as_u64());
        let victim = members(&before).into_iter().find(|member| leader == member.id.as_str());
        let victim = victim.ok_or_else(|| format!("find the process of the coordinator {leader}"))?;
        let start = Instant::now();
        kill(victim.pid)?;
        application.until("a third node has seen the new term", |status| {
            let new = &status["coordinator"];
            let third = status["answered_by"] != leader && status["answered_by"] != *new;
            third && new.is_string() && *new != leader && status["term"].as_u64() > term
        })?;
        seconds.push(start.elapsed().as_secs_f64());
        application.until("stable again", |status| {
            is_at_rest(status) && members(status).iter().all(|member| member.id != victim.id)
        })?;
        repaired.push(start.elapsed().as_secs_f64());
        eprintln!(
            "kill {number} of {kills}: {:.3} s, stable after {:.3} s",
            seconds[seconds.len() - 1],
            repaired[repaired.len() - 1]
        );
    }
    let (median, max) = median_and_max(&seconds);
    let (repair_median, repair_max) = median_and_max(&repaired);
    Ok(json!({
        "kills": kills, "median": median, "max": max, "seconds": seconds,
        "repair_median": repair_median, "repair_max": repair_max,
    }))
}

/// Ends a process without a warning.
fn kill(pid: u32) -> Result<(), String> {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kill {pid}: {status}")),
        Err(error) => Err(format!("kill {pid}: {error}")),
    }
}
