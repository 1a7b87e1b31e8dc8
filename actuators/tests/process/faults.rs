//! Every misbehaviour switch has its effect, and loses it when it is turned off.

use crate::world::{World, text};
use rhizo_actuators::process::faults::{OfferFaults, ProviderFaults};
use rhizo_actuators::{Effect, HostState, Provider, ProviderError};
use serde_json::json;
use std::fs;
use std::time::Duration;

/// Long enough that nothing of it passes during a test.
const LONG_MS: u64 = 3_600_000;

fn orders(every_offer: OfferFaults) -> ProviderFaults {
    ProviderFaults { every_offer, ..ProviderFaults::default() }
}

#[tokio::test]
async fn a_dead_api_fails_every_call_and_nothing_happens() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    world.set_faults(ProviderFaults { api_down: true, ..Default::default() });
    let order = world.order("t2", "join");
    for error in [
        world.provider.offers().await.unwrap_err(),
        world.provider.latencies().await.unwrap_err(),
        world.provider.acquire(&order).await.unwrap_err(),
        world.provider.release(&host.id).await.unwrap_err(),
        world.provider.list(&world.owner).await.unwrap_err(),
        world.provider.purge(&world.owner).await.unwrap_err(),
    ] {
        assert!(matches!(error, ProviderError::Unavailable { .. }), "{}", text(&error));
        assert_eq!(error.effect(), Effect::Possible);
    }
    world.set_faults(ProviderFaults::default());
    assert_eq!(world.provider.list(&world.owner).await.unwrap().len(), 1);
    world.close().await;
}

#[tokio::test]
async fn throttling_tells_how_long_to_wait() {
    let world = World::new(json!({}));
    world.set_faults(ProviderFaults { throttle_ms: Some(1_500), ..Default::default() });
    let error = world.provider.acquire(&world.order("t1", "join")).await.unwrap_err();
    assert!(matches!(error, ProviderError::Throttled { retry_after_ms: 1_500, .. }), "{}", text(&error));
    assert_eq!(error.effect(), Effect::None);
    world.close().await;
}

#[tokio::test]
async fn an_offer_without_capacity_does_not_spoil_the_others() {
    let world = World::new(json!({}));
    let none = OfferFaults { no_capacity: true, ..Default::default() };
    world.set_faults(ProviderFaults { offers: [("local-a".into(), none)].into(), ..Default::default() });
    let mut order = world.order("t1", "join");
    let error = world.provider.acquire(&order).await.unwrap_err();
    assert!(matches!(error, ProviderError::NoCapacity { .. }), "{}", text(&error));
    order.offer = "local-b".into();
    world.provider.acquire(&order).await.unwrap();
    world.close().await;
}

#[tokio::test]
async fn a_slow_boot_keeps_the_host_booting() {
    let world = World::new(json!({}));
    world.set_faults(orders(OfferFaults { boot_delay_ms: LONG_MS, ..Default::default() }));
    let slow = world.acquire("slow", "join").await;
    world.set_faults(orders(OfferFaults { boot_delay_ms: 100, ..Default::default() }));
    let soon = world.acquire("soon", "join").await;
    world.await_state(&soon.id, HostState::Running).await;
    assert_eq!(world.find(&slow.id).await.unwrap().state, HostState::Booting);
    // Released while booting: its node never runs.
    world.provider.release(&slow.id).await.unwrap();
    world.await_state(&slow.id, HostState::Terminated).await;
    assert!(!world.host_directory(&slow.id).join("node.json").exists());
    world.close().await;
}

