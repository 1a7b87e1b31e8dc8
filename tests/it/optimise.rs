//! Voluntary moves: they happen only when the gain exceeds the migration cost, and both numbers are shown. Measured
//! latencies override those of the catalogue.

use serde_json::Value;

use crate::deployment::{Deployment, instances, nodes};
use crate::inventory::{assert_equal, sampled};

/// One worker whose utility is its region's score; a new host costs 20 % of utility.
const CONFIG: &str = "\
rhizo = 1
[app]
name = \"scout\"
version = \"1\"
[components.worker]
exec = \"sleep 100000\"
replicas = 1
[[utility]]
name = \"score\"
each = \"worker\"
of = \"node.score\"
best = 100
worst = 0
weight = 1
[migration]
add = 0.2
[optimise]
every = \"1s\"
settle = \"1s\"
[providers.lab]
kind = \"process\"
offers = \"offers.csv\"
";

/// Two regions; the north scores 50.
fn offers(deployment: &Deployment, south: u32) {
    let text = format!(
        "name,region,price_per_hour,available,cap.cpu,cap.memory,attr.score\n\
         n,north,0.1,4,2,4GiB,50\n\
         s,south,0.1,4,2,4GiB,{south}\n"
    );
    // Replaced atomically, because a node may read it at any moment.
    deployment.write("offers.new", &text);
    std::fs::rename(deployment.file("offers.new"), deployment.file("offers.csv")).expect("writable");
}

/// The region of the only worker.
fn region(status: &Value) -> String {
    let worker = instances(status).into_iter().next().unwrap_or_default();
    let node = nodes(status).into_iter().find(|node| node["id"] == worker["node"]).unwrap_or_default();
    node["region"].as_str().unwrap_or_default().to_owned()
}

/// Waits for a decision with about this gain and returns the newest one.
fn decision(deployment: &Deployment, verdict: &str, gain: f64) -> Value {
    let start = std::time::Instant::now();
    loop {
        let why = deployment.ok(&["why", "--json"]).json();
        let decisions = why["decisions"].as_array().cloned().unwrap_or_default();
        let about =
            |decision: &&Value| decision["gain"].as_f64().is_some_and(|found| (found - gain).abs() < 1e-6);
        if let Some(decision) = decisions.iter().filter(about).find(|decision| decision["verdict"] == verdict)
        {
            return decision.clone();
        }
        assert!(
            start.elapsed() < crate::deployment::WATCHDOG,
            "never {verdict} with a gain of {gain}: {why:#}"
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn a_better_region_is_taken_only_when_the_gain_beats_the_cost() {
    let deployment = Deployment::new("better-region", "rhizo");
    deployment.write("rhizo.toml", CONFIG);
    offers(&deployment, 40);
    let status = deployment.up();
    assert_eq!(region(&status), "north", "{status:#}");

    offers(&deployment, 60);
    let kept = decision(&deployment, "kept", 0.1);
    assert_eq!(kept["migration_cost"], 0.2, "{kept:#}");
    let said = deployment.ok(&["why"]).stdout;
    assert!(said.contains("0.1") && said.contains("0.2"), "both numbers are told: {said}");
    assert_eq!(region(&deployment.status()), "north");

    let moved = sampled(&deployment, || {
        offers(&deployment, 90);
        deployment
            .until("stable in the south", |status| status["state"] == "stable" && region(status) == "south")
    });
    let taken = decision(&deployment, "planned", 0.4);
    assert_eq!(taken["migration_cost"], 0.2, "{taken:#}");
    assert_eq!(instances(&moved).len(), 1, "{moved:#}");
    let after =
        deployment.until("at rest", |status| status["state"] == "stable" && status["intents"]["open"] == 0);
    assert!(
        nodes(&after).iter().all(|node| node["region"] != "north"),
        "the old host is given back: {after:#}"
    );
    assert_equal(&deployment, &after);
    deployment.down();
}

/// Two workers whose utility is their proximity; each region has one host.
const PAIR: &str = "\
rhizo = 1
[app]
name = \"pair\"
version = \"1\"
[components.worker]
exec = \"sleep 100000\"
replicas = 2
[[utility]]
name = \"near\"
group = \"worker\"
of = \"diameter_ms(placement)\"
best = 0
worst = 500
weight = 1
[optimise]
every = \"1s\"
settle = \"1s\"
[providers.lab]
kind = \"process\"
offers = \"offers.csv\"
rtt = \"real.csv\"
catalogue_rtt = \"claimed.csv\"
";

/// The regions that workers run in, sorted.
fn regions(status: &Value) -> Vec<String> {
    let all = nodes(status);
    let hosting =
        all.iter().filter(|node| instances(status).iter().any(|worker| worker["node"] == node["id"]));
    let mut names: Vec<String> =
        hosting.map(|node| node["region"].as_str().expect("a region is text").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_measured_round_trip_wins_over_the_catalogue() {
    let deployment = Deployment::new("measured", "rhizo");
    deployment.write("rhizo.toml", PAIR);
    let offer = |region: &str| format!("{region},{region},0.1,1,2,4GiB\n");
    let offers = ["a", "b", "c"].map(offer).concat();
    deployment
        .write("offers.csv", &format!("name,region,price_per_hour,available,cap.cpu,cap.memory\n{offers}"));
    // The catalogue states a short round trip between a and b; the real one is 200 ms.
    deployment.write("claimed.csv", ",a,b,c\na,0,10,50\nb,10,0,100\nc,50,100,0\n");
    deployment.write("real.csv", ",a,b,c\na,0,200,20\nb,200,0,100\nc,20,100,0\n");
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    let first = deployment.ok(&["events"]).stdout;
    assert!(
        first.contains("acquiring a in a") && first.contains("acquiring b in b"),
        "the catalogue came first: {first}"
    );
    let status =
        deployment.until("in a and c", |status| status["state"] == "stable" && regions(status) == ["a", "c"]);
    assert_eq!(instances(&status).len(), 2, "{status:#}");
    deployment.down();
}
