//! The keys of a stream's records: AES-256-GCM with a counter as nonce, and a new key before the counter is large.
//!
//! Each end draws a key for the direction in which it sends, and transmits it within the Noise session that has
//! authenticated both ends. So the keys are as secret as that session, and no key is used for two directions or two
//! streams. Read next: [`crate::records`].

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::io;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;
/// Records sealed with one key. RFC 8446, section 5.5, allows 2^24.5 records of 16 KiB, thus 2^22.5 of 64 KiB.
const RECORDS_PER_KEY: u64 = 1 << 22;

/// Seals or opens the records of one direction, in order.
pub(crate) struct Cipher {
    secret: [u8; KEY_BYTES],
    key: LessSafeKey,
    /// Records that were sealed or opened with this key.
    used: u64,
}

impl Cipher {
    pub(crate) fn new(secret: [u8; KEY_BYTES]) -> Self {
        // The only error is a key of another length than the algorithm's.
        let key = UnboundKey::new(&AES_256_GCM, &secret).expect("the key has 32 bytes");
        Self { secret, key: LessSafeKey::new(key), used: 0 }
    }

    /// The nonce of the next record. No key gives the same one twice.
    fn nonce(&mut self) -> Nonce {
        if self.used == RECORDS_PER_KEY {
            *self = Self::new(blake3::derive_key("rhizo 2026-11-29 next key of a stream", &self.secret));
        }
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&self.used.to_be_bytes());
        self.used += 1;
        Nonce::assume_unique_for_key(bytes)
    }

    /// Encrypts in place. `header` is authenticated, not encrypted.
    pub(crate) fn seal(&mut self, header: &[u8], plain: &mut [u8]) -> io::Result<[u8; TAG_BYTES]> {
        let nonce = self.nonce();
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), plain);
        let tag = sealed.map_err(|_| io::Error::other("a record of a stream is too long to be sealed"))?;
        let mut bytes = [0; TAG_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }

    /// Decrypts in place; returns the number of plain bytes.
    ///
    /// # Errors
    /// The record is not the next one of the other end.
    pub(crate) fn open(&mut self, header: &[u8], sealed: &mut [u8]) -> io::Result<usize> {
        let nonce = self.nonce();
        let plain = self.key.open_in_place(nonce, Aad::from(header), sealed);
        let forged = |_| io::Error::new(io::ErrorKind::InvalidData, "a record of a stream is not authentic");
        Ok(plain.map_err(forged)?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(cipher: &mut Cipher, plain: &[u8]) -> Vec<u8> {
        let mut bytes = plain.to_vec();
        let tag = cipher.seal(b"h", &mut bytes).unwrap();
        bytes.extend(tag);
        bytes
    }

    #[test]
    fn a_record_opens_once_in_order_and_unchanged() {
        let records: Vec<_> = {
            let mut sender = Cipher::new([1; 32]);
            (0..2).map(|_| sealed(&mut sender, b"same")).collect()
        };
        assert_ne!(records[0], records[1]);
        let open = |key: u8, header: &[u8], record: &[u8]| {
            Cipher::new([key; 32]).open(header, &mut record.to_vec()).map_err(|error| error.kind())
        };
        assert_eq!(open(1, b"h", &records[0]), Ok(4));
        let refused = Err(io::ErrorKind::InvalidData);
        assert_eq!(open(2, b"h", &records[0]), refused, "another key");
        assert_eq!(open(1, b"g", &records[0]), refused, "another header");
        assert_eq!(open(1, b"h", &records[1]), refused, "out of order");
        for place in 0..records[0].len() {
            let mut changed = records[0].clone();
            changed[place] ^= 1;
            assert_eq!(open(1, b"h", &changed), refused, "bit {place}");
        }
    }

    #[test]
    fn both_ends_change_to_the_next_key_at_the_same_record() {
        let (mut sender, mut receiver) = (Cipher::new([1; 32]), Cipher::new([1; 32]));
        sender.used = RECORDS_PER_KEY - 1;
        receiver.used = RECORDS_PER_KEY - 1;
        for turn in 0..3 {
            let mut record = sealed(&mut sender, b"plain");
            assert_eq!(receiver.open(b"h", &mut record).unwrap(), 5);
            assert_eq!(sender.secret == [1; 32], turn == 0);
        }
        assert_eq!(sender.used, 2);
    }
}
