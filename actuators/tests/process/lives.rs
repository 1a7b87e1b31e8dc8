//! Starts and ends of hosts: whichever process is killed, all processes of the host end and the list reports it.

use crate::world::{World, eventually, is_alive, kill_9, processes_of};
use rhizo_actuators::process::Executable;
use rhizo_actuators::process::faults::{OfferFaults, ProviderFaults};
use rhizo_actuators::{HostState, Provider, ProviderError};
use serde_json::json;
use std::fs;

/// Both ways of finding what a host has started; `auto` uses a cgroup where the machine has one.
const CONFINEMENTS: [&str; 2] = ["auto", "process-tree"];

#[tokio::test]
async fn a_released_host_ends_and_leaves_nothing() {
    for confinement in CONFINEMENTS {
        let world = World::new(json!({ "confinement": confinement }));
        let host = world.acquire("t1", "join\norphan").await;
        assert!(host.address.unwrap().is_loopback());
        assert_eq!(world.await_state(&host.id, HostState::Running).await.address, host.address);
        let (node, orphan) = (world.node_pid(&host.id).await, world.orphan_pid(&host.id).await);
        assert!(is_alive(node) && is_alive(orphan));
        world.provider.release(&host.id).await.unwrap();
        let ended = world.await_state(&host.id, HostState::Terminated).await;
        assert_eq!(ended.cause.as_deref(), Some("released"));
        let address = world.state().join("addresses").join(host.address.unwrap().to_string());
        assert!(fs::symlink_metadata(address).is_err(), "its address is free again");
        assert!(!is_alive(node) && !is_alive(orphan), "the list may only say so when everything is dead");
        world.close().await;
    }
}

#[tokio::test]
async fn killing_the_node_ends_its_host_with_everything_below_it() {
    for confinement in CONFINEMENTS {
        let world = World::new(json!({ "confinement": confinement }));
        let host = world.acquire("t1", "join\norphan").await;
        let (node, orphan) = (world.node_pid(&host.id).await, world.orphan_pid(&host.id).await);
        let used_cgroup = fs::read_to_string(world.host_directory(&host.id).join("supervisor.json")).unwrap();
        assert_eq!(used_cgroup.contains("\"cgroup\":null"), confinement == "process-tree" || !has_cgroups());
        kill_9(node);
        let ended = world.await_state(&host.id, HostState::Terminated).await;
        assert_eq!(ended.cause.as_deref(), Some("its node was killed by signal 9"));
        assert!(!is_alive(orphan), "an orphan in its own session belongs to the host all the same");
        world.close().await;
    }
}

