//! The records at the end of a bundle. Pure.
//!
//! `start/start.c` reads the table and the trailer; both have fixed fields, little-endian. The record is for the runtime
//! alone: postcard behind the number of its version.

use rhizo_types::Digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The first bytes of the trailer; `MAGIC` of `start/start.c`.
const MAGIC: u64 = 0x3162_7a68_7200_0001;
pub(super) const TRAILER_BYTES: usize = 64;
pub(super) const DIGEST_BYTES: usize = 32;
/// Bytes of a name in the table, with at least one zero at its end.
const NAME_BYTES: usize = 64;
/// Longest record: the manifests of 1,000 components and the places of a million files.
const RECORD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The trees of a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contents {
    /// The name of the config file, below `files/` of the folder's tree.
    pub config: String,
    /// The config and the files that the command line reads with it.
    pub folder: Digest,
    /// The closure of each component that has one.
    pub closures: BTreeMap<String, Digest>,
}

impl Contents {
    /// All trees, each once.
    #[must_use]
    pub fn trees(&self) -> BTreeSet<Digest> {
        self.closures.values().copied().chain([self.folder]).collect()
    }
}

/// The record of a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleRecord {
    /// The trees.
    pub contents: Contents,
    /// Their encoded manifests.
    pub manifests: Vec<Vec<u8>>,
    /// The contents of their files: hash, offset in the bundle, length.
    pub blobs: Vec<(Digest, u64, u64)>,
}

#[derive(Serialize, Deserialize)]
enum Record {
    V1(BundleRecord),
}

pub(super) fn encode_record(record: &BundleRecord) -> Vec<u8> {
    postcard::to_stdvec(&Record::V1(record.clone())).expect("plain fields have a known length")
}

/// Decodes the record of a bundle; none if it is malformed.
#[must_use]
pub fn decode_record(bytes: &[u8]) -> Option<BundleRecord> {
    let (Record::V1(record), rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(record)
}

/// Encodes the table of the runtime's files: name, offset, length.
pub(super) fn encode_table(table: &[(String, u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, offset, length) in table {
        let mut field = [0; NAME_BYTES];
        let count = name.len().min(NAME_BYTES - 1);
        field[..count].copy_from_slice(&name.as_bytes()[..count]);
        bytes.extend(field);
        bytes.extend(offset.to_le_bytes());
        bytes.extend(length.to_le_bytes());
    }
    bytes
}

/// The places of record and table, and the digest of the bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// The offset of the table.
    pub table_at: u64,
    /// The number of its entries; zero for a static runtime.
    pub entries: u32,
    /// The digest of all bytes before it.
    pub digest: Digest,
    /// The offset of the record.
    pub record_at: u64,
    /// The length of the record.
    pub record_bytes: u64,
}

impl Trailer {
    pub(super) fn digits(&self) -> String {
        let mut digits = self.digest.to_string();
        digits.truncate(16);
        digits
    }

    /// The digest and the trailer as they end a bundle.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.digest.0.to_vec();
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend(self.table_at.to_le_bytes());
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.digits().into_bytes());
        bytes.extend(self.record_at.to_le_bytes());
        bytes.extend(self.record_bytes.to_le_bytes());
        bytes.resize(DIGEST_BYTES + TRAILER_BYTES, 0);
        bytes
    }

    /// Decodes the trailer of a file of this length; none if the file does not end like a bundle.
    #[must_use]
    pub fn decode(digest: &[u8; DIGEST_BYTES], trailer: &[u8; TRAILER_BYTES], bytes: u64) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*trailer.get(at..)?.first_chunk::<8>()?));
        let entries = u32::from_le_bytes(*trailer.get(16..)?.first_chunk::<4>()?);
        let decoded = Self {
            table_at: number(8)?,
            entries,
            digest: Digest(*digest),
            record_at: number(40)?,
            record_bytes: number(48)?,
        };
        let end = decoded.record_at.checked_add(decoded.record_bytes)?;
        let canonical = decoded.encode()[DIGEST_BYTES..] == trailer[..];
        let fits = end <= bytes && decoded.table_at <= bytes && decoded.record_bytes <= RECORD_BYTES_MAX;
        (canonical && fits).then_some(decoded)
    }
}
