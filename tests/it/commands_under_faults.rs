//! Commands that run while members hang or have just died: they answer, are carried out by the next coordinator, or say
//! *no quorum*. What the application does after such a fault is in `repair.rs` and `quorum.rs`.

use std::os::unix::fs::PermissionsExt as _;

use crate::deployment::{Deployment, coordinator, id, kill, nodes, pid, signal};

fn write(deployment: &Deployment, replicas: u32) {
    let component = format!("[components.w]\nexec = \"sleep 100000\"\nreplicas = {replicas}\n");
    deployment.write("rhizo.toml", &format!("rhizo = 1\n[app]\nname = \"x\"\n{component}"));
}

#[test]
fn status_answers_while_a_member_hangs() {
    let deployment = Deployment::new("hung", "rhizo");
    write(&deployment, 3);
    let status = deployment.up();
    let (founders, hosts): (Vec<_>, Vec<_>) =
        nodes(&status).into_iter().partition(|node| node["provider"] == "founder");
    let hung = &hosts[0];
    signal(pid(hung), "STOP");
    for _ in 0..3 {
        let said = deployment.ok(&["status", "--json"]).json();
        assert!(nodes(&said).iter().any(|node| id(node) == id(&founders[0])), "{said:#}");
    }
    signal(pid(hung), "CONT");
    deployment.down();
}

#[test]
fn an_up_right_after_the_death_of_the_coordinator_is_carried_out_by_the_next_one() {
    let deployment = Deployment::new("hurried", "rhizo");
    write(&deployment, 4);
    let status = deployment.up();
    write(&deployment, 3);
    kill(pid(&coordinator(&status)));
    deployment.ok(&["up", "rhizo.toml", "--yes", "--wait"]);
    let after = deployment.status();
    assert_eq!((&after["spec"], &after["state"]), (&2.into(), &"stable".into()), "{after:#}");
    assert_ne!(after["coordinator"], status["coordinator"], "{after:#}");
    deployment.down();
}

#[test]
fn an_up_right_after_the_death_of_a_majority_says_no_quorum() {
    let deployment = Deployment::new("majority", "rhizo");
    write(&deployment, 5);
    let status = deployment.up();
    write(&deployment, 4);
    let (founders, hosts): (Vec<_>, Vec<_>) =
        nodes(&status).into_iter().partition(|node| node["provider"] == "founder");
    hosts[..4].iter().for_each(|node| kill(pid(node)));
    let said = deployment.run(&["up", "rhizo.toml", "--yes"]);
    assert_eq!(said.status.code(), Some(4), "{said:#?}");
    assert!(said.stderr.contains("no quorum") && said.stderr.contains("recover"), "{said:#?}");
    // `down` would first wait for the order that the survivors cannot carry out.
    founders.iter().chain(&hosts[4..]).for_each(|node| kill(pid(node)));
    deployment.down();
}

#[test]
fn a_folder_whose_name_is_a_placeholder_is_a_folder() {
    let deployment = Deployment::new("folder", "rhizo");
    deployment.write("{dir}/serve", "#!/bin/sh\nexec sleep 100000\n");
    let program = deployment.file("{dir}/serve");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let config = "rhizo = 1\n[app]\nname = \"x\"\n[components.w]\nexec = \"./serve\"\n";
    deployment.write("{dir}/rhizo.toml", config);
    let said = deployment.ok(&["check", "{dir}/rhizo.toml"]);
    assert!(!said.stderr.contains("warning"), "{said:#?}");
    deployment.ok(&["up", "{dir}/rhizo.toml", "--yes", "--wait"]);
    deployment.down();
}
