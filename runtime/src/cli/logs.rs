//! `logs`: what an instance printed, or all copies of a component; with `-f` also what they print next.
//!
//! Between two looks the command remembers how far it has read each log. A copy that moves or gets a new generation has
//! a new log, which is read from its beginning.

use super::args;
use super::client::ClientError;
use super::exit::{Exit, Failure};
use super::{Session, refused, render};
use crate::admin::{Answer, Ask, LogLine, Logs};
use crate::component::log_reader::LogPosition;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Time between two looks for new lines.
const LOOK_MS: u64 = 300;
/// How long an application that does not answer is asked again: several elections of a coordinator.
const SILENT_MS_MAX: u64 = 30_000;
/// The most logs whose position is remembered. Their positions are sent with each question, in which they take about
/// 100 bytes each: less than half of the longest question.
const LOGS_MAX: usize = 4_096;

pub(super) async fn print(session: &Session, wanted: args::Logs) -> Result<Exit, Failure> {
    // One signal future for the whole command: a new one for each request would miss signals between two requests.
    tokio::select! {
        ended = read(session, wanted) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

/// Reads once, or until the reader of the output or the application is gone.
async fn read(session: &Session, wanted: args::Logs) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let mut reading = Reading::new(session, wanted);
    let mut answered = Instant::now();
    loop {
        match client.ask(&reading.ask()).await {
            Ok(Answer::Logs(logs)) => {
                answered = Instant::now();
                reading.show(&logs);
            }
            Ok(Answer::Later)
            | Err(ClientError::NobodyAnswers | ClientError::NotSent(_) | ClientError::Broken(_))
                if reading.wanted.follow && answered.elapsed() < Duration::from_millis(SILENT_MS_MAX) =>
            {
                if session.home.deployment()?.is_none_or(|lives| lives.lineage != client.lineage()) {
                    return Ok(Exit::Done);
                }
            }
            Ok(other) => return Err(refused(other)),
            Err(error) => return Err(error.into()),
        }
        if !reading.wanted.follow || session.console.is_closed() {
            client.close().await;
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// How far the logs have been read: the most logs that one question can name.
#[derive(Default)]
struct Positions {
    /// By name, with the number of the last answer that had lines of the log.
    logs: BTreeMap<String, (u64, LogPosition)>,
    answers: u64,
}

impl Positions {
    fn by_log(&self) -> BTreeMap<String, LogPosition> {
        self.logs.iter().map(|(log, (_, position))| (log.clone(), *position)).collect()
    }

    /// Notes the lines of one answer. Of too many logs, those are forgotten that had no line for the longest time: most
    /// of them belong to earlier generations, which print nothing any more.
    fn note(&mut self, lines: &[LogLine]) {
        self.answers += 1;
        for line in lines {
            // A line that has not ended is still to be read, but none before it.
            let read = line.nth.saturating_sub(u32::from(line.is_open));
            let position = LogPosition { at_unix_ms: line.at_unix_ms, lines: read };
            self.logs.insert(line.log.clone(), (self.answers, position));
        }
        while self.logs.len() > LOGS_MAX {
            let oldest = self.logs.iter().min_by_key(|(_, (answer, _))| *answer);
            let Some(oldest) = oldest.map(|(log, _)| log.clone()) else { return };
            self.logs.remove(&oldest);
        }
    }
}

/// The state of one reader of logs.
struct Reading<'a> {
    session: &'a Session,
    wanted: args::Logs,
    /// None until the first answer.
    positions: Option<Positions>,
    /// Whether lines name their copy, because the subject is a component.
    names_copies: bool,
    /// Nodes that did not answer the last question.
    missing: BTreeSet<String>,
}

impl<'a> Reading<'a> {
    fn new(session: &'a Session, wanted: args::Logs) -> Self {
        // Names of components have no dot.
        let names_copies = !wanted.subject.contains('.');
        Self { session, wanted, positions: None, names_copies, missing: BTreeSet::new() }
    }

    fn ask(&self) -> Ask {
        Ask::Logs {
            subject: self.wanted.subject.clone(),
            bytes_max: self.wanted.bytes,
            after: self.positions.as_ref().map(Positions::by_log),
            everyone: true,
        }
    }

    fn show(&mut self, logs: &Logs) {
        let console = &self.session.console;
        if console.json() && !self.wanted.follow {
            console.print(logs, String::new);
        }
        // A line that has not ended is shown by a later look, as a whole.
        let shown = logs.lines.iter().filter(|line| !line.is_open || !self.wanted.follow);
        for line in shown.filter(|_| self.wanted.follow || !console.json()) {
            console.print(line, || self.text(line));
        }
        self.positions.get_or_insert_default().note(&logs.lines);
        let missing: BTreeSet<String> = logs.missing.iter().cloned().collect();
        for node in missing.difference(&self.missing).filter(|_| !console.json()) {
            console.note(&format!("no answer from {node}: its lines are missing\n"));
        }
        self.missing = missing;
    }

    fn text(&self, line: &LogLine) -> String {
        let time =
            if self.wanted.timestamps { render::timestamp(line.at_unix_ms) + "  " } else { String::new() };
        let name = if self.names_copies { format!("{} | ", line.instance) } else { String::new() };
        format!("{time}{name}{}\n", line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(log: &str, at_unix_ms: u64, nth: u32) -> LogLine {
        let instance = "web.0".to_owned();
        LogLine { instance, log: log.to_owned(), at_unix_ms, nth, text: String::new(), is_open: false }
    }

    #[test]
    fn a_position_is_that_of_the_last_line_also_if_the_answer_began_within_its_millisecond() {
        let mut positions = Positions::default();
        positions.note(&[line("web.0-g3@n2", 7, 8), line("web.0-g3@n2", 7, 9)]);
        assert_eq!(positions.by_log()["web.0-g3@n2"], LogPosition { at_unix_ms: 7, lines: 9 });
    }

    #[test]
    fn an_open_line_is_still_to_be_read_and_the_lines_before_it_are_not() {
        let mut positions = Positions::default();
        positions.note(&[LogLine { is_open: true, ..line("web.0-g3@n2", 7, 1) }]);
        let position = positions.by_log()["web.0-g3@n2"];
        let at = |at_unix_ms, lines| LogPosition { at_unix_ms, lines };
        assert!(at(6, 9) < position && position < at(7, 1), "{position:?}");
    }

    #[test]
    fn of_too_many_logs_the_one_without_lines_for_the_longest_time_is_forgotten() {
        let mut positions = Positions::default();
        // As text, `g10` comes before `g9`.
        positions.note(&[line("web.0-g9@n2", 1, 1)]);
        positions.note(&[line("web.0-g10@n2", 2, 1)]);
        let others: Vec<LogLine> =
            (2..=LOGS_MAX).map(|copy| line(&format!("web.{copy}-g1@n3"), 3, 1)).collect();
        positions.note(&others);
        let logs = positions.by_log();
        assert_eq!(logs.len(), LOGS_MAX);
        assert!(!logs.contains_key("web.0-g9@n2") && logs.contains_key("web.0-g10@n2"));
    }
}
