//! How a member reaches the others: the trait that the shell implements over the overlay.
//!
//! The transport is responsible for addresses, keys, encryption and admission. Read next: `network.rs`.

use crate::error::CallError;
use rhizo_types::NodeId;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Carries one request to another member and its reply back.
///
/// The receiving side passes the bytes to [`LogNode::handle`](crate::LogNode::handle) with the *authenticated* sender
/// and sends the result back. Requests may be lost, repeated and reordered. Both directions stay within
/// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` to `target` and returns its reply, or an error after at most `timeout`.
    ///
    /// Without a link to `target` it should return [`CallError::Unreachable`] at once; the engine then backs off.
    fn call(
        &self,
        target: NodeId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<Result<Vec<u8>, CallError>>;
}
