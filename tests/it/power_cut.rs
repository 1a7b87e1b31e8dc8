//! After a power cut (all processes of an application end at one moment), `up` starts it again from the disk.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::deployment::{Deployment, id, instances, kill, nodes, signal};
use crate::inventory::assert_equal;
use crate::repair::crew;

/// Ends every process of the application before one of them can react to the end of another one.
pub(crate) fn cut_power(deployment: &Deployment) {
    while !deployment.processes().is_empty() {
        let all = deployment.processes();
        all.iter().for_each(|pid| signal(*pid, "STOP"));
        all.into_iter().for_each(kill);
    }
}

/// The host and the key of each node.
fn identities(status: &Value) -> BTreeMap<String, (Value, Value)> {
    nodes(status).iter().map(|node| (id(node), (node["host"].clone(), node["key"].clone()))).collect()
}

#[test]
fn every_node_comes_back_as_itself_and_nothing_is_bought() {
    let deployment = Deployment::new("power-cut", "rhizo");
    crew(&deployment, 4);
    let before = deployment.up();
    cut_power(&deployment);
    assert_eq!(deployment.run(&["status"]).status.code(), Some(3), "no node answers");

    let after = deployment.up();
    assert_eq!(after["lineage"], before["lineage"]);
    assert_eq!(identities(&after), identities(&before));
    assert_eq!(instances(&after).len(), 4, "{after:#}");
    assert_equal(&deployment, &after);
    assert_eq!(deployment.host_dirs().len(), 4, "a fifth host was bought");
    deployment.down();
}

#[test]
fn a_detached_application_comes_back_without_node_0_and_replaces_a_lost_host() {
    let deployment = Deployment::new("power-cut-detached", "rhizo");
    crew(&deployment, 4);
    deployment.ok(&["up", "rhizo.toml", "--yes", "--detach"]);
    let before = deployment.status();
    cut_power(&deployment);
    // The disk of one host is gone as well.
    let lost = deployment.host_dirs().pop().expect("there are hosts");
    std::fs::remove_dir_all(&lost).expect("it can be removed");
    let lost = lost.file_name().expect("a host has a name").to_string_lossy().into_owned();

    let after = deployment.up();
    let (old, new) = (identities(&before), identities(&after));
    let kept = old.iter().filter(|(node, identity)| new.get(*node) == Some(identity)).count();
    assert_eq!((kept, new.len()), (3, 4), "{after:#}");
    assert!(new.values().all(|(host, _)| *host != lost), "{after:#}");
    assert_equal(&deployment, &after);
    deployment.down();
}
