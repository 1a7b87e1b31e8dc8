//! Intents and the provider calls that carry them out: acquire, release, and the meaning of their results.
//!
//! A call is made only for a committed intent. A clear answer becomes a committed outcome. An unclear answer makes
//! the intent *unknown*, and only the provider's list (`listing`) can then close it. A release is confirmed by the
//! list as well. A succeeding coordinator needs none of this state: it repeats the calls with the same tokens.

use super::leaving::needed_intents;
use super::listing::Lists;
use super::pace::OrderPace;
use super::watch::Watch;
use super::{Coordinator, View};
use crate::event::{AcquireResult, ListError, ListedHost};
use crate::notice::Notice;
use crate::out::{Out, earlier};
use crate::request::Cooling;
use crate::sabotage::{self, Sabotage};
use crate::secret;
use crate::turn::{AcquireCall, Effect};
use rhizo_types::Time;
use rhizo_types::id::{IntentId, OfferName, ProviderName};
use rhizo_types::intent::{AbsentReason, Intent, IntentState, Outcome, ReleaseReason};
use rhizo_types::ledger::Command;
use rhizo_types::wire::Boot;
use std::collections::{BTreeMap, BTreeSet};

/// The most provider calls at a time: providers limit the rate of calls, and each call holds a connection.
const CALLS_MAX: usize = 64;
/// Pause before the next try of a call that was not made.
const NOT_ISSUED_MS: u64 = 500;
/// Time for which an offer without capacity is not ordered again.
const COOLING_MS: u64 = 60_000;
/// Time for which an offer that the provider refused is not ordered again.
const REFUSED_MS: u64 = 600_000;
/// Time after an accepted release at which the release is repeated if the host is still listed.
const RELEASE_AGAIN_MS: u64 = 10_000;
/// Most characters that are kept of a provider's reason: enough for a sentence.
const REASON_CHARS_MAX: usize = 200;
/// The most outcomes in one entry.
const BATCH_MAX: usize = 64;

/// The provider calls of the coordinator, and their results that are not committed yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Hosts {
    pub(super) watches: BTreeMap<IntentId, Watch>,
    pub(super) lists: Lists,
    /// Outcomes to commit.
    pub(super) outcomes: BTreeMap<IntentId, Outcome>,
    /// Offers that failed, and how long each is not ordered again.
    cooling: BTreeMap<(ProviderName, OfferName), Cooldown>,
    /// How long new orders wait after orders that gave no host.
    pub(super) pace: OrderPace,
}

/// The pause of an offer after a failed order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Cooldown {
    until: Time,
    /// The answer of the provider.
    reason: String,
}

impl Hosts {
    /// Returns the offers that are not ordered at present, because they failed lately.
    pub(super) fn cooling(&self, now: Time) -> BTreeMap<(ProviderName, OfferName), Cooling> {
        let cooling = self.cooling.iter().filter(|(_, cooldown)| cooldown.until > now);
        let view = |cooldown: &Cooldown| Cooling {
            left_ms: cooldown.until.ms_since(now),
            reason: cooldown.reason.clone(),
        };
        cooling.map(|(offer, cooldown)| (offer.clone(), view(cooldown))).collect()
    }

    /// When the first offer can be ordered again; none when no offer cools down.
    pub(super) fn cooling_ends(&self, now: Time) -> Option<Time> {
        self.cooling.values().map(|cooldown| cooldown.until).filter(|until| *until > now).min()
    }

    /// Keeps an offer from being ordered for a while.
    pub(super) fn cool(&mut self, offer: (ProviderName, OfferName), until: Time, reason: &str) {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        self.cooling.insert(offer, Cooldown { until, reason });
    }

    /// Returns the intents whose outcome has been unknown for so long that the plan no longer waits for their hosts.
    pub(super) fn stuck(&self, view: View<'_>) -> BTreeSet<IntentId> {
        let visible_ms = view.ledger.timers().visible_ms;
        let unknown = self.watches.iter().filter(|(_, watch)| {
            watch.state == IntentState::Unknown && view.now.ms_since(watch.since) >= visible_ms
        });
        unknown.map(|(id, _)| *id).collect()
    }

    pub(super) fn advance(&mut self, began: Time, view: View<'_>, out: &mut Out) {
        self.watch(began, view);
        self.cooling.retain(|_, cooldown| cooldown.until > view.now);
        self.pace.follow(view);
        let orders_wait = self.pace.waits_until(view.now).is_some();
        let needed = needed_intents(view.ledger);
        let mut calls = self.watches.values().filter(|watch| watch.calling).count();
        for intent in view.ledger.intents.values() {
            let Some(watch) = self.watches.get_mut(&intent.id) else { continue };
            let waits =
                watch.calling || view.now < watch.not_before || self.outcomes.contains_key(&intent.id);
            if waits || calls >= CALLS_MAX {
                continue;
            }
            let called = match intent.state {
                // A call that is repeated has the token of the first one, and orders nothing more.
                IntentState::Open if orders_wait && !watch.issued => false,
                IntentState::Open if needed.contains(&intent.id) => acquire(intent, watch, view, out),
                IntentState::Releasing => release(intent, watch, out),
                IntentState::Bound if sabotage::is(Sabotage::ReleasesOnSuspicion) => {
                    let suspects = view.observer.suspects();
                    intent.node.is_some_and(|node| suspects.contains(&node)) && release(intent, watch, out)
                }
                _ => false,
            };
            if called {
                watch.calling = true;
                calls += 1;
            }
        }
        self.lists.advance(&self.watches, &needed, view, out);
    }

