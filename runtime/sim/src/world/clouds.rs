//! Provider calls, hosts that boot, and nodes that join.
//!
//! The providers' state is [`crate::provider`].

use super::{Happening, World};
use crate::check;
use crate::fault::Fault;
use crate::process::Process;
use crate::provider::Host;
use crate::scenario::TIMERS;
use crate::violation::Violation;
use rand::RngExt;
use rhizo_protocol::{AcquireCall, AcquireResult, Event, ListError, RequestId, codec};
use rhizo_types::id::{HostId, IntentId, NodeId, PeerKey, ProviderName};
use rhizo_types::intent::BoundHost;
use rhizo_types::ledger::Join;
use rhizo_types::wire::JoinAnswer;

impl World {
    pub(super) fn provider_acquire(&mut self, by: NodeId, life: u64, call: &AcquireCall) {
        let result = self.acquire_result(by, life, call);
        let intent = call.intent;
        let us = self.rng.random_range(1_000..50_000);
        self.later(us, Happening::Deliver { to: by, life, event: Event::Acquired { intent, result } });
    }

    pub(super) fn acquire_result(&mut self, by: NodeId, life: u64, call: &AcquireCall) -> AcquireResult {
        if !self.barrier(by, life) {
            return AcquireResult::NotIssued;
        }
        let now = self.now;
        let provider_name = call.order.provider.clone();
        let Some(provider) = self.providers.get(&provider_name) else {
            return AcquireResult::Refused("no such provider".to_owned());
        };
        if !provider.answers(now) {
            return AcquireResult::Unknown("the API does not answer".to_owned());
        }
        if let Some(host) = provider.by_token(&call.token) {
            return AcquireResult::Bound(BoundHost { host, address: None });
        }
        if self.mishap(0.04, Fault::NoCapacity) {
            return AcquireResult::NoCapacity("none left".to_owned());
        }
        if self.mishap(0.01, Fault::Refused) {
            return AcquireResult::Refused("not this one".to_owned());
        }
        if self.mishap(0.02, Fault::NotCalled) {
            return AcquireResult::Local("no credentials".to_owned());
        }
        if self.mishap(0.03, Fault::Throttled) {
            return AcquireResult::Throttled { retry_after_ms: 1_500 };
        }
        if self.mishap(0.04, Fault::UnknownNothing) {
            return AcquireResult::Unknown("time out".to_owned());
        }
        let host = self.create_host(call, call.token.clone());
        if self.mishap(0.03, Fault::DoubleHost) {
            self.create_host(call, format!("{}-double", call.token));
        }
        if self.mishap(0.05, Fault::LateSuccess) {
            return AcquireResult::Unknown("time out, though it worked".to_owned());
        }
        AcquireResult::Bound(BoundHost { host, address: None })
    }

