//! A node's own key pair: the secret half, and the step between our peer keys and libp2p's peer ids.
//!
//! It does not store keys; the shell keeps the secret in the host's directory. Read next: [`crate::admission`].

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use rhizo_types::PeerKey;
use std::fmt;

/// Length of an Ed25519 signature in bytes (RFC 8032, section 5.1.6).
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The secret half of a node's Ed25519 key, made on the node and never sent.
#[derive(Clone)]
pub struct NodeSecret([u8; 32]);

impl NodeSecret {
    /// Makes a new key from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// A secret that was read from the node's own directory.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the secret, to be written into the node's own directory.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half: the identity of this node on every link.
    #[must_use]
    pub fn peer_key(&self) -> PeerKey {
        PeerKey(self.ed25519().public().to_bytes())
    }

    /// A signature of these bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature = self.ed25519().sign(message);
        signature.try_into().expect("an Ed25519 signature has 64 bytes (RFC 8032, section 5.1.6)")
    }

    pub(crate) fn keypair(&self) -> Keypair {
        self.ed25519().into()
    }

    fn ed25519(&self) -> ed25519::Keypair {
        let mut bytes = self.0;
        ed25519::SecretKey::try_from_bytes(&mut bytes)
            .expect("every 32 bytes are an Ed25519 secret: it is a seed that is hashed")
            .into()
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeSecret(of {})", self.peer_key())
    }
}

/// Whether `signature` is the key's signature of the message. False for a key that is no point on the curve.
pub(crate) fn verifies(key: &PeerKey, message: &[u8], signature: &[u8]) -> bool {
    ed25519::PublicKey::try_from_bytes(&key.0).is_ok_and(|key| key.verify(message, signature))
}

/// The libp2p name of a key, or `None` when the bytes are no point on the curve.
pub(crate) fn peer_id(key: &PeerKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The key inside a libp2p name, or `None` when the name is not an inlined Ed25519 key.
pub(crate) fn peer_key(id: &PeerId) -> Option<PeerKey> {
    /// Multihash code of "the digest is the value itself"; Ed25519 keys are short enough to be inlined so.
    const IDENTITY: u64 = 0;
    let hash = id.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(PeerKey(key.try_into_ed25519().ok()?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_way_to_a_libp2p_name_and_back() {
        let secret = NodeSecret::generate();
        let key = secret.peer_key();
        let id = peer_id(&key).unwrap();
        assert_eq!(id, secret.keypair().public().to_peer_id());
        assert_eq!(peer_key(&id), Some(key));
    }

    #[test]
    fn a_name_that_inlines_no_ed25519_key_is_refused() {
        assert_eq!(peer_key(&PeerId::random()), None);
    }

    #[test]
    fn debug_output_never_shows_the_secret() {
        let secret = NodeSecret::from_bytes([0xab; 32]);
        assert!(!format!("{secret:?}").contains("abab"));
    }
}
