//! A published message: the publisher's key, a random number, a signature, and the body.
//!
//! Each node gets a message from several peers. Gossipsub would verify the signature of every copy; with the messages
//! of a hundred nodes that was most of a node's work. Here it sees unsigned messages that it tells apart by their hash,
//! and [`crate::service`] opens the first copy only. Peers are authenticated members, so no copy comes from a stranger.

use crate::admission::Admission;
use crate::key::{self, NodeSecret, SIGNATURE_BYTES};
use rhizo_types::PeerKey;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 8;

/// Bytes that a message has besides its body.
pub(crate) const ENVELOPE_BYTES: usize = KEY_BYTES + NONCE_BYTES + SIGNATURE_BYTES;

/// The bytes that are signed. The prefix keeps the signature from being valid in another protocol.
fn signed_bytes(nonce: &[u8], body: &[u8]) -> Vec<u8> {
    [b"rhizo 2026-11-29 published message".as_slice(), nonce, body].concat()
}

/// Signs a body. The random number makes two messages with the same body different.
pub(crate) fn seal(secret: &NodeSecret, body: &[u8]) -> Vec<u8> {
    let nonce = rand::random::<u64>().to_le_bytes();
    let signature = secret.sign(&signed_bytes(&nonce, body));
    [secret.peer_key().0.as_slice(), &nonce, &signature, body].concat()
}

/// The publisher that a message names; none when the message is too short. The signature is not checked.
fn publisher(message: &[u8]) -> Option<PeerKey> {
    Some(PeerKey(*message.get(..ENVELOPE_BYTES)?.first_chunk()?))
}

/// The body of a message whose signature is that of its publisher.
fn open(message: &[u8]) -> Option<Vec<u8>> {
    let publisher = publisher(message)?;
    let (envelope, body) = message.split_at_checked(ENVELOPE_BYTES)?;
    let (nonce, signature) = envelope.get(KEY_BYTES..)?.split_at_checked(NONCE_BYTES)?;
    key::verifies(&publisher, &signed_bytes(nonce, body), signature).then(|| body.to_vec())
}

/// The treatment of a message.
pub(crate) enum Verdict {
    /// The shell gets the body, and other members the message.
    Accept {
        /// The member that published it.
        origin: PeerKey,
        /// Its content.
        body: Vec<u8>,
    },
    /// The peer that sent it is to blame: the signature is wrong.
    Reject,
    /// The publisher is no member. This roster may be out of date, so the peer that sent it is not to blame.
    Ignore,
}

/// Judges a message by the members that this node knows.
pub(crate) fn judge(message: &[u8], admission: &Admission) -> Verdict {
    let member = publisher(message).filter(|origin| admission.members.contains_key(origin));
    match member.map(|origin| (origin, open(message))) {
        Some((origin, Some(body))) => Verdict::Accept { origin, body },
        Some((_, None)) => Verdict::Reject,
        None => Verdict::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unchanged_message_of_its_publisher_is_opened() {
        let secret = NodeSecret::from_bytes([7; 32]);
        let message = seal(&secret, b"fact");
        assert_eq!(publisher(&message), Some(secret.peer_key()));
        assert_eq!(open(&message), Some(b"fact".to_vec()));
        assert_ne!(message, seal(&secret, b"fact"), "the same body twice is two messages");
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert_eq!(open(&changed), None, "byte {at}");
            assert_eq!(open(&message[..at]), None, "{at} bytes");
        }
    }
}
