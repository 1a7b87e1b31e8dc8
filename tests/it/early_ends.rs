//! Programs that start and end soon afterwards, or end at once and leave a daemon: none of them counts as working, no
//! further host is acquired, and the reason is shown. Programs that never start are in `crash_loop.rs`.

use std::fs;

use crate::crash_loop::offers;
use crate::deployment::Deployment;

/// An application that may buy twenty hosts and needs two: one for the components, one more for three voters.
fn application(deployment: &Deployment, components: &str) {
    deployment.write("offers.csv", &offers(20));
    let head =
        "rhizo = 1\n[app]\nname = \"x\"\n[providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n";
    deployment.write("rhizo.toml", &format!("{head}{components}"));
    // It ends with 5, *not stable in time*, however long it waits.
    let said = deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "2"]);
    assert_eq!(said.status.code(), Some(5), "{said:#?}");
}

fn assert_two_hosts(deployment: &Deployment) {
    let hosts = deployment.host_dirs();
    assert!(hosts.len() <= 2, "{hosts:#?}");
}

#[test]
fn programs_that_live_for_a_moment_or_for_seconds_are_not_stable() {
    let deployment = Deployment::new("early-ends", "rhizo");
    let components = "[components.brief]\nexec = \"sleep 0.2\"\n[components.longer]\nexec = \"sleep 5\"\n";
    application(&deployment, components);
    deployment.until("failing", |status| {
        assert_ne!(status["state"], "stable", "{status:#}");
        let failing = status["failing"].to_string();
        failing.contains("\"brief\"") && failing.contains("\"longer\"")
    });
    assert_two_hosts(&deployment);
    deployment.down();
}

#[test]
fn a_daemon_that_its_program_leaves_behind_is_ended_and_named() {
    let deployment = Deployment::new("daemon", "rhizo");
    application(&deployment, "[components.w]\nexec = \"sh -c 'setsid sleep 97531 & exit 0'\"\n");
    deployment.until("failing", |status| {
        status["problems"].to_string().contains(
            "w keeps failing, 3 times in a row: its program ended with exit status: 0 before it was ready",
        )
    });
    let is_daemon =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"));
    let daemons = deployment.processes().into_iter().filter(is_daemon).count();
    assert!(daemons <= 1, "{daemons} daemons of one copy");
    assert_two_hosts(&deployment);
    deployment.down();
}
