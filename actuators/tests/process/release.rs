//! Hosts are found and released although the table, the data files or the application's records are lost.

use crate::world::{World, kill_9, lineage, program, text};
use rhizo_actuators::process::faults::{OfferFaults, ProviderFaults};
use rhizo_actuators::process::{live_below, traces_below};
use rhizo_actuators::{HostState, Kinds, Provider, ProviderError, Surroundings, Table};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;

const OFFERS: &str = "name,region,price_per_hour,cap.cpu\nlocal-a,near,0.1,2\n";

/// A provider over the world's state that is made for release only.
fn releaser(world: &World, name: &str, table: &serde_json::Value) -> Box<dyn Provider> {
    let surroundings =
        Surroundings { base_dir: world.path(""), state_dir: world.state(), program: program() };
    let name = name.into();
    let table = Table { name: &name, settings: table, surroundings: &surroundings };
    Kinds::default().releaser("process", table).unwrap()
}

#[tokio::test]
async fn releasing_needs_neither_the_data_files_nor_a_sound_table() {
    let table = json!({ "offers": "offers.csv" });
    let unsound = json!({ "offers": "offers.csv", "key_of_another_version": 1 });
    for (table, is_sound) in [(table.clone(), true), (unsound, false)] {
        let world = World::with_files(json!({ "offers": "offers.csv" }), &[("offers.csv", OFFERS)]);
        let host = world.acquire("t1", "join").await;
        fs::remove_file(world.path("offers.csv")).unwrap();
        let releaser = releaser(&world, "lab", &table);
        let listed = releaser.list(&world.owner).await.unwrap();
        assert_eq!(listed.iter().map(|host| &host.id).collect::<Vec<_>>(), [&host.id]);
        let error = releaser.acquire(&world.order("t2", "join")).await.unwrap_err();
        assert!(!matches!(error, ProviderError::Unavailable { .. }), "{}", text(&error));
        assert!(releaser.offers().await.is_err());
        // A file that is there again is used again; a table stays as it was recorded.
        fs::write(world.path("offers.csv"), OFFERS).unwrap();
        assert_eq!(releaser.offers().await.is_ok(), is_sound);
        releaser.release(&host.id).await.unwrap();
        world.await_state(&host.id, HostState::Terminated).await;
        assert_eq!(releaser.purge(&world.owner).await.unwrap(), 1);
        world.close().await;
    }
}

#[tokio::test]
async fn a_releaser_of_another_kind_or_with_an_impossible_name_is_refused() {
    let world = World::new(json!({}));
    let surroundings =
        Surroundings { base_dir: world.path(""), state_dir: world.state(), program: program() };
    for (kind, name, message) in
        [("teleport", "lab", "kind `teleport` is not known"), ("process", "../lab", "a name has 1 to 64")]
    {
        let (name, settings) = (name.into(), json!({}));
        let table = Table { name: &name, settings: &settings, surroundings: &surroundings };
        let error = Kinds::default().releaser(kind, table).err().unwrap();
        assert!(error.to_string().contains(message), "{error}");
    }
    world.close().await;
}

#[tokio::test]
async fn the_visibility_window_follows_the_switches() {
    let world = World::new(json!({}));
    let visible_ms = || world.provider.capabilities().visible_ms;
    assert_eq!(visible_ms(), 0);
    let late = |late_success_ms| OfferFaults { late_success_ms: Some(late_success_ms), ..Default::default() };
    for (faults, expected) in [
        (ProviderFaults { list_lag_ms: 12_000, ..Default::default() }, 12_000),
        (ProviderFaults { list_lag_ms: 500, every_offer: late(8_000), ..Default::default() }, 8_000),
        (
            ProviderFaults {
                every_offer: late(700),
                offers: [("local-b".into(), late(9_000))].into(),
                ..Default::default()
            },
            9_000,
        ),
    ] {
        world.set_faults(faults);
        assert_eq!(visible_ms(), expected);
    }
    world.set_faults(ProviderFaults::default());
    world.close().await;
}

#[tokio::test]
async fn the_orders_of_hosts_tell_their_owners() {
    let world = World::new(json!({}));
    assert!(traces_below(&world.state()).unwrap().is_empty());
    let spare = world.another("spare", |_| {});
    let first = world.acquire("t1", "join").await;
    let mut order = world.order("t2", "join");
    order.tags.lineage = lineage(2).lineage;
    let second = spare.acquire(&order).await.unwrap();
    let found = traces_below(&world.state()).unwrap();
    let owners = |name: &str| found[&name.into()].owners.clone();
    assert_eq!(owners("lab"), BTreeSet::from([lineage(1)]));
    assert_eq!(owners("spare"), BTreeSet::from([lineage(2)]));

    let damaged = world.host_directory(&first.id).join("order.json");
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, b"").unwrap();
    let lab = traces_below(&world.state()).unwrap()[&"lab".into()].clone();
    assert!(lab.owners.is_empty());
    assert!(lab.unreadable[0].contains(first.id.as_str()), "{lab:?}");
    fs::write(&damaged, whole).unwrap();

    spare.release(&second.id).await.unwrap();
    crate::world::eventually("the end of the second host", async || {
        let hosts = spare.list(&lineage(2)).await.unwrap();
        hosts.iter().all(|host| host.state == HostState::Terminated).then_some(())
    })
    .await;
    assert_eq!(spare.purge(&lineage(2)).await.unwrap(), 1);
    assert_eq!(traces_below(&world.state()).unwrap().len(), 1, "purged hosts leave no trace");
    world.close().await;
}

#[tokio::test]
async fn processes_of_a_host_without_a_directory_are_found_and_killed() {
    let world = World::new(json!({}));
    assert_eq!(live_below(&world.state()).unwrap(), Vec::<i32>::new());
    let kept = world.acquire("t1", "join").await;
    let lost = world.acquire("t2", "join\norphan").await;
    let (supervisor, orphan) = (world.supervisor_pid(&lost.id).await, world.orphan_pid(&lost.id).await);
    let other = world.supervisor_pid(&kept.id).await;
    // The supervisor can neither notice the removal nor end the orphan.
    kill_9(supervisor);
    fs::remove_dir_all(world.host_directory(&lost.id)).unwrap();
    let live = live_below(&world.state()).unwrap();
    assert!(live.contains(&orphan) && live.contains(&other), "{live:?}");
    crate::world::eventually("the end of the lost host", async || {
        let live = live_below(&world.state()).unwrap();
        (!live.contains(&orphan) && live.contains(&other)).then_some(())
    })
    .await;
    world.close().await;
}
