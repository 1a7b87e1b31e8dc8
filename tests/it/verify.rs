//! The `verify` command: its findings, its drawing, and its failure for deployments that cannot work.

use crate::deployment::Deployment;
use serde_json::Value;

const SHOP: &str = r#"
rhizo = 1
[app]
name = "shop"
version = "1"
[components.web]
exec = "web"
imports.db = { from = "db.sql" }
exports.http = {}
[components.db]
exec = "db"
exports.sql = {}
"#;

fn answers(report: &Value) -> Vec<(String, Value)> {
    let checks = report["checks"].as_array().expect("a list of checks");
    checks
        .iter()
        .map(|check| (check["question"].as_str().unwrap_or_default().to_owned(), check["holds"].clone()))
        .collect()
}

#[test]
fn a_good_config_is_deployed_in_every_order_and_survives_a_crash() {
    let deployment = Deployment::new("verify-good", "rhizo");
    deployment.write("rhizo.toml", SHOP);
    deployment.write("durations.json", r#"{"db": {"start": [1.5, 3]}, "web": {"start": [0.5, 1]}}"#);
    let report = deployment
        .ok(&["verify", "rhizo.toml", "--durations", "durations.json", "--svg", "shop.svg", "--json"])
        .json();
    let answers = answers(&report);
    assert_eq!(answers.len(), 2, "{report:#}");
    assert!(answers.iter().all(|(_, holds)| *holds == Value::Bool(true)), "{report:#}");
    assert_eq!(report["time"]["ms_min"], 2_000, "{report:#}");
    assert_eq!(report["time"]["ms_max"], 4_000, "{report:#}");
    assert_eq!(report["time"]["critical_path"], serde_json::json!(["db.0.start", "web.0.start"]));
    let svg = std::fs::read_to_string(deployment.file("shop.svg")).expect("the drawing");
    assert!(svg.contains("db.0 start") && svg.contains("web.0"), "{svg}");
    assert!(deployment.processes().is_empty(), "nothing is started");
}

#[test]
fn a_script_is_verified_from_the_deployed_application() {
    let deployment = Deployment::new("verify-script", "rhizo");
    deployment.write(
        "rhizo.toml",
        &SHOP.replace("exports.sql = {}", "exports.sql = {}\nreplicas = { min = 1, max = 2 }"),
    );
    deployment.write("swap.rhizo", "add db.1\nwait db.1\ndel db.0\nwait\n");
    let said = deployment.ok(&["verify", "rhizo.toml", "swap.rhizo", "--crashes", "0"]);
    assert!(said.stdout.contains("yes   every order of events carries out the script"), "{said:#?}");
    // The script leaves one copy more than the spec's maximum.
    deployment.write("grow.rhizo", "add db.1\nadd db.2\nwait\n");
    let said = deployment.run(&["verify", "rhizo.toml", "grow.rhizo", "--crashes", "0"]);
    assert_eq!(said.status.code(), Some(1), "{said:#?}");
    assert!(said.stdout.contains("NO    every order of events carries out the script"), "{said:#?}");
    assert!(said.stdout.contains("3 copies of db"), "{said:#?}");
}

/// `a` exports its settings only in an intermediate place, and `b` needs them while it runs.
const STUCK: &str = r#"
rhizo = 1
[app]
name = "stuck"
version = "1"
[components.a]
exec = "a"
attributes = { mode = "fast" }
exports.settings = { data = true, values = ["mode"] }
[components.a.lifecycle]
places = ["off", "ready", "on"]
started = ["on"]
deploy = ["up"]
retire = ["down"]
exports.settings = ["ready"]
[components.a.lifecycle.behaviours]
up = ["prepare", "start"]
down = ["stop"]
[components.a.lifecycle.transitions]
prepare = { from = "off", to = "ready", command = "prepare" }
start = { from = "ready", to = "on", start = true }
stop = { from = "on", to = "off", stop = true }
[components.b]
exec = "b"
imports.settings = { from = "a.settings" }
"#;

#[test]
fn a_deadlock_has_a_trace_that_is_replayed() {
    let deployment = Deployment::new("verify-stuck", "rhizo");
    deployment.write("rhizo.toml", STUCK);
    let said = deployment.run(&["verify", "rhizo.toml", "--crashes", "0", "--json"]);
    assert_eq!(said.status.code(), Some(1), "{said:#?}");
    let report = said.json();
    let violation = &report["checks"][0]["violation"];
    let trace = violation["trace"].as_array().expect("a trace");
    assert!(!trace.is_empty() && trace.len() < 12, "{report:#}");
    let replay = violation["replay"].as_str().expect("steps");
    let again = deployment.ok(&["verify", "rhizo.toml", "--crashes", "0", "--replay", replay]).stdout;
    for line in trace {
        assert!(again.contains(line.as_str().unwrap_or_default()), "{line} is missing in {again}");
    }
}

#[test]
fn actions_that_must_be_apart_are_found_together() {
    let deployment = Deployment::new("verify-apart", "rhizo");
    deployment.write("rhizo.toml", &SHOP.replace("imports.db = { from = \"db.sql\" }\n", ""));
    let said = deployment.run(&["verify", "rhizo.toml", "--crashes", "0", "--apart", "db.start,web.start"]);
    assert_eq!(said.status.code(), Some(1), "{said:#?}");
    assert!(said.stdout.contains("NO    `db.start` and `web.start` never run at the same time"), "{said:#?}");
    deployment.write("rhizo.toml", SHOP);
    deployment.ok(&["verify", "rhizo.toml", "--crashes", "0", "--apart", "db.start,web.start"]);
}
