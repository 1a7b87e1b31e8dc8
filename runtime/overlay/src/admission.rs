//! The peers that may open a link to this node, as plain data: members, operators and unused tickets.
//!
//! The exchange that carries these credentials is in [`crate::gate`]. The shell replaces the whole value whenever the
//! ledger changes.

use crate::key::NodeSecret;
use crate::succession::Succession;
use rhizo_types::{Lineage, NodeId, PeerKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The number of a join ticket. A joiner sends it, and the ledger marks it as consumed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TicketId(pub u64);

/// The secret of a join ticket, for a single use. It is sent to the new host only.
#[derive(Clone)]
pub struct TicketSecret([u8; 32]);

impl TicketSecret {
    /// Draws a new secret from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// A secret that was read from a boot document.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the secret, to be written into a boot document.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The verifier that the ledger keeps: it can check a proof, and the secret cannot be recovered from it.
    #[must_use]
    pub fn verifier(&self) -> TicketVerifier {
        TicketVerifier(blake3::derive_key("rhizo 2026-11-22 join ticket verifier", &self.0))
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(…)")
    }
}

/// The key under which proofs of one ticket are checked.
///
/// It is symmetric: a member, which can read it in the ledger, could use the ticket until it is consumed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketVerifier(pub [u8; 32]);

impl fmt::Debug for TicketVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketVerifier(…)")
    }
}

impl TicketVerifier {
    /// The proof that the other end of this link holds the ticket; valid for this exchange only.
    pub(crate) fn proof(&self, link: &LinkBinding) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&link.dialer.0);
        hasher.update(&link.listener.0);
        hasher.update(&link.dialer_nonce);
        hasher.update(&link.listener_nonce);
        hasher.update(&link.prologue);
        hasher.finalize()
    }
}

/// The data that a proof is valid for: both keys, both nonces, and the application's lineage.
pub(crate) struct LinkBinding {
    pub(crate) dialer: PeerKey,
    pub(crate) listener: PeerKey,
    pub(crate) dialer_nonce: [u8; 32],
    pub(crate) listener_nonce: [u8; 32],
    pub(crate) prologue: [u8; 32],
}

impl LinkBinding {
    /// The bytes that an operator signs. The prefix keeps the signature from being valid in another protocol.
    pub(crate) fn operator_message(&self) -> Vec<u8> {
        let parts: [&[u8]; 6] = [
            b"rhizo 2026-11-29 operator proof",
            &self.dialer.0,
            &self.listener.0,
            &self.dialer_nonce,
            &self.listener_nonce,
            &self.prologue,
        ];
        parts.concat()
    }
}

/// The keys and tickets that may open a link to this node. Any other peer is a stranger.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Admission {
    /// The roster: keys of the nodes of this overlay.
    pub members: BTreeMap<PeerKey, NodeId>,
    /// Keys of the operators' command lines.
    pub operators: BTreeSet<PeerKey>,
    /// Tickets that are neither consumed nor expired.
    pub tickets: BTreeMap<TicketId, TicketVerifier>,
    /// The former lineages, each with the operator's statement that it has ended. A dialer of one of them is refused
    /// with that statement.
    pub successions: BTreeMap<Lineage, Succession>,
}

impl Admission {
    /// The role that a peer has now, computed from its claim when its link came up.
    ///
    /// `None` means that the link must be closed: the member was removed, or another joiner consumed the ticket.
    pub(crate) fn role_of(&self, peer: &PeerKey, claim: Claim) -> Option<Role> {
        if let Some(node) = self.members.get(peer) {
            return Some(Role::Member(*node));
        }
        match claim {
            Claim::Member => None,
            Claim::Ticket(ticket) => self.tickets.contains_key(&ticket).then_some(Role::Joiner(ticket)),
            Claim::Operator(operator) => self.operators.contains(&operator).then_some(Role::Operator),
            Claim::Pinned => Some(Role::Pinned),
        }
    }
}

/// The credential that this node sends when it dials.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The key alone: it is in the listener's roster.
    Member,
    /// A join ticket.
    Ticket {
        /// Its number.
        id: TicketId,
        /// Its secret, proved but never sent.
        secret: TicketSecret,
    },
    /// A signature by an operator's key, which need not be the key of this end of the link: commands that run at the
    /// same time have one operator and a link each.
    Operator {
        /// The operator's key pair. Its public half is among the listener's operators.
        secret: NodeSecret,
    },
}

/// The claim of the other end when the link came up. Its role follows from this claim and the admission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// It dialled as a member.
    Member,
    /// It dialled with a ticket and proved it.
    Ticket(TicketId),
    /// It dialled with a signature by this operator's key.
    Operator(PeerKey),
    /// This node dialled it by its key. The key was given to this node, so no roster is needed to trust it.
    Pinned,
}

/// The role of the other end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// A node of the roster.
    Member(NodeId),
    /// A new node that proved an unused ticket.
    Joiner(TicketId),
    /// An operator's command line.
    Operator,
    /// A node that this node dialled by its key and that the admission does not list, or not yet.
    Pinned,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> LinkBinding {
        LinkBinding {
            dialer: PeerKey([1; 32]),
            listener: PeerKey([2; 32]),
            dialer_nonce: [3; 32],
            listener_nonce: [4; 32],
            prologue: [5; 32],
        }
    }

    #[test]
    fn a_proof_holds_for_one_ticket_one_pair_one_exchange_and_one_lineage() {
        let verifier = TicketSecret::from_bytes([9; 32]).verifier();
        let proof = verifier.proof(&binding());
        assert_eq!(proof, verifier.proof(&binding()));
        let mut others = vec![TicketSecret::from_bytes([8; 32]).verifier().proof(&binding())];
        others.push(verifier.proof(&LinkBinding { dialer: PeerKey([7; 32]), ..binding() }));
        others.push(verifier.proof(&LinkBinding { listener: PeerKey([7; 32]), ..binding() }));
        others.push(verifier.proof(&LinkBinding { dialer_nonce: [7; 32], ..binding() }));
        others.push(verifier.proof(&LinkBinding { listener_nonce: [7; 32], ..binding() }));
        others.push(verifier.proof(&LinkBinding { prologue: [7; 32], ..binding() }));
        assert!(others.iter().all(|other| *other != proof));
    }

    #[test]
    fn a_joiner_becomes_a_member_by_the_roster_and_nobody_once_its_ticket_is_gone() {
        let peer = PeerKey([1; 32]);
        let mut admission = Admission::default();
        let claim = Claim::Ticket(TicketId(7));
        assert_eq!(admission.role_of(&peer, claim), None);
        admission.tickets.insert(TicketId(7), TicketVerifier([0; 32]));
        assert_eq!(admission.role_of(&peer, claim), Some(Role::Joiner(TicketId(7))));
        admission.tickets.clear();
        admission.members.insert(peer, NodeId(3));
        assert_eq!(admission.role_of(&peer, claim), Some(Role::Member(NodeId(3))));
    }

    #[test]
    fn an_operator_key_does_not_open_a_member_link() {
        let (peer, operator) = (PeerKey([1; 32]), PeerKey([2; 32]));
        let mut admission = Admission::default();
        admission.operators.insert(operator);
        assert_eq!(admission.role_of(&operator, Claim::Member), None);
        assert_eq!(admission.role_of(&peer, Claim::Operator(operator)), Some(Role::Operator));
        assert_eq!(admission.role_of(&operator, Claim::Operator(peer)), None);
    }
}
