//! The test suite that every provider passes, run against the real service with real hosts.
//!
//! A provider's own tests build a [`Suite`] and require every [`Verdict`] to be a pass. The suite only uses the
//! [`Provider`] trait, so it checks nothing that runs on a host. It waits for outcomes and asserts no durations.

use crate::error::{Effect, ProviderError};
use crate::provider::{
    BOOT_BYTES_MAX, BoxFuture, Host, HostState, Idempotency, Order, Owner, Provider, Tags, Token,
};
use rhizo_types::{HostId, IntentId, Lineage, OfferName};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks at the provider's list, so that a real service is not throttled.
const POLL: Duration = Duration::from_millis(20);

/// More orders than this are not sent to exhaust a scarce offer: the service may be paid for.
const SCARCE_MAX: usize = 16;

/// The provider under test, and the resources that the suite may use.
pub struct Suite<'a> {
    /// The provider under test.
    pub provider: &'a dyn Provider,
    /// An offer of which at least three hosts can be had.
    pub offer: OfferName,
    /// An offer of which few hosts can be had, or none; the capacity case is skipped without it.
    pub scarce: Option<OfferName>,
    /// An owner for this suite only: the suite releases everything it owns.
    pub owner: Owner,
    /// A boot document with which a host stays up.
    pub boot: Vec<u8>,
    /// Part of every token, unique for this run of the suite.
    pub run: String,
    /// Time within which the provider's list has to show a change.
    pub patience: Duration,
}

/// A way in which a provider breaks the contract.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The result of one case.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "an unread verdict proves nothing"]
pub struct Verdict {
    /// The case's name, a sentence.
    pub case: &'static str,
    /// How the contract was broken, if it was.
    pub outcome: Result<(), Violation>,
}

type Checked<T = ()> = Result<T, Violation>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(Violation(format!($($message)+)));
        }
    };
}

