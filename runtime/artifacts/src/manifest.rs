//! Manifests: the list of files of a tree, with the hash of each, and the digest that identifies the tree.
//!
//! A manifest is pure and has one encoding: equal trees have equal bytes, and the digest is the BLAKE3 hash of these
//! bytes. The decoder accepts only what the encoder yields, so every accepted manifest is sorted, has no path that leads
//! out of its tree, and stays within the bounds below. Read next: [`crate::pieces`], which cuts the files into the pieces
//! of a transfer.

use rhizo_types::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most entries of a tree. A Python installation has about 20,000 files.
pub const ENTRIES_MAX: usize = 100_000;
/// Most bytes of an encoded manifest: 100,000 entries with paths of 120 bytes.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest path within a tree, in bytes, so that the path of a checkout stays below Linux's limit of 4,096.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Most bytes of all files of a tree together. The hashes of the pieces of 64 GiB take 8 MiB.
pub const TREE_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// One file or symbolic link of a tree. Directories are not listed; they follow from the paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// A regular file.
    File {
        /// Whether its owner may execute it; a checkout knows no other modes.
        executable: bool,
        /// Its length in bytes.
        bytes: u64,
        /// The hash of its content.
        hash: Digest,
    },
    /// A symbolic link.
    Link {
        /// The text of the link. It may lead to an absolute path, which is meant below the root view of the tree.
        target: String,
    },
}

/// The files of a tree by their paths.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Manifest {
    entries: BTreeMap<String, Entry>,
}

/// The encoded form: a sorted list behind the number of its version.
#[derive(Serialize, Deserialize)]
enum ManifestRecord {
    V1(Vec<(String, Entry)>),
}

/// A manifest breaks a rule of its form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are no manifest of a known version, or are not in canonical form.
    #[error("decode a manifest of {bytes} bytes")]
    Malformed {
        /// The number of bytes.
        bytes: usize,
    },
    /// A path is empty, absolute, too long, or has an empty, `.` or `..` part.
    #[error("accept the path `{path}` in a tree")]
    Path {
        /// The path.
        path: String,
    },
    /// The path of an entry leads through a file or a link.
    #[error("accept the path `{path}` in a tree: `{above}` is no directory")]
    Below {
        /// The path.
        path: String,
        /// The entry above it.
        above: String,
    },
    /// Two different files have the same path.
    #[error("put two different files at `{path}` of one tree")]
    Twice {
        /// The path.
        path: String,
    },
    /// Two entries name different lengths for the same content.
    #[error("accept two lengths for the content {hash}")]
    Lengths {
        /// The hash of the content.
        hash: Digest,
    },
    /// There are more files, or more bytes, than a tree may have.
    #[error(
        "make a tree of {entries} files with {bytes} bytes: the limits are {ENTRIES_MAX} files and {TREE_BYTES_MAX} bytes"
    )]
    TooLarge {
        /// The number of entries.
        entries: usize,
        /// Their bytes together.
        bytes: u64,
    },
}

impl Manifest {
    /// Makes a manifest of entries in any order.
    ///
    /// # Errors
    /// The entries break a rule: see [`ManifestError`].
    pub fn new(entries: impl IntoIterator<Item = (String, Entry)>) -> Result<Self, ManifestError> {
        let mut sorted = BTreeMap::new();
        for (path, entry) in entries {
            if let Some(other) = sorted.get(&path)
                && *other != entry
            {
                return Err(ManifestError::Twice { path });
            }
            sorted.insert(path, entry);
        }
        let manifest = Self { entries: sorted };
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bytes = self.entries.values().map(|entry| match entry {
            Entry::File { bytes, .. } => *bytes,
            Entry::Link { .. } => 0,
        });
        let bytes = bytes.fold(0, u64::saturating_add);
        if self.entries.len() > ENTRIES_MAX || bytes > TREE_BYTES_MAX {
            return Err(ManifestError::TooLarge { entries: self.entries.len(), bytes });
        }
        let mut lengths = BTreeMap::new();
        for (path, entry) in &self.entries {
            if !is_path(path) {
                return Err(ManifestError::Path { path: path.clone() });
            }
            let mut above = path.as_str();
            while let Some((parent, _)) = above.rsplit_once('/') {
                if self.entries.contains_key(parent) {
                    return Err(ManifestError::Below { path: path.clone(), above: parent.to_owned() });
                }
                above = parent;
            }
            match entry {
                Entry::File { bytes, hash, .. } => {
                    if lengths.insert(*hash, *bytes).is_some_and(|other| other != *bytes) {
                        return Err(ManifestError::Lengths { hash: *hash });
                    }
                }
                Entry::Link { target } => {
                    if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains('\0') {
                        return Err(ManifestError::Path { path: target.clone() });
                    }
                }
            }
        }
        Ok(())
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// The bytes are no canonical encoding of a manifest, or break a rule of its form.
    pub fn decode(encoded: &[u8]) -> Result<Self, ManifestError> {
        let malformed = ManifestError::Malformed { bytes: encoded.len() };
        if encoded.len() > MANIFEST_BYTES_MAX {
            return Err(malformed);
        }
        let record = postcard::from_bytes(encoded).map_err(|_| malformed.clone())?;
        let ManifestRecord::V1(entries) = record;
        let manifest = Self::new(entries)?;
        // Another order, a repeated entry, a longer form of a number, or bytes at the end.
        if manifest.encode() != encoded {
            return Err(malformed);
        }
        Ok(manifest)
    }

    /// Returns the canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(path, entry)| (path.clone(), entry.clone()));
        let record = ManifestRecord::V1(entries.collect());
        postcard::to_stdvec(&record).expect("a list of plain fields has a known length")
    }

