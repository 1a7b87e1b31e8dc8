//! The fixed-size frames of the credential exchange, and nothing else: bytes to values and back.
//!
//! Every frame has a fixed length, so a reader never uses a length sent by a stranger. Decoding never panics.
//! Read next: [`crate::gate`], which sends them.

use crate::admission::TicketId;
use crate::refusal::Refusal;
use rhizo_types::Lineage;

/// Length of a hello on the wire, in bytes.
pub(crate) const HELLO_BYTES: usize = 64;
/// Length of a ticket's proof on the wire, in bytes.
pub(crate) const PROOF_BYTES: usize = 32;
/// Length of an operator's proof on the wire, in bytes: the operator's key and its signature.
pub(crate) const OPERATOR_PROOF_BYTES: usize = 96;
/// Length of the listener's verdict on the wire, in bytes.
pub(crate) const VERDICT_BYTES: usize = 8;

/// First bytes of every hello: the protocol and its version.
const MAGIC: [u8; 4] = *b"rhz1";

/// The claim of an end, before any proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Member,
    Ticket(TicketId),
    Operator,
}

/// The first frame of both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) kind: Kind,
    pub(crate) nonce: [u8; 32],
    /// The lineage of the dialer. A listener sends zero: it does not tell strangers its lineage.
    pub(crate) lineage: Lineage,
}

/// The bytes are not a hello of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("bytes are no credential frame of this version")]
pub(crate) struct Malformed;

impl Hello {
    pub(crate) fn encode(&self) -> [u8; HELLO_BYTES] {
        let (tag, ticket) = match self.kind {
            Kind::Member => (1, 0),
            Kind::Ticket(id) => (2, id.0),
            Kind::Operator => (3, 0),
        };
        let mut bytes = [0; HELLO_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = tag;
        bytes[8..16].copy_from_slice(&ticket.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.nonce);
        bytes[48..56].copy_from_slice(&self.lineage.0.to_le_bytes());
        bytes
    }

    /// Reads a hello; unused bytes have to be zero, so that a later version can give them a meaning.
    pub(crate) fn decode(bytes: &[u8; HELLO_BYTES]) -> Result<Self, Malformed> {
        let reserved = bytes[5..8].iter().chain(&bytes[56..]).all(|byte| *byte == 0);
        if bytes[0..4] != MAGIC || !reserved {
            return Err(Malformed);
        }
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let (ticket, lineage) = (number(&bytes[8..16]), Lineage(number(&bytes[48..56])));
        let kind = match (bytes[4], ticket) {
            (1, 0) => Kind::Member,
            (2, id) => Kind::Ticket(TicketId(id)),
            (3, 0) => Kind::Operator,
            _ => return Err(Malformed),
        };
        let mut nonce = [0; 32];
        nonce.copy_from_slice(&bytes[16..48]);
        Ok(Self { kind, nonce, lineage })
    }
}

/// Encodes the listener's answer: the link is admitted, or the reason of the refusal.
pub(crate) fn encode_verdict(verdict: Result<(), Refusal>) -> [u8; VERDICT_BYTES] {
    let mut bytes = [0; VERDICT_BYTES];
    bytes[0] = match verdict {
        Ok(()) => 1,
        Err(Refusal::Stranger) => 2,
        Err(Refusal::Ticket) => 3,
        Err(Refusal::Operator) => 4,
        Err(Refusal::Crossed) => 5,
        Err(Refusal::Full) => 6,
        Err(Refusal::Malformed) => 7,
        Err(Refusal::Lineage) => 8,
        Err(Refusal::Superseded) => 9,
    };
    bytes
}

/// Reads the listener's answer.
pub(crate) fn decode_verdict(bytes: &[u8; VERDICT_BYTES]) -> Result<Result<(), Refusal>, Malformed> {
    if bytes[1..].iter().any(|byte| *byte != 0) {
        return Err(Malformed);
    }
    Ok(match bytes[0] {
        1 => Ok(()),
        2 => Err(Refusal::Stranger),
        3 => Err(Refusal::Ticket),
        4 => Err(Refusal::Operator),
        5 => Err(Refusal::Crossed),
        6 => Err(Refusal::Full),
        7 => Err(Refusal::Malformed),
        8 => Err(Refusal::Lineage),
        9 => Err(Refusal::Superseded),
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_keeps_its_golden_bytes() {
        let (kind, lineage) = (Kind::Ticket(TicketId(0x0102)), Lineage(0x0304));
        let hello = Hello { kind, nonce: [0xee; 32], lineage };
        let mut golden = [0_u8; HELLO_BYTES];
        golden[..16].copy_from_slice(b"rhz1\x02\0\0\0\x02\x01\0\0\0\0\0\0");
        golden[16..48].fill(0xee);
        golden[48..50].copy_from_slice(b"\x04\x03");
        assert_eq!(hello.encode(), golden);
        assert_eq!(Hello::decode(&golden), Ok(hello));
    }

    #[test]
    fn every_changed_byte_outside_ticket_nonce_and_lineage_is_noticed() {
        let good = Hello { kind: Kind::Member, nonce: [7; 32], lineage: Lineage(5) }.encode();
        for place in (0..16).chain(56..HELLO_BYTES) {
            for value in 0..=255_u8 {
                let mut bytes = good;
                bytes[place] = value;
                let same = value == good[place];
                let other_kind = place == 4 && (value == 2 || value == 3);
                assert_eq!(Hello::decode(&bytes).is_ok(), same || other_kind, "byte {place} = {value}");
            }
        }
    }

    #[test]
    fn every_verdict_comes_back_and_everything_else_is_malformed() {
        let mut known = 0;
        for first in 0..=255_u8 {
            let mut bytes = [0; VERDICT_BYTES];
            bytes[0] = first;
            if let Ok(verdict) = decode_verdict(&bytes) {
                assert_eq!(encode_verdict(verdict), bytes);
                known += 1;
            }
            bytes[3] = 1;
            assert_eq!(decode_verdict(&bytes), Err(Malformed));
        }
        assert_eq!(known, 9);
    }
}