    /// Creates a watch for each open intent of the ledger, and drops those of closed ones.
    fn watch(&mut self, began: Time, view: View<'_>) {
        let ledger = view.ledger;
        let is_open = |id: &IntentId| ledger.intents.get(id).is_some_and(Intent::is_open);
        self.watches.retain(|id, _| is_open(id));
        self.outcomes
            .retain(|id, outcome| ledger.intents.get(id).is_some_and(|intent| is_next(intent, outcome)));
        for intent in ledger.intents.values().filter(|intent| intent.is_open()) {
            let own = view.now > began && ledger.term == view.log.term;
            let watch = self.watches.entry(intent.id).or_insert_with(|| Watch {
                own: own && intent.state == IntentState::Open,
                call_ended: began,
                ..Watch::new(intent.state, view.now)
            });
            if watch.state != intent.state {
                watch.state = intent.state;
                watch.since = view.now;
                watch.not_before = Time::ZERO;
                watch.tries = 0;
            }
        }
    }

    pub(super) fn acquired(&mut self, id: IntentId, result: AcquireResult, view: View<'_>, out: &mut Out) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.calling = false;
        watch.call_ended = view.now;
        let Some(intent) = view.ledger.intents.get(&id) else { return };
        let offer = (intent.order.provider.clone(), intent.order.offer.clone());
        let told = |reason: &String| Notice::AcquireFailed { intent: id, reason: reason.clone() };
        let outcome = match &result {
            AcquireResult::Bound(host) => Some(Outcome::Bound(host.clone())),
            AcquireResult::NotIssued => {
                watch.not_before = view.now.after_ms(NOT_ISSUED_MS);
                None
            }
            AcquireResult::Throttled { retry_after_ms } => {
                watch.not_before = view.now.after_ms((*retry_after_ms).max(NOT_ISSUED_MS));
                None
            }
            AcquireResult::Refused(reason) => {
                out.notice(told(reason));
                self.cool(offer, view.now.after_ms(REFUSED_MS), reason);
                Some(Outcome::Absent(AbsentReason::Refused))
            }
            AcquireResult::NoCapacity(reason) => {
                out.notice(told(reason));
                self.cool(offer, view.now.after_ms(COOLING_MS), reason);
                Some(Outcome::Absent(AbsentReason::NoCapacity))
            }
            AcquireResult::Local(reason) => {
                out.notice(told(reason));
                self.pace.failed(view.now);
                Some(Outcome::Absent(AbsentReason::NotCalled))
            }
            AcquireResult::Unknown(reason) => {
                out.notice(told(reason));
                self.lists.look_now(&intent.order.provider, view.now);
                Some(Outcome::Unknown)
            }
        };
        // An unknown intent may have a host from an earlier call, so the refusal of a later call does not close it.
        let trusted = intent.state == IntentState::Open || matches!(outcome, Some(Outcome::Bound(_)));
        if let Some(outcome) = outcome
            && trusted
        {
            self.outcomes.insert(id, outcome);
        }
    }

