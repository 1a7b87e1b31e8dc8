//! Killed nodes are repaired: bindings are correct again, no host is acquired twice, none is left without an intent.

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
        assert!(members.contains(instance["node"].as_str().expect("a node is text")), "{status:#}");
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
    // The second kill hits the successor of the first coordinator.
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
    let told = deployment.ok(&["events"]).stdout;
    let began = format!("first entry of term {}", status["term"]);
    // Every member notices the entry, and an answer has each committed notice once.
    assert_eq!(told.lines().filter(|line| line.contains(&began)).count(), 1, "{began}: {told}");
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

/// Three providers with one region each; at least two of them must be used.
fn spread_crew(deployment: &Deployment) {
    let mut config = String::from(
        "rhizo = 1\n[app]\nname = \"spread\"\nversion = \"1\"\n\
         [components.worker]\nexec = \"sleep 100000\"\nreplicas = 4\n\
         [[require]]\nname = \"two-providers\"\ngroup = \"worker\"\nspread = { by = \"node.provider\", max = \"2\" }\n\
         [optimise]\nsettle = \"1s\"\n",
    );
    for provider in ["east", "west", "south"] {
        config += &format!(
            "[providers.{provider}]\nkind = \"process\"\noffers = \"{provider}.csv\"\nfaults = \"faults.json\"\n"
        );
        let offers = format!(
            "name,region,price_per_hour,available,cap.cpu,cap.memory\nsmall,{provider}-1,0.1,8,2,4GiB\n"
        );
        deployment.write(&format!("{provider}.csv"), &offers);
    }
    deployment.write("rhizo.toml", &config);
}

#[test]
fn a_provider_that_is_lost_at_once_is_left_for_the_others() {
    let deployment = Deployment::new("lost-provider", "rhizo");
    spread_crew(&deployment);
    let before = deployment.up();
    assert_whole(&before, 4);
    let lost = instances(&before)
        .iter()
        .find_map(|instance| nodes(&before).into_iter().find(|node| node["id"] == instance["node"]))
        .map(|node| node["provider"].as_str().unwrap_or_default().to_owned())
        .unwrap();
    let victims: Vec<Value> =
        nodes(&before).into_iter().filter(|node| node["provider"] == lost.as_str()).collect();
    assert!(!victims.is_empty() && victims.len() * 2 < nodes(&before).len(), "no minority: {before:#}");

    deployment.write("faults.json", &format!("{{\"providers\":{{\"{lost}\":{{\"api_down\":true}}}}}}"));
    victims.iter().for_each(|node| kill(pid(node)));
    let ids: Vec<String> = victims.iter().map(id).collect();
    // The releases stay open while the provider's list cannot confirm them, so the state need not be stable.
    let after = deployment.until("whole on the others", |status| {
        let started = instances(status).iter().filter(|instance| instance["state"] == "started").count();
        started == 4
            && nodes(status).iter().all(|node| !ids.contains(&id(node)) && node["provider"] != lost.as_str())
    });
    assert_whole(&after, 4);

    deployment.write("faults.json", "{}");
    let at_rest =
        deployment.until("at rest", |status| status["state"] == "stable" && status["intents"]["open"] == 0);
    assert_equal(&deployment, &at_rest);
    deployment.down();
}
