//! The progress of an application towards *stable*, for a command that waits: counts as they change, and problems that
//! stay.
//!
//! It does not decide when the wait ends; see [`super::waiting`]. The problems are those of `status`.

use super::Session;
use super::alike::without_numbers;
use crate::admin::Status;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time for which a problem must be in the status before it is printed. Most problems of a start end within a second or
/// two, as the members join, and would only alarm.
const PROBLEM_MS_MIN: u64 = 3_000;

/// Problems that are remembered, so that a long wait with ever new ones needs bounded space.
const PROBLEMS_MAX: usize = 256;

/// The progress that was shown so far.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    counts: String,
    problems: BTreeMap<String, Problem>,
}

/// A problem in the last status, and whether it was printed.
struct Problem {
    since: Instant,
    is_printed: bool,
}

impl Progress {
    pub(super) fn new(session: &Session) -> Self {
        let bar = (!session.console.json() && session.console.is_fancy()).then(ProgressBar::new_spinner);
        Self { bar, counts: String::new(), problems: BTreeMap::new() }
    }

    /// Shows the status of an application that is not stable yet. `now` is the time at which it was asked for.
    pub(super) fn show(&mut self, session: &Session, status: &Status, now: Instant) {
        if session.console.json() {
            return;
        }
        for problem in self.lasting(&status.problems, now) {
            let text = format!("! {problem}\n");
            match &self.bar {
                Some(bar) => bar.suspend(|| session.console.note(&text)),
                None => session.console.note(&text),
            }
        }
        let counts = counts(status);
        match &self.bar {
            Some(bar) => {
                bar.set_message(counts);
                bar.tick();
            }
            None if self.counts != counts => {
                session.console.note(&format!("{counts}\n"));
                self.counts = counts;
            }
            None => {}
        }
    }

    /// Clears the line of the progress.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Returns the problems that have been in each status for long enough, each only once. Two sentences that differ
    /// only in their numbers are one problem, because many of them count or name a remaining time.
    fn lasting<'a>(&mut self, problems: &'a [String], now: Instant) -> Vec<&'a str> {
        let keyed: Vec<(String, &str)> =
            problems.iter().map(|problem| (without_numbers(problem), problem.as_str())).collect();
        self.problems
            .retain(|key, problem| problem.is_printed || keyed.iter().any(|(known, _)| known == key));
        let mut lasting = Vec::new();
        for (key, text) in keyed {
            if !self.problems.contains_key(&key) && self.problems.len() >= PROBLEMS_MAX {
                continue;
            }
            let problem = self.problems.entry(key).or_insert(Problem { since: now, is_printed: false });
            let is_long =
                now.saturating_duration_since(problem.since) >= Duration::from_millis(PROBLEM_MS_MIN);
            if is_long && !problem.is_printed {
                problem.is_printed = true;
                lasting.push(text);
            }
        }
        lasting
    }
}

fn counts(status: &Status) -> String {
    let joined = status.nodes.iter().filter(|node| node.state != "joining").count();
    let voters = status.nodes.iter().filter(|node| node.voter).count();
    let started = status.components.iter().filter(|each| each.state == "started").count();
    format!(
        "{}: {joined} of {} nodes joined, {voters} voters, {started} of {} instances started",
        status.state,
        status.nodes.len(),
        status.components.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_that_stays_is_shown_once() {
        let mut progress = Progress { bar: None, counts: String::new(), problems: BTreeMap::new() };
        let begin = Instant::now();
        let mut shown = |after_ms: u64, problems: &[&str]| -> Vec<String> {
            let problems: Vec<String> = problems.iter().map(|&each| each.to_owned()).collect();
            let now = begin + Duration::from_millis(after_ms);
            progress.lasting(&problems, now).into_iter().map(str::to_owned).collect()
        };
        let (early, later) =
            ("store keeps failing, 3 times in a row", "store keeps failing, 14 times in a row");
        assert!(shown(0, &["no voter", early]).is_empty());
        assert!(shown(2_900, &[early]).is_empty());
        assert_eq!(shown(3_000, &["no voter", later]), [later]);
        assert!(
            shown(9_000, &["a third", early]).is_empty(),
            "it was shown, and the others went away meanwhile"
        );
        // A problem that goes away begins anew; one that was shown is not shown again.
        assert!(shown(9_100, &[]).is_empty());
        assert_eq!(shown(13_000, &["a third", later]), Vec::<String>::new());
        assert_eq!(shown(16_000, &["a third", later]), ["a third"]);
    }
}
