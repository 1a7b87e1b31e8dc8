//! The trace hash: everything that happens in a world, in order, in one number.
//!
//! It lets std's `Hash` feed BLAKE3, whose result is the same on every machine and in every build.

use std::hash::{Hash, Hasher};

/// A hash of everything fed so far.
#[derive(Clone, Default)]
pub struct TraceHash(blake3::Hasher);

impl TraceHash {
    /// Adds a value.
    pub fn add<T: Hash>(&mut self, value: &T) {
        value.hash(self);
    }

    /// The hash so far, in hexadecimal.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl Hasher for TraceHash {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
