//! Releases the hosts that an application left at its providers, without help of the application.
//!
//! It works in rounds. Each round lists the hosts at every provider and releases those that have not ended. A provider
//! that cannot be asked does not keep the others from being asked. The hosts are gone when two rounds found none and no
//! live process, with the longest visibility window of any provider between them. A single empty round proves little: a
//! host may be missing from the list for some time after its order, and a host that acts may have ordered another one
//! at a provider that had answered already. Read next: [`super::sources`], for the providers; [`super::down`], which
//! asks the application first.

use super::exit::{Exit, Failure};
use super::home_of::HomeOf;
use super::sources::{Source, Sources};
use super::{Session, node_0};
use rhizo_actuators::process::live_below;
use rhizo_actuators::{HostState, Owner, Provider, ProviderError};
use rhizo_types::{HostId, ProviderName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Pause between two rounds.
const LOOK_MS: u64 = 200;

/// How long one call of a provider may take, in milliseconds. The next round repeats a call that takes longer.
const CALL_MS_MAX: u64 = 10_000;

/// Number of hosts of one provider that are released at the same time: providers limit the rate of calls.
const RELEASES_MAX: usize = 16;

/// A visibility window that is longer than this is announced to the operator, in milliseconds.
const SILENT_MS_MAX: u64 = 2_000;

/// Number of hosts that a message names.
const NAMED_MAX: usize = 8;

/// The state of one home's teardown between rounds.
pub(super) struct Teardown<'a> {
    session: &'a Session,
    home: HomeOf<'a>,
    sources: &'a Sources,
    /// For each source that asked to wait: until when, and its answer.
    throttled: BTreeMap<usize, (Instant, String)>,
}

/// The findings of one round.
#[derive(Default)]
struct Round {
    /// Hosts that have not ended.
    left: BTreeSet<(ProviderName, HostId)>,
    /// Live processes of hosts on this machine.
    live: Vec<i32>,
    /// Why the processes of this machine are not known.
    unlisted: Option<String>,
    /// Providers that could not be asked, with the reason.
    unreached: BTreeMap<ProviderName, String>,
}

impl Round {
    fn is_empty(&self) -> bool {
        let Self { left, live, unlisted, unreached } = self;
        left.is_empty() && live.is_empty() && unlisted.is_none() && unreached.is_empty()
    }
}

/// The answers of one source in one round.
struct Asked {
    source: usize,
    left: Vec<HostId>,
    failure: Option<Unanswered>,
}

/// The reason why a source did not carry out everything.
enum Unanswered {
    Failed(ProviderError),
    Late,
}

impl<'a> Teardown<'a> {
    pub(super) fn new(session: &'a Session, home: HomeOf<'a>, sources: &'a Sources) -> Self {
        Self { session, home, sources, throttled: BTreeMap::new() }
    }

