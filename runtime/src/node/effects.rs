//! Carrying out the core's effects: each is either done at once or spawned, with its answer as an input.
//!
//! Nothing is decided here. Provider calls wait for a read barrier of the log first, so that a coordinator
//! that was replaced without knowing it calls nobody (design: leadership alone authorises nothing outside).

use super::input::Input;
use super::shell::{Asker, Shell};
use super::{NodeError, admin, catalogue};
use crate::admin::Answer as AdminAnswer;
use crate::component::RunReport;
use rhizo_actuators::{
    Effect as ProviderEffect, Host, HostState, Owner, Provider, ProviderError, Tags, Token,
};
use rhizo_log::{LogNode, ProposeError};
use rhizo_overlay::Class;
use rhizo_protocol::codec;
use rhizo_protocol::event::{AcquireResult, ActResult, Event, ListError, ListedHost, ProposeResult};
use rhizo_protocol::turn::{AcquireCall, Answer, Effect, MembershipChange, ProposalId};
use rhizo_types::intent::{AcquireOrder, BoundHost};
use rhizo_types::message::Message;
use rhizo_types::{HostId, IntentId, NodeId, ProviderName};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A proposal without an outcome by then counts as unknown. Several election time-outs over a wide area.
const PROPOSE_MS_MAX: u64 = 10_000;

/// A change of the voters waits for both configurations; learners were caught up before.
const CHANGE_MS_MAX: u64 = 20_000;

/// A leader that cannot confirm itself within this calls no provider.
const BARRIER_MS_MAX: u64 = 5_000;

/// A provider call without an answer by then has an unknown outcome.
const PROVIDER_MS_MAX: u64 = 60_000;

