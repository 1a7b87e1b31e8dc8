//! Programs that never work: they cost no host and no copy beyond the need, and their correction starts at once.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::deployment::{Deployment, instances};

/// How long the broken program is watched: time for about five attempts.
const WATCHED: Duration = Duration::from_secs(10);

fn shop(exec: &str) -> String {
    format!(
        "rhizo = 1\n[app]\nname = \"x\"\n[providers.lab]\nkind = \"process\"\noffers = \"offers.csv\"\n\
         [budget]\nmax_hourly = \"$5/h\"\n\
         [components.w]\nexec = \"{exec}\"\nreplicas = {{ min = 2, max = 4 }}\n\
         [[require]]\nname = \"apart\"\ngroup = \"w\"\nspread = {{ by = \"node.region\", max = \"1\" }}\n"
    )
}

/// A file of this many offers, each in a region of its own.
pub(crate) fn offers(count: u32) -> String {
    let rows = (0..count).map(|number| format!("o{number},eu-{number},0.10,2,4GiB\n"));
    "name,region,price_per_hour,cap.cpu,cap.memory\n".to_owned() + &rows.collect::<String>()
}

/// Watches a program that keeps failing; returns the last status.
fn watch(deployment: &Deployment, hosts_max: usize, copies_max: usize) -> Value {
    let end = Instant::now() + WATCHED;
    let mut last = Value::Null;
    while Instant::now() < end {
        if let Some(status) = deployment.try_status() {
            let copies = instances(&status).len();
            assert!(copies <= copies_max, "{copies} copies: {status:#}");
            assert_ne!(status["state"], "stable", "{status:#}");
            last = status;
        }
        let hosts = deployment.host_dirs();
        assert!(hosts.len() <= hosts_max, "{hosts:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    last
}

#[test]
fn a_program_that_never_works_buys_nothing_more_and_its_correction_is_taken_at_once() {
    let deployment = Deployment::new("crash-loop", "rhizo");
    deployment.write("offers.csv", &offers(20));
    deployment.write("rhizo.toml", &shop("sh -c 'echo no such flag >&2; exit 3'"));
    let said = deployment.run(&["up", "rhizo.toml", "--yes", "--wait", "--timeout-s", "3"]);
    assert!(!said.status.success(), "{said:#?}");
    deployment.until("failing", |status| status["failing"][0]["name"] == "w");
    let status = watch(&deployment, 2, 4);
    let failing = &status["failing"][0];
    assert_eq!(failing["name"], "w", "{status:#}");
    assert!(failing["error"].as_str().is_some_and(|text| text.contains("exit status: 3")), "{status:#}");
    assert!(failing["wait_ms"].as_u64().is_some_and(|wait_ms| wait_ms > 0), "{status:#}");
    let name = instances(&status)[0]["instance"].as_str().expect("a name").to_owned();
    let why = deployment.ok(&["why", &name]);
    assert!(why.stdout.contains("keeps failing"), "{why:#?}");
    let events = deployment.ok(&["events"]).stdout;
    assert!(events.contains("keeps failing"), "{events}");
    assert!(events.matches(": acquiring ").count() <= 2, "{events}");

    deployment.write("rhizo.toml", &shop("sleep 100000"));
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    let status = deployment.status();
    assert!(status["failing"].as_array().is_none_or(Vec::is_empty), "{status:#}");
    assert_eq!(deployment.host_dirs().len(), 2, "nothing more is held");
    deployment.down();
}
