//! A stream before its handshake: the preamble that tells it from a link, and its socket.
//!
//! Read next: [`crate::stream`].

use crate::permit::Permit;
use std::fmt;
use std::net::SocketAddr;

/// The use of a stream. Each has a listener of its own, so that a transfer of files takes no place of the traffic of
/// components.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StreamUse {
    /// Connections between components.
    Traffic,
    /// Transfers of closures and snapshots.
    Artifacts,
}

impl StreamUse {
    const ALL: [Self; 2] = [Self::Traffic, Self::Artifacts];

    /// The first bytes of a stream. The first byte of a link is zero, and the first byte of each use differs.
    pub(crate) fn preamble(self) -> [u8; 4] {
        match self {
            Self::Traffic => *b"rhs1",
            Self::Artifacts => *b"ahs1",
        }
    }

    /// Returns the use that a connection with this first byte announces; none for a link.
    pub(crate) fn announced_by(first: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.preamble()[0] == first)
    }
}

/// One accepted TCP connection before its handshake.
pub(crate) struct RawStream {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) remote: SocketAddr,
    pub(crate) permit: Permit,
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawStream(from {})", self.remote)
    }
}
