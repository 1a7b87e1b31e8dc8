//! The layout of a tree in a transfer: every piece of every content of the tree has one number.
//!
//! Both ends derive the layout from the manifest, so numbers and sets of numbers are all that they exchange. Contents
//! come in the order of their hashes, empty ones have no piece. Pure.

use crate::manifest::Manifest;
use crate::pieces;
use rhizo_types::Digest;

/// The pieces of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    blobs: Vec<Blob>,
    count: u32,
}

/// One content of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blob {
    /// Its hash.
    pub hash: Digest,
    /// Its length.
    pub bytes: u64,
    /// The number of its first piece.
    pub first: u32,
    /// The number of its pieces.
    pub count: u32,
}

/// A piece of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The index of its content in the layout.
    pub blob: usize,
    /// Its number within the content.
    pub piece: u64,
    /// Its length.
    pub bytes: u64,
}

impl Layout {
    /// Lays out the contents of a tree.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let (mut blobs, mut first) = (Vec::new(), 0_u32);
        for (hash, bytes) in manifest.blobs() {
            // The bounds of a manifest keep the sum below 400,000.
            let count = u32::try_from(pieces::count(bytes)).unwrap_or(u32::MAX);
            blobs.push(Blob { hash, bytes, first, count });
            first = first.saturating_add(count);
        }
        Self { blobs, count: first }
    }

    /// The number of pieces.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The contents, in the order of their hashes.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// Returns the place of a piece; none behind the last one.
    #[must_use]
    pub fn place(&self, number: u32) -> Option<Place> {
        if number >= self.count {
            return None;
        }
        // The last content that begins at or before the piece; an empty content before it begins there too.
        let blob = self.blobs.partition_point(|blob| blob.first <= number).checked_sub(1)?;
        let content = self.blobs.get(blob)?;
        let piece = u64::from(number - content.first);
        Some(Place { blob, piece, bytes: pieces::bytes_of(content.bytes, piece) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Entry;
    use crate::pieces::PIECE_BYTES;

    #[test]
    fn every_piece_has_one_number() {
        let sizes = [0, 1, PIECE_BYTES, 0, 2 * PIECE_BYTES + 1];
        let entries = (1..).zip(sizes).map(|(byte, bytes)| {
            (byte.to_string(), Entry::File { executable: false, bytes, hash: Digest([byte; 32]) })
        });
        let layout = Layout::of(&Manifest::new(entries).unwrap());
        let places: Vec<_> = (0..=layout.count()).map(|number| layout.place(number)).collect();
        let place = |blob, piece, bytes| Some(Place { blob, piece, bytes });
        let expected = [
            place(1, 0, 1),
            place(2, 0, PIECE_BYTES),
            place(4, 0, PIECE_BYTES),
            place(4, 1, PIECE_BYTES),
            place(4, 2, 1),
            None,
        ];
        assert_eq!(places, expected);
    }
}
