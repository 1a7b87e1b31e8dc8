//! Conclusions from providers' lists: a host exists, is gone, or is not explained by any intent.
//!
//! A list proves only what happened before it was asked for. A missing host does not exist only if new hosts had
//! `visible_ms` to appear in the list. A host that no intent explains is reclaimed when it is older than
//! `reclaim_after_ms`: its intent was closed before the host became visible.

use super::View;
use super::watch::Watch;
use crate::event::{ListError, ListedHost};
use crate::notice::Notice;
use crate::out::{Out, earlier};
use crate::sabotage::{self, Sabotage};
use crate::turn::Effect;
use rhizo_types::Time;
use rhizo_types::id::{HostId, IntentId, ProviderName};
use rhizo_types::intent::{AbsentReason, Intent, IntentState, Outcome, ReleaseReason};
use rhizo_types::ledger::Command;
use std::collections::{BTreeMap, BTreeSet};

/// The first repetition of a list that an intent waits for; doubles up to [`EAGER_MS_MAX`].
const EAGER_MS: u64 = 250;
/// The slowest repetition of a list that an intent waits for.
const EAGER_MS_MAX: u64 = 5_000;
/// The slowest repetition of a list that fails.
const FAILED_MS_MAX: u64 = 60_000;
/// After this many failures in a row the provider counts as down.
const FAILING: u32 = 2;
/// The most unexplained hosts that are remembered; the next list finds the others again.
const UNEXPLAINED_MAX: usize = 256;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Lists {
    providers: BTreeMap<ProviderName, List>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct List {
    /// When the outstanding call was made.
    asked: Option<Time>,
    next_at: Time,
    /// Number of lists in a row that an intent waited for and that did not resolve it.
    eager: u32,
    /// Failures in a row.
    failures: u32,
    /// Hosts that no intent explains, and when they were first seen.
    unexplained: BTreeMap<HostId, (Time, ListedHost)>,
}

impl Lists {
    /// The providers that count as down.
    pub(super) fn failing(&self) -> BTreeSet<ProviderName> {
        let failing = self.providers.iter().filter(|(_, list)| list.failures >= FAILING);
        failing.map(|(provider, _)| provider.clone()).collect()
    }

    pub(super) fn look_now(&mut self, provider: &ProviderName, now: Time) {
        if let Some(list) = self.providers.get_mut(provider) {
            list.next_at = list.next_at.min(now);
        }
    }

    pub(super) fn advance(
        &mut self,
        watches: &BTreeMap<IntentId, Watch>,
        needed: &BTreeSet<IntentId>,
        view: View<'_>,
        out: &mut Out,
    ) {
        let ledger = view.ledger;
        let configured = ledger.spec().into_iter().flat_map(|spec| spec.providers.keys());
        let open = ledger.intents.values().filter(|intent| intent.is_open());
        let providers: BTreeSet<ProviderName> =
            configured.chain(open.map(|intent| &intent.order.provider)).cloned().collect();
        self.providers.retain(|provider, _| providers.contains(provider));
        for provider in providers {
            let waits = is_awaited(&provider, watches, needed, view);
            let list = self.providers.entry(provider.clone()).or_default();
            if !waits {
                list.eager = 0;
            } else if list.eager == 0 && list.failures == 0 {
                list.eager = 1;
                list.next_at = list.next_at.min(view.now.after_ms(EAGER_MS));
            }
            if list.asked.is_none() && view.now >= list.next_at {
                list.asked = Some(view.now);
                out.effect(Effect::List { provider });
            }
        }
    }

    /// Takes in a result; returns the hosts and when the list was asked for, if there is a list.
    pub(super) fn arrived(
        &mut self,
        provider: &ProviderName,
        result: Result<Vec<ListedHost>, ListError>,
        now: Time,
        out: &mut Out,
    ) -> Option<(Vec<ListedHost>, Time)> {
        let list = self.providers.get_mut(provider)?;
        let asked = list.asked.take()?;
        match result {
            Ok(hosts) => {
                list.failures = 0;
                let eager_ms = (EAGER_MS << list.eager.min(5)).min(EAGER_MS_MAX);
                // `find_unexplained` sets the interval of a list that no intent waits for.
                list.next_at = if list.eager > 0 { now.after_ms(eager_ms) } else { now };
                list.eager = if list.eager > 0 { list.eager + 1 } else { 0 };
                Some((hosts, asked))
            }
            Err(ListError::NotIssued) => {
                list.next_at = now.after_ms(EAGER_MS);
                None
            }
            Err(ListError::Throttled { retry_after_ms }) => {
                list.next_at = now.after_ms(retry_after_ms.max(EAGER_MS));
                None
            }
            Err(ListError::Unavailable(reason)) => {
                list.failures += 1;
                list.next_at = now.after_ms((500_u64 << list.failures.min(7)).min(FAILED_MS_MAX));
                if list.failures == FAILING {
                    out.notice(Notice::ProviderFailed { provider: provider.clone(), reason });
                }
                None
            }
        }
    }

    /// Remembers the hosts that no intent explains, and sets the interval of a list that no intent waits for.
    pub(super) fn find_unexplained(&mut self, provider: &ProviderName, hosts: &[ListedHost], view: View<'_>) {
        let Some(list) = self.providers.get_mut(provider) else { return };
        if list.eager == 0 {
            list.next_at = view.now.after_ms(view.ledger.timers().list_every_ms);
        }
        let unexplained = hosts.iter().filter(|host| !host.terminated && !is_explained(provider, host, view));
        let unexplained = unexplained.take(UNEXPLAINED_MAX).map(|host| {
            let first = list.unexplained.get(host.id()).map_or(view.now, |(first, _)| *first);
            (host.id().clone(), (first, host.clone()))
        });
        list.unexplained = unexplained.collect();
    }

    /// Takes out a reclaim that is due.
    pub(super) fn take_reclaim(&mut self, view: View<'_>, out: &mut Out) -> Option<Command> {
        for (provider, list) in &mut self.providers {
            let due = list.unexplained.iter().find(|(_, (first, host))| {
                // While everything is taken down, the wait is shorter: no new intent can explain the host.
                let wait_ms = wait_ms(view);
                let age_ms = host.age_ms.unwrap_or(0).max(view.now.ms_since(*first));
                age_ms >= wait_ms && !is_explained(provider, host, view)
            });
            let Some(host) = due.map(|(host, _)| host.clone()) else { continue };
            let Some((_, listed)) = list.unexplained.remove(&host) else { continue };
            out.notice(Notice::HostUnexplained { provider: provider.clone(), host: host.clone() });
            let order = Box::new(listed.order);
            return Some(Command::Reclaim { provider: provider.clone(), host, order });
        }
        None
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let waiting = self.providers.values().filter(|list| list.asked.is_none());
        waiting.map(|list| Some(list.next_at)).fold(None, earlier)
    }
}

fn wait_ms(view: View<'_>) -> u64 {
    let timers = view.ledger.timers();
    if view.ledger.taking_down { timers.visible_ms } else { timers.reclaim_after_ms }
}

/// Whether an intent of this provider waits for a list.
fn is_awaited(
    provider: &ProviderName,
    watches: &BTreeMap<IntentId, Watch>,
    needed: &BTreeSet<IntentId>,
    view: View<'_>,
) -> bool {
    let mut open = view.ledger.intents.values().filter(|intent| intent.order.provider == *provider);
    open.any(|intent| match intent.state {
        IntentState::Unknown => true,
        IntentState::Open => !needed.contains(&intent.id),
        // A list shows nothing new before the provider has accepted the release.
        IntentState::Releasing => {
            let accepted = watches.get(&intent.id).is_some_and(|watch| watch.release_accepted.is_some());
            accepted || intent.host.is_none()
        }
        IntentState::Bound | IntentState::Absent | IntentState::Released => false,
    })
}

fn is_explained(provider: &ProviderName, listed: &ListedHost, view: View<'_>) -> bool {
    if view.ledger.intent_of_host(provider, listed.id()).is_some() {
        return true;
    }
    let Some(id) = listed.intent else { return false };
    // A number that this ledger has not issued belongs to a newer state of the ledger: the host is not judged yet.
    if id.0 > view.ledger.intents_issued {
        return true;
    }
    let intent = view.ledger.intents.get(&id);
    // An intent with another host explains only that one: this host is a duplicate.
    intent.is_some_and(|intent| intent.is_open() && intent.host.is_none())
}

/// Returns the outcomes of a provider's open intents that a list proves which was asked for at `started`.
pub(super) fn outcomes(
    provider: &ProviderName,
    hosts: &[ListedHost],
    started: Time,
    needed: &BTreeSet<IntentId>,
    watches: &BTreeMap<IntentId, Watch>,
    view: View<'_>,
) -> Vec<(IntentId, Outcome)> {
    let visible_ms = view.ledger.timers().visible_ms;
    let open = view.ledger.intents.values().filter(|intent| intent.is_open());
    let mut outcomes = Vec::new();
    for intent in open.filter(|intent| intent.order.provider == *provider) {
        let Some(watch) = watches.get(&intent.id) else { continue };
        if watch.calling {
            continue;
        }
        let listed = find(intent, hosts);
        let alive = listed.is_some_and(|host| !host.terminated);
        let old_enough = |since: Time| started >= since.after_ms(visible_ms);
        let outcome = match intent.state {
            IntentState::Open | IntentState::Unknown => {
                let wanted = intent.state == IntentState::Unknown || !needed.contains(&intent.id);
                match listed {
                    Some(host) => Some(Outcome::Bound(host.host.clone())),
                    None if wanted
                        && intent.node.is_none()
                        && old_enough(watch.call_ended.max(watch.since)) =>
                    {
                        Some(Outcome::Absent(AbsentReason::NotListed))
                    }
                    None => None,
                }
            }
            IntentState::Bound if intent.node.is_none() && !alive => {
                let ended = listed.is_some() || old_enough(watch.since);
                ended.then_some(Outcome::Releasing(ReleaseReason::Ended))
            }
            IntentState::Releasing => releasing(intent, watch, listed, started, visible_ms),
            IntentState::Bound | IntentState::Absent | IntentState::Released => None,
        };
        outcomes.extend(outcome.map(|outcome| (intent.id, outcome)));
    }
    outcomes
}

fn releasing(
    intent: &Intent,
    watch: &Watch,
    listed: Option<&ListedHost>,
    started: Time,
    visible_ms: u64,
) -> Option<Outcome> {
    match (listed, &intent.host) {
        (Some(host), None) => Some(Outcome::Bound(host.host.clone())),
        (Some(host), Some(_)) => host.terminated.then_some(Outcome::Released),
        (None, None) => (started >= watch.since.after_ms(visible_ms)).then_some(Outcome::Released),
        (None, Some(_)) => {
            let confirmed = watch.release_accepted.is_some_and(|accepted| started >= accepted);
            confirmed.then_some(Outcome::Released)
        }
    }
}

/// The listed host of an intent: the one with its identifier if that is known, else the oldest with its tag.
fn find<'a>(intent: &Intent, hosts: &'a [ListedHost]) -> Option<&'a ListedHost> {
    if let Some(bound) = &intent.host {
        return hosts.iter().find(|host| host.id() == &bound.host);
    }
    let tagged =
        hosts.iter().filter(|host| host.intent == Some(intent.id) || sabotage::is(Sabotage::AdoptsAnyHost));
    // Running hosts come before ended ones and older before younger ones, so that each list yields the same choice.
    tagged.min_by_key(|host| (host.terminated, std::cmp::Reverse(host.age_ms), host.id().clone()))
}
