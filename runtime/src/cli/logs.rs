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
/// The most logs whose position is remembered. Names grow with generations, so the least ones are the oldest.
const LOGS_MAX: usize = 1_024;

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

/// How far the logs have been read.
struct Reading<'a> {
    session: &'a Session,
    wanted: args::Logs,
    positions: BTreeMap<String, LogPosition>,
    /// Whether lines name their copy, because the subject is a component.
    names_copies: bool,
    /// Nodes that did not answer the last question.
    missing: BTreeSet<String>,
}

impl<'a> Reading<'a> {
    fn new(session: &'a Session, wanted: args::Logs) -> Self {
        // Names of components have no dot.
        let names_copies = !wanted.subject.contains('.');
        Self { session, wanted, positions: BTreeMap::new(), names_copies, missing: BTreeSet::new() }
    }

    fn ask(&self) -> Ask {
        Ask::Logs {
            subject: self.wanted.subject.clone(),
            bytes_max: self.wanted.bytes,
            after: self.positions.clone(),
            everyone: true,
        }
    }

    fn show(&mut self, logs: &Logs) {
        let console = &self.session.console;
        if console.json() && !self.wanted.follow {
            console.print(logs, String::new);
        }
        // A line that has not ended is shown by a later look, as a whole.
        for line in logs.lines.iter().filter(|line| !line.is_open || !self.wanted.follow) {
            let position = self.positions.entry(line.log.clone()).or_default();
            *position = position.after(line.at_unix_ms);
            if self.wanted.follow || !console.json() {
                console.print(line, || self.text(line));
            }
        }
        while self.positions.len() > LOGS_MAX {
            self.positions.pop_first();
        }
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