#[tokio::test]
async fn a_late_success_looks_like_failure_until_the_host_appears() {
    let world = World::new(json!({}));
    world.set_faults(orders(OfferFaults { late_success_ms: Some(400), ..Default::default() }));
    let order = world.order("t1", "join");
    let error = world.provider.acquire(&order).await.unwrap_err();
    assert!(matches!(error, ProviderError::UnknownOutcome { .. }), "{}", text(&error));
    assert_eq!(error.effect(), Effect::Possible);
    let host = crate::world::eventually("the late host", async || {
        world.provider.list(&world.owner).await.unwrap().into_iter().next()
    })
    .await;
    assert_eq!(host.token, order.token);
    assert_eq!(world.provider.acquire(&order).await.unwrap().id, host.id, "the retry adopts it");
    world.set_faults(orders(OfferFaults { late_success_ms: Some(LONG_MS), ..Default::default() }));
    world.provider.acquire(&world.order("t2", "join")).await.unwrap_err();
    assert_eq!(world.provider.list(&world.owner).await.unwrap().len(), 1, "the second is not visible yet");
    let hidden = fs::read_dir(world.state().join("providers/lab/hosts")).unwrap().count();
    assert_eq!(hidden, 2, "but it exists");
    // The test knows where it is; the owner would have to wait.
    for entry in fs::read_dir(world.state().join("providers/lab/hosts")).unwrap() {
        let id = entry.unwrap().file_name().to_string_lossy().as_ref().into();
        world.provider.release(&id).await.unwrap();
    }
    world.await_state(&host.id, HostState::Terminated).await;
    crate::world::eventually("both ended", async || {
        let hosts = fs::read_dir(world.state().join("providers/lab/hosts")).unwrap();
        hosts
            .map(|entry| entry.unwrap().path().join("terminated.json"))
            .all(|record| record.exists())
            .then_some(())
    })
    .await;
    fs::remove_file(world.state().join("faults.json")).unwrap();
    assert_eq!(world.provider.purge(&world.owner).await.unwrap(), 2);
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_lagging_list_shows_new_hosts_late_and_ended_ones_as_running() {
    let world = World::new(json!({}));
    let old = world.acquire("old", "join").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    world.set_faults(ProviderFaults { list_lag_ms: 300, ..Default::default() });
    let new = world.acquire("new", "join").await;
    assert_eq!(world.find(&new.id).await, None, "not yet");
    assert!(world.find(&old.id).await.is_some());
    crate::world::eventually("the new host", async || world.find(&new.id).await).await;
    world.set_faults(ProviderFaults { list_lag_ms: LONG_MS, ..Default::default() });
    world.provider.release(&old.id).await.unwrap();
    let record = world.host_directory(&old.id).join("terminated.json");
    crate::world::eventually("the end", async || record.exists().then_some(())).await;
    assert_eq!(world.find(&old.id).await, None, "an hour ago neither existed");
    world.set_faults(ProviderFaults { list_lag_ms: 300, ..Default::default() });
    world.await_state(&old.id, HostState::Terminated).await;
    world.close().await;
}

#[tokio::test]
async fn a_lost_release_ends_nothing_and_its_repetition_does() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    world.await_state(&host.id, HostState::Running).await;
    world.set_faults(ProviderFaults { release_lost: true, ..Default::default() });
    world.provider.release(&host.id).await.unwrap();
    assert!(!world.host_directory(&host.id).join("release.json").exists());
    assert_eq!(world.find(&host.id).await.unwrap().state, HostState::Running);
    world.set_faults(ProviderFaults::default());
    world.provider.release(&host.id).await.unwrap();
    world.await_state(&host.id, HostState::Terminated).await;
    world.close().await;
}

#[tokio::test]
async fn a_duplicating_provider_creates_two_hosts_with_one_token() {
    let world = World::new(json!({}));
    world.set_faults(orders(OfferFaults { duplicate: true, ..Default::default() }));
    let host = world.acquire("t1", "join").await;
    let hosts = world.provider.list(&world.owner).await.unwrap();
    assert_eq!(hosts.len(), 2);
    assert!(hosts.iter().all(|listed| listed.token == host.token && listed.tags == host.tags));
    assert_ne!(hosts[0].id, hosts[1].id);
    assert_ne!(hosts[0].address, hosts[1].address);
    world.close().await;
}

#[tokio::test]
async fn a_misspelt_switch_fails_the_call() {
    let world = World::new(json!({}));
    fs::write(world.state().join("faults.json"), "{\"providers\":{\"lab\":{\"api_dwon\":true}}}").unwrap();
    let error = world.provider.offers().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("faults.json:1") && source.contains("api_dwon"), "{source}");
    world.close().await;
}
