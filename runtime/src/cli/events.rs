//! `events`: the events that all nodes keep; with `-f` also the events that follow. `why` shows those of one subject.
//!
//! A request names the last event seen of every node, so that any node can answer with the new ones only.

use super::client::Client;
use super::exit::{Exit, Failure};
use super::{Session, refused, render};
use crate::admin::{Answer, Ask, EventRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time between two looks for new events.
const LOOK_MS: u64 = 300;

/// The most committed entries whose events are remembered: more than the nodes apply between two looks.
const ENTRIES_MAX: usize = 1_024;

/// The events that were seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The number of the last event of every node.
    last: BTreeMap<String, u64>,
    /// The texts of the events that follow from the newest committed entries. Another node may make them later.
    of_entries: BTreeMap<u64, BTreeSet<String>>,
}

impl Seen {
    /// The request for all other events.
    pub(crate) fn ask(&self) -> Ask {
        Ask::Events { after: self.last.clone(), everyone: true }
    }

    /// Prints events, and remembers that they were seen.
    pub(super) fn show(&mut self, session: &Session, events: &[EventRecord]) {
        for event in self.new_of(events.to_vec()) {
            session.print(&event, || render::event(&event) + "\n");
        }
    }

    /// Returns the events that were not seen yet, and remembers that they were seen.
    pub(crate) fn new_of(&mut self, events: Vec<EventRecord>) -> Vec<EventRecord> {
        let mut new = Vec::new();
        for event in events {
            let last = self.last.entry(event.node.clone()).or_default();
            *last = event.number.max(*last);
            if self.is_new(&event) {
                new.push(event);
            }
        }
        new
    }

    /// Whether no other node has told the same of the same entry.
    fn is_new(&mut self, event: &EventRecord) -> bool {
        let Some(entry) = event.entry else { return true };
        let is_new = self.of_entries.entry(entry).or_default().insert(event.text.clone());
        while self.of_entries.len() > ENTRIES_MAX {
            self.of_entries.pop_first();
        }
        is_new
    }
}

pub(super) async fn print(session: &Session, follow: bool) -> Result<Exit, Failure> {
    // One signal future for the whole command: a new one for each request would miss signals between two requests.
    tokio::select! {
        ended = print_all(session, follow) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn print_all(session: &Session, follow: bool) -> Result<Exit, Failure> {
    let mut client = session.client().await?;
    let mut seen = Seen::default();
    loop {
        match client.ask(&seen.ask()).await? {
            Answer::Events(events) => seen.show(session, &events),
            other => return Err(refused(other)),
        }
        if !follow || session.console.is_closed() {
            client.close().await;
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Returns the events of an instance or a node.
pub(super) async fn about(client: &mut Client, subject: &str) -> Result<Vec<EventRecord>, Failure> {
    match client.ask(&Seen::default().ask()).await? {
        Answer::Events(events) => {
            Ok(events.into_iter().filter(|event| names(&event.text, subject)).collect())
        }
        other => Err(refused(other)),
    }
}

/// Whether a sentence names a subject: `web.1` is not named by `web.10`, nor by `a-web.1`.
pub(super) fn names(text: &str, subject: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(subject).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + subject.len()..]);
        !before.ends_with(|c: char| is_part(c) || c == '.') && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_subject_is_a_whole_word() {
        assert!(names("web.1 started", "web.1"));
        assert!(names("dead: n2, n3 and n4", "n3"));
        assert!(names("web.1: start failed", "web.1"));
        for other in ["web.10 started", "a-web.1 started", "web.1-b started", "my.web.1 started"] {
            assert!(!names(other, "web.1"), "{other}");
        }
    }
}
