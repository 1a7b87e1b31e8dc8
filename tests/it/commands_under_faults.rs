//! Commands that run while members hang or have just died: they answer, are carried out by the next coordinator, or say
//! *no quorum*. What the application does after such a fault is in `repair.rs` and `quorum.rs`.

use crate::deployment::{Deployment, coordinator, id, kill, nodes, pid, signal};
use crate::repair::crew;

#[test]
fn status_answers_while_a_member_hangs() {
    let deployment = Deployment::new("hung", "rhizo");
    crew(&deployment, 3);
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
    crew(&deployment, 4);
    let status = deployment.up();
    crew(&deployment, 3);
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
    crew(&deployment, 5);
    let status = deployment.up();
    crew(&deployment, 4);
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
