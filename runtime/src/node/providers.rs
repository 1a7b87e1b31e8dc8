//! The providers that may have to be called, and the provider calls that the core orders.
//!
//! A call first waits for a read barrier of the log, so that a coordinator that was replaced without noticing calls
//! no provider. The result of the call, or the time-out, becomes an event. The core decides which call to make, and
//! interprets an unclear result. Read next: [`super::catalogue`], for the offers of providers.

use super::replicated_log::ReplicatedLog;
use super::solving::unix_ms;
use rhizo_actuators::process::Program;
use rhizo_actuators::{
    Effect as ProviderEffect, Host, HostState, Kinds, Owner, Provider, ProviderError, Surroundings, Table,
    Tags, Token,
};
use rhizo_protocol::codec;
use rhizo_protocol::event::{AcquireResult, Event, ListError, ListedHost};
use rhizo_protocol::ledger::Ledger;
use rhizo_protocol::turn::AcquireCall;
use rhizo_types::intent::{AcquireOrder, BoundHost};
use rhizo_types::spec::{ProviderSpec, Spec};
use rhizo_types::{HostId, IntentId, ProviderName, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Time limit of the read barrier before a provider call, in milliseconds. A leader that cannot confirm its
/// leadership within it calls no provider.
const BARRIER_MS_MAX: u64 = 5_000;

/// Time limit of a provider call, in milliseconds. After it the outcome is unknown.
const PROVIDER_MS_MAX: u64 = 60_000;

/// Makes a provider of its table. When its data files cannot be used, the provider still lists and releases, and sells
/// again when they can.
fn callable_one(
    name: &ProviderName,
    table: &ProviderSpec,
    state: &Path,
    (program, kinds): (&Program, &Kinds),
) -> Result<Arc<dyn Provider>, String> {
    let settings = serde_json::from_str(&table.settings).unwrap_or(serde_json::Value::Null);
    let surroundings = surroundings(state, program);
    let input = Table { name, settings: &settings, surroundings: &surroundings };
    let made = kinds.provider(&table.kind, input).or_else(|error| {
        tracing::error!(provider = %name, error = %crate::error::chain(&error), "provider sells nothing");
        kinds.releaser(&table.kind, input)
    });
    made.map(Arc::from).map_err(|error| crate::error::chain(&error))
}

/// The surroundings of providers. The config's reader has made every path of the settings absolute.
fn surroundings(state: &Path, program: &Program) -> Surroundings {
    Surroundings { base_dir: PathBuf::from("/"), state_dir: state.to_owned(), program: program.clone() }
}

/// Makes the providers of a spec, each with a directory below `state` when it runs on this machine. Returns the
/// providers, and for each that could not be made a message that completes "failed to …".
pub(crate) fn make(
    spec: &Spec,
    state: &Path,
    program: &Program,
    kinds: &Kinds,
) -> (BTreeMap<ProviderName, Arc<dyn Provider>>, Vec<String>) {
    let surroundings = surroundings(state, program);
    let (mut made, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, configured) in &spec.providers {
        let settings = serde_json::from_str(&configured.settings).unwrap_or(serde_json::Value::Null);
        let table = Table { name, settings: &settings, surroundings: &surroundings };
        match kinds.provider(&configured.kind, table) {
            Ok(provider) => {
                made.insert(name.clone(), Arc::from(provider));
            }
            Err(error) => problems.push(crate::error::chain(&error)),
        }
    }
    (made, problems)
}

/// The providers of the spec in force, and those that were removed from it and may still have hosts.
pub(super) struct Providers {
    state: PathBuf,
    program: Program,
    kinds: Kinds,
    /// For each provider, the revision of the spec whose table it was made of.
    tables: BTreeMap<ProviderName, Revision>,
    /// The providers that the spec in force names.
    configured: BTreeSet<ProviderName>,
    made: BTreeMap<ProviderName, Arc<dyn Provider>>,
}

impl Providers {
    /// Creates the state without providers. Providers that run on this machine will keep their state below `state`.
    pub(super) fn new(state: PathBuf, program: Program, kinds: Kinds) -> Self {
        let (tables, configured, made) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { state, program, kinds, tables, configured, made }
    }

    /// Makes the providers again whose tables have changed. Returns true if the spec in force names other providers
    /// than before, or another table of one.
    pub(super) fn follow(&mut self, ledger: &Ledger) -> bool {
        let callable = ledger.callable_providers();
        let is_same = callable.len() == self.tables.len()
            && callable.iter().all(|(name, (revision, _))| self.tables.get(*name) == Some(revision));
        if is_same {
            return false;
        }
        let configured =
            |name: &ProviderName| ledger.spec().is_some_and(|spec| spec.providers.contains_key(name));
        let before = std::mem::take(&mut self.made);
        let mut is_changed = false;
        for (name, (revision, table)) in &callable {
            // A spec is a value of its revision, so an equal revision has an equal table.
            let kept = before.get(*name).filter(|_| self.tables.get(*name) == Some(revision));
            let made = match kept {
                Some(provider) => Ok(provider.clone()),
                None => callable_one(name, table, &self.state, (&self.program, &self.kinds)),
            };
            is_changed |= kept.is_none() && configured(name);
            match made {
                Ok(provider) => {
                    self.made.insert((*name).clone(), provider);
                }
                Err(problem) => tracing::error!(provider = %name, problem, "provider cannot be used"),
            }
        }
        let names = callable.keys().filter(|name| configured(name)).map(|name| (*name).clone()).collect();
        is_changed |= self.configured != names;
        self.configured = names;
        self.tables = callable.into_iter().map(|(name, (revision, _))| (name.clone(), revision)).collect();
        is_changed
    }

    /// The names of the providers that the spec in force names.
    pub(super) fn names(&self) -> BTreeSet<ProviderName> {
        self.configured.clone()
    }

    /// The providers of a spec, which need not be in force. One that cannot be made is left out and logged.
    pub(super) fn of(&self, spec: &Spec, ledger: &Ledger) -> Vec<(ProviderName, Arc<dyn Provider>)> {
        if Some(spec) == ledger.spec() {
            return self.list_configured();
        }
        let (made, problems) = make(spec, &self.state, &self.program, &self.kinds);
        for problem in problems {
            tracing::warn!(problem, "provider of a planned config cannot be used");
        }
        made.into_iter().collect()
    }

    /// The providers that the spec in force names, for a task that asks each of them.
    pub(super) fn list_configured(&self) -> Vec<(ProviderName, Arc<dyn Provider>)> {
        let made = self.made.iter().filter(|(name, _)| self.configured.contains(*name));
        made.map(|(name, provider)| (name.clone(), provider.clone())).collect()
    }

    /// Orders a host; answered by [`Event::Acquired`].
    pub(super) fn acquire(&self, call: AcquireCall, ledger: &Ledger, log: &ReplicatedLog) {
        let AcquireCall { intent, order, token, boot } = call;
        let Some(owner) = owner(ledger) else { return };
        let tags = Tags { app: owner.app, lineage: owner.lineage, intent };
        let request = rhizo_actuators::Order {
            token: Token(token),
            offer: order.offer.clone(),
            tags,
            boot: codec::encode_boot(&boot),
            join_within_ms: ledger.timers().join_ms_max,
        };
        let acquired = |result| Event::Acquired { intent, result };
        let not_called = acquired(AcquireResult::NotIssued);
        let late = acquired(AcquireResult::Unknown("the provider did not answer".to_owned()));
        self.call(log, &order.provider, not_called, late, move |provider| async move {
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

    /// Releases a host; answered by [`Event::Released`].
    pub(super) fn release(
        &self,
        intent: IntentId,
        provider: &ProviderName,
        host: HostId,
        log: &ReplicatedLog,
    ) {
        let not_accepted = Event::Released { intent, accepted: false };
        self.call(log, provider, not_accepted.clone(), not_accepted, move |provider| async move {
            let released = provider.release(&host).await;
            if let Err(error) = &released {
                tracing::debug!(%intent, error = %crate::error::chain(error), "release not accepted");
            }
            Event::Released { intent, accepted: released.is_ok() }
        });
    }

    /// Lists the hosts of this lineage and of the former ones; answered by [`Event::Listed`].
    pub(super) fn list(&self, provider: ProviderName, ledger: &Ledger, log: &ReplicatedLog) {
        let owners = owners(ledger);
        let listed = |provider: &ProviderName, result| Event::Listed { provider: provider.clone(), result };
        let not_called = listed(&provider, Err(ListError::NotIssued));
        let late = listed(&provider, Err(ListError::Unavailable("no answer in time".to_owned())));
        let name = provider.clone();
        self.call(log, &name, not_called, late, move |source| async move {
            let result = match list_of_all(&*source, &owners).await {
                Ok(hosts) => Ok(hosts.iter().map(|host| listed_host(&provider, host)).collect()),
                Err(ProviderError::Throttled { retry_after_ms, .. }) => {
                    Err(ListError::Throttled { retry_after_ms })
                }
                Err(error) => Err(ListError::Unavailable(crate::error::chain(&error))),
            };
            Event::Listed { provider, result }
        });
    }

    /// Calls a provider after a read barrier. The event is `not_called` when the barrier fails or there is no such
    /// provider, and `late` when the provider does not answer in time.
    fn call<F, Fut>(
        &self,
        log: &ReplicatedLog,
        provider: &ProviderName,
        not_called: Event,
        late: Event,
        call: F,
    ) where
        F: FnOnce(Arc<dyn Provider>) -> Fut + Send + 'static,
        Fut: Future<Output = Event> + Send,
    {
        let provider = self.made.get(provider).cloned();
        log.call(not_called.clone(), move |log| async move {
            let barrier = log.read_barrier(Duration::from_millis(BARRIER_MS_MAX)).await;
            match (barrier, provider) {
                (Ok(_), Some(provider)) => {
                    let called = tokio::time::timeout(Duration::from_millis(PROVIDER_MS_MAX), call(provider));
                    called.await.unwrap_or(late)
                }
                _ => not_called,
            }
        });
    }
}

/// The owner that this lineage's hosts are tagged with; `None` before genesis is committed.
fn owner(ledger: &Ledger) -> Option<Owner> {
    let genesis = ledger.genesis.as_ref()?;
    Some(Owner { app: genesis.app.clone(), lineage: genesis.lineage })
}

/// The owners of hosts that this application may have: those of its lineage and of the former ones.
fn owners(ledger: &Ledger) -> Vec<Owner> {
    let Some(owner) = owner(ledger) else { return Vec::new() };
    let former = ledger.former.iter().map(|former| former.lineage);
    [owner.lineage].into_iter().chain(former).map(|lineage| Owner { lineage, ..owner.clone() }).collect()
}

/// The hosts of several owners at one provider. The list of each owner has to be complete, or there is no list.
pub(crate) async fn list_of_all(
    provider: &dyn Provider,
    owners: &[Owner],
) -> Result<Vec<Host>, ProviderError> {
    let mut hosts = Vec::new();
    for owner in owners {
        hosts.extend(provider.list(owner).await?);
    }
    Ok(hosts)
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
        ProviderError::Local { .. } | ProviderError::Catalogue(_) => AcquireResult::Local(text),
        _ if error.effect() == ProviderEffect::None => AcquireResult::Refused(text),
        _ => AcquireResult::Unknown(text),
    }
}

fn listed_host(provider: &ProviderName, host: &Host) -> ListedHost {
    let age_ms = unix_ms().checked_sub(host.created_unix_ms);
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
