//! The outcomes of events on hosts, computed once for each pair of host and event.
//!
//! In most steps of a state, the same event has happened to the same host before, beside other hosts. So most outcomes
//! come from this cache. Read next: [`super::host`].

use super::facts::Facts;
use super::host::{Deed, Happening, Host};
use super::invariant;
use crate::fingerprint::Shared;
use crate::table::Table;
use rhizo_types::id::NodeId;
use rhizo_types::message::{AgentMessage, UseId};
use std::sync::Arc;

/// The outcome of one event on a host.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The host afterwards.
    pub host: Shared<Host>,
    /// Its facts.
    pub facts: Arc<Facts>,
    /// Messages to peers' agents.
    pub messages: Vec<(NodeId, Shared<AgentMessage>)>,
    /// The agent's orders to the shell.
    pub deeds: Vec<Deed>,
    /// The peer whose agent is new, when the event was a reset.
    pub reset: Option<NodeId>,
    /// The use that was released, when the event was that message.
    pub freed: Option<(NodeId, UseId)>,
}

/// Known hosts and outcomes by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    outcomes: Table,
    known: Vec<Arc<Outcome>>,
    hosts: Table,
    known_hosts: Vec<(Shared<Host>, Arc<Facts>)>,
}

impl Outcomes {
    /// Returns the outcome of an event on a host.
    pub(super) fn of(&mut self, host: &Shared<Host>, happening: &Happening) -> Arc<Outcome> {
        let key = host.fingerprint().then(happening.fingerprint());
        if let Some(number) = self.outcomes.get(key) {
            return self.known[number as usize].clone();
        }
        let mut after = Host::clone(host);
        let (messages, deeds) = after.take(happening);
        let messages = messages.into_iter().map(|(to, message)| (to, Shared::new(message))).collect();
        let (host, facts) = self.host(Shared::new(after));
        let reset = match happening {
            Happening::Reset(from) => Some(*from),
            _ => None,
        };
        let freed = match happening {
            Happening::Message(from, message) => match **message {
                AgentMessage::Unbound { id } => Some((*from, id)),
                _ => None,
            },
            _ => None,
        };
        let outcome = Arc::new(Outcome { host, facts, messages, deeds, reset, freed });
        self.outcomes.insert(key, u32::try_from(self.known.len()).unwrap_or(u32::MAX - 1));
        self.known.push(outcome.clone());
        outcome
    }

    /// Returns the facts of a host.
    pub(super) fn facts(&mut self, host: &Shared<Host>) -> Arc<Facts> {
        self.host(host.clone()).1
    }

    /// Returns the shared copy of a host with its facts.
    fn host(&mut self, host: Shared<Host>) -> (Shared<Host>, Arc<Facts>) {
        if let Some(number) = self.hosts.get(host.fingerprint()) {
            return self.known_hosts[number as usize].clone();
        }
        let mut facts = Facts::of(&host);
        invariant::check(&host, &mut facts);
        let facts = Arc::new(facts);
        self.hosts.insert(host.fingerprint(), u32::try_from(self.known_hosts.len()).unwrap_or(u32::MAX - 1));
        self.known_hosts.push((host.clone(), facts.clone()));
        (host, facts)
    }
}
