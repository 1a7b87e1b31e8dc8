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
    let why = deployment.ok(&["why", "bad.0"]).stdout;
    assert!(why.contains("its last output: no such table"), "{why}");
    // Each failure is one event: a line with the text has the number of the failure, and no two have the same.
    let events = deployment.ok(&["events"]).stdout;
    let failures = events.lines().filter(|line| line.contains("its last output: no such table"));
    let numbers: Vec<&str> = failures
        .map(|line| {
            let (before, _) = line.split_once(" in a row): ").unwrap_or_else(|| panic!("told twice: {line}"));
            before.rsplit_once('(').expect("a number").1
        })
        .collect();
    let different: std::collections::BTreeSet<&str> = numbers.iter().copied().collect();
    assert!(!numbers.is_empty() && different.len() == numbers.len(), "{events}");
    deployment.down();
}

#[test]
fn a_low_limit_of_open_files_is_a_problem() {
    let deployment = Deployment::new("open-files", "rhizo");
    deployment
        .write("rhizo.toml", "rhizo = 1\n[app]\nname = \"x\"\n[components.w]\nexec = \"sleep 100000\"\n");
    let program = env!("CARGO_BIN_EXE_rhizo");
    // Below a shell, so that the limit is that of the application alone.
    let up = format!("ulimit -n 60; exec '{program}' up rhizo.toml --yes --wait --timeout-s 1");
    let ended = std::process::Command::new("sh")
        .args(["-c", &up])
        .current_dir(deployment.file(""))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("a shell");
    assert!(matches!(ended.status.code(), Some(0 | 5)), "{ended:?}");
    deployment.until("told of the limit", |status| {
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        problems.iter().any(|problem| problem.as_str().is_some_and(|text| text.contains("only 60 files")))
    });
    deployment.down();
}
