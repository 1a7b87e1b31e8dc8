//! The contract with scripts: the JSON of `status` and `plan`, exit codes, and refused configurations that start
//! nothing.

use serde_json::Value;

use crate::deployment::{Deployment, instances, nodes};
use crate::repair::crew;

fn assert_keys(record: &Value, keys: &[&str]) {
    for key in keys {
        assert!(record.get(key).is_some(), "`{key}` is missing in {record:#}");
    }
}

#[test]
fn a_broken_configuration_is_explained_with_its_place_and_starts_nothing() {
    let deployment = Deployment::new("broken-config", "rhizo");
    deployment.write(
        "rhizo.toml",
        "rhizo = 1\n[app]\nname = \"broken\"\nversion = \"1\"\n[components.a]\nexec = \"sleep 1\"\nreplcas = 2\n",
    );
    for command in ["check", "up", "plan"] {
        let said = deployment.run(&[command, "rhizo.toml"]);
        assert_eq!(said.status.code(), Some(2), "{command}: {said:#?}");
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(text.contains("rhizo.toml:7:"), "{command}: {text}");
        assert!(text.contains("replicas"), "no hint at the right name: {text}");
    }
    assert!(deployment.processes().is_empty());
    assert!(deployment.host_dirs().is_empty());
}

#[test]
fn a_command_without_an_application_fails_with_a_hint() {
    let deployment = Deployment::new("no-application", "rhizo");
    for command in [&["status"][..], &["why"], &["events"], &["logs", "a.0"]] {
        let said = deployment.run(command);
        assert!(!said.status.success(), "{command:?}: {said:#?}");
        assert!(
            !said.stderr.trim().is_empty() && !said.stderr.contains("panicked"),
            "{command:?}: {said:#?}"
        );
    }
}

#[test]
fn the_schema_is_a_json_schema_of_the_configuration() {
    let deployment = Deployment::new("schema", "rhizo");
    let schema = deployment.ok(&["schema"]).json();
    assert!(schema["$schema"].as_str().is_some_and(|name| name.contains("json-schema.org")), "{schema:#}");
    assert!(schema["properties"]["components"].is_object(), "{schema:#}");
}

#[test]
fn plan_starts_nothing_and_tells_terms_cost_price_and_proof() {
    let deployment = Deployment::of_example("plan", "psepr");
    let plan = deployment.ok(&["plan", "rhizo.toml", "--json"]).json();
    assert_keys(
        &plan,
        &[
            "current",
            "proposed",
            "actions",
            "terms",
            "migration_cost",
            "cost_per_hour",
            "bound",
            "gap",
            "solver_seconds",
        ],
    );
    assert!(!plan["proposed"].as_array().unwrap().is_empty(), "{plan:#}");
    assert!(!plan["terms"].as_array().unwrap().is_empty(), "{plan:#}");
    assert_eq!(plan["proven"], true, "{plan:#}");
    for action in plan["actions"].as_array().unwrap() {
        assert!(action["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{action:#}");
    }
    assert!(deployment.processes().is_empty());
    assert!(deployment.host_dirs().is_empty());
}

#[test]
fn the_status_has_every_key_scripts_rely_on() {
    let deployment = Deployment::new("status-keys", "rhizo");
    crew(&deployment, 3);
    let status = deployment.up();
    assert_keys(
        &status,
        &[
            "app",
            "lineage",
            "term",
            "coordinator",
            "state",
            "utility",
            "cost_per_hour",
            "nodes",
            "components",
            "intents",
            "problems",
        ],
    );
    assert_keys(&status["intents"], &["open", "unknown"]);
    for node in nodes(&status) {
        assert_keys(&node, &["id", "provider", "region", "state", "voter", "pid", "address", "components"]);
    }
    for instance in instances(&status) {
        assert_keys(&instance, &["name", "instance", "node", "state", "bindings"]);
    }
    assert_eq!(status["app"], "crew");
    let human = deployment.ok(&["status"]);
    assert!(human.stdout.contains("stable"), "{}", human.stdout);
    assert!(deployment.ok(&["events"]).stdout.lines().count() > 3);
    assert!(!deployment.ok(&["why"]).stdout.trim().is_empty());
    deployment.down();
}

#[test]
fn the_configuration_in_the_readme_is_valid() {
    let deployment = Deployment::new("readme", "rhizo");
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "the README shows a configuration");
    for block in blocks {
        deployment.write("readme.toml", block);
        deployment.ok(&["check", "readme.toml"]);
    }
}
