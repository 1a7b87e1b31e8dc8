//! How a member reaches the others: the trait the shell implements over the overlay.
//!
//! Addresses, keys, encryption, and who may speak at all are the transport's business. Read next: `network.rs`.

use crate::error::CallError;
use rhizo_types::NodeId;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Carries one request to another member and its reply back.
///
/// The receiving side passes the bytes to [`LogNode::handle`](crate::LogNode::handle) with the *authenticated*
/// sender and returns what that returns. Requests may be lost, repeated and reordered. Both directions stay
/// within [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` to `target`; the reply must be there within `timeout`.
    ///
    /// [`CallError::Unreachable`] should be immediate when no link is up: the engine then backs off by itself.
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<Result<Vec<u8>, CallError>>;
}
