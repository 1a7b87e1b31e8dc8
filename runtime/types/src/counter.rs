//! The four counters of rhizo, one newtype each so that they cannot be mixed up, and the core's time.
//!
//! Term: one leadership of the Raft log. Epoch: a membership of the overlay. Generation: the fence of one instance.
//! Revision: a version of the spec, of a target configuration or of a fact.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The value before the first: every issued value is greater.
            pub const ZERO: Self = Self(0);

            /// The following value. Saturates: 2^64 steps are never reached in practice.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// The Raft term: the number of one leadership, held by one coordinator.
    Term
}
counter! {
    /// Number of a membership of the overlay: grows with every change of the roster.
    Epoch
}
counter! {
    /// Fence of one instance: an agent refuses an order whose generation is older than the last it saw.
    Generation
}
counter! {
    /// Version of the spec, of a target configuration or of a fact.
    Revision
}

/// A moment in the core's time: microseconds since an origin that the shell chose (monotonic, per process).
///
/// Times of two processes are not comparable. The core never reads a clock: the shell passes this in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// This moment plus `ms` milliseconds; saturates.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// Milliseconds from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}
