//! Voluntary moves: only when the gain beats the migration cost, with both numbers shown.
