//! Pieces: equal parts of a blob, each of which is verified by itself against the hash of the whole blob.
//!
//! BLAKE3 hashes a blob as a binary tree. A piece is a whole subtree of it, so the hash of the blob follows from the
//! hashes of its pieces. A node that has only the hash of a blob therefore accepts a list of piece hashes from any peer
//! after it has merged the list into that hash, and from then on accepts or refuses each piece as it arrives. This is
//! the verified streaming of Bao (O'Connor, "Bao spec", 2018) with one level of the tree sent instead of all of them.
//! No input or output. Read next: [`mod@crate::fetch`].

use blake3::hazmat::{self, HasherExt as _, Mode};
use rhizo_types::Digest;

/// Length of a piece. It takes 20 ms at 100 Mbit/s, so pieces are spread over peers early. It is a power of two times
/// BLAKE3's chunk of 1,024 bytes, which makes every piece a subtree.
pub const PIECE_BYTES: u64 = 256 * 1024;

/// Returns the number of pieces of a blob with this length; none for an empty blob.
#[must_use]
pub fn count(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE_BYTES)
}

/// Returns the length of a piece of a blob; zero behind its end.
#[must_use]
pub fn bytes_of(blob_bytes: u64, piece: u64) -> u64 {
    blob_bytes.saturating_sub(piece.saturating_mul(PIECE_BYTES)).min(PIECE_BYTES)
}

/// The hashes of the pieces of one blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PieceHashes {
    blob_bytes: u64,
    hashes: Vec<[u8; 32]>,
}

impl PieceHashes {
    /// Takes the hashes of the pieces of a blob, 32 bytes for each. Returns none if they do not add up to its hash.
    #[must_use]
    pub fn verified(blob: &Digest, blob_bytes: u64, hashes: &[u8]) -> Option<Self> {
        let (hashes, rest) = hashes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() as u64 != count(blob_bytes) {
            return None;
        }
        let all = Self { blob_bytes, hashes: hashes.to_vec() };
        (all.blob() == *blob).then_some(all)
    }

    /// The hash of a blob that is one piece, or none at all, is the hash of its only piece.
    #[must_use]
    pub fn of_small(blob: &Digest, blob_bytes: u64) -> Option<Self> {
        match count(blob_bytes) {
            0 => Some(Self { blob_bytes, hashes: Vec::new() }),
            1 => Some(Self { blob_bytes, hashes: vec![blob.0] }),
            _ => None,
        }
    }

    /// Returns true if these are the bytes of the piece.
    #[must_use]
    pub fn accepts(&self, piece: u64, bytes: &[u8]) -> bool {
        let index = usize::try_from(piece).ok();
        let Some(expected) = index.and_then(|index| self.hashes.get(index)) else { return false };
        bytes.len() as u64 == bytes_of(self.blob_bytes, piece)
            && hash_of(piece, bytes, self.hashes.len() == 1) == *expected
    }

    /// The hash of the whole blob.
    #[must_use]
    pub fn blob(&self) -> Digest {
        match self.hashes.as_slice() {
            [] => Digest(*blake3::hash(&[]).as_bytes()),
            [only] => Digest(*only),
            hashes => {
                let (left, right) = split(hashes);
                let root = hazmat::merge_subtrees_root(&merged(left), &merged(right), Mode::Hash);
                Digest(*root.as_bytes())
            }
        }
    }

    /// The length of the blob.
    #[must_use]
    pub fn blob_bytes(&self) -> u64 {
        self.blob_bytes
    }

    /// The hashes one after the other.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.concat()
    }
}

/// Computes the hashes of the pieces of a blob while it is read from its beginning to its end.
#[derive(Debug, Default)]
pub struct PieceHasher {
    blob_bytes: u64,
    hashes: Vec<[u8; 32]>,
    /// The whole piece that was added last. Only with a piece behind it, it is not the only piece.
    held: Vec<u8>,
}