impl Shell {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(to, &message),
            Effect::Links(wanted) => {
                self.peers.want(wanted);
                self.overlay.set_links(self.peers.targets());
            }
            Effect::Propose { id, command } => self.propose(id, codec::encode_command(&command)),
            Effect::ChangeMembership(change) => self.change_membership(change),
            Effect::TransferLeadership { to } => self.transfer(to),
            Effect::Acquire(call) => self.acquire(*call),
            Effect::Release { intent, provider, host } => self.release(intent, &provider, host),
            Effect::List { provider } => self.list(provider),
            Effect::Solve(request) => {
                let (providers, input) = (self.provider_list(), self.input.clone());
                tokio::spawn(async move {
                    let answers = catalogue::ask(providers).await;
                    let _loop_ended = input.send(Input::OfferedFor(request, answers)).await;
                });
            }
            Effect::ReplyJoin { request, answer } => {
                if let Some(Asker::Joiner(reply)) = self.asked.remove(&request) {
                    let _joiner_gone = reply.send(codec::encode_join_answer(&answer));
                }
            }
            Effect::Start(call) => self.components.start(*call),
            Effect::Stop { run } => {
                if !self.components.stop(&run) {
                    self.local.push_back(Event::Stopped { run });
                }
            }
            Effect::Act(call) => self.components.act(*call),
            Effect::Cancel { action } => {
                if !self.components.cancel(&action) {
                    let result = ActResult::Cancelled;
                    self.local.push_back(Event::Acted { action, result });
                }
            }
            Effect::Rebind { run, import, bound, unbound } => {
                self.components.rebind(&run, &import, bound, &unbound);
            }
            Effect::SetAttributes { run, attributes } => self.components.set_attributes(&run, attributes),
            Effect::Answer { request, answer } => {
                if let Some(asker) = self.asked.remove(&request) {
                    self.answer(asker, &answer);
                }
            }
            Effect::Notice(notice) => self.past.note(&notice),
            Effect::Halt { reason } => self.halting = Some(reason),
        }
    }

    fn send(&mut self, to: NodeId, message: &Message) {
        let class = match message {
            Message::Control(_) => Class::Control,
            Message::Channel(_) => Class::Agent,
        };
        if let Some(key) = self.peers.key(to) {
            // Whatever is lost here is repeated by the core: control messages by time, agents' by their channel.
            let _lost = self.overlay.send(key, class, codec::encode_message(message));
        }
    }

    /// Does something with the log in a task of its own; without a log nothing happens.
    fn with_log<F, Fut>(&self, absent: Event, task: F)
    where
        F: FnOnce(LogNode) -> Fut + Send + 'static,
        Fut: Future<Output = Event> + Send,
    {
        let (log, input) = (self.logbook.log().cloned(), self.input.clone());
        tokio::spawn(async move {
            let event = match log {
                Some(log) => task(log).await,
                None => absent,
            };
            let _loop_ended = input.send(Input::Core(event)).await;
        });
    }

    fn propose(&self, id: ProposalId, command: Vec<u8>) {
        let refused = Event::Proposed { id, result: ProposeResult::Refused };
        self.with_log(refused, move |log| async move {
            let result = match log.propose(command, Duration::from_millis(PROPOSE_MS_MAX)).await {
                Ok(proposed) => ProposeResult::Committed { index: proposed.index },
                Err(ProposeError::NotLeader { .. } | ProposeError::Busy | ProposeError::TooLarge { .. }) => {
                    ProposeResult::Refused
                }
                Err(ProposeError::Unknown | ProposeError::Stopped) => ProposeResult::Unknown,
            };
            Event::Proposed { id, result }
        });
    }

    fn change_membership(&self, change: MembershipChange) {
        let patience = Duration::from_millis(CHANGE_MS_MAX);
        self.with_log(Event::MembershipChanged { done: false }, move |log| async move {
            let changed = match change {
                MembershipChange::AddLearner(node) => log.add_learner(node, patience).await,
                MembershipChange::SetVoters(voters) => log.change_voters(voters, patience).await,
                MembershipChange::Remove(node) => log.remove(node, patience).await,
            };
            if let Err(error) = &changed {
                tracing::debug!(%error, "log membership not changed");
            }
            Event::MembershipChanged { done: changed.is_ok() }
        });
    }

    fn transfer(&self, to: NodeId) {
        if let Some(log) = self.logbook.log().cloned() {
            tokio::spawn(async move {
                if let Err(error) = log.transfer_leadership(to, Duration::from_millis(CHANGE_MS_MAX)).await {
                    tracing::debug!(%error, %to, "leadership not handed over");
                }
            });
        }
    }

    fn owner(&self) -> Option<Owner> {
        let genesis = self.core.ledger().genesis.as_ref()?;
        Some(Owner { app: genesis.app.clone(), lineage: genesis.lineage })
    }

    /// Calls a provider after a read barrier. `absent` is the event when the call is not made.
    fn with_provider<F, Fut>(&self, provider: &ProviderName, absent: Event, late: Event, call: F)
    where
        F: FnOnce(Arc<dyn Provider>) -> Fut + Send + 'static,
        Fut: Future<Output = Event> + Send,
    {
        let provider = self.providers.get(provider).cloned();
        self.with_log(absent.clone(), move |log| async move {
            let barrier = log.read_barrier(Duration::from_millis(BARRIER_MS_MAX)).await;
            match (barrier, provider) {
                (Ok(_), Some(provider)) => {
                    let called = tokio::time::timeout(Duration::from_millis(PROVIDER_MS_MAX), call(provider));
                    called.await.unwrap_or(late)
                }
                _ => absent,
            }
        });
    }

    fn acquire(&mut self, call: AcquireCall) {
        let AcquireCall { intent, order, token, boot } = call;
        let Some(owner) = self.owner() else { return };
        let tags = Tags { app: owner.app, lineage: owner.lineage, intent };
        let join_within_ms = self.core.ledger().timers().join_ms_max;
        let request = rhizo_actuators::Order {
            token: Token(token),
            offer: order.offer.clone(),
            tags,
            boot: codec::encode_boot(&boot),
            join_within_ms,
        };
        let absent = Event::Acquired { intent, result: AcquireResult::NotIssued };
        let late = Event::Acquired {
            intent,
            result: AcquireResult::Unknown("the provider did not answer".to_owned()),
        };
        self.with_provider(&order.provider, absent, late, move |provider| async move {
            let result = match provider.acquire(&request).await {
                Ok(host) if host.state == HostState::Terminated => {
                    AcquireResult::Unknown("the host of this order has ended already".to_owned())
                }
                Ok(host) => AcquireResult::Bound(bound(&host)),
                Err(error) => acquire_result(&error),
            };
            Event::Acquired { intent, result }
        });
    }

    fn release(&self, intent: IntentId, provider: &ProviderName, host: HostId) {
        let refused = Event::Released { intent, accepted: false };
        self.with_provider(provider, refused.clone(), refused, move |provider| async move {
            let released = provider.release(&host).await;
            if let Err(error) = &released {
                tracing::debug!(%intent, error = %crate::error::chain(error), "release not accepted");
            }
            Event::Released { intent, accepted: released.is_ok() }
        });
    }

    fn list(&self, provider: ProviderName) {
        let Some(owner) = self.owner() else { return };
        let listed = |provider: &ProviderName, result| Event::Listed { provider: provider.clone(), result };
        let absent = listed(&provider, Err(ListError::NotIssued));
        let late = listed(&provider, Err(ListError::Unavailable("no answer in time".to_owned())));
        let name = provider.clone();
        self.with_provider(&name, absent, late, move |source| async move {
            let result = match source.list(&owner).await {
                Ok(hosts) => Ok(hosts.iter().map(|host| listed_host(&provider, host)).collect()),
                Err(ProviderError::Throttled { retry_after_ms, .. }) => {
                    Err(ListError::Throttled { retry_after_ms })
                }
                Err(error) => Err(ListError::Unavailable(crate::error::chain(&error))),
            };
            Event::Listed { provider, result }
        });
    }

    /// Tells the core what became of a service or an action.
    pub(super) async fn component_report(&mut self, report: RunReport) -> Result<(), NodeError> {
        if !self.components.reported(&report) {
            return Ok(());
        }
        self.feed(report.into_event()).await
    }

    fn answer(&mut self, asker: Asker, answer: &Answer) {
        let spec = self.core.ledger().spec_revision();
        match answer {
            Answer::Accepted => admin::answer(asker, &AdminAnswer::Done { spec }),
            Answer::Later => admin::answer(
                asker,
                &AdminAnswer::Refused {
                    reason: "have it committed: the outcome is not known, or nobody coordinates".to_owned(),
                    hint: Some("ask again in a moment".to_owned()),
                },
            ),
            Answer::Refused(reason) => {
                let reason = format!("carry that out: {reason}");
                admin::answer(asker, &AdminAnswer::Refused { reason, hint: None });
            }
        }
    }
}

fn bound(host: &Host) -> BoundHost {
    BoundHost { host: host.id.clone(), address: host.address }
}

fn acquire_result(error: &ProviderError) -> AcquireResult {
    let text = crate::error::chain(error);
    match error {
        ProviderError::NoCapacity { .. } => AcquireResult::NoCapacity(text),
        ProviderError::Throttled { retry_after_ms, .. } => {
            AcquireResult::Throttled { retry_after_ms: *retry_after_ms }
        }
        _ if error.effect() == ProviderEffect::None => AcquireResult::Refused(text),
        _ => AcquireResult::Unknown(text),
    }
}

fn listed_host(provider: &ProviderName, host: &Host) -> ListedHost {
    let age_ms = super::solving::unix_ms().checked_sub(host.created_unix_ms);
    ListedHost {
        host: bound(host),
        intent: Some(host.tags.intent),
        order: AcquireOrder {
            provider: provider.clone(),
            offer: host.offer.clone(),
            region: host.region.clone(),
            price_micros_per_hour: 0,
            capacity: BTreeMap::new(),
            attributes: BTreeMap::new(),
        },
        terminated: host.state == HostState::Terminated,
        age_ms,
    }
}