    pub(super) fn released(&mut self, id: IntentId, accepted: bool, now: Time) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.calling = false;
        watch.call_ended = now;
        watch.tries += 1;
        if accepted {
            watch.release_accepted = Some(now);
            watch.not_before = now.after_ms(RELEASE_AGAIN_MS);
        } else {
            // Doubles up to 32 s, because a provider may be unavailable for long.
            watch.not_before = now.after_ms(NOT_ISSUED_MS << watch.tries.min(6));
        }
    }

    pub(super) fn listed(
        &mut self,
        provider: &ProviderName,
        result: Result<Vec<ListedHost>, ListError>,
        view: View<'_>,
        out: &mut Out,
    ) {
        let Some((hosts, started)) = self.lists.arrived(provider, result, view.now, out) else { return };
        let needed = needed_intents(view.ledger);
        for (id, outcome) in super::listing::outcomes(provider, &hosts, started, &needed, &self.watches, view)
        {
            self.outcomes.insert(id, outcome);
        }
        self.lists.find_unexplained(provider, &hosts, view);
    }

    /// Returns the outcomes and the reclaim that are to be committed next.
    pub(super) fn commands(&mut self, view: View<'_>, out: &mut Out) -> Vec<Command> {
        self.close_unneeded(view);
        let mut commands: Vec<Command> = Vec::new();
        for (id, outcome) in self.outcomes.iter().take(BATCH_MAX) {
            commands.push(Command::Outcome { intent: *id, outcome: outcome.clone() });
        }
        if commands.len() < BATCH_MAX {
            commands.extend(self.lists.take_reclaim(view, out));
        }
        commands
    }

    /// Sets the outcome of intents that no plan needs, as far as that is possible without a provider's list.
    fn close_unneeded(&mut self, view: View<'_>) {
        let needed = needed_intents(view.ledger);
        let timers = view.ledger.timers();
        for intent in view.ledger.intents.values() {
            let Some(watch) = self.watches.get(&intent.id) else { continue };
            if intent.node.is_some() || watch.calling || self.outcomes.contains_key(&intent.id) {
                continue;
            }
            let unneeded = !needed.contains(&intent.id);
            let outcome = match intent.state {
                // No other coordinator can have made the call for this intent, and this one has not.
                IntentState::Open if unneeded && watch.own && !watch.issued => {
                    Outcome::Absent(AbsentReason::Cancelled)
                }
                IntentState::Bound if view.ledger.taking_down => Outcome::Releasing(ReleaseReason::TakeDown),
                IntentState::Bound if unneeded => Outcome::Releasing(ReleaseReason::Unneeded),
                IntentState::Bound if view.now.ms_since(watch.since) >= timers.join_ms_max => {
                    self.pace.failed(view.now);
                    Outcome::Releasing(ReleaseReason::NeverJoined)
                }
                _ => continue,
            };
            self.outcomes.insert(intent.id, outcome);
        }
    }

    pub(super) fn deadline(&self, view: View<'_>) -> Option<Time> {
        let timers = view.ledger.timers();
        let mut deadline = earlier(self.lists.deadline(), self.pace.waits_until(view.now));
        for watch in self.watches.values().filter(|watch| !watch.calling) {
            let own = match watch.state {
                IntentState::Open | IntentState::Releasing => Some(watch.not_before),
                IntentState::Unknown => Some(watch.since.after_ms(timers.visible_ms)),
                IntentState::Bound => Some(watch.since.after_ms(timers.join_ms_max)),
                IntentState::Absent | IntentState::Released => None,
            };
            deadline = earlier(deadline, own.filter(|at| *at > view.now));
        }
        deadline
    }
}

/// Returns true if the ledger accepts the outcome in the intent's state.
fn is_next(intent: &Intent, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Bound(_) => match intent.state {
            IntentState::Open | IntentState::Unknown => true,
            IntentState::Releasing => intent.host.is_none(),
            _ => false,
        },
        Outcome::Unknown => intent.state == IntentState::Open,
        Outcome::Absent(_) => {
            matches!(intent.state, IntentState::Open | IntentState::Unknown) && intent.node.is_none()
        }
        Outcome::Releasing(_) => intent.state == IntentState::Bound && intent.node.is_none(),
        Outcome::Released => intent.state == IntentState::Releasing,
    }
}

/// Orders a host for an intent that is not committed. A seeded fault for tests.
pub(super) fn order_early(
    order: &rhizo_types::intent::AcquireOrder,
    id: IntentId,
    view: View<'_>,
    out: &mut Out,
) {
    let (order, state) = (order.clone(), IntentState::Open);
    let mut watch = Watch::new(state, view.now);
    acquire(&Intent { id, order, state, host: None, node: None }, &mut watch, view, out);
}

fn acquire(intent: &Intent, watch: &mut Watch, view: View<'_>, out: &mut Out) -> bool {
    let ledger = view.ledger;
    let (Some(genesis), Some(secret)) = (&ledger.genesis, secret::ticket_secret(ledger, intent.id)) else {
        return false;
    };
    if !watch.issued {
        let order = &intent.order;
        let (provider, offer, region) = (order.provider.clone(), order.offer.clone(), order.region.clone());
        out.notice(Notice::AcquireBegan { intent: intent.id, provider, offer, region });
    }
    watch.issued = true;
    let votes = |node| ledger.voters.contains(node);
    let voters = ledger.members.iter().filter(|(node, _)| votes(node) || **node == view.me);
    let boot = Boot {
        app: genesis.app.0.clone(),
        lineage: genesis.lineage,
        ticket: intent.id,
        secret,
        members: voters.map(|(node, member)| (*node, member.record.clone())).collect(),
    };
    let mut token = secret::token(genesis.app.as_str(), genesis.lineage, intent);
    if sabotage::is(Sabotage::ChangesToken) {
        token.push_str(&format!("-{}", view.now.0));
    }
    let call = AcquireCall { intent: intent.id, order: intent.order.clone(), token, boot };
    out.effect(Effect::Acquire(Box::new(call)));
    true
}

fn release(intent: &Intent, watch: &mut Watch, out: &mut Out) -> bool {
    // The host's identifier is not known yet and has to be found in the provider's list first.
    let Some(host) = &intent.host else { return false };
    watch.release_accepted = None;
    let (provider, host) = (intent.order.provider.clone(), host.host.clone());
    out.effect(Effect::Release { intent: intent.id, provider, host });
    true
}

impl Coordinator {
    /// Returns the reason why orders wait; none while they may be made.
    pub(crate) fn order_problem(&self, now: Time) -> Option<String> {
        self.hosts.pace.problem(now)
    }

    /// Returns the providers whose API does not answer.
    pub(crate) fn failing_providers(&self) -> BTreeSet<ProviderName> {
        self.hosts.lists.failing()
    }
}
