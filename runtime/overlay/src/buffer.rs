//! Buffers that hold bytes only while a connection has some: a pool for each thread.
//!
//! A node has thousands of connections, most of them at rest. A buffer for each of them would be most of the node's
//! memory. So a connection takes a buffer when bytes arrive, and returns it when they have left; the buffers of a thread
//! serve all its connections. Only a connection whose reader stalls keeps one. Read next: [`crate::records`].

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes of a buffer: the largest record of a stream, with its header.
pub const BUFFER_BYTES: usize = 2 + 65_535;

/// Buffers that a thread keeps for their next user. A task uses at most two at once, so a few are enough for a thread
/// that runs one task after the other; the rest are for the moment in which many stalled connections resume.
const KEPT_MAX: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`BUFFER_BYTES`]. It holds arbitrary bytes of its former users. Dropping it returns it to its thread.
pub struct Buffer(Box<[u8]>);

impl Buffer {
    /// Takes a buffer of this thread, or allocates one.
    #[must_use]
    pub fn take() -> Self {
        let kept = KEPT.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into()))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        // A thread that ends has no pool any more; the buffer is freed then.
        let _ended = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(bytes);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_a_bounded_number_of_buffers() {
        let many: Vec<Buffer> = (0..KEPT_MAX + 5).map(|_| Buffer::take()).collect();
        assert!(many.iter().all(|buffer| buffer.len() == BUFFER_BYTES));
        drop(many);
        assert_eq!(KEPT.with_borrow(Vec::len), KEPT_MAX);
        let _one = Buffer::take();
        assert_eq!(KEPT.with_borrow(Vec::len), KEPT_MAX - 1);
    }
}
