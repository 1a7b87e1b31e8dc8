//! An operator's signed statement that a lineage has ended and which one follows it, and its form on the wire.
//!
//! A listener answers a dialer of a former lineage with it. The dialer can check the signature with the operators that
//! it knows, so one member that is wrong cannot end another. Nothing is decided here: the shell passes the statement to
//! the core. Read next: [`crate::gate`], which sends it.

use crate::key::{self, NodeSecret, SIGNATURE_BYTES};
use rhizo_types::{AppName, Lineage, PeerKey};

/// Length of a succession on the wire, in bytes: two lineages, a key, a signature, and eight bytes of flags.
pub(crate) const SUCCESSION_BYTES: usize = 8 + 8 + 32 + SIGNATURE_BYTES + 8;

/// An operator's signed statement that a lineage has ended and which one follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Succession {
    /// The lineage that has ended.
    pub former: Lineage,
    /// The lineage that follows it.
    pub lineage: Lineage,
    /// The operator who ended it.
    pub operator: PeerKey,
    /// The operator's signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Succession {
    /// Signs that `former` has ended and `lineage` follows it.
    #[must_use]
    pub fn sign(app: &AppName, former: Lineage, lineage: Lineage, operator: &NodeSecret) -> Self {
        let signature = operator.sign(&message(app, former, lineage));
        Self { former, lineage, operator: operator.peer_key(), signature }
    }

    /// Returns true if the operator that it names has signed it for this application. The caller knows which keys are
    /// operators.
    #[must_use]
    pub fn is_signed(&self, app: &AppName) -> bool {
        key::verifies(&self.operator, &message(app, self.former, self.lineage), &self.signature)
    }

    pub(crate) fn encode(&self, is_member: bool) -> [u8; SUCCESSION_BYTES] {
        let mut bytes = [0; SUCCESSION_BYTES];
        bytes[0..8].copy_from_slice(&self.former.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.lineage.0.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.operator.0);
        bytes[48..112].copy_from_slice(&self.signature);
        bytes[112] = u8::from(is_member);
        bytes
    }

    /// Reads a succession, and whether the receiver is a member of the next lineage. `None` for bytes of another form.
    pub(crate) fn decode(bytes: &[u8; SUCCESSION_BYTES]) -> Option<(Self, bool)> {
        let number =
            |at: usize| bytes[at..at + 8].iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let is_member = match bytes[112] {
            0 => false,
            1 => true,
            _ => return None,
        };
        if bytes[113..].iter().any(|byte| *byte != 0) {
            return None;
        }
        let (mut operator, mut signature) = ([0; 32], [0; SIGNATURE_BYTES]);
        operator.copy_from_slice(&bytes[16..48]);
        signature.copy_from_slice(&bytes[48..112]);
        let (former, lineage) = (Lineage(number(0)), Lineage(number(8)));
        Some((Self { former, lineage, operator: PeerKey(operator), signature }, is_member))
    }
}

/// The bytes that the operator signs. The prefix keeps the signature from being valid in another protocol.
fn message(app: &AppName, former: Lineage, lineage: Lineage) -> Vec<u8> {
    let parts: [&[u8]; 4] = [
        b"rhizo 2026-11-29 succession",
        &former.0.to_le_bytes(),
        &lineage.0.to_le_bytes(),
        app.as_str().as_bytes(),
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_one_application_and_one_pair_of_lineages() {
        let (app, operator) = (AppName::from("app"), NodeSecret::from_bytes([3; 32]));
        let signed = Succession::sign(&app, Lineage(1), Lineage(2), &operator);
        assert!(signed.is_signed(&app));
        assert!(!signed.is_signed(&AppName::from("other")));
        assert!(!Succession { former: Lineage(3), ..signed }.is_signed(&app));
        assert!(!Succession { lineage: Lineage(3), ..signed }.is_signed(&app));
        assert!(!Succession { operator: PeerKey([1; 32]), ..signed }.is_signed(&app));
    }

    #[test]
    fn a_succession_keeps_its_golden_bytes() {
        let succession = Succession {
            former: Lineage(0x0102),
            lineage: Lineage(3),
            operator: PeerKey([0xaa; 32]),
            signature: [0xbb; SIGNATURE_BYTES],
        };
        let mut golden = [0_u8; SUCCESSION_BYTES];
        golden[..16].copy_from_slice(b"\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0");
        golden[16..48].fill(0xaa);
        golden[48..112].fill(0xbb);
        golden[112] = 1;
        assert_eq!(succession.encode(true), golden);
        assert_eq!(Succession::decode(&golden), Some((succession, true)));
        golden[112] = 0;
        assert_eq!(Succession::decode(&golden), Some((succession, false)));
        for place in 112..SUCCESSION_BYTES {
            let mut bytes = golden;
            bytes[place] = 2;
            assert_eq!(Succession::decode(&bytes), None, "byte {place}");
        }
    }
}
