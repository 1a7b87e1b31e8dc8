//! Many nodes fetch one tree: they serve each other, and each serves a bounded number.

use crate::harness::{Net, check, put_tree};
use rhizo_artifacts::wire::{Answer, decode_answer};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::AsyncReadExt as _;

#[tokio::test(start_paused = true)]
async fn ten_nodes_take_little_more_from_the_source_than_one() {
    const PIECES: u64 = 120;
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let source = net.add(1, dir.path(), Some(10_000_000));
    let (tree, bytes, _lease) = put_tree(&source.exchange, 7, PIECES);
    let readers: Vec<_> =
        (10..20).map(|number| (number, net.add(number, dir.path(), Some(10_000_000)))).collect();
    let mut fetching = tokio::task::JoinSet::new();
    for (number, reader) in &readers {
        let (number, reader, net) = (*number, reader.clone(), net.clone());
        fetching.spawn(async move { reader.fetch(&net, number, tree).await.0 });
    }
    for result in fetching.join_all().await {
        result.unwrap();
    }
    for (_, reader) in &readers {
        check(reader, tree, 7, PIECES);
    }
    // Without the readers' help, the source would send ten times the tree.
    let sent = source.sent.load(Ordering::Relaxed);
    assert!(sent < 2 * bytes, "the source sent {sent} bytes of a tree of {bytes}");
}

#[tokio::test(start_paused = true)]
async fn several_peers_are_used_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let sources = [1, 2, 3].map(|number| net.add(number, dir.path(), Some(10_000_000)));
    let trees = sources.each_ref().map(|source| put_tree(&source.exchange, 7, 60));
    let reader = net.add(9, dir.path(), None);
    let (result, progress) = reader.fetch(&net, 9, trees[0].0).await;
    result.unwrap();
    check(&reader, trees[0].0, 7, 60);
    let sent = sources.each_ref().map(|source| source.sent.load(Ordering::Relaxed));
    assert!(sent.iter().all(|sent| *sent > trees[0].1 / 6), "{sent:?}");
    assert!(progress.bytes_received < trees[0].1 * 6 / 5, "{progress:?}");
}

#[tokio::test]
async fn a_node_serves_a_bounded_number_of_peers() {
    let dir = tempfile::tempdir().unwrap();
    let net = Arc::new(Net::default());
    let source = net.add(1, dir.path(), None);
    let mut held = Vec::new();
    let busy = loop {
        let mut stream = source.accept();
        let mut length = [0; 4];
        // A stream that is served waits for a request and sends nothing.
        let answer =
            tokio::time::timeout(std::time::Duration::from_millis(200), stream.read_exact(&mut length));
        if answer.await.is_ok() {
            let mut frame = vec![0; u32::from_le_bytes(length) as usize];
            stream.read_exact(&mut frame).await.unwrap();
            break decode_answer(&frame);
        }
        held.push(stream);
        assert!(held.len() < 100, "the number of served peers has no bound");
    };
    assert_eq!((busy, held.len()), (Some(Answer::Busy), 64));
}