impl PieceHasher {
    /// Adds the next piece. Each piece but the last has [`PIECE_BYTES`] bytes.
    ///
    /// # Panics
    /// If a piece follows one that was shorter.
    pub fn add(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        assert_eq!(self.blob_bytes % PIECE_BYTES, 0, "only the last piece of a blob is shorter");
        if self.blob_bytes == PIECE_BYTES {
            let first = std::mem::take(&mut self.held);
            self.hashes.push(hash_of(0, &first, false));
        }
        if self.blob_bytes == 0 {
            self.held = piece.to_vec();
        } else {
            self.hashes.push(hash_of(self.blob_bytes / PIECE_BYTES, piece, false));
        }
        self.blob_bytes += piece.len() as u64;
    }

    /// Returns the hashes after the last piece.
    #[must_use]
    pub fn finish(mut self) -> PieceHashes {
        if !self.held.is_empty() {
            self.hashes.push(hash_of(0, &self.held, true));
        }
        PieceHashes { blob_bytes: self.blob_bytes, hashes: self.hashes }
    }
}

/// Returns the hash of a piece: the root of the tree if it is the only one, else the root of its subtree.
fn hash_of(piece: u64, bytes: &[u8], only: bool) -> [u8; 32] {
    if only {
        return *blake3::hash(bytes).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(piece * PIECE_BYTES).update(bytes).finalize_non_root()
}

/// Divides the pieces below a node of the tree: its left part is the largest power of two that leaves a right part.
fn split(hashes: &[[u8; 32]]) -> (&[[u8; 32]], &[[u8; 32]]) {
    hashes.split_at(hashes.len().next_power_of_two() / 2)
}

/// Merges the hashes of pieces into the hash of the subtree above them. The depth is at most 18.
fn merged(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [only] => *only,
        _ => {
            let (left, right) = split(hashes);
            hazmat::merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: u64) -> Vec<u8> {
        (0..bytes).map(|index| (index.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
    }

    fn hashes_of(content: &[u8]) -> PieceHashes {
        let mut hasher = PieceHasher::default();
        content.chunks(PIECE_BYTES as usize).for_each(|piece| hasher.add(piece));
        hasher.finish()
    }

    #[test]
    fn the_hashes_of_the_pieces_add_up_to_the_hash_of_the_blob() {
        let piece = PIECE_BYTES;
        for bytes in
            [0, 1, 1_024, piece - 1, piece, piece + 1, 2 * piece, 3 * piece, 5 * piece + 7, 8 * piece]
        {
            let content = content(bytes);
            let hashes = hashes_of(&content);
            assert_eq!(hashes.blob().0, *blake3::hash(&content).as_bytes(), "{bytes}");
            let again = PieceHashes::verified(&hashes.blob(), bytes, &hashes.encode());
            assert_eq!(again.as_ref(), Some(&hashes), "{bytes}");
            assert_eq!(PieceHashes::of_small(&hashes.blob(), bytes).is_some(), bytes <= piece);
        }
    }

    #[test]
    fn a_flipped_bit_and_a_piece_in_another_place_are_refused() {
        let content = content(3 * PIECE_BYTES + 5);
        let hashes = hashes_of(&content);
        let mut pieces: Vec<_> = content.chunks(PIECE_BYTES as usize).map(<[u8]>::to_vec).collect();
        for (number, piece) in pieces.iter().enumerate() {
            assert!(hashes.accepts(number as u64, piece));
            assert!(!hashes.accepts(number as u64 + 1, piece));
        }
        pieces[2][77] ^= 1;
        assert!(!hashes.accepts(2, &pieces[2]));
        assert!(!hashes.accepts(3, &pieces[3][..4]));
        let mut encoded = hashes.encode();
        encoded[40] ^= 1;
        assert_eq!(PieceHashes::verified(&hashes.blob(), 3 * PIECE_BYTES + 5, &encoded), None);
        assert_eq!(PieceHashes::verified(&hashes.blob(), 3 * PIECE_BYTES, &hashes.encode()), None);
    }
}
