//! The reason why a listener refuses a link: sent in the verdict of the credential exchange and reported to both
//! shells.

/// The reason why a listener refuses a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Refusal {
    /// The dialer claims to be a member and is not in the listener's roster.
    #[error("the key is not in the roster")]
    Stranger,
    /// The ticket is unknown, consumed, expired, or was not proved.
    #[error("the ticket is unknown or was not proved")]
    Ticket,
    /// The dialer claims to be an operator and is none of the listener's.
    #[error("the key is no operator's")]
    Operator,
    /// Both ends dial each other, and the dial of the smaller key wins.
    #[error("the other end's own dial goes ahead")]
    Crossed,
    /// The listener has the most links that it may have.
    #[error("the listener has no room for another link")]
    Full,
    /// The dialer is of another lineage of this application, or of none that the listener knows.
    #[error("the lineage is another one")]
    Lineage,
    /// The dialer's lineage was ended by an operator. [`crate::OverlayEvent::Superseded`] has the proof.
    #[error("an operator has ended the lineage")]
    Superseded,
    /// The frames were not those of this protocol version.
    #[error("the credential frames were malformed")]
    Malformed,
}
