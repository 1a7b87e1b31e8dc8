//! The reasons that `status`, `why` and `events` give for instances that do not serve.

use crate::deployment::{Deployment, instances};

/// `slow` listens on no export, `user` imports it, `bad` ends with an error.
const UNWELL: &str = r#"
rhizo = 1
[app]
name = "unwell"
[components.slow]
exec = "sleep 100000"
exports.http = {}
[components.user]
exec = "sleep 100000"
imports.slow = { from = "slow.http" }
[components.bad]
exec = "sh -c 'echo no such table >&2; exit 3'"
"#;

#[test]
fn an_instance_that_does_not_serve_has_a_reason() {
    let deployment = Deployment::new("reasons", "rhizo");
    deployment.write("rhizo.toml", UNWELL);
    let up = deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "1"]);
    assert_eq!(up.status.code(), Some(5), "{up:#?}");
    let reason = |status: &serde_json::Value, component: &str| {
        let found = instances(status).into_iter().find(|instance| instance["name"] == component);
        found.and_then(|instance| Some(instance["reason"].as_str()?.to_owned())).unwrap_or_default()
    };
    let status = deployment.until("told all reasons", |status| {
        let slow = reason(status, "slow");
        slow.contains(" tries, gives up in ")
            && slow.contains("refused the connection")
            && reason(status, "user").contains("import `slow`: slow.0 is starting")
            && reason(status, "bad").contains("exit status: 3")
            && reason(status, "bad").ends_with("its last output: no such table")
    });
    assert_ne!(status["state"], "stable");
    let text = deployment.run(&["status"]).stdout;
    assert!(text.contains(" tries, gives up in ") && text.contains("waits for import `slow`"), "{text}");
    for command in [&["why", "bad.0"][..], &["events"]] {
        let said = deployment.ok(command).stdout;
        assert!(said.contains("its last output: no such table"), "{command:?}: {said}");
    }
    deployment.down();
}
