//! After the loss of a majority, the survivors go on serving, report it, and neither acquire nor release hosts.

use std::time::Duration;

use crate::deployment::{Deployment, id, kill, nodes, pid};
use crate::inventory::live_hosts;
use crate::repair::crew;

/// Time for which the test watches that the survivor orders no host: several of its detection and planning periods.
const WATCHED: Duration = Duration::from_secs(15);

#[test]
fn the_last_survivor_says_no_quorum_and_spends_nothing() {
    let deployment = Deployment::new("last-survivor", "rhizo");
    crew(&deployment, 4);
    let before = deployment.up();
    let (survivor, lost): (Vec<_>, Vec<_>) = nodes(&before).into_iter().partition(|node| {
        // Any node but the founder, so that a host of a provider is left.
        node["host"].is_string()
            && id(node) == id(nodes(&before).iter().rfind(|n| n["host"].is_string()).unwrap())
    });
    assert_eq!(survivor.len(), 1);
    // All get the signal before any of them can react to the death of another one.
    lost.iter().for_each(|node| kill(pid(node)));

    deployment.until("without a quorum", |status| status["state"] == "no-quorum");
    let held = live_hosts(&deployment);
    let start = std::time::Instant::now();
    while start.elapsed() < WATCHED {
        let now = live_hosts(&deployment);
        assert!(now.is_subset(&held), "a minority acquired {:?}", now.difference(&held));
        std::thread::sleep(Duration::from_millis(250));
    }
    let status = deployment.status();
    assert_eq!(status["state"], "no-quorum", "{status:#}");
    assert!(status["coordinator"].is_null(), "a coordinator without a quorum is shown: {status:#}");
    assert!(
        live_hosts(&deployment).contains(survivor[0]["host"].as_str().unwrap()),
        "the survivor was released"
    );
}
