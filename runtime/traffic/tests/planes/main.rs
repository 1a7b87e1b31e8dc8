//! Data planes of several nodes over loopback, in one process: real sockets, handshakes and threads.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod admission;
mod harness;
mod relaying;
mod spreading;
