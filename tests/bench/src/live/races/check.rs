//! The conditions after a race: how each command may end, one application or none, and nothing after `down`.
//!
//! The checks read the processes and files of the home and public answers; they do not depend on how the commands
//! agree.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::super::application::{Application, timed};
use super::super::{power_cut, processes};
use super::command::Outcome;
use super::race::{Asks, CONFIGS, Meanwhile, Race};

/// Exit codes of the commands (`rhizo --help` lists them).
const DONE: i32 = 0;
const FAILED: i32 = 1;
const NO_ANSWER: i32 = 3;
const NO_QUORUM: i32 = 4;
const NOT_STABLE: i32 = 5;
const DECLINED: i32 = 6;
const INTERRUPTED: i32 = 130;

/// The message of a command whose application another command has taken down.
const TAKEN_DOWN: &str = "taken down meanwhile";

/// The reason why an application that takes itself down refuses a config.
const BEING_TAKEN_DOWN: &str = "the application is being taken down";

/// Checks how the commands of a race ended.
pub(super) fn outcomes(race: &Race, outcomes: &[Outcome]) -> Result<(), String> {
    for outcome in outcomes {
        let line = &outcome.arguments;
        if outcome.said.contains("panicked") {
            return Err(format!("run `{line}` without a panic"));
        }
        let Some(code) = outcome.code else {
            // Before it has founded an application, there is nothing to take down, and Ctrl-C ends the command.
            if is_interrupted(race, outcome) {
                continue;
            }
            return Err(format!("see `{line}` end without a signal"));
        };
        let is_refusal = outcome.said.contains("failed to ");
        if code != DONE && code != INTERRUPTED && !is_refusal {
            return Err(format!("see the reason of exit code {code} of `{line}`"));
        }
        if outcome.said.contains(TAKEN_DOWN) && !race.takes_down() {
            return Err(format!("see no word of a take-down that nobody ordered in `{line}`"));
        }
        let is_too_late = code == FAILED && race.takes_down() && outcome.said.contains(BEING_TAKEN_DOWN);
        if !is_too_late && !allowed(race, outcome).contains(&code) {
            return Err(format!("see `{line}` end as it may, not with exit code {code}"));
        }
    }
    match (race, outcomes.first()) {
        (Race::Consent { asks, meanwhile, answer }, Some(asked)) if answer.after_ms.is_none() => {
            consented(*asks, *meanwhile, asked)
        }
        _ => Ok(()),
    }
}

/// Whether a command received Ctrl-C.
fn is_interrupted(race: &Race, outcome: &Outcome) -> bool {
    matches!(race, Race::Interrupted { .. }) && !outcome.arguments.contains("--wait")
}

/// The exit codes with which a command of a race may end.
fn allowed(race: &Race, outcome: &Outcome) -> &'static [i32] {
    let is_down = outcome.arguments.starts_with("down");
    match race {
        Race::UpUp { .. } => &[DONE],
        Race::UpDown { .. } if is_down => &[DONE],
        Race::UpDown { .. } => &[DONE, NO_ANSWER, NO_QUORUM, NOT_STABLE],
        Race::Interrupted { .. } => &[DONE, NO_ANSWER, NO_QUORUM, NOT_STABLE, INTERRUPTED],
        Race::Consent { .. } if is_down => &[DONE, DECLINED],
        Race::Consent { .. } if race.takes_down() => &[DONE, NO_ANSWER, NO_QUORUM, NOT_STABLE, DECLINED],
        Race::Consent { .. } => &[DONE, DECLINED],
    }
}

/// Checks that no answer was taken for a plan that had changed before it was given.
fn consented(asks: Asks, meanwhile: Meanwhile, asked: &Outcome) -> Result<(), String> {
    // `down` asks about an application and not about its components. One that is down already needs no second
    // answer.
    let is_same = asks == Asks::Down && matches!(meanwhile, Meanwhile::Change | Meanwhile::Down);
    if !is_same && asked.questions < 2 && asked.code == Some(DONE) {
        return Err(format!("be asked again by `{}`, whose plan was out of date", asked.arguments));
    }
    Ok(())
}

/// Checks that the home has one application that is stable and whole, or nothing.
pub(super) fn one_application_or_none(application: &Application) -> Result<(), String> {
    let dir = application.dir();
    if !dir.join(".rhizo/deployment.json").exists() {
        return nothing_in(dir).map_err(|error| format!("find no application, or a whole one: {error}"));
    }
    let status = application
        .until("the application is stable and its hosts are those of the ledger", |status| {
            status["state"] == "stable" && power_cut::inventory(application, status).is_ok()
        })?;
    let founders = processes::of(dir).into_iter().filter(|pid| is_node_0(*pid)).count();
    if founders > 1 {
        return Err(format!("find one node 0: there are {founders}"));
    }
    let recorded: Value = serde_json::from_str(&application.read(".rhizo/deployment.json")?)
        .map_err(|error| format!("read the record of the deployment: {error}"))?;
    if recorded["lineage"] != status["lineage"] {
        return Err(format!("see the recorded lineage {}: it is {}", recorded["lineage"], status["lineage"]));
    }
    let components: BTreeSet<&str> =
        status["components"].as_array().into_iter().flatten().filter_map(component).collect();
    let is_whole =
        CONFIGS.iter().any(|(_, names)| names.iter().copied().collect::<BTreeSet<_>>() == components);
    if is_whole {
        Ok(())
    } else {
        Err(format!("see one of the configs in force: the components are {components:?}"))
    }
}

/// The component of an instance in a status.
fn component(instance: &Value) -> Option<&str> {
    instance["name"].as_str()
}

fn is_node_0(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    words.get(1) == Some(&b"__founder".as_slice())
        || (words.get(1) == Some(&b"up".as_slice()) && !words.contains(&b"--wait".as_slice()))
}

/// Takes the application down and checks that nothing is left.
pub(super) fn nothing_left(application: &Application) -> Result<(), String> {
    application.run(&["down", "--yes"])?;
    nothing_in(application.dir()).map_err(|error| format!("find nothing after `down`: {error}"))
}

fn nothing_in(dir: &Path) -> Result<(), String> {
    let (left, hosts) = (processes::of(dir), processes::host_directories(dir));
    if !left.is_empty() || !hosts.is_empty() {
        let left: Vec<String> =
            left.iter().map(|pid| format!("{pid} {}", processes::command(*pid))).collect();
        return Err(format!("there are processes {left:?} and hosts {hosts:?}"));
    }
    if dir.join(".rhizo").exists() {
        return Err("there is a record".to_owned());
    }
    Ok(())
}

/// The output of the commands, for the message of a failure.
pub(super) fn said(outcomes: &[Outcome]) -> String {
    let each = |outcome: &Outcome| {
        format!("\n`{}` ended with {:?} and said:\n{}", outcome.arguments, outcome.code, outcome.said)
    };
    outcomes.iter().map(each).collect()
}

/// The last lines of a log, without their dates.
pub(super) fn tail(lines: &[String]) -> String {
    /// Enough for what a node does in the seconds of a race.
    const LINES_MAX: usize = 60;
    let last = lines.iter().skip(lines.len().saturating_sub(LINES_MAX));
    last.map(|line| timed(line).map_or_else(|| line.clone(), |(at, text)| format!("{at:.3} {text}")))
        .collect::<Vec<_>>()
        .join("\n")
}