    /// Returns the digest that identifies the tree.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(&self.encode()).as_bytes())
    }

    /// The entries in the order of their paths.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Returns the entry at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The different contents of the files with their lengths, in the order of their hashes.
    #[must_use]
    pub fn blobs(&self) -> BTreeMap<Digest, u64> {
        let files = self.entries.values().filter_map(|entry| match entry {
            Entry::File { bytes, hash, .. } => Some((*hash, *bytes)),
            Entry::Link { .. } => None,
        });
        files.collect()
    }

    /// The bytes of all different contents together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs().values().sum()
    }
}

/// Returns true if the path is relative and leads through no `.`, `..` or empty part.
fn is_path(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= PATH_BYTES_MAX && !path.contains('\0') && path.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(byte: u8, bytes: u64) -> Entry {
        Entry::File { executable: false, bytes, hash: Digest([byte; 32]) }
    }

    fn manifest(entries: &[(&str, Entry)]) -> Result<Manifest, ManifestError> {
        Manifest::new(entries.iter().map(|(path, entry)| ((*path).to_owned(), entry.clone())))
    }

    #[test]
    fn the_encoding_of_a_manifest_does_not_change() {
        let link = Entry::Link { target: "/usr/bin/sh".to_owned() };
        let run = Entry::File { executable: true, bytes: 300, hash: Digest([2; 32]) };
        let manifest = manifest(&[("b/run", run), ("b/sh", link), ("a", file(1, 5))]).unwrap();
        let encoded = manifest.encode();
        let hex: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
        let (one, two) = ("01".repeat(32), "02".repeat(32));
        let golden =
            format!("0003016100000 5{one}05622f72756e0001ac02{two}04622f7368010b2f7573722f62696e2f7368");
        assert_eq!(hex, golden.replace(' ', ""));
        assert_eq!(Manifest::decode(&encoded), Ok(manifest));
    }

    #[test]
    fn paths_that_lead_out_of_a_tree_or_through_a_file_are_refused() {
        for path in ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\0b", &"a".repeat(1_025)] {
            assert!(matches!(manifest(&[(path, file(1, 1))]), Err(ManifestError::Path { .. })), "{path}");
        }
        let link = Entry::Link { target: "/etc".to_owned() };
        for above in [link, file(2, 2)] {
            // `a-` sorts between `a` and `a/b`.
            let refused = manifest(&[("a", above), ("a-", file(1, 1)), ("a/b", file(1, 1))]);
            assert!(matches!(refused, Err(ManifestError::Below { .. })), "{refused:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let twice = manifest(&[("a", file(1, 1)), ("a", file(2, 1))]);
        assert!(matches!(twice, Err(ManifestError::Twice { .. })));
        let lengths = manifest(&[("a", file(1, 1)), ("b", file(1, 2))]);
        assert!(matches!(lengths, Err(ManifestError::Lengths { .. })));
        let large = manifest(&[("a", file(1, TREE_BYTES_MAX)), ("b", file(2, u64::MAX))]);
        assert!(matches!(large, Err(ManifestError::TooLarge { .. })));
    }

    #[test]
    fn only_the_canonical_encoding_is_accepted() {
        let good = manifest(&[("a", file(1, 5)), ("b", file(2, 6))]).unwrap().encode();
        let mut longer = good.clone();
        longer.push(0);
        let half = (good.len() - 2) / 2;
        let swapped = [&good[..2], &good[2 + half..], &good[2..2 + half]].concat();
        let mut other_version = good.clone();
        other_version[0] = 1;
        for wrong in [&longer, &swapped, &other_version, &good[..good.len() - 1].to_vec(), &Vec::new()] {
            assert!(Manifest::decode(wrong).is_err(), "{wrong:?}");
        }
        assert!(Manifest::decode(&good).is_ok());
    }
}
