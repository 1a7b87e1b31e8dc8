//! The ends of a component's processes, and the grace times that the user sets for them.
//!
//! The rules for one task are unit tests of `component/processes.rs`; here they hold for whole applications.

use std::fs;

use crate::deployment::{Deployment, kill, nodes, pid};

/// The processes of the application whose command line contains this.
fn running(deployment: &Deployment, words: &str) -> Vec<u32> {
    let contains = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").trim_end().starts_with(words)
    };
    deployment.processes().into_iter().filter(contains).collect()
}

fn config(deployment: &Deployment, component: &str) {
    deployment.write("rhizo.toml", &format!("rhizo = 1\n[app]\nname = \"x\"\n[components.w]\n{component}\n"));
}

#[test]
fn a_child_with_a_session_of_its_own_ends_with_its_copy() {
    let deployment = Deployment::new("sessions", "rhizo");
    config(&deployment, "exec = \"sh -c 'setsid sleep 98765 & exec sleep 100000'\"");
    deployment.up();
    for _ in 0..2 {
        let leaders = running(&deployment, "sleep 100000");
        assert_eq!((leaders.len(), running(&deployment, "sleep 98765").len()), (1, 1));
        kill(leaders[0]);
        deployment.until("restarted", |status| {
            let new = running(&deployment, "sleep 100000");
            status["state"] == "stable" && new.len() == 1 && new != leaders
        });
    }
    assert_eq!(running(&deployment, "sleep 98765").len(), 1, "one for the copy that runs");
    // A new version stops the old copy, with all its processes.
    config(&deployment, "exec = \"sleep 100001\"");
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    assert!(running(&deployment, "sleep 98765").is_empty());
    deployment.down();
}

#[test]
fn a_child_has_its_grace_when_the_leader_ends_at_once() {
    let deployment = Deployment::new("grace", "rhizo");
    let done = deployment.file("done");
    deployment.write(
        "child.sh",
        &format!("trap 'sleep 1; touch {}; exit 0' TERM\nwhile :; do sleep 0.05; done\n", done.display()),
    );
    let child = deployment.file("child.sh");
    config(&deployment, &format!("exec = \"sh -c 'sh {} & exec sleep 100000'\"", child.display()));
    deployment.up();
    deployment.down();
    assert!(done.exists(), "the child was killed before its second was over");
}

#[test]
fn a_released_host_waits_for_the_grace_of_its_programs() {
    let deployment = Deployment::new("released", "rhizo");
    let done = deployment.file("done");
    let script =
        format!("trap 'sleep 3; touch {}; exit 0' TERM\nwhile :; do sleep 0.05; done\n", done.display());
    deployment.write("slow.sh", &script);
    let slow = deployment.file("slow.sh");
    let provider = "[providers.lab]\nkind = \"process\"\ngrace_ms = 500\n";
    config(&deployment, &format!("exec = \"sh {}\"\nstop.grace = \"20s\"\n{provider}", slow.display()));
    deployment.up();
    // Without a quorum `down` has the hosts released by their provider alone, whose grace is shorter.
    let status = deployment.status();
    nodes(&status).iter().filter(|node| node["provider"] == "founder").for_each(|node| kill(pid(node)));
    deployment.until("without a quorum", |status| status["state"] == "no-quorum");
    deployment.down();
    assert!(done.exists(), "the program was killed before its three seconds were over");
}

#[test]
fn a_start_that_takes_too_long_says_what_it_waited_for() {
    let deployment = Deployment::new("slow-start", "rhizo");
    config(
        &deployment,
        "exec = \"sleep 100000\"\nexports.http = {}\nhealth = { http = \"http:/\" }\nstart = { timeout = \"700ms\" }",
    );
    let up = deployment.start(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "60"]);
    let status = deployment.until("the failure", |status| {
        let problems = status["problems"].to_string();
        problems.contains("not done within 700 ms: it was not ready: ")
            && problems.contains("Connection refused")
    });
    assert_ne!(status["state"], "stable", "{status:#}");
    assert!(!nodes(&status).is_empty());
    drop(up);
    deployment.ok(&["down", "--yes"]);
}