#[tokio::test]
async fn a_node_starts_with_no_signal_blocked_and_no_trace_of_its_launch() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    let node = world.node_pid(&host.id).await;
    let status = fs::read_to_string(format!("/proc/{node}/status")).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
    assert!(blocked.bytes().all(|digit| digit == b'0'), "blocked signals: {blocked}");
    let environment = fs::read(format!("/proc/{node}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("RHIZO_SUPERVISE_STEP"));
    world.close().await;
}

#[tokio::test]
async fn a_program_that_cannot_be_the_node_ends_its_host_with_the_reason() {
    let world = World::new(json!({}));
    // A slow boot leaves time to spoil the order before the supervisor reads it.
    let slow = OfferFaults { boot_delay_ms: 2_000, ..Default::default() };
    world.set_faults(ProviderFaults { every_offer: slow, ..Default::default() });
    let host = world.acquire("t1", "join").await;
    let path = world.host_directory(&host.id).join("order.json");
    let order = fs::read_to_string(&path).unwrap();
    assert!(order.contains("[\"__node\"]"), "{order}");
    fs::write(&path, order.replace("[\"__node\"]", "[\"__node\\u0000\"]")).unwrap();
    let ended = world.await_state(&host.id, HostState::Terminated).await;
    let cause = ended.cause.unwrap();
    assert!(cause.contains("could not be started") && cause.contains("nul byte"), "{cause}");
    world.close().await;
}

#[tokio::test]
async fn a_node_whose_program_was_removed_or_replaced_orders_hosts_of_its_own_build() {
    for replaced in [false, true] {
        let world = World::new(json!({}));
        let copy = world.path("program");
        fs::copy(env!("CARGO_BIN_EXE_rhizo-actuators-test-host"), &copy).unwrap();
        let provider =
            world.another("lab", |around| around.program.executable = Executable::File(copy.clone()));
        let go = world.path("go");
        let boot = format!("join\nawait {}\nacquire {{}} t2", go.display());
        let first = provider.acquire(&world.order("t1", &boot)).await.unwrap();
        world.await_state(&first.id, HostState::Running).await;
        fs::remove_file(&copy).unwrap();
        if replaced {
            fs::copy("/bin/false", &copy).unwrap();
        }
        fs::write(&go, "").unwrap();
        let second = eventually("the second host", async || {
            let hosts = world.provider.list(&world.owner).await.unwrap();
            hosts.into_iter().find(|host| host.token.0 == "t2" && host.state == HostState::Running)
        })
        .await;
        let joined = world.host_directory(&second.id).join("joined");
        eventually("the join of the second host", async || joined.exists().then_some(())).await;
        world.close().await;
    }
}

fn has_cgroups() -> bool {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().any(|line| line.contains(" cgroup2 "))
}

#[tokio::test]
async fn a_process_that_cleared_its_environment_ends_with_its_host() {
    for confinement in CONFINEMENTS {
        let world = World::new(json!({ "confinement": confinement }));
        let host = world.acquire("t1", "join\nbare-orphan").await;
        let orphan = world.orphan_pid(&host.id).await;
        // The shell, then `env`, then `setsid` become the sleeper without changing the pid.
        let state = world.state();
        eventually("the cleared environment", async || {
            (!processes_of(&state).contains(&orphan)).then_some(())
        })
        .await;
        kill_9(world.node_pid(&host.id).await);
        world.await_state(&host.id, HostState::Terminated).await;
        assert!(!is_alive(orphan));
        world.close().await;
    }
}

#[tokio::test]
async fn killing_the_supervisor_ends_the_host_and_the_next_list_cleans_up() {
    for confinement in CONFINEMENTS {
        let world = World::new(json!({ "confinement": confinement }));
        let host = world.acquire("t1", "join\norphan").await;
        let (node, orphan) = (world.node_pid(&host.id).await, world.orphan_pid(&host.id).await);
        let supervisor = world.supervisor_pid(&host.id).await;
        kill_9(supervisor);
        eventually("the node's death", async || (!is_alive(node)).then_some(())).await;
        let ended = world.await_state(&host.id, HostState::Terminated).await;
        assert_eq!(ended.cause.as_deref(), Some("its supervisor vanished"));
        assert!(!is_alive(orphan), "the list cleans up what the supervisor could not");
        world.close().await;
    }
}

#[tokio::test]
async fn a_node_that_ignores_the_request_is_killed_after_its_grace() {
    let world = World::new(json!({ "grace_ms": 100 }));
    let host = world.acquire("t1", "ignore-term\njoin").await;
    let node = world.node_pid(&host.id).await;
    let joined = world.host_directory(&host.id).join("joined");
    eventually("the join", async || joined.exists().then_some(())).await;
    world.provider.release(&host.id).await.unwrap();
    let ended = world.await_state(&host.id, HostState::Terminated).await;
    assert_eq!(ended.cause.as_deref(), Some("released"));
    assert!(!is_alive(node));
    world.close().await;
}

#[tokio::test]
async fn a_node_that_exits_ends_its_host_and_the_code_is_told() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "exit 3").await;
    let ended = world.await_state(&host.id, HostState::Terminated).await;
    assert_eq!(ended.cause.as_deref(), Some("its node exited with code 3"));
    let again = world.acquire("t1", "exit 3").await;
    assert_eq!((again.id, again.state), (host.id, HostState::Terminated), "a host lives once");
    world.close().await;
}

