//! A simulated provider: hosts, tags, tokens, and the ways a real one misbehaves.
//!
//! It keeps the truth about hosts. The world runs the nodes on them.

use rhizo_protocol::ListedHost;
use rhizo_types::Time;
use rhizo_types::id::{HostId, IntentId, NodeId, PeerKey};
use rhizo_types::intent::{AcquireOrder, BoundHost};
use rhizo_types::wire::Boot;
use std::collections::BTreeMap;

/// A provider.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// Hosts, those that have ended included, until they are forgotten.
    pub hosts: BTreeMap<HostId, Host>,
    /// Until when the API does not answer.
    pub down_until: Time,
    /// New hosts and ends show in lists this much later, in milliseconds.
    pub list_lag_ms: u64,
    /// So many of the next orders meet a problem.
    pub misbehaves: u32,
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    /// What was ordered.
    pub order: AcquireOrder,
    /// The tag.
    pub intent: IntentId,
    /// The idempotency token it was made for; a duplicate has another.
    pub token: String,
    /// When it was made.
    pub created: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// The node that runs on it, once it joined.
    pub node: Option<NodeId>,
    /// The key its node made.
    pub key: PeerKey,
    /// What it was given.
    pub boot: Boot,
    /// The member it asks next.
    pub asks: Option<NodeId>,
    /// Since when no intent explains it, as far as the truth goes.
    pub unexplained_since: Option<Time>,
}

/// An ended host stays in lists this long.
pub const ENDED_MS: u64 = 60_000;

impl Provider {
    /// Whether the API answers.
    #[must_use]
    pub fn answers(&self, now: Time) -> bool {
        now >= self.down_until
    }

    /// The host that was made for a token.
    #[must_use]
    pub fn by_token(&self, token: &str) -> Option<HostId> {
        let found = self.hosts.iter().find(|(_, host)| host.token == token && host.ended.is_none());
        found.map(|(id, _)| id.clone())
    }

    /// What the list says at `now`.
    #[must_use]
    pub fn list(&self, now: Time) -> Vec<ListedHost> {
        let seen = Time(now.0.saturating_sub(self.list_lag_ms * 1_000));
        let visible = self.hosts.iter().filter(|(_, host)| {
            let fresh = host.ended.is_none_or(|ended| seen < ended.after_ms(ENDED_MS));
            host.created <= seen && fresh
        });
        let listed = visible.map(|(id, host)| ListedHost {
            host: BoundHost { host: id.clone(), address: None },
            intent: Some(host.intent),
            order: host.order.clone(),
            terminated: host.ended.is_some_and(|ended| ended <= seen),
            age_ms: Some(now.ms_since(host.created)),
        });
        listed.collect()
    }
}
