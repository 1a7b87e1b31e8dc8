//! The three-tier example: importers receive values, and receive new values when the database is replaced.

use std::net::SocketAddr;

use serde_json::Value;

use crate::deployment::{Deployment, id, instances, kill, nodes, pid};
use crate::inventory::{assert_equal, sampled};

/// The node that the only instance of a component is on.
fn host_of(status: &Value, component: &str) -> Value {
    let found = instances(status).into_iter().find(|instance| instance["name"] == component);
    let name = found.unwrap_or_else(|| panic!("no {component} in {status:#}"))["node"].clone();
    nodes(status).into_iter().find(|node| node["id"] == name).expect("a member")
}

/// Requests a page from the load balancer, on the host where it is placed.
fn page(deployment: &Deployment, status: &Value) -> String {
    let address = host_of(status, "lb")["address"].clone();
    let address: SocketAddr = address.as_str().and_then(|text| text.parse().ok()).expect("an address");
    deployment.ok(&["client", &format!("{}:8080", address.ip()), "/hello"]).stdout
}

#[test]
fn three_tiers_serve_a_page_and_do_so_again_after_the_death_of_the_database() {
    let deployment = Deployment::of_example("three-tier", "three-tier");
    let before = deployment.up();
    assert_eq!(instances(&before).len(), 5, "{before:#}");
    let servers: Vec<String> = (0..3).map(|_| page(&deployment, &before)).collect();
    for (visit, said) in (1..).zip(&servers) {
        assert!(said.starts_with(&format!("visit {visit} of /hello, counted by ")), "{said}");
    }
    assert!(servers[0].split("served by").nth(1) != servers[1].split("served by").nth(1), "{servers:?}");

    let victim = host_of(&before, "db");
    let kept: Vec<Value> =
        instances(&before).into_iter().filter(|i| i["name"] == "app" && i["node"] != victim["id"]).collect();
    assert!(!kept.is_empty(), "one region has everything: {before:#}");
    let after = sampled(&deployment, || {
        kill(pid(&victim));
        deployment.until_stable_without(&[id(&victim)])
    });
    assert_eq!(instances(&after).len(), 5, "{after:#}");
    assert!(instances(&after).iter().all(|instance| instance["state"] == "started"), "{after:#}");
    // Servers on other hosts were suspended, not replaced; they have the new password and made the table.
    for server in kept {
        let name = &server["instance"];
        assert!(
            instances(&after).iter().any(|now| now["instance"] == *name && now["node"] == server["node"])
        );
    }
    let first = page(&deployment, &after);
    assert!(first.starts_with("visit 1 of /hello, counted by "), "{first}");
    assert!(page(&deployment, &after).starts_with("visit 2 of /hello"));
    assert_equal(&deployment, &deployment.status());
    deployment.down();
}
