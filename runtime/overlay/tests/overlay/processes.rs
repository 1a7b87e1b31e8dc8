//! The death of a process as its peers see it. The child is this very test binary, started again.

use crate::harness::{Node, WATCHDOG, config, roster};
use rhizo_overlay::{Admission, LinkDownReason, LinkTarget, NodeSecret, OverlayEvent, UnreachableReason};
use rhizo_types::{NodeId, PeerKey};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the child only: the parent's key seed and address, the child's key seed.
const CHILD: &str = "RHIZO_OVERLAY_TEST_CHILD";

/// Runs as the child when asked to, until it is killed; otherwise there is nothing to do.
#[tokio::test]
async fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let mut words = order.split(' ');
    let mut seed = || -> u8 { words.next().unwrap().parse().unwrap() };
    let (parent, own) = (NodeSecret::from_bytes([seed(); 32]), NodeSecret::from_bytes([seed(); 32]));
    let address: SocketAddr = words.next().unwrap().parse().unwrap();
    let mut settings = config(2);
    settings.secret = own;
    let mut node = Node::start(settings).await;
    let mut admission = Admission::default();
    admission.members.insert(parent.peer_key(), NodeId(0));
    node.overlay.set_admission(admission);
    println!("\nlistens {}", node.overlay.listen_address().unwrap());
    node.overlay.set_links(vec![LinkTarget { key: parent.peer_key(), addresses: vec![address] }]);
    while node.events.recv().await.is_some() {}
}

/// Kills its process when dropped, also when the test fails.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn_child(order: &str) -> (Reaped, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture"])
        .env(CHILD, order)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let child = Reaped(child);
    let listens = stdout
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("listens ").map(|address| address.parse().unwrap()));
    (child, listens.expect("the child listens"))
}

/// A node that knows the child's key, and the child's order to link to it.
async fn parent(seed: u8, ping_timeout: Duration) -> (Node, PeerKey, String) {
    let child = NodeSecret::from_bytes([seed + 1; 32]).peer_key();
    let mut settings = config(1);
    settings.secret = NodeSecret::from_bytes([seed; 32]);
    settings.ping_timeout = ping_timeout;
    let node = Node::start(settings).await;
    let mut admission = roster(&[]);
    admission.members.insert(child, NodeId(1));
    node.overlay.set_admission(admission);
    let order = format!("{seed} {} {}", seed + 1, node.overlay.listen_address().unwrap());
    (node, child, order)
}

async fn linked_child(node: &mut Node, key: PeerKey, order: &str) -> Reaped {
    let order = order.to_owned();
    let (child, address) = tokio::task::spawn_blocking(move || spawn_child(&order)).await.unwrap();
    node.overlay.set_links(vec![LinkTarget { key, addresses: vec![address] }]);
    node.until_up(key).await;
    child
}

#[tokio::test]
async fn a_killed_process_is_told_at_once_and_its_address_refuses() {
    let (mut node, key, order) = parent(200, WATCHDOG).await;
    for _ in 0..3 {
        let mut child = linked_child(&mut node, key, &order).await;
        // A link that has not stood for a while is dialled again more slowly.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let killed = Instant::now();
        child.0.kill().unwrap();
        assert_eq!(node.until_down(key).await, LinkDownReason::Lost);
        let down = killed.elapsed();
        node.until("unreachable", |event| match event {
            OverlayEvent::Unreachable { reason: UnreachableReason::ConnectionRefused, .. } => Some(()),
            OverlayEvent::LinkUp { .. } => panic!("linked to a dead process"),
            _ => None,
        })
        .await;
        println!("killed: link down after {down:?}, dial refused after {:?}", killed.elapsed());
    }
}

fn signal(child: &Reaped, name: &str) {
    let status = Command::new("kill").args([name, &child.0.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_stopped_process_is_told_silent_and_linked_again_when_it_goes_on() {
    let (mut node, key, order) = parent(210, Duration::from_millis(400)).await;
    let child = linked_child(&mut node, key, &order).await;
    signal(&child, "-STOP");
    assert_eq!(node.until_down(key).await, LinkDownReason::Silent);
    // Its kernel still accepts connections. Only the missing answer to the set-up shows that the process does not
    // run.
    node.until("unreachable", |event| match event {
        OverlayEvent::Unreachable { reason, .. } => (reason == UnreachableReason::TimedOut).then_some(()),
        _ => None,
    })
    .await;
    signal(&child, "-CONT");
    node.until_up(key).await;
}
