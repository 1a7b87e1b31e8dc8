//! The document of `verify`, as JSON and as text.
//!
//! [`super::verify`] computes its answers.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The document of `verify`.
#[derive(Serialize, Debug)]
pub(crate) struct Report {
    /// The instances, each with the number of its host.
    pub(crate) instances: BTreeMap<String, usize>,
    /// Parts of the config that are not explored, as sentences.
    pub(crate) left_out: Vec<String>,
    /// The answers.
    pub(crate) checks: Vec<Check>,
    /// The most actions that run at the same time.
    pub(crate) parallel: BTreeSet<String>,
    /// Duration of the deployment; none when no durations were given.
    pub(crate) time: Option<TimeReport>,
}

/// The answer to one question.
#[derive(Serialize, Debug)]
pub(crate) struct Check {
    /// The question.
    pub(crate) question: String,
    /// Whether the property holds; none if it is open because some states were not visited and no violation was
    /// found.
    pub(crate) holds: Option<bool>,
    /// Number of states visited.
    pub(crate) states: u32,
    /// Number of steps examined.
    pub(crate) transitions: u32,
    /// The violation; none if none was found.
    pub(crate) violation: Option<Failing>,
}

/// A violation of a property.
#[derive(Serialize, Debug)]
pub(crate) struct Failing {
    /// The property.
    pub(crate) property: String,
    /// The observation that violates the property.
    pub(crate) detail: String,
    /// The shortest trace to the violation.
    pub(crate) trace: Vec<String>,
    /// The position of the first step of the cycle that repeats without end.
    pub(crate) repeats_from: Option<usize>,
    /// The argument of `--replay` that prints the trace again.
    pub(crate) replay: String,
}

/// The duration of a deployment.
#[derive(Serialize, Debug)]
pub(crate) struct TimeReport {
    /// Shortest duration, in milliseconds.
    pub(crate) ms_min: u64,
    /// Longest duration, in milliseconds.
    pub(crate) ms_max: u64,
    /// The longest chain of actions, `instance.transition`.
    pub(crate) critical_path: Vec<String>,
}

impl Report {
    /// The document as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut hosts: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for (instance, host) in &self.instances {
            hosts.entry(*host).or_default().push(instance);
        }
        for (host, instances) in hosts {
            text += &format!("host {host}: {}\n", instances.join(" "));
        }
        self.left_out.iter().for_each(|sentence| text += &format!("note: {sentence}\n"));
        for check in &self.checks {
            let answer = match check.holds {
                Some(true) => "yes ",
                Some(false) => "NO  ",
                None => "open",
            };
            text += &format!("{answer}  {} ({} states)\n", check.question, check.states);
            let Some(failing) = &check.violation else { continue };
            text += &format!("      {}: {}\n", failing.property, failing.detail);
            for (number, line) in failing.trace.iter().enumerate() {
                if failing.repeats_from == Some(number) {
                    text += "            (from here on for ever)\n";
                }
                text += &format!("      {:4}  {line}\n", number + 1);
            }
            if !failing.replay.is_empty() {
                text += &format!("      the same again: --replay {}\n", failing.replay);
            }
        }
        let parallel: Vec<&str> = self.parallel.iter().map(String::as_str).collect();
        text += &format!("at most {} actions at a time: {}\n", parallel.len(), parallel.join(" "));
        if let Some(time) = &self.time {
            let (least, most) = (time.ms_min as f64 / 1_000.0, time.ms_max as f64 / 1_000.0);
            text += &format!(
                "it takes {least} to {most} s; the critical path: {}\n",
                time.critical_path.join(" > ")
            );
        }
        text
    }
}
