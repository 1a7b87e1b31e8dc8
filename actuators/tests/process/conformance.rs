//! The conformance suite: the process provider passes it, and providers with deliberate faults fail it.

use crate::world::{World, lineage};
use rhizo_actuators::conformance::{Suite, Verdict};
use rhizo_actuators::process::ProcessProvider;
use rhizo_actuators::process::faults::{OfferFaults, ProviderFaults};
use rhizo_actuators::{
    BoxFuture, Capabilities, Effect, Host, HostState, Offer, Order, Owner, Provider, ProviderError, Token,
};
use rhizo_types::{HostId, ProviderName};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const OFFERS: &str = "name,region,price_per_hour,available\nplenty,r,0.1,8\nscarce,r,0.1,2\n";

fn world() -> World {
    World::with_files(json!({ "offers": "offers.csv" }), &[("offers.csv", OFFERS)])
}

async fn verdicts(provider: &dyn Provider, patience: Duration) -> Vec<Verdict> {
    let suite = Suite {
        provider,
        offer: "plenty".into(),
        scarce: Some("scarce".into()),
        owner: lineage(1),
        boot: b"join".to_vec(),
        run: "run".into(),
        patience,
    };
    suite.run().await
}

#[tokio::test]
async fn the_process_provider_passes() {
    let world = world();
    let failed: Vec<Verdict> = verdicts(&world.provider, Duration::from_secs(60))
        .await
        .into_iter()
        .filter(|verdict| verdict.outcome.is_err())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    world.close().await;
}

#[tokio::test]
async fn a_provider_that_ignores_tokens_fails() {
    let world = world();
    let duplicate = OfferFaults { duplicate: true, ..Default::default() };
    world.set_faults(ProviderFaults { every_offer: duplicate, ..Default::default() });
    assert_fails(&world.provider, &["a_repeated_token_is_the_same_host"]).await;
    world.close().await;
}

#[tokio::test]
async fn a_provider_that_loses_releases_fails() {
    let world = world();
    world.set_faults(ProviderFaults { release_lost: true, ..Default::default() });
    assert_fails(&world.provider, &["a_released_host_ends_and_the_list_confirms_it"]).await;
    world.close().await;
}

/// Runs the suite with a short time limit and requires these cases to be among the failed ones.
async fn assert_fails(provider: &dyn Provider, expected: &[&str]) {
    let failed: BTreeSet<&str> = verdicts(provider, Duration::from_secs(2))
        .await
        .into_iter()
        .filter(|verdict| verdict.outcome.is_err())
        .map(|verdict| verdict.case)
        .collect();
    for case in expected {
        assert!(failed.contains(case), "`{case}` passed; failed were {failed:?}");
    }
}

/// One way to break the contract, around a provider that keeps it.
#[derive(Clone, Copy, PartialEq)]
enum Breach {
    ShowsOthersHosts,
    ForgetsTags,
    RefusesUnknownRelease,
    RevivesTokens,
    CreatesBeforeRefusing,
    HidesTheEnd,
    SellsTwice,
    PurgesAll,
}

struct Broken<'a> {
    inner: &'a ProcessProvider,
    breach: Breach,
    calls: AtomicU64,
}

impl Broken<'_> {
    fn is(&self, breach: Breach) -> bool {
        self.breach == breach
    }
}

impl Provider for Broken<'_> {
    fn name(&self) -> &ProviderName {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn offers(&self) -> BoxFuture<'_, Result<Vec<Offer>, ProviderError>> {
        Box::pin(async {
            let mut offers = self.inner.offers().await?;
            if self.is(Breach::SellsTwice) {
                offers.push(offers[0].clone());
            }
            Ok(offers)
        })
    }

    fn acquire<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Host, ProviderError>> {
        Box::pin(async move {
            if self.is(Breach::CreatesBeforeRefusing) && order.offer.as_str() != "scarce" {
                let possible = Order { offer: "plenty".into(), boot: b"join".to_vec(), ..order.clone() };
                let _ = self.inner.acquire(&possible).await;
            }
            let answer = self.inner.acquire(order).await?;
            if self.is(Breach::RevivesTokens) && answer.state == HostState::Terminated {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                let fresh = Order { token: Token(format!("fresh{call}")), ..order.clone() };
                return self.inner.acquire(&fresh).await;
            }
            Ok(answer)
        })
    }

    fn release<'a>(&'a self, host: &'a HostId) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            if self.is(Breach::RefusesUnknownRelease) && host.as_str().starts_with("there") {
                let reason = "no such host".to_owned();
                return Err(ProviderError::Refused { operation: "release a host", reason });
            }
            self.inner.release(host).await
        })
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Host>, ProviderError>> {
        Box::pin(async move {
            let owner = if self.is(Breach::ShowsOthersHosts) { lineage(1) } else { owner.clone() };
            let mut hosts = self.inner.list(&owner).await?;
            for host in &mut hosts {
                if self.is(Breach::ForgetsTags) {
                    host.token = Token("forgotten".into());
                }
                if self.is(Breach::HidesTheEnd) {
                    host.state = HostState::Running;
                }
            }
            Ok(hosts)
        })
    }

    fn purge<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<usize, ProviderError>> {
        Box::pin(async move {
            if self.is(Breach::PurgesAll) {
                for host in self.inner.list(owner).await? {
                    self.inner.release(&host.id).await?;
                    while self
                        .inner
                        .list(owner)
                        .await?
                        .iter()
                        .any(|other| other.id == host.id && other.state != HostState::Terminated)
                    {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            self.inner.purge(owner).await
        })
    }
}

#[tokio::test]
async fn every_breach_of_the_contract_is_found_by_its_case() {
    for (breach, case) in [
        (Breach::ShowsOthersHosts, "another_owner_sees_nothing"),
        (Breach::ForgetsTags, "an_acquired_host_is_what_was_ordered_and_is_listed"),
        (Breach::RefusesUnknownRelease, "releasing_twice_and_releasing_the_unknown_succeed"),
        (Breach::RevivesTokens, "a_token_never_creates_a_second_host_after_the_end"),
        (Breach::CreatesBeforeRefusing, "an_unknown_offer_is_refused_without_effect"),
        (Breach::HidesTheEnd, "a_released_host_ends_and_the_list_confirms_it"),
        (Breach::SellsTwice, "offers_have_unique_names_and_finite_prices"),
        (Breach::PurgesAll, "purging_forgets_the_ended_hosts_only"),
    ] {
        let world = world();
        let broken = Broken { inner: &world.provider, breach, calls: AtomicU64::new(0) };
        assert_fails(&broken, &[case]).await;
        world.close().await;
    }
}

#[test]
fn only_errors_that_cannot_have_had_an_effect_close_an_intent() {
    let refused = ProviderError::Refused { operation: "x", reason: String::new() };
    let unknown = ProviderError::UnknownOutcome { operation: "x", reason: String::new() };
    assert_eq!((refused.effect(), refused.is_transient()), (Effect::None, false));
    assert_eq!((unknown.effect(), unknown.is_transient()), (Effect::Possible, true));
}
