//! `rhizo-bench failover`: the time for which an application has no coordinator after its coordinator is killed.
//!
//! Measured from just before `kill -9` of the coordinator's process to the line in the log of a *third* node (neither
//! the dead one nor the successor) for the first committed entry of a newer term. The longer time until the entry with
//! the death, which includes its detection and the batching of deaths, is printed as well. Between two kills
//! the application is stable again.

use std::time::Instant;

use serde_json::{Value, json};

use super::application::{Application, Member, is_at_rest, median_and_max, members};
use super::options::Options;

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let kills = options.number("kills", 50)?;
    let application = options.application()?;
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let mut seconds = Vec::new();
    let mut told = Vec::new();
    let mut repaired = Vec::new();
    for number in 1..=kills {
        let before = application.until("stable", is_at_rest)?;
        let leader = before["coordinator"].clone();
        let victim = members(&before).into_iter().find(|member| leader == member.id.as_str());
        let victim = victim.ok_or_else(|| format!("find the process of the coordinator {leader}"))?;
        let others: Vec<Member> =
            members(&before).into_iter().filter(|member| member.id != victim.id).collect();
        let term = before["term"].as_u64().ok_or("find the term in the status")?;
        let death = format!("dead: {}", victim.id);
        let start = Instant::now();
        kill(victim.pid)?;
        let elected = seen_by_two(&application, &others, start, |line| term_begun(line) > Some(term))?;
        let committed_dead = seen_by_two(&application, &others, start, |line| line.contains(&death))?;
        let after = application.until("stable again", |status| {
            is_at_rest(status) && members(status).iter().all(|member| member.id != victim.id)
        })?;
        let successor = after["coordinator"].as_str();
        seconds.push(of_a_third(&elected, successor)?);
        told.push(of_a_third(&committed_dead, successor)?);
        repaired.push(start.elapsed().as_secs_f64());
        eprintln!(
            "kill {number} of {kills}: {:.3} s, death committed after {:.3} s, stable after {:.3} s",
            seconds[seconds.len() - 1],
            told[told.len() - 1],
            repaired[repaired.len() - 1]
        );
    }
    let (median, max) = median_and_max(&seconds);
    let (death_median, death_max) = median_and_max(&told);
    let (repair_median, repair_max) = median_and_max(&repaired);
    Ok(json!({
        "kills": kills, "median": median, "max": max, "seconds": seconds,
        "death_median": death_median, "death_max": death_max,
        "repair_median": repair_median, "repair_max": repair_max,
    }))
}

/// Returns when the first two members logged a line with this property, in seconds from the start.
fn seen_by_two(
    application: &Application,
    members: &[Member],
    start: Instant,
    property: impl Fn(&str) -> bool,
) -> Result<Vec<(String, f64)>, String> {
    let mut seen: Vec<(String, f64)> = Vec::new();
    application.until_some("two nodes have logged it", || {
        for member in members {
            let known = seen.iter().any(|(id, _)| *id == member.id);
            if !known && application.log(member).iter().any(|line| property(line)) {
                seen.push((member.id.clone(), start.elapsed().as_secs_f64()));
            }
        }
        (seen.len() >= 2).then_some(())
    })?;
    Ok(seen)
}

/// The time of the first member that is not the successor.
fn of_a_third(seen: &[(String, f64)], successor: Option<&str>) -> Result<f64, String> {
    let third = seen.iter().find(|(id, _)| successor != Some(id.as_str()));
    third.map(|(_, seconds)| *seconds).ok_or_else(|| "find a third node".to_owned())
}

/// Returns the term of a log line about the first entry of a term.
fn term_begun(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("first entry of term ")?;
    rest.split_whitespace().next()?.parse().ok()
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
