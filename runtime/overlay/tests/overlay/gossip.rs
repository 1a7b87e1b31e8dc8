//! Gossip: the messages of a member reach all others, and messages of other peers reach no member.

use crate::harness::{config, mesh, roster};
use rhizo_overlay::{GOSSIP_BYTES_MAX, OverlayEvent, PublishError};

#[tokio::test]
async fn a_publication_reaches_every_other_member_and_is_not_echoed() {
    let mut nodes = mesh((1..=5).map(config).collect()).await;
    let origin = nodes[0].key();
    // Gossip is best effort until the meshes have formed, so the test publishes until all nodes have received a
    // message.
    let overlay = nodes[0].overlay.clone();
    let publishing = tokio::spawn(async move {
        loop {
            let _ = overlay.publish(b"fact".to_vec());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    for node in &mut nodes[1..] {
        let heard = node
            .until("gossip", |event| match event {
                OverlayEvent::Gossip { origin, body } => Some((origin, body)),
                _ => None,
            })
            .await;
        assert_eq!(heard, (origin, b"fact".to_vec()));
    }
    publishing.abort();
    while let Some(event) = nodes[0].events.try_recv() {
        assert!(!matches!(event, OverlayEvent::Gossip { .. }), "heard itself");
    }
}

#[tokio::test]
async fn a_publication_of_somebody_outside_the_roster_is_not_heard() {
    let mut nodes = mesh((1..=3).map(config).collect()).await;
    // Node 2 has been removed, but only node 0 knows. Node 1 still accepts its messages, and forwards them to node 0.
    let removed = nodes.pop().unwrap();
    nodes[0].overlay.set_admission(roster(&nodes));
    nodes[0].until_down(removed.key()).await;
    let (first, second) = (nodes[0].overlay.clone(), removed.overlay.clone());
    let third = nodes[1].overlay.clone();
    let publishing = tokio::spawn(async move {
        loop {
            let _ = second.publish(b"outside".to_vec());
            let _ = third.publish(b"inside".to_vec());
            let _ = first.publish(b"marker".to_vec());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let mut outside = 0;
    nodes[1]
        .until("gossip of the removed node", |event| {
            outside += usize::from(matches!(event, OverlayEvent::Gossip { body, .. } if body == b"outside"));
            (outside >= 5).then_some(())
        })
        .await;
    let mut inside = 0;
    nodes[0]
        .until("gossip of the member", |event| {
            if let OverlayEvent::Gossip { body, .. } = event {
                assert_ne!(body, b"outside");
                inside += 1;
            }
            (inside >= 10).then_some(())
        })
        .await;
    publishing.abort();
}

#[tokio::test]
async fn publications_are_bounded_in_length_and_in_rate() {
    let nodes = mesh(vec![config(1)]).await;
    let overlay = &nodes[0].overlay;
    let length = GOSSIP_BYTES_MAX + 1;
    assert_eq!(overlay.publish(vec![0; length]), Err(PublishError::TooLong { length }));
    // Without a pause in between: more messages than the burst allows and than the queue of commands would hold.
    let refused = (0..300).filter(|_| overlay.publish(vec![0; 10]) == Err(PublishError::TooFast)).count();
    assert!(refused > 0);
}
