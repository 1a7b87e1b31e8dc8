//! A simulated provider: hosts, tags, tokens, and the faults of a real one.
//!
//! It keeps the true state of the hosts. The world runs the nodes on them.

use rhizo_protocol::ListedHost;
use rhizo_types::Time;
use rhizo_types::id::{HostId, IntentId, NodeId, PeerKey};
use rhizo_types::intent::{AcquireOrder, BoundHost};
use rhizo_types::wire::Boot;
use std::collections::BTreeMap;

/// A provider.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// All hosts, including ended ones that lists still show.
    pub hosts: BTreeMap<HostId, Host>,
    /// The API does not answer before this time.
    pub down_until: Time,
    /// New hosts and ends show in lists this much later, in milliseconds.
    pub list_lag_ms: u64,
    /// Number of further orders that meet a fault of the provider.
    pub misbehaves: u32,
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    /// The order.
    pub order: AcquireOrder,
    /// The tag.
    pub intent: IntentId,
    /// The idempotency token of the order; a duplicate has another one.
    pub token: String,
    /// Time of its creation.
    pub created: Time,
    /// Time of its end.
    pub ended: Option<Time>,
    /// The node that runs on it, once it joined.
    pub node: Option<NodeId>,
    /// The key of its node.
    pub key: PeerKey,
    /// Its boot document.
    pub boot: Boot,
    /// The member to which it sends its next join request.
    pub asks: Option<NodeId>,
    /// Time since which no intent of the true ledger explains it.
    pub unexplained_since: Option<Time>,
}

/// Time for which an ended host stays in lists.
pub const ENDED_MS: u64 = 60_000;

impl Provider {
    /// Whether the API answers.
    #[must_use]
    pub fn answers(&self, now: Time) -> bool {
        now >= self.down_until
    }

    /// Returns the host that was created for a token.
    #[must_use]
    pub fn by_token(&self, token: &str) -> Option<HostId> {
        let found = self.hosts.iter().find(|(_, host)| host.token == token && host.ended.is_none());
        found.map(|(id, _)| id.clone())
    }

    /// Returns the provider's list at `now`.
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
