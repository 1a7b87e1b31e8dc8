//! `rhizo-bench failover`: how long an application is without a coordinator when its coordinator is killed.
//!
//! Measured from just before `kill -9` of the coordinator's process to the line in the log of a *third* node (neither
//! the dead one nor the successor) that tells the committed death: an entry of the new term, after the detection and
//! the batching of deaths (300 ms), so an upper bound. Between two kills the application is stable again.

use std::time::Instant;

use serde_json::{Value, json};

use super::application::{Member, is_at_rest, median_and_max, members};
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
        let leader = before["coordinator"].clone();
        let victim = members(&before).into_iter().find(|member| leader == member.id.as_str());
        let victim = victim.ok_or_else(|| format!("find the process of the coordinator {leader}"))?;
        let others: Vec<Member> =
            members(&before).into_iter().filter(|member| member.id != victim.id).collect();
        let death = format!("dead: {}", victim.id);
        let start = Instant::now();
        kill(victim.pid)?;
        let mut seen: Vec<(String, f64)> = Vec::new();
        application.until_some("two nodes have seen the death committed", || {
            for member in &others {
                let known = seen.iter().any(|(id, _)| *id == member.id);
                if !known && application.has_logged(member, &death) {
                    seen.push((member.id.clone(), start.elapsed().as_secs_f64()));
                }
            }
            (seen.len() >= 2).then_some(())
        })?;
        let after = application.until("stable again", |status| {
            is_at_rest(status) && members(status).iter().all(|member| member.id != victim.id)
        })?;
        let third = seen.iter().find(|(id, _)| after["coordinator"] != id.as_str());
        seconds.push(third.ok_or("find a third node")?.1);
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
pub(super) fn kill(pid: u32) -> Result<(), String> {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kill {pid}: {status}")),
        Err(error) => Err(format!("kill {pid}: {error}")),
    }
}
