//! Frames, requests and their bounds.

use crate::harness::{Node, WATCHDOG, config, mesh};
use rhizo_overlay::{Class, Overlay, OverlayEvent, RequestError, SendError};
use rhizo_types::PeerKey;
use std::time::Duration;

const ASK: Duration = WATCHDOG;

async fn pair() -> (Node, Node) {
    let mut nodes = mesh(vec![config(1), config(2)]).await;
    let second = nodes.pop().unwrap();
    (nodes.pop().unwrap(), second)
}

/// Sends, giving way while the queue is full.
async fn send_patiently(from: &Overlay, to: PeerKey, class: Class, body: Vec<u8>) {
    loop {
        match from.send(to, class, body.clone()) {
            Ok(()) => return,
            Err(SendError::QueueFull) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn messages_of_one_class_keep_their_order_under_load_on_all_classes() {
    const EACH: u32 = 500;
    let length = |number: u32| 4 + (number as usize * 37) % 5000;
    let (sender, mut receiver) = pair().await;
    let to = receiver.key();
    let sending = async {
        for number in 0..EACH {
            for class in Class::ALL {
                let mut body = number.to_le_bytes().to_vec();
                body.resize(length(number), 0);
                send_patiently(&sender.overlay, to, class, body).await;
            }
        }
    };
    let mut next = [0_u32; 5];
    let receiving = receiver.until("all messages", |event| {
        if let OverlayEvent::Frame { class, body, .. } = event {
            let number = u32::from_le_bytes(body[..4].try_into().unwrap());
            let expected = &mut next[class as usize];
            assert_eq!(number, *expected, "{class:?}");
            assert_eq!(body.len(), length(number));
            *expected += 1;
        }
        next.iter().all(|count| *count == EACH).then_some(())
    });
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn a_shell_that_takes_no_events_stops_the_sender_and_loses_nothing() {
    let (sender, mut receiver) = pair().await;
    let to = receiver.key();
    // The receiver is not drained: its queue, the windows and the sender's queue fill up, in that order.
    let mut sent = 0_u64;
    let mut full_for = 0;
    while full_for < 200 {
        match sender.overlay.send(to, Class::Agent, sent.to_le_bytes().repeat(8 * 1024)) {
            Ok(()) => (sent, full_for) = (sent + 1, 0),
            Err(SendError::QueueFull) => {
                full_for += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent * 64 * 1024 < 100 * 1024 * 1024, "{sent} frames of 64 KiB queued without a reader");
    let mut next = 0_u64;
    receiver
        .until("all messages", |event| {
            if let OverlayEvent::Frame { body, .. } = event {
                assert_eq!(body[..8], next.to_le_bytes());
                next += 1;
            }
            (next == sent).then_some(())
        })
        .await;
}

#[tokio::test]
async fn answers_find_their_requests_and_declined_or_silent_ones_say_so() {
    let (asker, mut answerer) = pair().await;
    let to = answerer.key();
    let ask = |text: &str, timeout| asker.overlay.request(to, Class::Control, text.into(), timeout);
    let mut kept = Vec::new();
    let answering = answerer.until("four requests", |event| {
        if let OverlayEvent::Request { body, reply, .. } = event {
            match &body[..] {
                b"decline" => drop(reply),
                b"keep" => kept.push(reply),
                // Answered in the opposite order below.
                _ => kept.insert(0, reply),
            }
            if kept.len() == 3 {
                let silent = kept.pop();
                for (place, reply) in kept.drain(..).enumerate() {
                    reply.send(vec![place as u8]).unwrap();
                }
                return silent;
            }
        }
        None
    });
    let (declined, first, second, silent, unanswered) = tokio::join!(
        ask("decline", ASK),
        ask("first", ASK),
        ask("second", ASK),
        ask("keep", Duration::from_millis(500)),
        answering,
    );
    assert_eq!(declined, Err(RequestError::Declined));
    assert_eq!((first, second), (Ok(vec![1]), Ok(vec![0])));
    assert_eq!(silent, Err(RequestError::TimedOut));
    // An answer after the timeout is dropped without harm.
    unanswered.send(b"late".to_vec()).unwrap();
    let nobody = PeerKey([0; 32]);
    let outcome = asker.overlay.request(nobody, Class::Control, Vec::new(), ASK).await;
    assert_eq!(outcome, Err(RequestError::NotSent(SendError::NotLinked)));
}

#[tokio::test]
async fn a_request_under_way_when_the_link_goes_is_lost_not_hung() {
    let (asker, mut answerer) = pair().await;
    let to = answerer.key();
    let asking = asker.overlay.request(to, Class::Raft, b"?".to_vec(), Duration::from_secs(3600));
    let closing = async {
        let reply = answerer
            .until("request", |event| match event {
                OverlayEvent::Request { reply, .. } => Some(reply),
                _ => None,
            })
            .await;
        answerer.overlay.close().await;
        // Nowhere to go any more.
        assert_eq!(reply.send(vec![1]), Err(SendError::NotLinked));
    };
    let both = async { tokio::join!(asking, closing).0 };
    let outcome = tokio::time::timeout(WATCHDOG, both).await.expect("the request ends with the link");
    assert_eq!(outcome, Err(RequestError::LinkLost));
}

#[tokio::test]
async fn long_bodies_pass_up_to_the_bound_of_their_class_and_no_further() {
    let (sender, mut receiver) = pair().await;
    for class in Class::ALL {
        let limit = class.body_bytes_max();
        let long = vec![0; limit + 1];
        let error = SendError::TooLong { length: limit + 1, limit };
        assert_eq!(sender.overlay.send(receiver.key(), class, long), Err(error));
        let body: Vec<u8> = (0..limit).map(|place| (place % 251) as u8).collect();
        sender.overlay.send(receiver.key(), class, body.clone()).unwrap();
        let got = receiver
            .until("the long frame", |event| match event {
                OverlayEvent::Frame { body, .. } => Some(body),
                _ => None,
            })
            .await;
        assert!(got == body, "{class:?}: the body arrived changed");
    }
}
