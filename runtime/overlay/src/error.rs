//! The errors of the overlay as a whole: starting it, dialling once, and publishing.
//!
//! Errors of sending and of requests are in [`crate::lane`].

use crate::config::GOSSIP_BYTES_MAX;
use crate::event::UnreachableReason;
use crate::refusal::Refusal;
use std::io;
use std::net::SocketAddr;

/// The reason why an overlay could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use, or not this host's.
    #[error("listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// A setting libp2p does not accept; it names the setting.
    #[error("start the overlay: {0}")]
    Setting(String),
}

/// The reason why a one-shot dial made no link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialError {
    /// The listener answered with a refusal.
    #[error("dial: the listener refused")]
    Refused(#[source] Refusal),
    /// No listener with that key was reached.
    #[error("dial: not reached")]
    Unreachable(#[source] UnreachableReason),
    /// The overlay has stopped, or a newer dial of the same peer took over.
    #[error("dial: given up")]
    GivenUp,
}

/// The reason why a message was not published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// Longer than [`GOSSIP_BYTES_MAX`].
    #[error("publish {length} bytes, more than the {GOSSIP_BYTES_MAX} allowed")]
    TooLong {
        /// Length of the body, in bytes.
        length: usize,
    },
    /// More often than 50 times per second in the long run.
    #[error("publish that often")]
    TooFast,
    /// The overlay is busy or has stopped.
    #[error("publish: the overlay does not take it now")]
    Busy,
}