    /// Releases every host, and removes the providers' records of them. Returns the number of hosts found, or
    /// `None` when another command has taken the application down meanwhile.
    ///
    /// # Errors
    /// [`Exit::PartlyDone`] when at the deadline hosts are left, a provider cannot be asked, or the visibility window
    /// is not over. At least one round is made.
    pub(super) async fn release(mut self, deadline: Instant) -> Result<Option<usize>, Failure> {
        let mut found = BTreeSet::new();
        let mut empty_since: Option<Instant> = None;
        let mut is_announced = false;
        loop {
            let begun = Instant::now();
            let window = Duration::from_millis(self.visible_ms());
            let round = self.round(deadline).await;
            // The processes may be those of the next application.
            if !self.home.is_current()? {
                return Ok(None);
            }
            found.extend(round.left.iter().cloned());
            match empty_since {
                _ if !round.is_empty() => empty_since = None,
                Some(since) if begun >= since + window => {
                    return Ok(self.finish().await?.then_some(found.len()));
                }
                Some(_) => {}
                None => empty_since = Some(Instant::now()),
            }
            if Instant::now() >= deadline {
                return Err(self.left(&round, window));
            }
            if empty_since.is_some() && !is_announced && window > Duration::from_millis(SILENT_MS_MAX) {
                is_announced = true;
                let seconds = window.as_secs_f64();
                self.session.console.note(&format!(
                    "no host is listed; looking again for {seconds:.0} s, because a new host may be missing from the lists for that long\n"
                ));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// The longest visibility window of any provider, in milliseconds.
    fn visible_ms(&self) -> u64 {
        let windows = self.sources.callable().map(|(_, provider)| provider.capabilities().visible_ms);
        windows.max().unwrap_or(0)
    }

    /// Asks all providers side by side, and releases the hosts that they list.
    async fn round(&mut self, deadline: Instant) -> Round {
        let left = deadline.saturating_duration_since(Instant::now());
        // Also at the deadline a provider has a second to answer, so that the report tells what is left.
        let call = left.clamp(Duration::from_secs(1), Duration::from_millis(CALL_MS_MAX));
        let mut round = Round::default();
        let mut asked = JoinSet::new();
        for (position, Source { name, provider }) in self.sources.sources.iter().enumerate() {
            match (provider, self.throttled.get(&position)) {
                (Err(reason), _) => {
                    round.unreached.insert(name.clone(), reason.clone());
                }
                (Ok(_), Some((until, reason))) if Instant::now() < *until => {
                    round.unreached.insert(name.clone(), reason.clone());
                }
                (Ok(provider), _) => {
                    let owners: Vec<Owner> = self.sources.owners.iter().cloned().collect();
                    drop(asked.spawn(ask(position, provider.clone(), owners, call)));
                }
            }
        }
        while let Some(ended) = asked.join_next().await {
            match ended {
                Ok(asked) => self.take(asked, call, &mut round),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        // A host that is listed has processes.
        if round.left.is_empty() {
            match processes(self.session.home.path()).await {
                Ok(live) => round.live = live,
                Err(reason) => round.unlisted = Some(reason),
            }
            round.live.extend(node_0::all(&self.session.home).into_iter().map(|process| process.pid));
        }
        round
    }

    /// Takes in the answers of one source.
    fn take(&mut self, asked: Asked, call: Duration, round: &mut Round) {
        let name = &self.sources.sources[asked.source].name;
        round.left.extend(asked.left.into_iter().map(|host| (name.clone(), host)));
        let reason = match asked.failure {
            None => return,
            Some(Unanswered::Late) => format!("no answer within {} ms", call.as_millis()),
            Some(Unanswered::Failed(error)) => {
                let reason = crate::error::chain(&error);
                if let ProviderError::Throttled { retry_after_ms, .. } = error {
                    let until = Instant::now() + Duration::from_millis(retry_after_ms);
                    self.throttled.insert(asked.source, (until, reason.clone()));
                }
                reason
            }
        };
        round.unreached.insert(name.clone(), reason);
    }

    /// Removes the providers' records of the hosts, whose end they have confirmed. Returns false when the application
    /// does not live in its home any more.
    async fn finish(&self) -> Result<bool, Failure> {
        if let Some(reason) = &self.sources.unknown_providers {
            let message = format!("find all providers that may have hosts: failed to {reason}");
            return Err(Failure::new(Exit::PartlyDone, message).hint(
                "the other records name no host that is left; if no provider was removed from the config, remove this \
                 file and run `down` again",
            ));
        }
        // The next application in this home shares the directories of the emulated providers.
        let Some(_claim) = self.home.claim()? else { return Ok(false) };
        for (name, provider) in self.sources.callable() {
            for owner in &self.sources.owners {
                provider.purge(owner).await.map_err(|error| {
                    let reason = crate::error::chain(&error);
                    let message = format!("remove the records of ended hosts of provider `{name}`: {reason}");
                    Failure::new(Exit::PartlyDone, message).hint("all hosts are gone; run `down` again")
                })?;
            }
        }
        Ok(true)
    }

    /// The failure of a teardown whose time is over.
    fn left(&self, round: &Round, window: Duration) -> Failure {
        let mut parts = Vec::new();
        if !round.left.is_empty() {
            let named =
                round.left.iter().take(NAMED_MAX).map(|(provider, host)| format!("{provider}/{host}"));
            let named: Vec<String> = named.collect();
            let more = round.left.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("these hosts are still listed: {}{more}", named.join(", ")));
        }
        if !round.live.is_empty() {
            let pids: Vec<String> = round.live.iter().take(NAMED_MAX).map(ToString::to_string).collect();
            parts.push(format!("these processes of the application still run: {}", pids.join(", ")));
        }
        parts.extend(round.unlisted.iter().map(|reason| format!("failed to {reason}")));
        for (name, reason) in &round.unreached {
            parts.push(format!("provider `{name}` could not be asked: failed to {reason}"));
        }
        if round.is_empty() {
            let seconds = window.as_secs_f64();
            parts.push(format!(
                "no host is listed, but a new one may be missing from the lists for {seconds:.0} s"
            ));
        }
        parts.extend(self.sources.damaged.iter().map(|reason| format!("failed to {reason}")));
        let home = self.session.home.path().display();
        Failure::new(Exit::PartlyDone, format!("take everything down in time; {}", parts.join("; "))).hint(format!(
            "hosts that are left may run and cost money; `{home}` is kept, so that `down` can be run again, with a longer --timeout-s if need be"
        ))
    }
}

/// The live processes of hosts on this machine.
async fn processes(state: &Path) -> Result<Vec<i32>, String> {
    let state = state.to_owned();
    let looked = tokio::task::spawn_blocking(move || live_below(&state)).await;
    match looked {
        Ok(Ok(live)) => Ok(live),
        Ok(Err(error)) => Err(format!("list the processes: {error}")),
        Err(error) => Err(format!("list the processes: {error}")),
    }
}

/// Lists the hosts of all owners at one provider, and releases those that have not ended.
async fn ask(source: usize, provider: Arc<dyn Provider>, owners: Vec<Owner>, call: Duration) -> Asked {
    let mut asked = Asked { source, left: Vec::new(), failure: None };
    for owner in owners {
        match tokio::time::timeout(call, provider.list(&owner)).await {
            Ok(Ok(hosts)) => {
                let hosts = hosts.into_iter().filter(|host| host.state != HostState::Terminated);
                asked.left.extend(hosts.map(|host| host.id));
            }
            Ok(Err(error)) => asked.failure = Some(Unanswered::Failed(error)),
            Err(_) => asked.failure = Some(Unanswered::Late),
        }
    }
    for hosts in asked.left.chunks(RELEASES_MAX) {
        let mut released = JoinSet::new();
        for host in hosts {
            let (provider, host) = (provider.clone(), host.clone());
            drop(released.spawn(async move { tokio::time::timeout(call, provider.release(&host)).await }));
        }
        while let Some(ended) = released.join_next().await {
            match ended {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => asked.failure = Some(Unanswered::Failed(error)),
                Ok(Err(_)) => asked.failure = Some(Unanswered::Late),
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
    }
    asked
}
