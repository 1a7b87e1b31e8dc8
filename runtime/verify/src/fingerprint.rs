//! Fingerprints: 128 bits that stand for a value, and values that carry theirs.
//!
//! Two different values among the at most 2^32 of one exploration share a fingerprint with a probability below 2^-64,
//! so the explorer compares fingerprints and forgets the states.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The fingerprint of a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Fingerprint(pub u128);

/// An odd constant without structure: 2^128 divided by the golden ratio.
const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Fingerprint {
    /// The fingerprint of anything that can be hashed.
    #[must_use]
    pub fn of<T: Hash + ?Sized>(value: &T) -> Self {
        let mut bytes = Bytes::default();
        value.hash(&mut bytes);
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(&bytes.0).as_bytes()[..16]);
        Self(u128::from_le_bytes(first))
    }

    /// Combines this fingerprint with the next one of a sequence; the order matters.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        // Both are uniform already, so a polynomial keeps them apart; the rotation carries high bits down.
        Self((self.0.rotate_right(47) ^ next.0).wrapping_mul(MULTIPLIER).wrapping_add(next.0))
    }

    /// This fingerprint followed by a small number.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.then(Self(u128::from(number).wrapping_add(1).wrapping_mul(MULTIPLIER)))
    }
}

/// Collects what a value feeds its hasher.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        // `Fingerprint::of` reads the bytes; no caller uses this result.
        self.0.len() as u64
    }
}

/// A value with its fingerprint, shared by all states that contain it.
#[derive(Debug)]
pub struct Shared<T>(Arc<(Fingerprint, T)>);

impl<T: Hash> Shared<T> {
    /// Computes the fingerprint.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new((Fingerprint::of(&value), value)))
    }
}

impl<T> Shared<T> {
    /// The value's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.0
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.1
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_differ_by_value_and_by_order() {
        let (one, two) = (Fingerprint::of(&1_u8), Fingerprint::of(&2_u8));
        assert_eq!(one, Fingerprint::of(&1_u8));
        assert_ne!(one, two);
        assert_ne!(one.then(two), two.then(one));
        assert_ne!(one.number(1), one.number(2));
        assert_ne!(Fingerprint::default().number(0), Fingerprint::default().number(0).number(0));
    }

    #[test]
    fn shared_values_are_equal_by_print() {
        let (one, same, other) = (Shared::new("a"), Shared::new("a"), Shared::new("b"));
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(*one, "a");
    }
}