#[tokio::test]
async fn a_host_that_never_joins_halts_and_one_that_joined_does_not() {
    let world = World::new(json!({ "join_margin_ms": 0 }));
    let mut silent = world.order("silent", "");
    silent.join_within_ms = 200;
    let mut member = world.order("member", "join");
    member.join_within_ms = 5_000;
    let member = world.provider.acquire(&member).await.unwrap();
    let silent = world.provider.acquire(&silent).await.unwrap();
    let ended = world.await_state(&silent.id, HostState::Terminated).await;
    assert_eq!(ended.cause.as_deref(), Some("its node did not join before its ticket expired"));
    // Past the member's own deadline: only the mark of its join keeps it alive.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    assert_eq!(world.find(&member.id).await.unwrap().state, HostState::Running);
    world.close().await;
}

#[tokio::test]
async fn a_host_ordered_from_inside_another_host_survives_its_end() {
    for confinement in CONFINEMENTS {
        let table = json!({ "confinement": confinement });
        let world = World::new(table.clone());
        let first = world.acquire("first", &format!("join\nacquire {table} second")).await;
        let second = eventually("the second host", async || {
            let hosts = world.provider.list(&world.owner).await.unwrap();
            hosts.into_iter().find(|host| host.id != first.id && host.state == HostState::Running)
        })
        .await;
        let (supervisor, node) = (world.supervisor_pid(&second.id).await, world.node_pid(&second.id).await);
        kill_9(world.node_pid(&first.id).await);
        world.await_state(&first.id, HostState::Terminated).await;
        assert_eq!(world.find(&second.id).await.unwrap().state, HostState::Running);
        assert!(is_alive(supervisor) && is_alive(node));
        world.close().await;
    }
}

#[tokio::test]
async fn removing_the_directory_of_a_living_host_ends_it() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    world.node_pid(&host.id).await;
    fs::remove_dir_all(world.host_directory(&host.id)).unwrap();
    let state = world.state();
    eventually("the end of all processes", async || processes_of(&state).is_empty().then_some(())).await;
    world.close().await;
}

#[tokio::test]
async fn a_talkative_node_does_not_fill_the_disk() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "chatter").await;
    let (log, kept) = (world.host_directory(&host.id).join("node.log"), "node.log.old");
    let kept = world.host_directory(&host.id).join(kept);
    eventually("the cut", async || kept.exists().then_some(())).await;
    eventually("the empty log", async || (fs::metadata(&log).ok()?.len() == 0).then_some(())).await;
    assert_eq!(fs::metadata(&kept).unwrap().len(), 1024 * 1024, "the end of the log is kept");
    world.close().await;
}

#[tokio::test]
async fn a_program_that_cannot_run_is_a_local_failure_and_holds_no_capacity() {
    let world = World::new(json!({}));
    let broken = world.another("lab", |surroundings| {
        surroundings.program.executable = Executable::File("/nowhere/app".into())
    });
    let error = broken.acquire(&world.order("t1", "")).await.unwrap_err();
    assert!(error.to_string().contains("cannot run `/nowhere/app`"), "{error}");
    assert!(matches!(error, ProviderError::Local { .. }), "it says nothing about the offer: {error:?}");
    let available = world.provider.offers().await.unwrap()[0].available;
    assert_eq!(available, Some(8));
    world.close().await;
}

#[tokio::test]
async fn a_claim_that_nobody_started_is_released_at_once_or_given_up() {
    let world = World::new(json!({}));
    // A program that ends without becoming a supervisor: as if the caller had crashed after its claim.
    let crashing = world.another("lab", |surroundings| {
        surroundings.program.executable = Executable::File("/bin/true".into())
    });
    for token in ["released", "abandoned"] {
        let error = crashing.acquire(&world.order(token, "")).await.unwrap_err();
        assert_eq!(error.effect(), rhizo_actuators::Effect::Possible, "{error}");
    }
    let hosts = world.provider.list(&world.owner).await.unwrap();
    assert!(hosts.iter().all(|host| host.state == HostState::Booting), "{hosts:?}");
    for host in hosts {
        if host.token.0 == "released" {
            world.provider.release(&host.id).await.unwrap();
            let ended = world.find(&host.id).await.unwrap();
            assert_eq!((ended.state, ended.cause.as_deref()), (HostState::Terminated, Some("released")));
        } else {
            let path = world.host_directory(&host.id).join("order.json");
            let mut order: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            order["created_unix_ms"] = json!(host.created_unix_ms - 31_000);
            fs::write(&path, order.to_string()).unwrap();
            let ended = world.find(&host.id).await.unwrap();
            assert_eq!(ended.cause.as_deref(), Some("it was claimed but never started"));
        }
    }
    world.close().await;
}

