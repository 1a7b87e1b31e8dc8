//! `rhizo-bench failover`: the time for which an application has no coordinator after its coordinator is killed.
//!
//! Measured from just before `kill -9` of the coordinator's process to the line in the log of a *third* node (neither
//! the dead one nor the successor) for the first committed entry of a newer term. The longer time until the entry with
//! the death, which includes its detection and the batching of deaths, is printed as well. Between two kills
//! the application is stable again.

use std::time::Instant;

use serde_json::{Value, json};

use super::application::{Application, Member, is_at_rest, median_and_max, members};
use super::exclusive;
use super::options::Options;

/// The way in which a victim is put out of action.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The process ends.
    Kill,
    /// The process stops answering, and runs on after its death was committed.
    Stop,
}

/// The member that is put out of action.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Coordinator,
    Member,
    /// The member that hosts the component of which there may be one copy.
    Writer,
}

impl Target {
    /// The targets that the blows go through in turn.
    fn parse(text: &str) -> Result<Vec<Self>, String> {
        match text {
            "coordinator" => Ok(vec![Self::Coordinator]),
            "member" => Ok(vec![Self::Member]),
            "any" => Ok(vec![Self::Coordinator, Self::Member, Self::Writer]),
            other => Err(format!("understand --victim {other}: it is coordinator, member or any")),
        }
    }
}

/// The times of one blow, in seconds.
struct Times {
    /// Until a third node saw a new term; none unless the victim coordinated.
    elected: Option<f64>,
    /// Until a third node saw the committed death.
    dead: f64,
    /// Until the application was stable without the victim.
    repaired: f64,
    /// From the end of the pause until the victim's process was gone.
    left: Option<f64>,
}

/// Runs the bench and returns its figures.
pub(super) fn run(options: &Options) -> Result<Value, String> {
    let kills = options.number("kills", 50)?;
    let blow = match options.text("signal").unwrap_or("kill") {
        "kill" => Blow::Kill,
        "stop" => Blow::Stop,
        other => return Err(format!("understand --signal {other}: it is kill or stop")),
    };
    let usual = if blow == Blow::Stop { "any" } else { "coordinator" };
    let targets = Target::parse(options.text("victim").unwrap_or(usual))?;
    // An application with rules of its own may go on with fewer hosts.
    let own_config = options.text("config").is_some();
    let application = options.application()?;
    if blow == Blow::Stop {
        exclusive::add(&application)?;
    }
    application.run(&["up", "rhizo.toml", "--yes", "--wait"])?;
    let mut all = Vec::new();
    for number in 1..=kills {
        let target = targets[usize::try_from(number).unwrap_or_default() % targets.len()];
        let times = strike(&application, blow, target, number, own_config)?;
        eprintln!(
            "blow {number} of {kills}: new term {:.3?} s, death committed after {:.3} s, stable after {:.3} s, left {:.3?} s",
            times.elected, times.dead, times.repaired, times.left
        );
        all.push(times);
    }
    let writers = if blow == Blow::Stop { Some(exclusive::lives(&application)?) } else { None };
    let elected: Vec<f64> = all.iter().filter_map(|times| times.elected).collect();
    let dead: Vec<f64> = all.iter().map(|times| times.dead).collect();
    let repaired: Vec<f64> = all.iter().map(|times| times.repaired).collect();
    let left: Vec<f64> = all.iter().filter_map(|times| times.left).collect();
    let ((median, max), (death_median, death_max)) = (median_and_max(&elected), median_and_max(&dead));
    let ((repair_median, repair_max), (left_median, left_max)) =
        (median_and_max(&repaired), median_and_max(&left));
    Ok(json!({
        "kills": kills, "median": median, "max": max, "seconds": elected,
        "death_median": death_median, "death_max": death_max, "death_seconds": dead,
        "repair_median": repair_median, "repair_max": repair_max,
        "left_median": left_median, "left_max": left_max, "writers": writers,
    }))
}

/// Chooses the member to strike.
fn victim(before: &Value, target: Target, number: u64) -> Result<Member, String> {
    let leader = before["coordinator"].as_str();
    let mut candidates: Vec<Member> = members(before);
    match target {
        Target::Coordinator => candidates.retain(|member| leader == Some(member.id.as_str())),
        Target::Writer => candidates.retain(|member| exclusive::node(before) == Some(member.id.as_str())),
        // The log of the founder is elsewhere, and its process is that of `up`.
        Target::Member => {
            candidates.retain(|member| leader != Some(member.id.as_str()) && member.host.is_some());
        }
    }
    let place = usize::try_from(number).unwrap_or_default() % candidates.len().max(1);
    candidates.get(place).cloned().ok_or_else(|| "find a victim".to_owned())
}

/// Strikes one member and waits until the application is stable without it.
fn strike(
    application: &Application,
    blow: Blow,
    target: Target,
    number: u64,
    own_config: bool,
) -> Result<Times, String> {
    let before = application.until("stable", is_at_rest)?;
    let victim = victim(&before, target, number)?;
    let coordinator = before["coordinator"] == victim.id.as_str();
    let others: Vec<Member> = members(&before).into_iter().filter(|member| member.id != victim.id).collect();
    let term = before["term"].as_u64().ok_or("find the term in the status")?;
    // With the space that follows it, as the line may be about a node whose id only begins with this one.
    let death = format!("dead: {} ", victim.id);
    let start = Instant::now();
    signal(victim.pid, if blow == Blow::Kill { "KILL" } else { "STOP" })?;
    let elected = if coordinator {
        Some(seen_by_two(application, &others, start, |line| term_begun(line) > Some(term))?)
    } else {
        None
    };
    let committed = seen_by_two(application, &others, start, |line| line.contains(&death))?;
    let left = if blow == Blow::Stop { Some(resume(application, victim.pid)?) } else { None };
    let after = application.until("stable again", |status| {
        is_at_rest(status) && members(status).iter().all(|member| member.id != victim.id)
    })?;
    let hosts = |status: &Value| members(status).iter().filter(|member| member.host.is_some()).count();
    if !own_config && hosts(&after) != hosts(&before) {
        return Err(format!(
            "see another member in place of {}: there are {} hosts",
            victim.id,
            hosts(&after)
        ));
    }
    if blow == Blow::Stop {
        exclusive::lives(application)?;
    }
    let successor = after["coordinator"].as_str();
    Ok(Times {
        elected: elected.map(|seen| of_a_third(&seen, successor)).transpose()?,
        dead: of_a_third(&committed, successor)?,
        repaired: start.elapsed().as_secs_f64(),
        left,
    })
}

/// Lets a stopped process run on, and returns the seconds until it is gone. Its provider may have ended it before.
fn resume(application: &Application, pid: u32) -> Result<f64, String> {
    let start = Instant::now();
    let here = || {
        // A zombie has ended.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    if here() && signal(pid, "CONT").is_err() && here() {
        return Err(format!("resume process {pid}"));
    }
    application.until_some("the resumed node has left", || (!here()).then_some(()))?;
    Ok(start.elapsed().as_secs_f64())
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
    signal(pid, "KILL")
}

fn signal(pid: u32, name: &str) -> Result<(), String> {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("send {name} to {pid}: {status}")),
        Err(error) => Err(format!("send {name} to {pid}: {error}")),
    }
}
