//! The answer to `events`: the recent events of this node and of the members that it is linked to, in the order of
//! time.
//!
//! Every node keeps the events that it saw itself ([`super::recent`]). The loss of the coordinator therefore loses
//! only its own events, and the events of an agent come from that agent. No event is stored twice. A member that does
//! not answer in time is left out of this answer. The next question includes it again.

use super::asked::Asker;
use crate::admin::{Answer, Ask, AskRecord, EventRecord};
use crate::node::shell::Shell;
use rhizo_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::JoinSet;

/// Time in which a member has to answer, in milliseconds. It answers from memory, so the limit only has to cover the
/// round trip of a slow link and a busy machine.
const ANSWER_MS_MAX: u64 = 1_500;
/// The most members that one question goes to.
const MEMBERS_MAX: usize = 256;
/// The most events in an answer: it has to fit into one frame.
const EVENTS_MAX: usize = 4_096;

impl Shell {
    /// The events of this node that the asker has not seen yet. `after` has the last number seen of every node.
    pub(super) fn own_events(&self, after: &BTreeMap<String, u64>) -> Vec<EventRecord> {
        let seen = after.get(&self.core.me().to_string()).copied().unwrap_or_default();
        self.admin.recent.events_after(seen)
    }

    /// Asks the linked members for their events, and answers with those and this node's own.
    pub(super) fn answer_events(&self, after: BTreeMap<String, u64>, asker: Asker) {
        let mut events = self.own_events(&after);
        let ask = Ask::Events { after, everyone: false };
        let Ok(body) = serde_json::to_vec(&AskRecord::V1 { ask, passed_on: true }) else {
            return asker.answer(&Answer::Events(events));
        };
        let mut asked = JoinSet::new();
        let linked: Vec<NodeId> = self.links.linked().take(MEMBERS_MAX).collect();
        for node in linked {
            let answer = self.links.request(node, body.clone(), Duration::from_millis(ANSWER_MS_MAX));
            asked.spawn(async move { serde_json::from_slice::<Answer>(&answer.await?).ok() });
        }
        tokio::spawn(async move {
            for answer in asked.join_all().await {
                if let Some(Answer::Events(theirs)) = answer {
                    events.extend(theirs);
                }
            }
            asker.answer(&Answer::Events(latest(events)));
        });
    }
}

/// The newest [`EVENTS_MAX`] events, oldest first. Of the notices that several nodes made of one entry, the earliest is
/// kept.
fn latest(mut events: Vec<EventRecord>) -> Vec<EventRecord> {
    // The events of one node are in order already. Between nodes the order is that of their clocks, which people can
    // judge.
    events.sort_by(|a, b| (a.at_unix_ms, &a.node, a.number).cmp(&(b.at_unix_ms, &b.node, b.number)));
    let mut seen = BTreeSet::new();
    events.retain(|event| event.entry.is_none_or(|entry| seen.insert((entry, event.text.clone()))));
    events.split_off(events.len().saturating_sub(EVENTS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(node: &str, number: u64, at_unix_ms: u64) -> EventRecord {
        let (node, kind, text) = (node.to_owned(), String::new(), String::new());
        EventRecord { number, at_unix_ms, node, kind, text, entry: None }
    }

    #[test]
    fn events_of_several_nodes_are_in_the_order_of_time() {
        let told =
            latest(vec![event("n2", 1, 30), event("n2", 2, 50), event("n1", 1, 40), event("n1", 2, 50)]);
        let order: Vec<(&str, u64)> = told.iter().map(|event| (event.node.as_str(), event.number)).collect();
        assert_eq!(order, [("n2", 1), ("n1", 1), ("n1", 2), ("n2", 2)]);
    }

    #[test]
    fn a_notice_that_every_node_makes_of_an_entry_is_told_once() {
        let of_entry = |node, at_unix_ms, entry| EventRecord { entry, ..event(node, 1, at_unix_ms) };
        let told = latest(vec![
            of_entry("n1", 40, Some(7)),
            of_entry("n2", 30, Some(7)),
            of_entry("n3", 50, Some(8)),
            of_entry("n4", 60, None),
            of_entry("n5", 60, None),
        ]);
        let nodes: Vec<&str> = told.iter().map(|event| event.node.as_str()).collect();
        assert_eq!(nodes, ["n2", "n3", "n4", "n5"]);
    }

    #[test]
    fn the_newest_are_kept_when_there_are_too_many() {
        let many = (0..5_000).map(|number| event("n1", number, number)).collect();
        let told = latest(many);
        assert_eq!(told.len(), EVENTS_MAX);
        assert_eq!(told.last().map(|event| event.number), Some(4_999));
    }
}
