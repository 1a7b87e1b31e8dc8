//! A content in transfer: the pieces that have arrived, on disk, and the hashes by which pieces are verified.
//!
//! The file has its full length from the start, with holes for missing pieces. Which pieces it has is not recorded: a
//! process that continues a transfer hashes the file once, and believes no record that a power cut may have left ahead
//! of the data. One thread hashes more than 1 GB in a second.

use super::{Store, StoreError, failed, lock};
use crate::pieces::{self, PIECE_BYTES, PieceHashes};
use rhizo_types::Digest;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

/// A content of which pieces are missing.
#[derive(Debug)]
pub struct Partial {
    store: Store,
    hash: Digest,
    hashes: PieceHashes,
    file: File,
    arrived: Mutex<Arrived>,
}

/// The pieces that were verified and written.
#[derive(Debug)]
struct Arrived {
    pieces: Vec<bool>,
    missing: usize,
}

impl Partial {
    pub(super) fn open(store: Store, hash: Digest, hashes: PieceHashes) -> Result<Self, StoreError> {
        let path = store.partial_path(&hash);
        let whole = store.has_blob(&hash);
        let file = if whole {
            store.open_blob(&hash)?
        } else {
            let beside = store.partial_hashes_path(&hash);
            rhizo_private_files::write_synced(&beside, &hashes.encode()).map_err(failed("write", &beside))?;
            rhizo_private_files::options()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(failed("open", &path))?
        };
        let earlier = file.metadata().map_err(failed("look at", &path))?.len();
        let count = usize::try_from(pieces::count(hashes.blob_bytes())).unwrap_or(usize::MAX);
        let mut arrived = vec![whole; count];
        if !whole && earlier > 0 {
            for (number, arrived) in (0..).zip(&mut arrived) {
                *arrived = has_piece(&file, &hashes, number).map_err(failed("read", &path))?;
            }
        }
        if !whole {
            file.set_len(hashes.blob_bytes()).map_err(failed("extend", &path))?;
        }
        let missing = arrived.iter().filter(|arrived| !**arrived).count();
        let arrived = Mutex::new(Arrived { pieces: arrived, missing });
        let partial = Self { store, hash, hashes, file, arrived };
        if !whole && missing == 0 {
            partial.finish()?;
        }
        Ok(partial)
    }

    /// Returns true if the piece was verified and written.
    #[must_use]
    pub fn has(&self, piece: u64) -> bool {
        let index = usize::try_from(piece).unwrap_or(usize::MAX);
        lock(&self.arrived).pieces.get(index).is_some_and(|arrived| *arrived)
    }

    /// Returns true if the store has the whole content.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        lock(&self.arrived).missing == 0
    }

    /// Writes a piece if its bytes have the right hash, and keeps the content once it is whole. Returns false, and
    /// writes nothing, if they do not.
    ///
    /// # Errors
    /// The piece cannot be written, or the whole content cannot be kept.
    pub fn write(&self, piece: u64, bytes: &[u8]) -> Result<bool, StoreError> {
        if !self.hashes.accepts(piece, bytes) {
            return Ok(false);
        }
        let index = usize::try_from(piece).unwrap_or(usize::MAX);
        if self.has(piece) {
            return Ok(true);
        }
        let path = self.store.partial_path(&self.hash);
        self.file.write_all_at(bytes, piece * PIECE_BYTES).map_err(failed("write", &path))?;
        let last = {
            let mut arrived = lock(&self.arrived);
            let first_time = arrived.pieces.get(index) == Some(&false);
            if first_time {
                arrived.pieces[index] = true;
                arrived.missing -= 1;
            }
            first_time && arrived.missing == 0
        };
        if last {
            self.finish()?;
        }
        Ok(true)
    }

    fn finish(&self) -> Result<(), StoreError> {
        self.store.keep(&self.store.partial_path(&self.hash), &self.file, &self.hash, &self.hashes)?;
        let beside = self.store.partial_hashes_path(&self.hash);
        fs::remove_file(&beside).map_err(failed("remove", &beside))
    }
}

fn has_piece(file: &File, hashes: &PieceHashes, piece: u64) -> io::Result<bool> {
    let length = usize::try_from(pieces::bytes_of(hashes.blob_bytes(), piece)).unwrap_or_default();
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, piece * PIECE_BYTES) {
        Ok(()) => Ok(hashes.accepts(piece, &bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
