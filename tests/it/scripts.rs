//! `run SCRIPT`: scripted reconfigurations of real processes.

use serde_json::Value;

use crate::deployment::{Deployment, coordinator, instances, kill, pid};
use crate::inventory::{assert_equal, sampled};

/// A web server that can reload itself, and a database that it imports.
const CONFIG: &str = "\
rhizo = 1
[app]
name = \"shop\"
version = \"1\"
[components.db]
exec = \"sleep 100000\"
replicas = { min = 1, max = 3 }
attributes = { dsn = \"sql://somewhere\" }
exports.sql = { data = true, values = [\"dsn\"] }
[components.web]
exec = \"sleep 100000\"
imports.db = { from = \"db.sql\" }
[components.web.lifecycle]
places = [\"down\", \"up\", \"flushed\"]
started = [\"up\"]
[components.web.lifecycle.behaviours]
deploy = [\"start\"]
retire = [\"stop\"]
reload = [\"flush\", \"fill\"]
[components.web.lifecycle.transitions]
start = { from = \"down\", to = \"up\", start = true }
stop = { from = \"up\", to = \"down\", stop = true }
flush = { from = \"up\", to = \"flushed\", command = [\"sh\", \"-c\", \"echo reloading with {import.db.dsn}\"] }
fill = { from = \"flushed\", to = \"up\" }
[optimise]
settle = \"1s\"
";

const SCRIPT: &str = "\
# The database is replaced, and the web server reloads.
add db.1
wait db.1
connect web.0.db to db.1
disconnect web.0.db from db.0
wait web.0
push web.0 reload
wait web.0
del db.0
wait
";

/// Idle workers on hosts of their own, so that the loss of one member leaves a quorum.
const CREW: &str = "\
[components.worker]
exec = \"sleep 100000\"
replicas = 4
[optimise]";

fn instance(status: &Value, name: &str) -> Option<Value> {
    instances(status).into_iter().find(|instance| instance["instance"] == name)
}

/// The replaced database: only `db.1` is left, and `web.0` is bound to it.
fn assert_replaced(status: &Value) {
    assert_eq!(instance(status, "db.0"), None, "{status:#}");
    assert_eq!(instance(status, "db.1").expect("the new one")["state"], "started", "{status:#}");
    let web = instance(status, "web.0").expect("the web server");
    assert_eq!(web["state"], "started", "{status:#}");
    assert_eq!(web["bindings"][0]["to"], "db.1", "{status:#}");
    assert_eq!(web["bindings"].as_array().map(Vec::len), Some(1), "{status:#}");
}

#[test]
fn a_script_replaces_an_exporter_under_its_user() {
    let deployment = Deployment::new("script", "rhizo");
    deployment.write("rhizo.toml", CONFIG);
    deployment.write("replace.rhs", SCRIPT);
    deployment.up();
    let said = deployment.ok(&["run", "replace.rhs"]);
    assert!(said.stdout.contains("at line 3: wait db.1"), "{said:#?}");
    assert!(said.stdout.contains("is carried out"), "{said:#?}");
    let status = deployment.until("stable", |status| status["state"] == "stable");
    assert_replaced(&status);
    assert_eq!(status["script"]["state"], "done", "{status:#}");
    let logs = deployment.ok(&["logs", "web.0"]).stdout;
    assert!(logs.contains("reloading with sql://somewhere"), "{logs}");
    assert_equal(&deployment, &status);
    deployment.down();
}

#[test]
fn a_script_goes_on_when_the_coordinator_dies() {
    let deployment = Deployment::new("script-orphaned", "rhizo");
    deployment.write("rhizo.toml", &CONFIG.replace("[optimise]", CREW));
    deployment.write("replace.rhs", SCRIPT);
    // More members than two, so that the loss of one leaves a quorum.
    let before = deployment.up();
    let after = sampled(&deployment, || {
        deployment.ok(&["run", "replace.rhs", "--no-wait"]);
        kill(pid(&coordinator(&before)));
        deployment.until("the script done", |status| status["script"]["state"] == "done");
        deployment.until("stable", |status| status["state"] == "stable")
    });
    assert_replaced(&after);
    deployment.down();
}

#[test]
fn what_is_wrong_with_a_script_is_said_and_nothing_is_done() {
    let deployment = Deployment::new("script-wrong", "rhizo");
    deployment.write("rhizo.toml", CONFIG);
    let before = deployment.up();
    deployment.write("typo.rhs", "add db.1\npush web.0 relaod\n");
    let said = deployment.run(&["run", "typo.rhs"]);
    assert_eq!(said.status.code(), Some(2), "{said:#?}");
    assert!(said.stderr.contains("typo.rhs:2:") && said.stderr.contains("reload"), "{said:#?}");
    // The states of the script, which only the running application has.
    deployment.write("nobody.rhs", "wait\ndel db.2\n");
    let said = deployment.run(&["run", "nobody.rhs"]);
    assert_eq!(said.status.code(), Some(1), "{said:#?}");
    assert!(said.stderr.contains("line 2") && said.stderr.contains("db.2"), "{said:#?}");
    assert_eq!(deployment.status()["target"], before["target"], "something was done");
    deployment.down();
}
