//! Measurements of failover and processor time. They are printed and not asserted, since they depend on the machine.
//!
//! The tests assert only that each measured event happened. `RHIZO_ROUNDS=50` repeats the failovers fifty times.

mod support;

use rhizo_log::Timers;
use rhizo_types::{NodeId, Term};
use std::time::Duration;
use support::{Cluster, PATIENCE, median_and_max, now};

fn rounds() -> usize {
    std::env::var("RHIZO_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
}

/// Time from the death of the leader to an entry of the next term applied by a member that does not lead.
async fn failovers(voters: u64, timers: Timers, one_way: Duration) {
    let mut cluster = Cluster::grown(voters, timers).await;
    cluster.net.set_delay(one_way);
    let mut taken = Vec::new();
    for round in 0..rounds() {
        cluster.commit((round as u64).to_le_bytes()).await;
        cluster.converge().await;
        let dead = cluster.leader().await;
        let term = cluster.running[&dead].node.status().term;
        let since = now();
        cluster.kill(dead).await;
        let seen = cluster.running.keys().map(|id| {
            let (id, mut watch) = (*id, cluster.running[id].node.watch());
            Box::pin(async move {
                let follows = |now: &rhizo_log::LogStatus| {
                    now.last_applied_term > Some(term) && now.leader.is_some_and(|leader| leader != id)
                };
                watch.wait_for(follows).await.map(|status| status.term).unwrap_or(Term(0))
            })
        });
        let (next, _, _) = support::watchdog("a failover", futures_util::future::select_all(seen)).await;
        assert!(next > term);
        taken.push(since.elapsed());
        cluster.start(dead).await;
    }
    let (median_ms, max_ms) = median_and_max(taken);
    println!(
        "failover, {voters} voters, {timers:?}, {one_way:?} one way: median {median_ms} ms, max {max_ms} ms of {}",
        rounds()
    );
    cluster.stop().await;
}

#[tokio::test]
async fn failover_of_three_voters_on_one_host() {
    failovers(3, Timers::LOCAL, Duration::ZERO).await;
}

#[tokio::test]
async fn failover_of_five_voters_on_one_host() {
    failovers(5, Timers::LOCAL, Duration::ZERO).await;
}

#[tokio::test]
async fn failover_with_slower_clocks() {
    let timers = Timers { heartbeat_ms: 100, election_ms_min: 300, election_ms_max: 600 };
    failovers(3, timers, Duration::ZERO).await;
}

#[tokio::test]
async fn failover_over_links_of_150_ms() {
    failovers(3, Timers::for_round_trip(150), Duration::from_millis(75)).await;
}

#[tokio::test]
async fn durable_commits_of_three_voters() {
    let cluster = Cluster::grown(3, Timers::LOCAL).await;
    let mut taken = Vec::new();
    for n in 0..100_u32 {
        let since = now();
        cluster.node(1).propose(n.to_le_bytes().to_vec(), PATIENCE).await.unwrap();
        taken.push(since.elapsed());
    }
    let (median_ms, max_ms) = median_and_max(taken);
    println!("one commit at a time: median {median_ms} ms, max {max_ms} ms of 100");
    let since = now();
    let workers: Vec<_> = (0..64_u32)
        .map(|worker| {
            let node = cluster.node(1).clone();
            tokio::spawn(async move {
                for n in 0..32_u32 {
                    node.propose((worker * 32 + n).to_le_bytes().to_vec(), PATIENCE).await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let per_second = 2_048.0 / since.elapsed().as_secs_f64();
    println!("64 commits at a time: {per_second:.0} per second");
    cluster.stop().await;
}

/// Processor time this process has used, in clock ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("hosts run Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // proc_pid_stat(5): utime and stime are the fields 14 and 15; the name was cut off with field 2.
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

#[tokio::test]
async fn an_idle_group_is_cheap() {
    // Other tests in the process would be measured too, so this one is run alone.
    if std::env::var_os("RHIZO_IDLE_SECONDS").is_none() {
        println!("idle: set RHIZO_IDLE_SECONDS and run this test alone to measure");
    }
    let seconds = std::env::var("RHIZO_IDLE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let cluster = Cluster::grown(5, Timers::LOCAL).await;
    let (ticks, calls) = (cpu_ticks(), *cluster.net.calls.lock().unwrap());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let percent = (cpu_ticks() - ticks) as f64 / seconds as f64 / 5.0;
    let calls = (*cluster.net.calls.lock().unwrap() - calls) / seconds;
    println!("idle, 5 voters: {percent:.2} % of a core each, {calls} messages per second in the group");
    assert_eq!(cluster.node(1).status().term, Term(1), "nobody doubted the leader");
    assert_eq!(cluster.leader().await, NodeId(1));
    cluster.stop().await;
}
