//! Bundles are written, opened and refused.

use super::*;
use proptest::prelude::*;
use std::fs;

/// A bundle whose runtime is a copy of a dynamic program of this machine.
fn bundle(dir: &Path) -> (PathBuf, Contents) {
    let folder = dir.join("app");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("rhizo.toml"), "rhizo = 1\n").unwrap();
    fs::write(folder.join("page"), "a page\n").unwrap();
    let folder = folder.canonicalize().unwrap();
    let store = Store::open(&dir.join("store")).unwrap();
    let lease = store.lease();
    let tree = config_tree(&folder, ("rhizo.toml", "rhizo = 1\n"), &[], &store, &lease).unwrap();
    let page =
        config_tree(&folder, ("rhizo.toml", "rhizo = 1\n"), &[folder.join("page")], &store, &lease).unwrap();
    let closures = BTreeMap::from([("web".to_owned(), page)]);
    let contents = Contents { config: "rhizo.toml".to_owned(), folder: tree, closures };
    let path = dir.join("bundle");
    write(&path, Path::new("/bin/echo"), &contents, &store).unwrap();
    (path, contents)
}

#[test]
fn a_bundle_starts_its_runtime_and_gives_back_its_trees() {
    let dir = tempfile::tempdir().unwrap();
    let (path, contents) = bundle(dir.path());
    for _ in 0..2 {
        let output = std::process::Command::new(&path).args(["packed", "runtime"]).output().unwrap();
        assert_eq!(output.stdout, b"packed runtime\n", "{output:?}");
    }
    let bundle = Bundle::open(&path).unwrap().unwrap();
    bundle.verify().unwrap();
    let unpacked = PathBuf::from(format!("{}.{}", path.display(), bundle.digits()));
    assert!(unpacked.join("loader").is_file() && unpacked.join("rhizo").is_file());
    assert_eq!(bundle.contents(), &contents);
    let store = Store::open(&dir.path().join("other")).unwrap();
    let lease = store.lease();
    let web = contents.closures["web"];
    bundle.import(&store, &lease, &[web]).unwrap();
    assert_eq!(fs::read(store.check_out(&web).unwrap().join("files/page")).unwrap(), b"a page\n");
    assert!(!store.has_tree(&contents.folder).unwrap());
}

#[test]
fn a_flipped_bit_and_a_missing_end_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, contents) = bundle(dir.path());
    let good = fs::read(&path).unwrap();
    let page = good.windows(7).position(|window| window == b"a page\n").unwrap();
    let mut flipped = good.clone();
    flipped[page] ^= 1;
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, flipped).unwrap();
    let opened = Bundle::open(&wrong).unwrap().unwrap();
    assert!(matches!(opened.verify(), Err(BundleError::Damaged { .. })));
    let store = Store::open(&dir.path().join("other")).unwrap();
    let lease = store.lease();
    let imported = opened.import(&store, &lease, &[contents.closures["web"]]);
    assert!(matches!(imported, Err(BundleError::Damaged { .. })), "{imported:?}");
    fs::write(&wrong, &good[..good.len() - 1]).unwrap();
    assert!(Bundle::open(&wrong).unwrap().is_none(), "it is no bundle any more");
    assert!(Bundle::open(Path::new("/bin/echo")).unwrap().is_none());
}

proptest! {
    #[test]
    fn damaged_records_and_trailers_are_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0..96_usize,
        byte in any::<u8>(),
        length in any::<u64>(),
    ) {
        let _maybe = decode_record(&bytes);
        let digest = Digest([3; 32]);
        let good = Trailer { table_at: 9, entries: 2, digest, record_at: 1, record_bytes: 8 };
        let mut encoded = good.encode();
        encoded[at] = byte;
        let (digest, trailer) = encoded.split_at(DIGEST_BYTES);
        let decoded = Trailer::decode(digest.try_into().unwrap(), trailer.try_into().unwrap(), length);
        if let Some(decoded) = decoded {
            prop_assert_eq!(decoded.encode(), encoded);
            prop_assert!(decoded.record_at + decoded.record_bytes <= length);
        }
    }
}
