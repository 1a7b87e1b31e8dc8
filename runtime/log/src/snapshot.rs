//! Puts a received snapshot together from messages: one snapshot at a time, from one sender at a time.
//!
//! This file sends and stores nothing. A gap, a repetition, or a second sender never mixes two snapshots: the reply
//! says how many bytes of *this* snapshot have arrived without a gap, and the sender continues from there.

use crate::wire::{Ballot, SNAPSHOT_BYTES_MAX, SnapshotHead};

/// The part of a snapshot that one message carries.
pub(crate) struct Piece {
    pub(crate) from: u64,
    pub(crate) ballot: Ballot,
    pub(crate) head: SnapshotHead,
    pub(crate) total_bytes: usize,
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The state of the snapshot after a piece was taken.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// This many bytes are there without a gap.
    Received(usize),
    /// All bytes have arrived.
    Complete(SnapshotHead, Vec<u8>),
}

/// The snapshot that is being received, if any.
#[derive(Default)]
pub(crate) struct Incoming(Option<Piece>);

impl Incoming {
    /// Takes one piece, whose sizes have been checked with [`Piece::is_plausible`].
    pub(crate) fn take(&mut self, piece: Piece) -> Progress {
        let same = self.0.as_ref().is_some_and(|have| {
            have.from == piece.from
                && have.ballot == piece.ballot
                && have.head == piece.head
                && have.total_bytes == piece.total_bytes
        });
        if !same {
            if piece.offset != 0 {
                return Progress::Received(0);
            }
            self.0 = Some(Piece { bytes: Vec::new(), ..piece.part() });
        }
        let Some(have) = &mut self.0 else { return Progress::Received(0) };
        if piece.offset == have.bytes.len() {
            have.bytes.extend_from_slice(&piece.bytes);
        }
        if have.bytes.len() < have.total_bytes {
            return Progress::Received(have.bytes.len());
        }
        match self.0.take() {
            Some(done) => Progress::Complete(done.head, done.bytes),
            None => Progress::Received(0),
        }
    }
}

impl Piece {
    /// Returns true if the sizes can belong to a snapshot. No memory is reserved before this check.
    pub(crate) fn is_plausible(&self) -> bool {
        self.total_bytes <= SNAPSHOT_BYTES_MAX
            && self.offset.checked_add(self.bytes.len()).is_some_and(|end| end <= self.total_bytes)
    }

    fn part(&self) -> Self {
        Self { head: self.head.clone(), bytes: Vec::new(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(from: u64, total_bytes: usize, offset: usize, bytes: &[u8]) -> Piece {
        let ballot = Ballot { term: 1, node: from, committed: true };
        Piece { from, ballot, head: SnapshotHead::default(), total_bytes, offset, bytes: bytes.to_vec() }
    }

    #[test]
    fn pieces_in_order_become_the_snapshot() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(piece(1, 5, 0, &[1, 2])), Progress::Received(2));
        assert_eq!(incoming.take(piece(1, 5, 2, &[3, 4])), Progress::Received(4));
        let whole = Progress::Complete(SnapshotHead::default(), vec![1, 2, 3, 4, 5]);
        assert_eq!(incoming.take(piece(1, 5, 4, &[5])), whole);
        assert_eq!(incoming.take(piece(1, 5, 4, &[5])), Progress::Received(0), "it was given away");
    }

    #[test]
    fn repeated_lost_and_foreign_pieces_never_mix() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(piece(1, 4, 2, &[9, 9])), Progress::Received(0), "no beginning");
        assert_eq!(incoming.take(piece(1, 4, 0, &[1, 2])), Progress::Received(2));
        assert_eq!(incoming.take(piece(1, 4, 0, &[1, 2])), Progress::Received(2), "a repetition");
        assert_eq!(incoming.take(piece(1, 4, 3, &[4])), Progress::Received(2), "a gap");
        assert_eq!(incoming.take(piece(2, 4, 2, &[7, 7])), Progress::Received(0), "another sender");
        assert_eq!(incoming.take(piece(2, 4, 0, &[7])), Progress::Received(1), "another sender begins");
        assert_eq!(
            incoming.take(piece(1, 4, 2, &[3, 4])),
            Progress::Received(0),
            "the first one must begin again"
        );
        let whole = Progress::Complete(SnapshotHead::default(), vec![7, 7, 7, 7]);
        assert_eq!(incoming.take(piece(2, 4, 1, &[7, 7, 7])), whole);
    }

    #[test]
    fn an_empty_snapshot_is_complete_at_once() {
        let whole = Progress::Complete(SnapshotHead::default(), Vec::new());
        assert_eq!(Incoming::default().take(piece(1, 0, 0, &[])), whole);
    }

    #[test]
    fn impossible_sizes_are_implausible() {
        assert!(piece(1, 4, 2, &[1, 2]).is_plausible());
        assert!(!piece(1, 4, 3, &[1, 2]).is_plausible());
        assert!(!piece(1, SNAPSHOT_BYTES_MAX + 1, 0, &[]).is_plausible());
        assert!(!piece(1, 4, usize::MAX, &[1]).is_plausible());
    }
}
