//! Ownership: one host per token across processes, capacity, owners, addresses, emulated distances.

use crate::world::{World, eventually, lineage, program};
use rhizo_actuators::process::HostDirectory;
use rhizo_actuators::{Effect, HostState, Kinds, Order, Provider, ProviderError, Table};
use rhizo_types::IntentId;
use rhizo_types::Number;
use rhizo_types::fact::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const OFFERS: &str = "name,region,price_per_hour,available,attr.load5,cap.cpu\n\
                      local-a,near,0.1,2,1,2\nfar,far,0.2,,2,4\n";
const RTT: &str = ",near,far\nnear,0,80\nfar,80,0\n";

#[tokio::test]
async fn one_token_sent_by_many_processes_at_once_is_one_host() {
    let world = World::new(json!({}));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            Command::new(program().executable.name())
                .args(["acquire", world.state().to_str().unwrap(), "shared-token"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let answers: BTreeSet<String> = callers
        .into_iter()
        .map(|caller| {
            let output = caller.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let hosts = world.provider.list(&world.owner).await.unwrap();
    assert_eq!(hosts.len(), 1);
    world.await_state(&hosts[0].id, HostState::Running).await;
    let supervisor = world.supervisor_pid(&hosts[0].id).await;
    let node = world.node_pid(&hosts[0].id).await;
    let state = world.state();
    eventually("one supervisor and one node", async || {
        let found: BTreeSet<i32> = crate::world::processes_of(&state).into_iter().collect();
        (found == BTreeSet::from([supervisor, node])).then_some(())
    })
    .await;
    world.close().await;
}

#[tokio::test]
async fn capacity_is_shared_by_owners_and_freed_by_the_end() {
    let world = World::with_files(json!({ "offers": "offers.csv" }), &[("offers.csv", OFFERS)]);
    let available = async || world.provider.offers().await.unwrap()[0].available;
    assert_eq!(available().await, Some(2));
    let first = world.acquire("t1", "join").await;
    let mut foreign = world.order("t2", "join");
    foreign.tags.lineage = lineage(2).lineage;
    let second = world.provider.acquire(&foreign).await.unwrap();
    assert_eq!(available().await, Some(0));
    let error = world.provider.acquire(&world.order("t3", "join")).await.unwrap_err();
    assert!(matches!(error, ProviderError::NoCapacity { .. }), "{error}");
    assert_eq!(world.acquire("t1", "join").await.id, first.id, "a known token needs no capacity");
    world.provider.release(&first.id).await.unwrap();
    world.await_state(&first.id, HostState::Terminated).await;
    assert_eq!(available().await, Some(1));
    assert_eq!(world.provider.purge(&world.owner).await.unwrap(), 1, "the other owner's host stays");
    let foreign_hosts = world.provider.list(&lineage(2)).await.unwrap();
    assert_eq!(foreign_hosts.iter().map(|host| &host.id).collect::<Vec<_>>(), [&second.id]);
    let mut world = world;
    world.owner = lineage(2);
    world.close().await;
}

#[tokio::test]
async fn a_token_that_was_used_for_another_order_is_refused() {
    let world = World::new(json!({}));
    let order = world.order("t1", "join");
    world.provider.acquire(&order).await.unwrap();
    let other_offer = Order { offer: "local-b".into(), ..order.clone() };
    let mut other_intent = order.clone();
    other_intent.tags.intent = IntentId(8);
    for other in [other_offer, other_intent] {
        let error = world.provider.acquire(&other).await.unwrap_err();
        assert!(error.to_string().contains("token `t1` was used for another order"), "{error}");
        assert_eq!(error.effect(), Effect::None);
    }
    world.close().await;
}

#[tokio::test]
async fn terminated_hosts_are_forgotten_after_their_time() {
    let world = World::new(json!({ "terminated_keep_s": 0 }));
    let first = world.acquire("t1", "exit 0").await;
    world.await_state(&first.id, HostState::Terminated).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    world.acquire("t2", "join").await;
    assert_eq!(world.find(&first.id).await, None);
    assert!(!world.host_directory(&first.id).exists());
    world.close().await;
}

#[tokio::test]
async fn a_node_finds_its_boot_document_its_address_and_its_distance_to_others() {
    let table = json!({ "offers": "offers.csv", "rtt": "rtt.csv" });
    let world = World::with_files(table, &[("offers.csv", OFFERS), ("rtt.csv", RTT)]);
    let near = world.acquire("near", "join").await;
    // A host of another provider on the same machine is as far away as its region.
    let other = world.another("other", |_| {});
    let mut order = world.order("far", "join");
    order.offer = "far".into();
    let far = other.acquire(&order).await.unwrap();
    assert_ne!(near.address, far.address);

    let home = HostDirectory::open(&world.host_directory(&near.id)).unwrap();
    assert_eq!(home.boot().unwrap(), b"join");
    assert_eq!((home.host(), home.region().as_str()), (&near.id, "near"));
    assert_eq!(Some(home.address()), near.address);
    assert_eq!(home.state_directory(), world.state());
    let offer = home.emulated().unwrap().unwrap();
    assert_eq!(offer.attributes[&"load5".into()], Value::Number(Number::from(1)));
    assert!(offer.synthetic);

    let delays = home.delay_table();
    let to = |address| delays.one_way_delay(address).unwrap();
    assert_eq!(to(far.address.unwrap()), Duration::from_millis(40), "half the round trip");
    assert_eq!(to(near.address.unwrap()), Duration::ZERO, "the same region");
    assert_eq!(to("127.0.0.1".parse().unwrap()), Duration::ZERO, "no host: the founder or an operator");
    fs::write(world.path("rtt.csv"), RTT.replace("80", "200")).unwrap();
    assert_eq!(to(far.address.unwrap()), Duration::from_millis(100), "the file has changed");
    let matrix = world.provider.latencies().await.unwrap().unwrap();
    assert_eq!(matrix.rtt_ms(&"near".into(), &"far".into()), Some(200.0));

    other.release(&far.id).await.unwrap();
    eventually("the other provider's host ended", async || {
        let hosts = other.list(&world.owner).await.unwrap();
        hosts.iter().all(|host| host.state == HostState::Terminated).then_some(())
    })
    .await;
    assert_eq!(other.purge(&world.owner).await.unwrap(), 1);
    world.close().await;
}

#[tokio::test]
async fn what_the_catalogue_claims_may_differ_from_what_links_do() {
    let table = json!({ "offers": "offers.csv", "rtt": "rtt.csv", "catalogue_rtt": "claim.csv" });
    let claim = RTT.replace("80", "10");
    let files = [("offers.csv", OFFERS), ("rtt.csv", RTT), ("claim.csv", claim.as_str())];
    let world = World::with_files(table, &files);
    let matrix = world.provider.latencies().await.unwrap().unwrap();
    assert_eq!(matrix.rtt_ms(&"near".into(), &"far".into()), Some(10.0));
    let near = world.acquire("near", "join").await;
    let mut order = world.order("far", "join");
    order.offer = "far".into();
    let far = world.provider.acquire(&order).await.unwrap();
    let delays = HostDirectory::open(&world.host_directory(&near.id)).unwrap().delay_table();
    assert_eq!(delays.one_way_delay(far.address.unwrap()).unwrap(), Duration::from_millis(40));
    world.close().await;
}

#[tokio::test]
async fn offers_follow_the_files_while_nodes_run() {
    let series = "at_s,region,price_per_hour,attr.load5\n0,near,,5\n100000,near,,9\n";
    let table = json!({ "offers": "offers.csv", "attributes": "series.csv", "currency": "EUR" });
    let world = World::with_files(table, &[("offers.csv", OFFERS), ("series.csv", series)]);
    let host = world.acquire("t1", "join").await;
    let offers = world.provider.offers().await.unwrap();
    assert_eq!(
        offers[0].attributes[&"load5".into()],
        Value::Number(Number::from(5)),
        "the series overrides the file"
    );
    assert_eq!(offers[1].attributes[&"load5".into()], Value::Number(Number::from(2)));
    assert_eq!((offers[0].currency.as_str(), offers[0].price_per_hour), ("EUR", 0.1));
    fs::write(world.path("offers.csv"), OFFERS.replace("0.1", "0.75")).unwrap();
    assert_eq!(world.provider.offers().await.unwrap()[0].price_per_hour, 0.75);
    let home = HostDirectory::open(&world.host_directory(&host.id)).unwrap();
    assert_eq!(home.emulated().unwrap().unwrap().attributes[&"load5".into()], Value::Number(Number::from(5)));
    fs::write(world.path("offers.csv"), "name,region\n").unwrap();
    let error = world.provider.offers().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("offers.csv:1, column `price_per_hour`"), "{source}");
    fs::write(world.path("offers.csv"), OFFERS).unwrap();
    world.close().await;
}

#[test]
fn a_provider_with_unusable_settings_is_refused_when_it_is_made() {
    let make = |kind: &str, name: &str, table: serde_json::Value, rtt: &str| {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("offers.csv"), OFFERS).unwrap();
        fs::write(directory.path().join("rtt.csv"), rtt).unwrap();
        fs::write(directory.path().join("series.csv"), "at_s,region\n0,elsewhere\n").unwrap();
        let surroundings = rhizo_actuators::Surroundings {
            base_dir: directory.path().to_owned(),
            state_dir: directory.path().join("state"),
            program: program(),
        };
        let name = name.into();
        let table = Table { name: &name, settings: &table, surroundings: &surroundings };
        let error = Kinds::default().provider(kind, table).err();
        assert!(!directory.path().join("state").exists(), "making a provider creates nothing");
        error.map(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}")
        })
    };
    let files = json!({ "kind": "process", "offers": "offers.csv", "rtt": "rtt.csv" });
    assert_eq!(make("process", "lab", files.clone(), RTT), None);
    for (kind, name, table, rtt, message) in [
        ("teleport", "lab", json!({}), RTT, "kind `teleport` is not known"),
        ("process", "../lab", json!({}), RTT, "a name has 1 to 64"),
        ("process", "lab", json!({ "ofers": "x" }), RTT, "unknown field `ofers`"),
        ("process", "lab", json!({ "offers": "missing.csv" }), RTT, "missing.csv: it cannot be read"),
        ("process", "lab", files, ",near\nnear,0\n", "it lacks region `far` of offer `far`"),
        (
            "process",
            "lab",
            json!({ "offers": "offers.csv", "attributes": "series.csv" }),
            RTT,
            "`elsewhere` is not the name of any offer or region",
        ),
    ] {
        let error = make(kind, name, table, rtt).unwrap();
        assert!(error.contains(message), "{error}");
    }
}
