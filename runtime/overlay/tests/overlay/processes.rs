//! The death of a process as its peers see it. The child is this very test binary, started again.

use crate::harness::{Node, WATCHDOG, config, roster};
use rhizo_overlay::{Admission, LinkDownReason, LinkTarget, NodeSecret, OverlayEvent, UnreachableReason};
use rhizo_types::NodeId;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

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

#[tokio::test]
async fn a_killed_process_is_told_at_once_and_its_address_refuses() {
    let own = NodeSecret::from_bytes([201; 32]);
    let mut settings = config(1);
    settings.secret = NodeSecret::from_bytes([200; 32]);
    let mut node = Node::start(settings).await;
    let mut admission = roster(&[]);
    admission.members.insert(own.peer_key(), NodeId(1));
    node.overlay.set_admission(admission);
    for _ in 0..3 {
        let order = format!("200 201 {}", node.overlay.listen_address().unwrap());
        let (mut child, address) = tokio::task::spawn_blocking(move || spawn_child(&order)).await.unwrap();
        node.overlay.set_links(vec![LinkTarget { key: own.peer_key(), addresses: vec![address] }]);
        node.until_up(own.peer_key()).await;
        // A link that has not stood for a while is dialled again more slowly.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let killed = Instant::now();
        child.0.kill().unwrap();
        let reason = node.until_down(own.peer_key()).await;
        let (down, mut refused) = (killed.elapsed(), None);
        node.until("unreachable", |event| match event {
            OverlayEvent::Unreachable { reason: UnreachableReason::ConnectionRefused, .. } => {
                refused = Some(killed.elapsed());
                refused
            }
            OverlayEvent::LinkUp { .. } => panic!("linked to a dead process"),
            _ => None,
        })
        .await;
        println!("killed: link down after {down:?}, dial refused after {:?}", refused.unwrap());
        assert_eq!(reason, LinkDownReason::Lost);
        assert!(down < WATCHDOG);
    }
}
