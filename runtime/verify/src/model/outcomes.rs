//! What comes of what happens to hosts, computed once for each host and happening.
//!
//! Most steps of a state happen to a host that was in that situation before, beside other hosts.

use super::facts::Facts;
use super::host::{Happening, Host, Outcome};
use crate::fingerprint::Shared;
use crate::table::Table;
use rhizo_types::message::AgentMessage;
use std::sync::Arc;

/// Hosts and what happens to them, computed once each.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    outcomes: Table,
    known: Vec<Arc<Outcome>>,
    hosts: Table,
    known_hosts: Vec<(Shared<Host>, Arc<Facts>)>,
}

impl Outcomes {
    /// What comes of one thing that happens to a host.
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

    /// What can be said of a host.
    pub(super) fn facts(&mut self, host: &Shared<Host>) -> Arc<Facts> {
        self.host(host.clone()).1
    }

    /// The one copy of a host that is kept, with what can be said of it.
    fn host(&mut self, host: Shared<Host>) -> (Shared<Host>, Arc<Facts>) {
        if let Some(number) = self.hosts.get(host.fingerprint()) {
            return self.known_hosts[number as usize].clone();
        }
        let facts = Arc::new(Facts::of(&host));
        self.hosts.insert(host.fingerprint(), u32::try_from(self.known_hosts.len()).unwrap_or(u32::MAX - 1));
        self.known_hosts.push((host.clone(), facts.clone()));
        (host, facts)
    }
}
