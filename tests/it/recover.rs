//! A quorum that is lost for good: every command says so in the same words, `recover` is refused while a quorum may
//! still exist, and otherwise begins a new lineage in which members that answer go on with their programs running.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::deployment::{Deployment, id, is_told, kill, nodes, pid, signal};
use crate::inventory::{assert_equal, live_hosts};
use crate::repair::crew;

/// The beginning of the sentence about a lost quorum.
const NO_QUORUM: &str = "no quorum: 1 of 3 voters is reached";

/// The process of the worker on each host, by the host's name.
fn workers(deployment: &Deployment) -> BTreeMap<String, u32> {
    let named = |pid: u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let parts = directory.iter().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>();
        let host = parts.iter().skip_while(|part| *part != "hosts").nth(1)?.clone();
        command.starts_with(b"sleep\0").then_some((host, pid))
    };
    deployment.processes().into_iter().filter_map(named).collect()
}

fn host(node: &Value) -> String {
    node["host"].as_str().unwrap_or_default().to_owned()
}

/// The members of a crew of three: two voters with hosts, and the host that does not vote. Node 0 votes as well.
fn parts(status: &Value) -> (Value, [Value; 2], Value) {
    let (founder, hosts): (Vec<_>, Vec<_>) =
        nodes(status).into_iter().partition(|node| !node["host"].is_string());
    let (voters, others): (Vec<_>, Vec<_>) = hosts.into_iter().partition(|node| node["voter"] == true);
    let voters =
        <[Value; 2]>::try_from(voters).unwrap_or_else(|_| panic!("two voters with hosts: {status:#}"));
    (founder[0].clone(), voters, others[0].clone())
}

#[test]
fn a_new_lineage_keeps_the_members_that_answer_and_ends_the_others() {
    let deployment = Deployment::new("recover", "rhizo");
    crew(&deployment, 3);
    let before = deployment.up();
    let refused = deployment.run(&["recover", "--new-lineage", "--yes"]);
    assert!(refused.stderr.contains("a quorum exists"), "{refused:#?}");

    let (founder, [first, second], third) = parts(&before);
    // Node 0 hangs and a voter is gone: one of three voters is left, and a member without a vote.
    signal(pid(&founder), "STOP");
    kill(pid(&first));
    deployment.until("without a quorum", |status| status["state"] == "no-quorum");
    let running = workers(&deployment);
    for arguments in [&["up", "rhizo.toml", "--yes", "--wait"][..], &["plan"]] {
        let said = deployment.run(arguments);
        assert_eq!(said.status.code(), Some(4), "{said:#?}");
        assert!(
            said.stderr.contains(NO_QUORUM) && said.stderr.contains("recover --new-lineage"),
            "{said:#?}"
        );
    }
    let said = deployment.run(&["status"]);
    assert!(said.status.code() == Some(4) && said.stdout.contains(NO_QUORUM), "{said:#?}");

    // Node 0 may be part of a quorum as far as anybody can see.
    let refused = deployment.run(&["recover", "--new-lineage", "--yes"]);
    assert!(refused.stderr.contains("a quorum may still exist: n1 does not answer"), "{refused:#?}");
    let refused = deployment.run(&["recover", "--new-lineage", "--yes", "--lost", &id(&second)]);
    assert!(refused.stderr.contains("so it is not lost"), "{refused:#?}");
    assert_eq!(deployment.status()["lineage"], before["lineage"], "a refusal changes nothing");
    // Without a terminal there is no consent.
    let asked = deployment.run(&["recover", "--new-lineage", "--lost", "n1"]);
    assert!(asked.status.code() == Some(6) && asked.stderr.contains("is given up for good"), "{asked:#?}");

    let said = deployment.ok(&["--json", "recover", "--new-lineage", "--yes", "--lost", "n1"]).json();
    assert_ne!(said["lineage"], before["lineage"], "{said:#}");
    assert_eq!(said["former"], before["lineage"]);
    let lost = vec![id(&founder), id(&first)];
    let after = deployment.until_stable_without(&lost);
    let kept: BTreeSet<String> = nodes(&after).iter().map(id).collect();
    assert!(kept.contains(&id(&second)) && kept.contains(&id(&third)), "{after:#}");
    // The programs of members that answered were not touched.
    let now = workers(&deployment);
    for node in [&second, &third] {
        assert_eq!(now.get(&host(node)), running.get(&host(node)), "{}: {now:?} {running:?}", id(node));
        assert!(running.contains_key(&host(node)));
    }
    assert_equal(&deployment, &after);

    // Node 0 comes back as a member of the former lineage: a peer refuses it with the operator's
    // statement, and it ends in order.
    signal(pid(&founder), "CONT");
    let start = std::time::Instant::now();
    while std::path::Path::new(&format!("/proc/{}/fd/0", pid(&founder))).exists() {
        assert!(start.elapsed() < crate::deployment::WATCHDOG, "node 0 of the former lineage goes on");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let log = std::fs::read_to_string(deployment.file(".rhizo/founder/node.log")).unwrap();
    assert!(log.contains("an operator began a new lineage"), "{log}");
    let still = deployment.until("stable", is_told);
    assert_eq!(nodes(&still).len(), nodes(&after).len(), "{still:#}");
    assert_eq!(still["lineage"], said["lineage"]);

    // The new lineage is an application as any other: it applies configs, and leaves nothing.
    crew(&deployment, 2);
    let smaller = deployment.up();
    assert_equal(&deployment, &smaller);
    deployment.down();
}

#[test]
fn a_recovery_that_was_interrupted_is_continued() {
    let deployment = Deployment::new("recover-again", "rhizo");
    crew(&deployment, 2);
    let before = deployment.up();
    let founder = nodes(&before).into_iter().find(|node| !node["host"].is_string()).unwrap();
    let lost: Vec<Value> = nodes(&before).into_iter().filter(|node| node["host"].is_string()).collect();
    lost.iter().for_each(|node| kill(pid(node)));
    deployment.until("without a quorum", |status| status["state"] == "no-quorum");
    // While the survivor hangs, no member answers, and nothing is recorded.
    signal(pid(&founder), "STOP");
    let refused = deployment.run(&["recover", "--new-lineage", "--yes"]);
    assert!(refused.stderr.contains("no known member answers"), "{refused:#?}");
    signal(pid(&founder), "CONT");
    let mut interrupted = deployment.start(&["recover", "--new-lineage", "--yes"]);
    let record = deployment.file(".rhizo/recovery.json");
    while !record.exists() && !interrupted.has_ended() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    if !interrupted.has_ended() {
        kill(interrupted.pid());
    }
    let interrupted = interrupted.wait();
    // The command may have been faster than the signal.
    let again = record.exists().then(|| deployment.ok(&["recover", "--new-lineage", "--yes"]));
    let after = deployment.until_stable_without(&lost.iter().map(id).collect::<Vec<_>>());
    assert_ne!(after["lineage"], before["lineage"], "{interrupted:#?} {again:#?}");
    assert!(!record.exists(), "the order is carried out");
    assert_equal(&deployment, &after);
    let held = live_hosts(&deployment);
    assert!(lost.iter().all(|node| !held.contains(&host(node))), "hosts of the former lineage are released");
    deployment.down();
}