#[tokio::test]
async fn an_interrupted_claim_is_completed_by_the_next_order() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    world.node_pid(&host.id).await;
    let directory = world.host_directory(&host.id);
    // Undo everything after the claim: end the host, then remove the records that came later.
    kill_9(world.supervisor_pid(&host.id).await);
    world.await_state(&host.id, HostState::Terminated).await;
    for file in ["supervisor.json", "node.json", "terminated.json", "joined"] {
        fs::remove_file(directory.join(file)).unwrap();
    }
    assert_eq!(world.find(&host.id).await.unwrap().state, HostState::Booting);
    assert_eq!(world.acquire("t1", "join").await.id, host.id);
    world.await_state(&host.id, HostState::Running).await;
    world.close().await;
}

#[tokio::test]
async fn a_second_supervisor_of_a_host_does_nothing() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    let node = world.node_pid(&host.id).await;
    let directory = world.host_directory(&host.id);
    let supervise_again = || {
        let mut program = std::process::Command::new(crate::world::program().executable.name());
        assert!(program.arg("__supervise").arg(&directory).status().unwrap().success());
    };
    supervise_again();
    assert_eq!(processes_of(&directory).len(), 2, "one supervisor and one node");
    kill_9(world.supervisor_pid(&host.id).await);
    eventually("the node's death", async || (!is_alive(node)).then_some(())).await;
    supervise_again();
    assert_eq!(world.node_pid(&host.id).await, node, "a host lives once");
    let ended = world.find(&host.id).await.unwrap();
    assert_eq!(ended.cause.as_deref(), Some("its supervisor vanished"));
    world.close().await;
}

#[tokio::test]
async fn after_a_power_cut_a_host_boots_again_with_its_address_and_its_disk() {
    for confinement in CONFINEMENTS {
        let world = World::new(json!({ "confinement": confinement }));
        let host = world.acquire("t1", "join\norphan").await;
        let (node, orphan) = (world.node_pid(&host.id).await, world.orphan_pid(&host.id).await);
        fs::write(world.host_directory(&host.id).join("node/kept"), "data").unwrap();
        for pid in [world.supervisor_pid(&host.id).await, node, orphan] {
            kill_9(pid);
        }
        eventually("the end of the supervisor", async || (!is_alive(node)).then_some(())).await;
        assert_eq!(world.provider.resume(&world.owner).await.unwrap(), 1);
        assert_eq!(world.provider.resume(&world.owner).await.unwrap(), 0, "it runs already");
        assert_eq!(world.provider.resume(&crate::world::lineage(2)).await.unwrap(), 0);
        let again = world.await_state(&host.id, HostState::Running).await;
        assert_eq!((again.address, again.created_unix_ms), (host.address, host.created_unix_ms));
        let booted = world.node_pid(&host.id).await;
        assert!(booted != node && is_alive(booted));
        let kept = fs::read_to_string(world.host_directory(&host.id).join("node/kept")).unwrap();
        assert_eq!(kept, "data");
        // From here on it is a host like any other one: it ends with its node.
        kill_9(booted);
        world.await_state(&host.id, HostState::Terminated).await;
        assert_eq!(world.provider.resume(&world.owner).await.unwrap(), 0, "an ended host stays ended");
        world.close().await;
    }
}

#[tokio::test]
async fn a_host_that_was_to_be_released_does_not_boot_again() {
    let world = World::new(json!({}));
    let host = world.acquire("t1", "join").await;
    let (supervisor, node) = (world.supervisor_pid(&host.id).await, world.node_pid(&host.id).await);
    fs::write(world.host_directory(&host.id).join("release.json"), "{\"at_unix_ms\":1}").unwrap();
    kill_9(supervisor);
    kill_9(node);
    eventually("the end of the node", async || (!is_alive(node)).then_some(())).await;
    assert_eq!(world.provider.resume(&world.owner).await.unwrap(), 0);
    world.await_state(&host.id, HostState::Terminated).await;
    world.close().await;
}
