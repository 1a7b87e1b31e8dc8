//! Short runs of the deployment benches: they must execute every action. Durations are not asserted.

use std::path::Path;

use serde_json::{Value, json};

use crate::deployment::Deployment;

/// Runs `rhizo-bench deploy`, which takes its own application down; its figures.
fn deploy(test: &str, arguments: &[&str]) -> Value {
    let deployment = Deployment::new(test, "rhizo-bench");
    let all: Vec<&str> = ["deploy"].iter().chain(arguments).chain(&["--json"]).copied().collect();
    let figures = deployment.ok(&all).json();
    for part in ["deploy", "change"] {
        let figures = &figures[part];
        assert!(
            figures.is_null() || figures["total"].as_f64() >= figures["critical_path"].as_f64(),
            "{figures:#}"
        );
    }
    figures
}

#[test]
fn shapes_in_one_process_are_deployed_and_taken_down() {
    for shape in ["--chain", "--star", "--tree"] {
        let figures = deploy("bench-shape", &[shape, "200", "--idle-seconds", "1"]);
        assert_eq!(figures["instances"], 200, "{figures:#}");
        assert!(figures["down"].is_f64() && figures["idle"]["cpu"].is_f64(), "{figures:#}");
    }
}

#[test]
fn a_chain_reaches_through_a_process_for_each_link() {
    let figures = deploy("bench-chain", &["--chain", "4", "--processes"]);
    let figures = &figures["deploy"];
    // The founder hosts no instance.
    assert_eq!((&figures["processes"], &figures["targets"]), (&json!(5), &json!(1)), "{figures:#}");
    assert!(figures["per_hop"].as_f64() > Some(0.0), "{figures:#}");
}

#[test]
fn a_database_becomes_a_cluster() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/data/galera.json");
    let figures = deploy("bench-galera", &["--assembly", &file.display().to_string(), "--scale", "0.001"]);
    let (deployed, changed) = (&figures["deploy"], &figures["change"]);
    assert_eq!((&deployed["actions"], &changed["actions"]), (&json!(40), &json!(19)), "{figures:#}");
    let last = changed["path"].as_array().and_then(|path| path.last()).and_then(Value::as_str);
    assert!(last.is_some_and(|last| last.ends_with("_ready")), "{figures:#}");
}

/// A small assembly in the published multi-site form; the published file is not part of the project.
fn sites() -> Value {
    let kind = |ways: &[(&str, &str, &str, &str)], ports: Value| {
        let mut places = vec!["off"];
        places.extend(ways.iter().filter(|way| way.3 == "deploy").map(|way| way.2));
        places.extend(ways.iter().filter(|way| way.2 == "interrupted").map(|way| way.2));
        let ways = ways.iter().map(|(name, src, dst, behaviour)| {
            json!({ "name": name, "src": src, "dst": dst, "behaviour": behaviour })
        });
        let ways: Vec<Value> = ways.collect();
        json!({ "places": places, "initial": "off", "running": "on", "transitions": ways, "ports": ports })
    };
    let port = |name: &str, kind: &str, places: &[&str]| json!({ "name": name, "kind": kind, "bound_to_places": places });
    let service = || port("service", "provide", &["on"]);
    let database = [
        ("configure", "off", "set", "deploy"),
        ("deploy", "set", "on", "deploy"),
        ("interrupt", "on", "interrupted", "interrupt"),
        ("update", "interrupted", "off", "update"),
    ];
    let user = [("deploy", "off", "on", "deploy"), ("turnoff", "on", "off", "uninstall")];
    let nova = [
        ("deploy", "off", "on", "deploy"),
        ("interrupt", "on", "interrupted", "interrupt"),
        ("unpull", "interrupted", "off", "update"),
    ];
    let sql = || port("mariadb_service", "use", &["on"]);
    let uses = || json!([service(), sql(), port("keystone_service", "use", &["on"])]);
    let names = [
        "mariadbmaster.configure",
        "mariadbmaster.deploy",
        "mariadbmaster.interrupt",
        "mariadbmaster.unconfigure",
        "mariadbworker.configure",
        "mariadbworker.deploy",
        "mariadbworker.interrupt",
        "mariadbworker.unconfigure",
        "keystone.deploy",
        "keystone.turnoff",
        "glance.deploy",
        "glance.turnoff",
        "neutron.deploy",
        "neutron.turnoff",
        "nova.deploy",
        "nova.interrupt",
        "nova.unpull",
    ];
    let durations: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!(1.0))).collect();
    let master = port("master_service", "use", &["on", "interrupted"]);
    json!({ "B_concertod_multisite": {
        "component_types": {
            "mariadb_master": kind(&database, json!([service()])),
            "mariadb_worker": kind(&database, json!([service(), master])),
            "keystone": kind(&user, json!([service(), sql()])),
            "glance": kind(&user, uses()),
            "neutron": kind(&user, uses()),
            "nova": kind(&nova, uses()),
        },
        "durations_s": durations,
    } })
}

#[test]
fn two_sites_are_deployed_and_updated_across_processes() {
    let deployment = Deployment::new("bench-sites-data", "rhizo-bench");
    deployment.write("sites.json", &sites().to_string());
    let file = deployment.file("sites.json").display().to_string();
    let figures =
        deploy("bench-sites", &["--assembly", &file, "--sites", "2", "--processes", "--scale", "0.002"]);
    let (deployed, changed) = (&figures["deploy"], &figures["change"]);
    // A master of two actions, and for each site a worker of two and four users of one.
    assert_eq!((&deployed["actions"], &deployed["processes"]), (&json!(14), &json!(8)), "{figures:#}");
    // The master's two and two; for each site four of the worker, two of three users, three of nova.
    assert_eq!((&changed["actions"], &changed["targets"]), (&json!(30), &json!(5)), "{figures:#}");
}