    pub(super) fn create_host(&mut self, call: &AcquireCall, token: String) -> HostId {
        self.host_count += 1;
        let number = self.host_count;
        let id = HostId(format!("h{number}"));
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(number + 1_000).to_le_bytes());
        let host = Host {
            order: call.order.clone(),
            intent: call.intent,
            token,
            created: self.now,
            ended: None,
            node: None,
            key: PeerKey(key),
            boot: call.boot.clone(),
            asks: None,
            unexplained_since: None,
        };
        let provider = call.order.provider.clone();
        if let Some(provider) = self.providers.get_mut(&provider) {
            provider.hosts.insert(id.clone(), host);
        }
        if self.mishap(0.02, Fault::NeverBoots) {
            return id;
        }
        let slow = self.mishap(0.1, Fault::SlowBoot);
        let us = if slow {
            self.rng.random_range(3_000_000..25_000_000)
        } else {
            self.rng.random_range(50_000..800_000)
        };
        self.later(us, Happening::Join { provider, host: id.clone() });
        id
    }

    pub(super) fn provider_release(
        &mut self,
        by: NodeId,
        life: u64,
        intent: IntentId,
        provider: &ProviderName,
        host: &HostId,
    ) {
        // The last member's own host is released by an entry after which no node holds the log.
        let last = self.log.truth.members.is_empty();
        let mut accepted = last || self.barrier(by, life);
        if accepted && let Some(violation) = check::before_release(self, intent, host) {
            self.violation.get_or_insert(violation);
        }
        accepted &= self.providers.get(provider).is_some_and(|provider| provider.answers(self.now));
        if accepted && !self.mishap(0.05, Fault::ReleaseLost) {
            self.end_host(provider, host);
        }
        self.later(5_000, Happening::Deliver { to: by, life, event: Event::Released { intent, accepted } });
    }

    pub(super) fn provider_list(&mut self, by: NodeId, life: u64, provider: ProviderName) {
        let result = if !self.barrier(by, life) {
            Err(ListError::NotIssued)
        } else {
            match self.providers.get(&provider) {
                Some(state) if state.answers(self.now) => Ok(state.list(self.now)),
                _ => Err(ListError::Unavailable("the API does not answer".to_owned())),
            }
        };
        self.later(5_000, Happening::Deliver { to: by, life, event: Event::Listed { provider, result } });
    }

    /// Ends a host and its process.
    pub(crate) fn end_host(&mut self, provider: &ProviderName, host: &HostId) {
        let now = self.now;
        let Some(state) = self.providers.get_mut(provider).and_then(|p| p.hosts.get_mut(host)) else {
            return;
        };
        if state.ended.is_none() {
            state.ended = Some(now);
            if let Some(node) = state.node {
                self.kill(node, false);
            }
        }
    }

    pub(super) fn ask_to_join(&mut self, provider: ProviderName, id: HostId) {
        let now = self.now;
        let Some(host) = self.providers.get(&provider).and_then(|p| p.hosts.get(&id)) else { return };
        if host.ended.is_some() || host.node.is_some() {
            return;
        }
        // A host that never joined ends itself.
        if now.ms_since(host.created) > TIMERS.join_ms_max + 60_000 {
            return self.end_host(&provider, &id);
        }
        let (ticket, key) = (host.intent, host.key);
        let members: Vec<NodeId> = host.boot.members.keys().copied().collect();
        let asks = host.asks.unwrap_or_else(|| members[self.rng.random_range(0..members.len())]);
        if let Some(host) = self.providers.get_mut(&provider).and_then(|p| p.hosts.get_mut(&id)) {
            host.asks = None;
        }
        self.later(700_000, Happening::Join { provider: provider.clone(), host: id.clone() });
        if self.is_awake(asks) {
            self.request_count += 1;
            let request = RequestId(self.request_count);
            self.requests.insert(request, (provider, id.clone()));
            let life = self.life(asks);
            let join = Join { ticket, host: id, key, addresses: Vec::new() };
            let event = Event::JoinRequested { request, join };
            self.deliver(asks, life, event);
        }
    }

    pub(super) fn join_answered(&mut self, request: RequestId, answer: JoinAnswer) {
        let Some((provider, id)) = self.requests.remove(&request) else { return };
        let Some(host) = self.providers.get_mut(&provider).and_then(|p| p.hosts.get_mut(&id)) else { return };
        if host.ended.is_some() || host.node.is_some() {
            return;
        }
        match answer {
            JoinAnswer::Accepted { node, ledger } => {
                let Ok(ledger) = codec::decode_ledger(&ledger) else { return };
                host.node = Some(node);
                let key = host.key;
                if let Some(other) = self.keys.insert(node, key)
                    && other != key
                {
                    self.violation.get_or_insert(Violation::new(
                        "node-ids-are-unique",
                        format!("{node} is used twice"),
                    ));
                }
                let process = Process::new(node, ledger, None, Some((provider, id)));
                let life = process.life;
                self.processes.insert(node, process);
                self.later(1_000, Happening::Deliver { to: node, life, event: Event::Tick });
            }
            // The next request, which is under way already, goes to that node: there is one chain of requests per
            // host.
            JoinAnswer::Redirect { node, .. } => host.asks = Some(node),
            JoinAnswer::Later => {}
            JoinAnswer::Refused { .. } => self.end_host(&provider, &id),
        }
    }
}
