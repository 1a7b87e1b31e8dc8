//! Programs that start and end soon afterwards, or end at once and leave a daemon: none of them counts as working, no
//! further host is acquired, and `up` prints the reason. Programs that never start are in `crash_loop.rs`.

use std::fs;

use crate::deployment::Deployment;

/// An application that may buy twenty hosts and needs two: one for the components, one more for three voters.
fn application(deployment: &Deployment, components: &str) {
    let rows = (0..20).map(|number| format!("o{number},eu-{number},0.10,2,4GiB\n"));
    let offers = "name,region,price_per_hour,cap.cpu,cap.memory\n".to_owned() + &rows.collect::<String>();
    deployment.write("offers.csv", &offers);
    let head =
        "rhizo = 1\n[app]\nname = \"x\"\n[providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n";
    deployment.write("rhizo.toml", &format!("{head}{components}"));
}

/// Ends with 5, *not stable in time*. Returns the message.
fn never_stable(deployment: &Deployment, timeout_s: &str) -> String {
    let said = deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", timeout_s]);
    assert_eq!(said.status.code(), Some(5), "{said:#?}");
    let hosts = deployment.host_dirs();
    assert!(hosts.len() <= 2, "{hosts:#?}");
    said.stderr
}

#[test]
fn programs_that_live_for_a_moment_or_for_seconds_are_not_stable() {
    let deployment = Deployment::new("early-ends", "rhizo");
    application(
        &deployment,
        "[components.brief]\nexec = \"sleep 0.2\"\n[components.longer]\nexec = \"sleep 5\"\n",
    );
    // Time for three runs of the longer one.
    let said = never_stable(&deployment, "20");
    assert!(said.contains("brief keeps failing"), "{said}");
    let events = deployment.ok(&["events"]).stdout;
    assert!(events.contains("longer.0 failed (2 in a row)"), "{events}");
    deployment.down();
}

#[test]
fn a_daemon_that_its_program_leaves_behind_is_ended_and_named() {
    let deployment = Deployment::new("daemon", "rhizo");
    application(&deployment, "[components.w]\nexec = \"sh -c 'setsid sleep 97531 & exit 0'\"\n");
    let said = never_stable(&deployment, "15");
    assert!(said.contains("its program ended with exit status: 0 before it was ready"), "{said}");
    let is_daemon =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"));
    let daemons = deployment.processes().into_iter().filter(is_daemon).count();
    assert!(daemons <= 1, "{daemons} daemons of one copy");
    deployment.down();
}
