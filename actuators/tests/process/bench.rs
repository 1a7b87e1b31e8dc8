//! The cost of a host: printed, not asserted, except where a bound was promised.

use crate::world::World;
use rhizo_actuators::{HostState, Provider};
use serde_json::json;
use std::fs;
use std::time::Instant;

/// The limit for the private memory of one supervisor, in KiB, so that one machine can run many hosts.
const SUPERVISOR_KIB_MAX: u64 = 3 * 1024;

#[tokio::test]
async fn a_supervisor_is_small_and_a_host_is_quick() {
    let world = World::new(json!({}));
    let (mut acquired, mut running, mut ended, mut kib) = (vec![], vec![], vec![], vec![]);
    for number in 0..10 {
        let start = Instant::now();
        let host = world.acquire(&format!("t{number}"), "join").await;
        acquired.push(start.elapsed());
        world.await_state(&host.id, HostState::Running).await;
        running.push(start.elapsed());
        kib.push(private_kib(world.supervisor_pid(&host.id).await));
        let start = Instant::now();
        world.provider.release(&host.id).await.unwrap();
        world.await_state(&host.id, HostState::Terminated).await;
        ended.push(start.elapsed());
    }
    for times in [&mut acquired, &mut running, &mut ended] {
        times.sort();
    }
    kib.sort_unstable();
    println!(
        "of 10, median and max: acquire {:?} {:?}, running {:?} {:?}, release to end {:?} {:?}, supervisor {} {} KiB",
        acquired[5], acquired[9], running[5], running[9], ended[5], ended[9], kib[5], kib[9]
    );
    assert!(kib[9] <= SUPERVISOR_KIB_MAX, "a supervisor has {} KiB", kib[9]);
    world.close().await;
}

/// Memory that the process shares with no other process, from the kernel's own sums.
fn private_kib(pid: i32) -> u64 {
    let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    sums.lines()
        .filter(|line| line.starts_with("Private_"))
        .map(|line| line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
        .sum()
}
