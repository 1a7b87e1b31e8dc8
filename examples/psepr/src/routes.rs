//! Routing state of a broker: its clients' subscriptions, and the messages it has seen. `router` has the sockets.

use crate::line::MessageId;
use std::collections::{BTreeMap, BTreeSet};

/// Topics that one client may subscribe to.
const TOPICS_PER_CLIENT_MAX: usize = 256;

/// Message numbers remembered for one origin. All copies of a message arrive within a second or two, in which a broker
/// publishes fewer messages than this. A number older than the window counts as seen.
const WINDOW: u64 = 4096;

/// Origins remembered: ten brokers, each restarted dozens of times.
const ORIGINS_MAX: usize = 256;

/// A connected client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ClientId(pub(crate) u64);

/// The client already has [`TOPICS_PER_CLIENT_MAX`] subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooManyTopics;

/// Subscriptions of the clients of one broker, and the messages it has seen.
#[derive(Debug)]
pub(crate) struct Routes {
    origin: u64,
    published: u64,
    subscribers: BTreeMap<String, BTreeSet<ClientId>>,
    topics: BTreeMap<ClientId, BTreeSet<String>>,
    seen: BTreeMap<u64, Seen>,
    /// Number of messages looked up, which tells the origin that was silent longest.
    looked_at: u64,
}

#[derive(Default, Debug)]
struct Seen {
    highest: u64,
    recent: BTreeSet<u64>,
    last_used: u64,
}

impl Routes {
    /// Routes of a broker; `origin` must differ from that of every other broker and every earlier run.
    pub(crate) fn new(origin: u64) -> Self {
        let (subscribers, topics, seen) = Default::default();
        Self { origin, published: 0, subscribers, topics, seen, looked_at: 0 }
    }

    /// Subscribes the client to the topic.
    pub(crate) fn subscribe(&mut self, client: ClientId, topic: &str) -> Result<(), TooManyTopics> {
        let topics = self.topics.entry(client).or_default();
        if topics.len() >= TOPICS_PER_CLIENT_MAX && !topics.contains(topic) {
            return Err(TooManyTopics);
        }
        topics.insert(topic.to_owned());
        self.subscribers.entry(topic.to_owned()).or_default().insert(client);
        Ok(())
    }

    /// Ends the client's subscription to the topic.
    pub(crate) fn unsubscribe(&mut self, client: ClientId, topic: &str) {
        if let Some(topics) = self.topics.get_mut(&client) {
            topics.remove(topic);
        }
        self.forget(client, topic);
    }

    /// Removes a client that has disconnected.
    pub(crate) fn leave(&mut self, client: ClientId) {
        for topic in self.topics.remove(&client).unwrap_or_default() {
            self.forget(client, &topic);
        }
    }

    fn forget(&mut self, client: ClientId, topic: &str) {
        if let Some(clients) = self.subscribers.get_mut(topic) {
            clients.remove(&client);
            if clients.is_empty() {
                self.subscribers.remove(topic);
            }
        }
    }

    /// Returns the identity of a new message that a client of this broker publishes.
    pub(crate) fn publish(&mut self) -> MessageId {
        self.published += 1;
        let id = MessageId { origin: self.origin, number: self.published };
        self.is_new(id);
        id
    }

    /// Returns whether the message is seen for the first time, and remembers it.
    pub(crate) fn is_new(&mut self, id: MessageId) -> bool {
        self.looked_at += 1;
        if !self.seen.contains_key(&id.origin) && self.seen.len() >= ORIGINS_MAX {
            let silent = self.seen.iter().min_by_key(|(_, seen)| seen.last_used).map(|(origin, _)| *origin);
            silent.map(|origin| self.seen.remove(&origin));
        }
        let seen = self.seen.entry(id.origin).or_default();
        seen.last_used = self.looked_at;
        if id.number + WINDOW <= seen.highest || !seen.recent.insert(id.number) {
            return false;
        }
        seen.highest = seen.highest.max(id.number);
        seen.recent = seen.recent.split_off(&seen.highest.saturating_sub(WINDOW - 1));
        true
    }

    /// The clients of this broker that are subscribed to the topic.
    pub(crate) fn subscribers(&self, topic: &str) -> impl Iterator<Item = ClientId> {
        self.subscribers.get(topic).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(origin: u64, number: u64) -> MessageId {
        MessageId { origin, number }
    }

    #[test]
    fn a_message_is_new_once_whatever_the_order() {
        let mut routes = Routes::new(1);
        for number in [3, 1, 2, 5] {
            assert!(routes.is_new(id(9, number)), "{number}");
        }
        for number in [1, 2, 3, 5] {
            assert!(!routes.is_new(id(9, number)), "{number}");
        }
        assert!(routes.is_new(id(9, 4)));
        assert!(routes.is_new(id(8, 1)));
    }

    #[test]
    fn what_comes_back_to_its_publisher_is_not_new() {
        let mut routes = Routes::new(1);
        let published = routes.publish();
        assert!(!routes.is_new(published));
    }

    #[test]
    fn memory_is_bounded_in_numbers_and_in_origins() {
        let mut routes = Routes::new(1);
        for number in 1..=3 * WINDOW {
            routes.is_new(id(9, number));
        }
        assert_eq!(routes.seen[&9].recent.len() as u64, WINDOW);
        assert!(!routes.is_new(id(9, 1)), "an old number counts as seen");
        for origin in 100..100 + 2 * ORIGINS_MAX as u64 {
            routes.is_new(id(origin, 1));
        }
        assert_eq!(routes.seen.len(), ORIGINS_MAX);
        assert!(!routes.is_new(id(100 + 2 * ORIGINS_MAX as u64 - 1, 1)), "the latest are kept");
    }

    #[test]
    fn who_left_or_unsubscribed_gets_nothing_and_costs_nothing() {
        let mut routes = Routes::new(1);
        for client in [ClientId(1), ClientId(2)] {
            routes.subscribe(client, "a").expect("one topic");
        }
        routes.unsubscribe(ClientId(1), "a");
        assert_eq!(routes.subscribers("a").collect::<Vec<_>>(), [ClientId(2)]);
        routes.leave(ClientId(2));
        assert!(routes.subscribers.is_empty() && routes.subscribers("a").next().is_none());
    }

    #[test]
    fn a_client_cannot_fill_the_memory_with_topics() {
        let mut routes = Routes::new(1);
        for topic in 0..TOPICS_PER_CLIENT_MAX {
            assert!(routes.subscribe(ClientId(1), &topic.to_string()).is_ok());
        }
        assert_eq!(routes.subscribe(ClientId(1), "one more"), Err(TooManyTopics));
        assert!(routes.subscribe(ClientId(1), "0").is_ok(), "one it has already");
    }
}
