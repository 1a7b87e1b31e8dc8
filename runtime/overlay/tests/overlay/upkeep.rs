//! Wanted links come up once and come back after a loss, and their loss is reported at once.

use crate::harness::{Node, WATCHDOG, config, mesh, roster};
use rhizo_overlay::{Class, LinkDownReason, OverlayEvent, UnreachableReason};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[tokio::test]
async fn five_nodes_that_dial_each_other_end_with_one_link_for_each_pair() {
    let mut nodes = mesh((1..=5).map(config).collect()).await;
    // Crossing dials may replace a link or two; after that every link has to live through ten pings.
    for node in &mut nodes {
        let mut pings = BTreeMap::new();
        node.until("four links that stay", |event| {
            match event {
                OverlayEvent::Rtt { peer, .. } => *pings.entry(peer).or_insert(0) += 1,
                OverlayEvent::LinkUp { .. } | OverlayEvent::LinkDown { .. } => pings.clear(),
                _ => {}
            }
            (pings.len() == 4 && pings.values().all(|count| *count >= 10)).then_some(())
        })
        .await;
        assert_eq!(node.overlay.linked().len(), 4);
    }
}

#[tokio::test]
async fn a_closed_peer_is_told_at_once_and_a_new_one_in_its_place_is_linked() {
    let mut nodes = mesh(vec![config(1), config(2)]).await;
    let gone = nodes.pop().unwrap();
    let mut rest = nodes.pop().unwrap();
    let (key, secret, address) = (gone.key(), gone.secret.clone(), gone.overlay.listen_address());
    let started = Instant::now();
    drop(gone);
    assert_eq!(rest.until_down(key).await, LinkDownReason::Lost);
    println!("told of the loss after {:?}", started.elapsed());
    let reason = rest
        .until("unreachable", |event| match event {
            OverlayEvent::Unreachable { peer, reason, .. } if peer == key => Some(reason),
            _ => None,
        })
        .await;
    println!("dial refused after {:?}", started.elapsed());
    assert_eq!(reason, UnreachableReason::ConnectionRefused);
    let mut again = config(2);
    (again.secret, again.listen) = (secret, address);
    let mut again = Node::start(again).await;
    let mut admission = roster(std::slice::from_ref(&rest));
    admission.members.insert(key, rhizo_types::NodeId(7));
    again.overlay.set_admission(admission);
    rest.until_up(key).await;
    again.until_up(rest.key()).await;
    again.overlay.send(rest.key(), Class::Agent, b"back".to_vec()).unwrap();
    let body = rest
        .until("message", |event| match event {
            OverlayEvent::Frame { body, .. } => Some(body),
            _ => None,
        })
        .await;
    assert_eq!(body, b"back");
}

#[tokio::test]
async fn a_link_closed_by_hand_comes_back_while_it_is_wanted() {
    let mut nodes = mesh(vec![config(1), config(2)]).await;
    let key = nodes[1].key();
    for _ in 0..5 {
        nodes[0].overlay.close_link(key).await;
        assert_eq!(nodes[0].until_down(key).await, LinkDownReason::Closed);
        nodes[0].until_up(key).await;
    }
}

#[tokio::test]
async fn a_link_nobody_wants_any_more_is_closed_and_stays_closed() {
    let mut nodes = mesh(vec![config(1), config(2)]).await;
    let keys: Vec<_> = nodes.iter().map(Node::key).collect();
    for node in &nodes {
        node.overlay.set_links(Vec::new());
    }
    nodes[0].until_down(keys[1]).await;
    nodes[1].until_down(keys[0]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(nodes.iter().all(|node| node.overlay.linked().is_empty()));
}

#[tokio::test]
async fn links_come_up_when_the_other_end_learns_of_the_dialer_later() {
    let mut first = Node::start(config(1)).await;
    let second = Node::start(config(2)).await;
    first.overlay.set_links(vec![second.target()]);
    let key = second.key();
    for _ in 0..3 {
        first
            .until("declined", |event| {
                matches!(event, OverlayEvent::Declined { peer, .. } if peer == key).then_some(())
            })
            .await;
    }
    second.overlay.set_admission(roster(std::slice::from_ref(&first)));
    first.until_up(key).await;
}

#[tokio::test]
async fn more_links_than_allowed_are_refused() {
    let mut small = config(1);
    small.links_max = 2;
    let small = Node::start(small).await;
    let mut others = Vec::new();
    for host in 2..=4 {
        others.push(Node::start(config(host)).await);
    }
    small.overlay.set_admission(roster(&others));
    let mut outcomes = Vec::new();
    for other in &others {
        outcomes.push(other.overlay.dial(small.target(), rhizo_overlay::Credential::Member).await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false]);
}

#[tokio::test]
async fn closing_ends_the_event_queue_and_frees_the_address() {
    let mut nodes = mesh(vec![config(1), config(2)]).await;
    let mut closed = nodes.pop().unwrap();
    let address = closed.overlay.listen_address();
    closed.overlay.close().await;
    let draining = async { while closed.events.recv().await.is_some() {} };
    tokio::time::timeout(WATCHDOG, draining).await.expect("the queue ends");
    let mut again = config(2);
    again.listen = address;
    Node::start(again).await;
}
