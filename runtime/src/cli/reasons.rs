//! The text of `why`: the reasons, then decisions and events in the order of their times, repetitions in short.
//!
//! JSON output has every record; see [`crate::admin::Why`].

use super::alike::without_numbers;
use super::render::{clock, event};
use crate::admin::Why;

/// Lines of a run of repetitions that are printed: its first and its last.
const SHOWN: usize = 2;

/// One thing that happened.
struct Line {
    at_unix_ms: u64,
    /// Equal for two lines that tell the same and differ only in a number or a time.
    kind: String,
    text: String,
}

/// Returns the text of the answer to `why`.
pub(super) fn text(why: &Why) -> String {
    let lines: Vec<String> = why.sentences.iter().cloned().chain(history(why)).collect();
    if lines.is_empty() { "Nothing was decided yet.\n".to_owned() } else { lines.join("\n") + "\n" }
}

/// Returns the lines about the past, the oldest first.
fn history(why: &Why) -> Vec<String> {
    let decisions = why.decisions.iter().map(|decision| {
        let said = format!("{}  {}", decision.verdict.word(), decision.text);
        let text = format!("{}  {said}", clock(decision.at_unix_ms));
        Line { at_unix_ms: decision.at_unix_ms, kind: without_numbers(&said), text }
    });
    let events = why.events.iter().map(|happened| Line {
        at_unix_ms: happened.at_unix_ms,
        kind: format!("{} {}", happened.node, without_numbers(&happened.text)),
        text: event(happened),
    });
    let mut lines: Vec<Line> = decisions.chain(events).collect();
    lines.sort_by_key(|line| line.at_unix_ms);
    lines.chunk_by(|earlier, later| earlier.kind == later.kind).flat_map(in_short).collect()
}

/// The lines of a run of repetitions, with the number of those between the first and the last.
fn in_short(run: &[Line]) -> Vec<String> {
    match run {
        [first, between @ .., last] if run.len() > SHOWN + 1 => {
            vec![
                first.text.clone(),
                format!("              … {} more like it", between.len()),
                last.text.clone(),
            ]
        }
        _ => run.iter().map(|line| line.text.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::EventRecord;

    fn happened(at_unix_ms: u64, node: &str, text: &str) -> EventRecord {
        let record = serde_json::json!({ "number": 1, "at_unix_ms": at_unix_ms, "node": node, "kind": "", "text": text });
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn repetitions_are_counted_and_the_oldest_line_is_the_first() {
        let failed =
            |n: u64| happened(1_000 * n, "n8", &format!("web.0 failed ({n} in a row): exit status: 3"));
        let mut events: Vec<EventRecord> = (1..=9).rev().map(failed).collect();
        events.push(happened(9_500, "n8", "web.0 started"));
        events.push(happened(500, "n8", "web.0 starts"));
        events.push(happened(5_500, "n9", "web.1 failed (1 in a row): exit status: 3"));
        let why = Why { subject: None, sentences: Vec::new(), decisions: Vec::new(), events };
        let lines = history(&why);
        let ends: Vec<&str> = lines
            .iter()
            .map(|line| line.trim_start().split_once("  ").map_or(line.trim(), |(_, end)| end.trim()))
            .collect();
        assert_eq!(
            ends,
            [
                "n8     web.0 starts",
                "n8     web.0 failed (1 in a row): exit status: 3",
                "… 3 more like it",
                "n8     web.0 failed (5 in a row): exit status: 3",
                "n9     web.1 failed (1 in a row): exit status: 3",
                "n8     web.0 failed (6 in a row): exit status: 3",
                "… 2 more like it",
                "n8     web.0 failed (9 in a row): exit status: 3",
                "n8     web.0 started",
            ]
        );
    }
}
