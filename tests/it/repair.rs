//! Nodes are killed, the application comes back whole: the right bindings, nothing bought twice, nothing leaked.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::deployment::{Deployment, coordinator, id, instances, kill, nodes, pid};
use crate::inventory::{assert_equal, sampled};

/// An application of `size` idle workers, one per host, on the default process provider.
pub(crate) fn crew(deployment: &Deployment, size: u32) {
    deployment.write(
        "rhizo.toml",
        &format!(
            "rhizo = 1\n[app]\nname = \"crew\"\nversion = \"1\"\n\
             [components.worker]\nexec = \"sleep 100000\"\nreplicas = {size}\n\
             [optimise]\nsettle = \"1s\"\n"
        ),
    );
}

/// Every instance is started, once, on a member.
fn assert_whole(status: &Value, size: usize) {
    let members: BTreeSet<String> = nodes(status).iter().map(id).collect();
    let names: BTreeSet<String> = instances(status).iter().map(|i| i["instance"].to_string()).collect();
    assert_eq!(names.len(), size, "{status:#}");
    for instance in instances(status) {
        assert_eq!(instance["state"], "started", "{status:#}");
        assert!(members.contains(instance["node"].as_str().unwrap()), "{status:#}");
    }
    let voters = nodes(status).iter().filter(|node| node["voter"] == true).count();
    assert!(voters >= 3.min(nodes(status).len()) && voters % 2 == 1, "{voters} voters: {status:#}");
}

#[test]
fn a_killed_member_is_replaced() {
    let deployment = Deployment::new("killed-member", "rhizo");
    crew(&deployment, 4);
    let before = deployment.up();
    assert_whole(&before, 4);
    assert_equal(&deployment, &before);

    let leader = id(&coordinator(&before));
    let victim =
        nodes(&before).into_iter().find(|node| id(node) != leader && node["host"].is_string()).unwrap();
    let after = sampled(&deployment, || {
        kill(pid(&victim));
        deployment.until_stable_without(&[id(&victim)])
    });
    assert_whole(&after, 4);
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}

#[test]
fn a_killed_coordinator_is_succeeded_and_replaced() {
    let deployment = Deployment::new("killed-coordinator", "rhizo");
    crew(&deployment, 4);
    let mut status = deployment.up();
    // Twice: the second time the successor goes, which took over in the middle of nothing.
    for _ in 0..2 {
        let victim = coordinator(&status);
        let term = status["term"].as_u64();
        status = sampled(&deployment, || {
            kill(pid(&victim));
            deployment.until_stable_without(&[id(&victim)])
        });
        assert!(status["term"].as_u64() > term, "{status:#}");
        assert_whole(&status, 4);
    }
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}

#[test]
fn a_coordinator_killed_in_the_middle_of_a_repair_leaves_it_to_the_next() {
    let deployment = Deployment::new("killed-repairer", "rhizo");
    crew(&deployment, 5);
    let before = deployment.up();
    let leader = coordinator(&before);
    let victim =
        nodes(&before).into_iter().find(|node| id(node) != id(&leader) && node["host"].is_string()).unwrap();
    let after = sampled(&deployment, || {
        kill(pid(&victim));
        deployment
            .until("missing the victim", |status| nodes(status).iter().all(|node| id(node) != id(&victim)));
        kill(pid(&leader));
        deployment.until_stable_without(&[id(&victim), id(&leader)])
    });
    assert_whole(&after, 5);
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}
