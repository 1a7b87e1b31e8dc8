//! `up` and `down` of whole applications: hosts are acquired, instances placed and bound, and everything is released.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use serde_json::Value;

use crate::deployment::{Deployment, coordinator, id, instances, is_told, kill, nodes, pid};
use crate::inventory::{assert_equal, sampled};
use crate::repair::crew;

#[test]
fn hello_comes_up_bound_and_goes_down_without_a_trace() {
    let deployment = Deployment::of_example("hello", "hello");
    let status = sampled(&deployment, || deployment.up());
    for instance in instances(&status) {
        assert_eq!(instance["state"], "started", "{status:#}");
    }
    let bound = instances(&status)
        .iter()
        .any(|instance| !instance["bindings"].as_array().expect("bindings are a list").is_empty());
    assert!(bound, "one component imports the other: {status:#}");
    let exports = |instance: &Value| instance["exports"].as_array().cloned().unwrap_or_default();
    let addresses: Vec<SocketAddr> = instances(&status).iter().flat_map(exports).map(address).collect();
    assert!(!addresses.is_empty(), "no export has an address: {status:#}");
    let text = deployment.ok(&["status"]).stdout;
    for address in addresses {
        assert!(text.contains(&address.to_string()), "{address} is not in {text}");
        TcpStream::connect(address).unwrap_or_else(|error| panic!("nothing listens at {address}: {error}"));
    }
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}

#[test]
fn what_is_up_can_be_applied_again_and_grown() {
    let deployment = Deployment::new("grown", "rhizo");
    crew(&deployment, 2);
    let before = deployment.up();
    crew(&deployment, 4);
    let after = deployment.up();
    assert_eq!(instances(&after).len(), 4, "{after:#}");
    assert_eq!(before["lineage"], after["lineage"], "the same application, not a second one");
    let kept = instances(&before).iter().all(|old| {
        instances(&after).iter().any(|new| new["instance"] == old["instance"] && new["node"] == old["node"])
    });
    assert!(kept, "growing moved what ran: {before:#} {after:#}");
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}

#[test]
fn a_detached_application_has_no_founder_and_still_repairs_itself() {
    let deployment = Deployment::new("detached", "rhizo");
    crew(&deployment, 4);
    deployment.ok(&["up", "rhizo.toml", "--yes", "--detach"]);
    let status = deployment.until("stable after the founder left", is_told);
    assert!(nodes(&status).iter().all(|node| node["provider"] != "founder"), "{status:#}");
    let victim = coordinator(&status);
    let after = sampled(&deployment, || {
        kill(pid(&victim));
        deployment.until_stable_without(&[id(&victim)])
    });
    assert_eq!(instances(&after).len(), 4, "{after:#}");
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}

/// The address of an export in a status.
fn address(export: Value) -> SocketAddr {
    export["address"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{export:#}"))
}

/// Peers of each broker by instance.
fn peers(status: &Value) -> BTreeMap<String, usize> {
    let started = instances(status).into_iter().filter(|instance| instance["name"] == "broker");
    started
        .map(|instance| {
            assert_eq!(instance["state"], "started", "{status:#}");
            (
                instance["instance"].to_string(),
                instance["bindings"].as_array().expect("bindings are a list").len(),
            )
        })
        .collect()
}

/// Connections to the brokers of a status: each listens on its own address, port 5222.
fn brokers(status: &Value) -> Vec<BufReader<TcpStream>> {
    let hosting = nodes(status)
        .into_iter()
        .filter(|node| !node["components"].as_array().expect("components are a list").is_empty());
    let addresses = hosting.map(|node| {
        node["address"].as_str().and_then(|text| text.parse::<SocketAddr>().ok()).expect("an address").ip()
    });
    addresses.map(connect).collect()
}

fn connect(ip: IpAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect((ip, 5222)).unwrap_or_else(|error| panic!("no broker at {ip}: {error}"));
    stream.set_read_timeout(Some(crate::deployment::WATCHDOG)).expect("a time-out can be set");
    BufReader::new(stream)
}

/// Sends a line and waits for the line that answers it.
fn ask(broker: &mut BufReader<TcpStream>, line: &str, answer: &str) {
    writeln!(broker.get_mut(), "{line}").expect("the broker takes a line");
    listen(broker, answer);
}

fn listen(broker: &mut BufReader<TcpStream>, wanted: &str) {
    let mut line = String::new();
    broker.read_line(&mut line).expect("the broker answers in time");
    assert_eq!(line.trim_end(), wanted);
}

/// A message published at one broker reaches the subscribers of all others, once.
fn assert_messages_cross(status: &Value) {
    let mut brokers = brokers(status);
    let (publisher, subscribers) = brokers.split_first_mut().expect("there are brokers");
    for subscriber in subscribers.iter_mut() {
        ask(subscriber, "SUB news", "OK SUB news");
    }
    ask(publisher, "PUB news hello from afar", "OK PUB");
    ask(publisher, "PUB news and again", "OK PUB");
    for subscriber in subscribers {
        listen(subscriber, "MSG news hello from afar");
        listen(subscriber, "MSG news and again");
    }
}

#[test]
fn psepr_places_itself_and_survives_the_death_of_its_coordinator() {
    let deployment = Deployment::of_example("psepr", "psepr");
    let status = deployment.up();
    let brokers = peers(&status);
    assert!((6..=10).contains(&brokers.len()), "{} brokers: {status:#}", brokers.len());
    assert!(
        brokers.values().all(|count| *count == brokers.len() - 1),
        "not every broker knows all others: {status:#}"
    );
    assert!(nodes(&status).iter().filter(|node| node["voter"] == true).count() >= 3, "{status:#}");

    assert_messages_cross(&status);

    let victim = coordinator(&status);
    let after = sampled(&deployment, || {
        kill(pid(&victim));
        deployment.until_stable_without(&[id(&victim)])
    });
    let brokers = peers(&after);
    assert!((6..=10).contains(&brokers.len()), "{} brokers: {after:#}", brokers.len());
    assert!(
        brokers.values().all(|count| *count == brokers.len() - 1),
        "bindings after the repair: {after:#}"
    );
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}
