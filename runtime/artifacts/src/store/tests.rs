//! The store: what is stored is found, damage is noticed, and a collection never meets a user.

use super::*;
use crate::pieces::PIECE_BYTES;
use std::collections::BTreeSet;
use std::sync::Barrier;

fn content(seed: u8, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

/// Stores a tree with one plain file, one program and one link.
fn put_tree(store: &Store, lease: &Lease, seed: u8) -> Digest {
    let (plain, plain_bytes) = store.put(lease, &content(seed, 2 * PIECE_BYTES + 9)[..]).unwrap();
    let (run, run_bytes) = store.put(lease, &b"#!/bin/sh\n"[..]).unwrap();
    let manifest = Manifest::new([
        ("etc/plain".to_owned(), Entry::File { executable: false, bytes: plain_bytes, hash: plain }),
        ("run".to_owned(), Entry::File { executable: true, bytes: run_bytes, hash: run }),
        ("link".to_owned(), Entry::Link { target: "etc/plain".to_owned() }),
    ]);
    store.put_manifest(lease, &manifest.unwrap()).unwrap()
}

#[test]
fn a_tree_is_checked_out_read_only_and_removed_again() {
    let (_dir, store) = store();
    let lease = store.lease();
    let tree = put_tree(&store, &lease, 1);
    let path = store.check_out(&tree).unwrap();
    assert_eq!(path, store.check_out(&tree).unwrap());
    assert_eq!(fs::read(path.join("link")).unwrap(), content(1, 2 * PIECE_BYTES + 9));
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc"), mode("etc/plain"), mode("run")), (0o700, 0o400, 0o500));
    drop(lease);
    let collected = store.collect(&BTreeSet::new()).unwrap();
    assert_eq!((collected.trees, collected.blobs), (1, 2));
    assert!(!path.exists() && !store.has_tree(&tree).unwrap());
}

#[test]
fn a_tree_that_is_kept_or_leased_is_not_collected() {
    let (_dir, store) = store();
    let lease = store.lease();
    let [kept, leased, dropped] = [1, 2, 3].map(|seed| put_tree(&store, &lease, seed));
    drop(lease);
    let lease = store.lease_tree(leased);
    let collected = store.collect(&BTreeSet::from([kept])).unwrap();
    // The program is the same in all three.
    assert_eq!((collected.trees, collected.blobs), (1, 1));
    assert!(store.has_tree(&kept).unwrap() && store.has_tree(&leased).unwrap());
    assert!(!store.has_tree(&dropped).unwrap());
    drop(lease);
    assert_eq!(store.collect(&BTreeSet::from([kept])).unwrap().trees, 1);
    assert!(store.has_tree(&kept).unwrap());
}

#[test]
fn content_that_flipped_a_bit_on_the_disk_is_not_run() {
    let (_dir, store) = store();
    let lease = store.lease();
    let tree = put_tree(&store, &lease, 1);
    let hash = *store.manifest(&tree).unwrap().unwrap().blobs().keys().next().unwrap();
    let path = store.blob_path(&hash);
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    assert!(matches!(store.check_out(&tree), Err(StoreError::Damaged { hash: damaged }) if damaged == hash));
    assert!(!store.has_tree(&tree).unwrap(), "it is fetched again");
}

#[test]
fn a_transfer_continues_with_the_pieces_that_are_right() {
    let (dir, store) = store();
    let bytes = content(5, 3 * PIECE_BYTES + 1);
    let lease = store.lease();
    let (hash, length) = store.put(&lease, &bytes[..]).unwrap();
    let hashes = store.piece_hashes(&hash, length).unwrap();
    let pieces: Vec<&[u8]> = bytes.chunks(PIECE_BYTES as usize).collect();

    let other = Store::open(&dir.path().join("other")).unwrap();
    let partial = other.partial(&hash, hashes.clone()).unwrap();
    assert!(partial.write(0, pieces[0]).unwrap() && partial.write(2, pieces[2]).unwrap());
    assert!(!partial.write(1, pieces[2]).unwrap() && !partial.has(1));
    drop(partial);
    // A power cut tore the last write.
    let torn = File::options().write(true).open(other.partial_path(&hash)).unwrap();
    torn.write_all_at(&[0; 100], 2 * PIECE_BYTES).unwrap();

    let other = Store::open(&dir.path().join("other")).unwrap();
    assert_eq!(other.partial_hashes(&hash, length), Some(hashes.clone()));
    let partial = other.partial(&hash, hashes).unwrap();
    assert_eq!([0, 1, 2, 3].map(|piece| partial.has(piece)), [true, false, false, false]);
    for piece in [1, 2, 3] {
        assert!(!partial.is_whole() && partial.write(piece, pieces[piece as usize]).unwrap());
    }
    assert!(partial.is_whole() && other.has_blob(&hash));
    other.verify_blob(&hash).unwrap();
    assert_eq!(fs::read_dir(other.dir().join("partial")).unwrap().count(), 0);
}

#[test]
fn a_collection_never_meets_a_user() {
    let (_dir, store) = store();
    let begin = Barrier::new(3);
    std::thread::scope(|scope| {
        let users = [1, 2].map(|seed| {
            let (store, begin) = (&store, &begin);
            scope.spawn(move || {
                begin.wait();
                for _ in 0..40 {
                    let lease = store.lease();
                    let tree = put_tree(store, &lease, seed);
                    // Both halves of the use: the content is there, and a checkout of it can be read.
                    assert!(store.has_tree(&tree).unwrap());
                    let path = store.check_out(&tree).unwrap();
                    assert_eq!(fs::read(path.join("run")).unwrap(), b"#!/bin/sh\n");
                }
            })
        });
        begin.wait();
        while !users.iter().all(|user| user.is_finished()) {
            store.collect(&BTreeSet::new()).unwrap();
        }
    });
}
