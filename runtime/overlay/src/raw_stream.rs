//! A stream before its handshake: the preamble that tells it from a link, and its socket.
//!
//! Read next: [`crate::stream`].

use crate::permit::Permit;
use std::fmt;
use std::net::SocketAddr;

/// The first bytes of a stream. The first byte of a link is zero.
pub(crate) const PREAMBLE: [u8; 4] = *b"rhs1";

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
