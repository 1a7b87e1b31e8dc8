//! The answer to `events`: what this node and the members that it is linked to remember, in the order of time.
//!
//! Every node remembers what it saw itself (`record`), so that a coordinator that is gone takes only its own memory
//! with it, and what an agent did is told by the agent. Nothing of it is stored twice; a member that does not answer
//! in time is left out, and asked again by the next question.

use super::admin::answer;
use super::shell::{Asker, Shell};
use crate::admin::{Answer, Ask, AskRecord, EventRecord};
use rhizo_overlay::Class;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a member may take to tell what it remembers. It answers from memory: this is a slow link's round trip
/// and a busy machine.
const TELL_MS_MAX: u64 = 1_500;
/// So many members are asked at most, and so many events told: an answer has to fit into one frame.
const MEMBERS_MAX: usize = 256;
const EVENTS_MAX: usize = 4_096;

impl Shell {
    /// What this node remembers beyond what was seen of it.
    pub(super) fn own_events(&self, after: &BTreeMap<String, u64>) -> Vec<EventRecord> {
        let seen = after.get(&self.core.me().to_string()).copied().unwrap_or_default();
        self.past.events_after(seen)
    }

    /// Asks the members that are linked, and answers with what they and this node remember.
    pub(super) fn tell_history(&self, after: BTreeMap<String, u64>, asker: Asker) {
        let mut events = self.own_events(&after);
        let ask = Ask::Events { after, everyone: false };
        let Ok(body) = serde_json::to_vec(&AskRecord::V1 { ask, passed_on: true }) else {
            return answer(asker, &Answer::Events(events));
        };
        let mut asked = JoinSet::new();
        let members = self.core.ledger().members.keys().filter(|node| self.peers.is_linked(**node));
        for key in members.take(MEMBERS_MAX).filter_map(|node| self.peers.key(*node)) {
            let (overlay, body) = (self.overlay.clone(), body.clone());
            let patience = Duration::from_millis(TELL_MS_MAX);
            asked.spawn(async move {
                let body = overlay.request(key, Class::Admin, body, patience).await.ok()?;
                serde_json::from_slice::<Answer>(&body).ok()
            });
        }
        tokio::spawn(async move {
            for told in asked.join_all().await {
                if let Some(Answer::Events(told)) = told {
                    events.extend(told);
                }
            }
            answer(asker, &Answer::Events(latest(events)));
        });
    }
}

/// The newest events, oldest first.
fn latest(mut events: Vec<EventRecord>) -> Vec<EventRecord> {
    // Each node's own are in order; between nodes their clocks decide, which is good enough for people.
    events.sort_by(|a, b| (a.at_unix_ms, &a.node, a.number).cmp(&(b.at_unix_ms, &b.node, b.number)));
    events.split_off(events.len().saturating_sub(EVENTS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(node: &str, number: u64, at_unix_ms: u64) -> EventRecord {
        let (node, kind, text) = (node.to_owned(), String::new(), String::new());
        EventRecord { number, at_unix_ms, node, kind, text }
    }

    #[test]
    fn events_of_several_nodes_are_in_the_order_of_time() {
        let told =
            latest(vec![event("n2", 1, 30), event("n2", 2, 50), event("n1", 1, 40), event("n1", 2, 50)]);
        let order: Vec<(&str, u64)> = told.iter().map(|event| (event.node.as_str(), event.number)).collect();
        assert_eq!(order, [("n2", 1), ("n1", 1), ("n1", 2), ("n2", 2)]);
    }

    #[test]
    fn the_newest_are_kept_when_there_are_too_many() {
        let many = (0..5_000).map(|number| event("n1", number, number)).collect();
        let told = latest(many);
        assert_eq!(told.len(), EVENTS_MAX);
        assert_eq!(told.last().map(|event| event.number), Some(4_999));
    }
}
