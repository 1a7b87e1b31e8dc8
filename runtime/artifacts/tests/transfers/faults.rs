//! Faults during a transfer: wrong bytes, broken streams, dead processes, collections.

use crate::harness::{Fault, Net, View, check, key, put_tree};
use rhizo_artifacts::pieces::PIECE_BYTES;
use rhizo_artifacts::{FetchError, Progress, ServeError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_refused_and_the_piece_is_fetched_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let [wrong, right] = [1, 2].map(|number| net.add(number, dir.path(), Some(10_000_000)));
    let (tree, bytes, _lease) = put_tree(&wrong.exchange, 7, 12);
    let (same, _, _other_lease) = put_tree(&right.exchange, 7, 12);
    assert_eq!(tree, same);
    // Behind the manifest and the hashes of the pieces: within the first piece.
    *wrong.fault.lock().unwrap() = Fault::FlipsAfter(50_000);
    let reader = net.add(3, dir.path(), None);
    let (result, progress) = reader.fetch(&net, 3, tree).await;
    result.unwrap();
    check(&reader, tree, 7, 12);
    // The wrong piece was thrown away and came a second time.
    assert!(progress.bytes_received > bytes, "{progress:?}");
    assert!(wrong.sent.load(Ordering::Relaxed) < bytes / 2, "it was not asked again");
}

#[tokio::test(start_paused = true)]
async fn with_only_a_lying_peer_a_fetch_fails_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let wrong = net.add(1, dir.path(), None);
    let (tree, ..) = put_tree(&wrong.exchange, 7, 3);
    *wrong.fault.lock().unwrap() = Fault::FlipsAfter(20);
    let reader = net.add(3, dir.path(), None);
    let (result, _) = reader.fetch(&net, 3, tree).await;
    let text = result.unwrap_err().in_words();
    assert!(text.contains(&key(1).to_string()) && text.contains("manifest that is not that"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn pieces_of_a_peer_that_breaks_come_from_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let [broken, whole] = [1, 2].map(|number| net.add(number, dir.path(), Some(10_000_000)));
    let (tree, ..) = put_tree(&broken.exchange, 7, 12);
    put_tree(&whole.exchange, 7, 12);
    net.add(9, dir.path(), None);
    *net_fault(&net.add(4, dir.path(), None)) = Fault::Unreachable;
    *net_fault(&broken) = Fault::BreaksAfter(PIECE_BYTES * 3 / 2);
    let reader = net.add(3, dir.path(), None);
    let (result, _) = reader.fetch(&net, 3, tree).await;
    result.unwrap();
    check(&reader, tree, 7, 12);
    assert!(broken.sent.load(Ordering::Relaxed) > PIECE_BYTES, "it was of use before it broke");
}

fn net_fault(node: &crate::harness::Node) -> std::sync::MutexGuard<'_, Fault> {
    node.fault.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_killed_transfer_continues_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let source = net.add(1, dir.path(), Some(10_000_000));
    let (tree, bytes, _lease) = put_tree(&source.exchange, 7, 20);
    let reader = net.add(3, dir.path(), None);
    let view = Arc::new(View { net: net.clone(), me: key(3) });
    let (sender, mut progress) = watch::channel(Progress::default());
    let fetching = rhizo_artifacts::fetch(&reader.exchange, tree, view, sender);
    let half = progress.wait_for(|progress| progress.bytes > 0 && progress.bytes_here > bytes / 2);
    tokio::select! {
        _ = fetching => panic!("it was complete before it was killed"),
        _ = half => {}
    }
    drop(reader);
    // Another process opens the same directory.
    let reader = net.add(3, dir.path(), None);
    let (result, progress) = reader.fetch(&net, 3, tree).await;
    result.unwrap();
    check(&reader, tree, 7, 20);
    assert!(progress.bytes_received < bytes / 2, "{progress:?}");
}

#[tokio::test(start_paused = true)]
async fn a_collection_during_a_transfer_takes_nothing_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let source = net.add(1, dir.path(), Some(10_000_000));
    let (tree, bytes, lease) = put_tree(&source.exchange, 7, 20);
    // A tree that no user has is collected from both.
    let (other, ..) = put_tree(&source.exchange, 70, 2);
    let reader = net.add(3, dir.path(), None);
    let collecting = async {
        loop {
            reader.exchange.collect(&BTreeSet::new()).unwrap();
            source.exchange.collect(&BTreeSet::new()).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let kept = reader.exchange.store().lease_tree(tree);
    let (result, progress) = tokio::select! {
        fetched = reader.fetch(&net, 3, tree) => fetched,
        () = collecting => unreachable!("it collects without end"),
    };
    result.unwrap();
    assert_eq!(progress.bytes_received, bytes, "nothing came twice");
    check(&reader, tree, 7, 20);
    assert!(!source.exchange.store().has_tree(&other).unwrap());
    drop((kept, lease));
    assert!(reader.exchange.collect(&BTreeSet::new()).unwrap().blobs > 0);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_no_peer_has_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    net.add(1, dir.path(), None);
    let reader = net.add(3, dir.path(), None);
    let (result, _) = reader.fetch(&net, 3, rhizo_types::Digest([1; 32])).await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, FetchError::Stalled { bytes: 0, reasons, .. } if reasons.contains("does not have")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_may_not_offer_trees_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let [source, other] = [1, 2].map(|number| net.add(number, dir.path(), None));
    let (tree, ..) = put_tree(&source.exchange, 7, 3);
    let offered = rhizo_artifacts::offer(&source.exchange, other.accept(), tree).await;
    assert!(matches!(offered, Err(ServeError::Stream(_))), "{offered:?}");
    assert!(!other.exchange.store().has_tree(&tree).unwrap());
}