impl Suite<'_> {
    /// Runs every case, each on its own hosts, and releases them all.
    pub async fn run(&self) -> Vec<Verdict> {
        let cases: Vec<(&'static str, BoxFuture<'_, Checked>)> = vec![
            ("offers_have_unique_names_and_finite_prices", Box::pin(self.offers_are_sound())),
            ("an_acquired_host_is_what_was_ordered_and_is_listed", Box::pin(self.acquired_is_listed())),
            ("a_repeated_token_is_the_same_host", Box::pin(self.repeated_token())),
            ("a_token_sent_many_times_at_once_is_one_host", Box::pin(self.concurrent_token())),
            ("a_token_with_another_order_creates_nothing", Box::pin(self.token_of_another_order())),
            ("another_owner_sees_nothing", Box::pin(self.foreign_owner())),
            ("a_released_host_ends_and_the_list_confirms_it", Box::pin(self.released_ends())),
            ("releasing_twice_and_releasing_the_unknown_succeed", Box::pin(self.release_again())),
            ("a_token_never_creates_a_second_host_after_the_end", Box::pin(self.token_after_the_end())),
            ("an_unknown_offer_is_refused_without_effect", Box::pin(self.unknown_offer())),
            ("what_no_service_accepts_is_refused_without_effect", Box::pin(self.unacceptable_orders())),
            ("exhausted_capacity_is_told_without_effect", Box::pin(self.capacity())),
            ("purging_forgets_the_ended_hosts_only", Box::pin(self.purge_forgets_the_ended())),
        ];
        let mut verdicts = Vec::with_capacity(cases.len());
        for (case, body) in cases {
            let outcome = body.await;
            let cleared = self.clear().await;
            verdicts.push(Verdict { case, outcome: outcome.and(cleared) });
        }
        verdicts
    }

    fn order(&self, slot: &str) -> Order {
        // The intent only has to differ between slots, as a committed intent would.
        let intent = slot.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
        let Owner { app, lineage } = self.owner.clone();
        Order {
            token: Token(format!("{}-{slot}", self.run)),
            offer: self.offer.clone(),
            tags: Tags { app, lineage, intent: IntentId(intent) },
            boot: self.boot.clone(),
            // Long enough that no host of the suite halts by itself.
            join_within_ms: 3_600_000,
        }
    }

    async fn acquire(&self, order: &Order) -> Checked<Host> {
        self.provider.acquire(order).await.map_err(|error| unexpected("acquire", &error))
    }

    async fn release(&self, host: &HostId) -> Checked {
        self.provider.release(host).await.map_err(|error| unexpected("release", &error))
    }

    async fn list(&self, owner: &Owner) -> Checked<Vec<Host>> {
        self.provider.list(owner).await.map_err(|error| unexpected("list", &error))
    }

    /// Hosts of the suite's owner that are not terminated.
    async fn alive(&self) -> Checked<Vec<Host>> {
        let mut hosts = self.list(&self.owner).await?;
        hosts.retain(|host| host.state != HostState::Terminated);
        Ok(hosts)
    }

    /// Polls the list until it satisfies the condition. If it never does, the error describes the last list.
    async fn await_list(&self, what: &str, satisfied: impl Fn(&[Host]) -> bool) -> Checked<Vec<Host>> {
        let until = Instant::now() + self.patience;
        loop {
            let hosts = self.list(&self.owner).await?;
            if satisfied(&hosts) {
                return Ok(hosts);
            }
            ensure!(Instant::now() < until, "the list never showed {what}; at last {hosts:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn await_end(&self, host: &HostId) -> Checked {
        self.await_list("the end of a released host", |hosts| {
            hosts.iter().all(|listed| listed.id != *host || listed.state == HostState::Terminated)
        })
        .await
        .map(|_| ())
    }

    /// Releases every host that is left of a case and waits for its end.
    async fn clear(&self) -> Checked {
        for host in self.alive().await? {
            self.release(&host.id).await?;
            self.await_end(&host.id).await?;
        }
        Ok(())
    }

    async fn offers_are_sound(&self) -> Checked {
        let offers = self.provider.offers().await.map_err(|error| unexpected("offers", &error))?;
        let mut names = BTreeSet::new();
        for offer in &offers {
            ensure!(names.insert(&offer.name), "offer `{}` occurs twice", offer.name);
            let price = offer.price_per_hour;
            ensure!(price.is_finite() && price >= 0.0, "offer `{}` costs {price}", offer.name);
            ensure!(!offer.currency.is_empty(), "offer `{}` has no currency", offer.name);
            for (kind, amount) in &offer.capacity {
                ensure!(amount.is_finite() && *amount >= 0.0, "offer `{}` has {kind} = {amount}", offer.name);
            }
        }
        ensure!(names.contains(&self.offer), "offer `{}` is not sold", self.offer);
        Ok(())
    }

    async fn acquired_is_listed(&self) -> Checked {
        let order = self.order("listed");
        let host = self.acquire(&order).await?;
        ensure!(host.offer == order.offer, "ordered `{}`, got `{}`", order.offer, host.offer);
        ensure!(host.state != HostState::Terminated, "a new host is terminated: {:?}", host.cause);
        let hosts = self
            .await_list("an acquired host", |hosts| hosts.iter().any(|listed| listed.id == host.id))
            .await?;
        for listed in hosts.iter().filter(|listed| listed.id == host.id) {
            ensure!(listed.token == order.token, "listed with token `{}`", listed.token);
            ensure!(listed.tags == order.tags, "listed with tags {:?}", listed.tags);
            ensure!(listed.region == host.region, "listed in region `{}`", listed.region);
        }
        let twice = hosts.iter().filter(|listed| listed.id == host.id).count();
        ensure!(twice == 1, "the host is listed {twice} times");
        Ok(())
    }

    async fn repeated_token(&self) -> Checked {
        if self.provider.capabilities().idempotency == Idempotency::ListFirst {
            return Ok(());
        }
        let order = self.order("repeated");
        let first = self.acquire(&order).await?;
        let second = self.acquire(&order).await?;
        ensure!(first.id == second.id, "one token gave `{}` and `{}`", first.id, second.id);
        self.await_list("an acquired host", |hosts| hosts.iter().any(|host| host.id == first.id)).await?;
        let alive = self.alive().await?;
        ensure!(alive.len() == 1, "one token gave {} hosts", alive.len());
        Ok(())
    }

    async fn concurrent_token(&self) -> Checked {
        if self.provider.capabilities().idempotency == Idempotency::ListFirst {
            return Ok(());
        }
        let order = self.order("concurrent");
        let (a, b, c, d) = tokio::join!(
            self.acquire(&order),
            self.acquire(&order),
            self.acquire(&order),
            self.acquire(&order)
        );
        let ids: BTreeSet<HostId> = [a?.id, b?.id, c?.id, d?.id].into_iter().collect();
        ensure!(ids.len() == 1, "one token gave {ids:?}");
        self.await_list("an acquired host", |hosts| hosts.iter().any(|host| ids.contains(&host.id))).await?;
        let alive = self.alive().await?;
        ensure!(alive.len() == 1, "one token gave {} hosts", alive.len());
        Ok(())
    }

    async fn token_of_another_order(&self) -> Checked {
        if self.provider.capabilities().idempotency == Idempotency::ListFirst {
            return Ok(());
        }
        let order = self.order("other");
        let host = self.acquire(&order).await?;
        let other = Order { tags: Tags { intent: IntentId(1), ..order.tags.clone() }, ..order };
        match self.provider.acquire(&other).await {
            Err(ProviderError::Refused { .. }) => {}
            Err(error) => return Err(unexpected("acquire another order with a used token", &error)),
            Ok(adopted) => ensure!(adopted.id == host.id, "a used token gave host `{}`", adopted.id),
        }
        let alive = self.alive().await?;
        ensure!(alive.len() <= 1, "a used token gave {} hosts", alive.len());
        Ok(())
    }

    async fn foreign_owner(&self) -> Checked {
        let host = self.acquire(&self.order("owned")).await?;
        self.await_list("an acquired host", |hosts| hosts.iter().any(|listed| listed.id == host.id)).await?;
        let Owner { app, lineage } = self.owner.clone();
        let other_app = Owner { app: format!("{app}x").as_str().into(), lineage };
        let other_lineage = Owner { app, lineage: Lineage(lineage.0.wrapping_add(1)) };
        for owner in [other_app, other_lineage] {
            let hosts = self.list(&owner).await?;
            ensure!(hosts.iter().all(|listed| listed.id != host.id), "{owner:?} sees the host");
        }
        Ok(())
    }

    async fn released_ends(&self) -> Checked {
        let host = self.acquire(&self.order("released")).await?;
        let other = self.acquire(&self.order("bystander")).await?;
        self.release(&host.id).await?;
        self.await_end(&host.id).await?;
        let alive = self.alive().await?;
        ensure!(alive.iter().any(|listed| listed.id == other.id), "another host ended as well");
        Ok(())
    }

    async fn release_again(&self) -> Checked {
        self.release(&HostId::from("there-never-was-such-a-host")).await?;
        let host = self.acquire(&self.order("twice")).await?;
        self.release(&host.id).await?;
        self.release(&host.id).await?;
        self.await_end(&host.id).await?;
        self.release(&host.id).await
    }

    async fn token_after_the_end(&self) -> Checked {
        if self.provider.capabilities().idempotency == Idempotency::ListFirst {
            return Ok(());
        }
        let order = self.order("ended");
        let host = self.acquire(&order).await?;
        self.release(&host.id).await?;
        self.await_end(&host.id).await?;
        match self.provider.acquire(&order).await {
            Ok(again) => {
                ensure!(again.id == host.id, "the token of an ended host gave `{}`", again.id);
                ensure!(again.state == HostState::Terminated, "an ended host is {:?}", again.state);
            }
            Err(ProviderError::Refused { .. }) => {}
            Err(error) => return Err(unexpected("acquire with the token of an ended host", &error)),
        }
        let alive = self.alive().await?;
        ensure!(alive.is_empty(), "the token of an ended host created another one");
        Ok(())
    }

    async fn unknown_offer(&self) -> Checked {
        let offer = OfferName::from("there-never-was-such-an-offer");
        self.refused(&Order { offer, ..self.order("unknown-offer") }).await
    }

    async fn unacceptable_orders(&self) -> Checked {
        let long = Token("t".repeat(crate::provider::TOKEN_CHARS_MAX + 1));
        self.refused(&Order { token: long, ..self.order("long-token") }).await?;
        self.refused(&Order { token: Token(String::new()), ..self.order("no-token") }).await?;
        self.refused(&Order { boot: vec![b'#'; BOOT_BYTES_MAX + 1], ..self.order("long-boot") }).await
    }

    async fn refused(&self, order: &Order) -> Checked {
        match self.provider.acquire(order).await {
            Err(error @ ProviderError::Refused { .. }) => {
                ensure!(error.effect() == Effect::None, "a refusal had an effect");
            }
            Err(error) => return Err(unexpected("acquire what cannot be had", &error)),
            Ok(host) => return Err(Violation(format!("got host `{}` for an impossible order", host.id))),
        }
        let alive = self.alive().await?;
        ensure!(alive.is_empty(), "a refused order created a host");
        Ok(())
    }

    async fn capacity(&self) -> Checked {
        let Some(scarce) = &self.scarce else { return Ok(()) };
        let mut acquired = BTreeSet::new();
        for number in 0..SCARCE_MAX {
            let order = Order { offer: scarce.clone(), ..self.order(&format!("scarce{number}")) };
            match self.provider.acquire(&order).await {
                Ok(host) => acquired.insert(host.id),
                Err(error @ ProviderError::NoCapacity { .. }) => {
                    ensure!(error.effect() == Effect::None, "a lack of capacity had an effect");
                    let hosts = self
                        .await_list("the acquired hosts", |hosts| {
                            acquired.iter().all(|id| hosts.iter().any(|host| host.id == *id))
                        })
                        .await?;
                    let alive = hosts.iter().filter(|host| host.state != HostState::Terminated).count();
                    ensure!(alive == acquired.len(), "{} hosts acquired, {alive} exist", acquired.len());
                    return Ok(());
                }
                Err(error) => return Err(unexpected("acquire a scarce offer", &error)),
            };
        }
        Err(Violation(format!("offer `{scarce}` is not scarce")))
    }

    async fn purge_forgets_the_ended(&self) -> Checked {
        let ended = self.acquire(&self.order("forgotten")).await?;
        let alive = self.acquire(&self.order("remembered")).await?;
        self.release(&ended.id).await?;
        self.await_end(&ended.id).await?;
        self.provider.purge(&self.owner).await.map_err(|error| unexpected("purge", &error))?;
        let hosts = self.list(&self.owner).await?;
        let shown = |id: &HostId| hosts.iter().find(|host| host.id == *id);
        ensure!(
            shown(&alive.id).is_some_and(|host| host.state != HostState::Terminated),
            "a living host was purged"
        );
        // Real services drop ended hosts in their own time, so the ended host may still be shown.
        ensure!(
            shown(&ended.id).is_none_or(|host| host.state == HostState::Terminated),
            "an ended host came back"
        );
        Ok(())
    }
}

fn unexpected(operation: &str, error: &ProviderError) -> Violation {
    let mut text = format!("{operation} failed to {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Violation(text)
}
