//! Parsers of bytes from peers and disks: any bytes are accepted or refused, without a panic.
//!
//! The inputs are valid records with changed, removed and repeated parts, which reach deeper than random bytes. With
//! `PROPTEST_CASES` the runs are as long as wanted.

use crate::harness::{Net, key};
use proptest::prelude::*;
use rhizo_artifacts::manifest::{Entry, Manifest};
use rhizo_artifacts::wire::{self, Answer, Held, Request};
use rhizo_artifacts::{Peers, Progress};
use rhizo_types::{Digest, PeerKey};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;

fn valid() -> Vec<Vec<u8>> {
    let digest = Digest([9; 32]);
    let file = Entry::File { executable: true, bytes: 300_000, hash: digest };
    let link = Entry::Link { target: "../lib".to_owned() };
    let manifest = Manifest::new([("a/b".to_owned(), file), ("c".to_owned(), link)]).unwrap();
    let take = Request::Take { tree: digest, numbers: vec![1, 200, 70_000], seen: 5 };
    vec![
        manifest.encode(),
        wire::encode_request(&take),
        wire::encode_request(&Request::Farewell { failure: Some("no room".to_owned()) }),
        wire::encode_answer(&Answer::Manifest { encoded: manifest.encode() }),
        wire::encode_answer(&Answer::End { held: Held::Some { bits: vec![1, 2, 3] } }),
        wire::encode_answer(&Answer::Piece { number: 70_000 }),
    ]
}

/// One change of a valid record.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize),
    Repeat(usize, usize),
    Insert(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0..200_usize;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        at.clone().prop_map(Change::Cut),
        (at.clone(), 1..40_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        (at, any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = bytes.len().max(1);
        match *change {
            Change::Set(at, byte) => {
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = byte;
                }
            }
            Change::Cut(at) => bytes.truncate(at % length),
            Change::Repeat(at, count) => {
                let part: Vec<u8> = bytes.iter().skip(at % length).take(count).copied().collect();
                bytes.extend(part);
            }
            Change::Insert(at, byte) => bytes.insert(at % length.min(bytes.len() + 1), byte),
        }
    }
    bytes
}

proptest! {
    #[test]
    fn changed_records_are_accepted_in_canonical_form_or_refused(
        which in 0..6_usize,
        changes in prop::collection::vec(change(), 0..5),
    ) {
        let bytes = changed(valid()[which].clone(), &changes);
        if let Ok(manifest) = Manifest::decode(&bytes) {
            prop_assert_eq!(manifest.encode(), bytes.clone());
            for (path, _) in manifest.entries() {
                prop_assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".." && part != "."));
            }
        }
        if let Some(Request::Take { numbers, .. }) = wire::decode_request(&bytes) {
            prop_assert!(numbers.len() <= wire::NUMBERS_MAX);
        }
        let _accepted_or_refused = wire::decode_answer(&bytes);
    }

    #[test]
    fn a_peer_that_sends_nonsense_fails_a_fetch_and_nothing_else(
        frames in prop::collection::vec((0..6_usize, prop::collection::vec(change(), 0..4)), 0..6),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let frames: Vec<_> = frames.iter().map(|(which, changes)| changed(valid()[*which].clone(), changes)).collect();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let reader = Net::default().add(1, dir.path(), None);
            let (progress, _) = watch::channel(Progress::default());
            let tree = Manifest::decode(&valid()[0]).unwrap().digest();
            let fetched = rhizo_artifacts::fetch(&reader.exchange, tree, Arc::new(Liar { frames }), progress);
            assert!(fetched.await.is_err());
        });
    }
}

/// A peer that sends these frames and closes the stream.
struct Liar {
    frames: Vec<Vec<u8>>,
}

impl Peers for Liar {
    type Stream = DuplexStream;

    fn candidates(&self) -> Vec<PeerKey> {
        vec![key(7)]
    }

    async fn open(&self, _: PeerKey) -> io::Result<DuplexStream> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        for frame in &self.frames {
            far.write_all(&u32::try_from(frame.len()).unwrap().to_le_bytes()).await?;
            far.write_all(frame).await?;
        }
        far.shutdown().await?;
        Ok(near)
    }
}
