//! How late this node itself was woken, and by how much it therefore stretches its limits for others.
//!
//! A busy machine delays the messages of other nodes as it delays this node's own wake-ups. A node that was woken late
//! adds twice that delay to its timers (local health as in Lifeguard, arXiv 1707.00788, in time instead of a factor).
//! The suspicions themselves are in `mod.rs`.

use rhizo_types::Time;

/// A wake-up that is later than this counts as a sign of an overloaded machine. Timers on a machine with other work
/// are late by tens of milliseconds.
const LATE_MS: u64 = 100;
/// The longest stretch. A machine that delays its processes by more than ten seconds cannot be told from a dead one.
const STRETCH_MS_MAX: u64 = 20_000;
/// After this time without a late wake-up a node halves the stretch.
const RECOVER_MS: u64 = 5_000;

/// The delays of one node's own wake-ups.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct LocalHealth {
    stretch_ms: u64,
    recover_at: Time,
}

impl LocalHealth {
    /// Takes in how late this node was woken.
    pub(super) fn woken(&mut self, late_ms: u64, now: Time) {
        if late_ms > LATE_MS {
            self.stretch_ms = self.stretch_ms.max(late_ms * 2).min(STRETCH_MS_MAX);
            self.recover_at = now.after_ms(RECOVER_MS);
        } else if self.stretch_ms > 0 && now >= self.recover_at {
            self.stretch_ms = if self.stretch_ms > LATE_MS { self.stretch_ms / 2 } else { 0 };
            self.recover_at = now.after_ms(RECOVER_MS);
        }
    }

    /// The time that this node adds to its limits of silence, in milliseconds.
    pub(super) fn stretch_ms(&self) -> u64 {
        self.stretch_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_wake_up_stretches_the_limits_for_a_while() {
        let mut health = LocalHealth::default();
        health.woken(LATE_MS, Time::ZERO);
        assert_eq!(health.stretch_ms(), 0, "every machine is a little late");
        health.woken(800, Time::ZERO);
        health.woken(300, Time::ZERO);
        assert_eq!(health.stretch_ms(), 1_600, "the longest delay counts");
        health.woken(5, Time::ZERO.after_ms(RECOVER_MS - 1));
        assert_eq!(health.stretch_ms(), 1_600);
        let mut now = Time::ZERO;
        for _ in 0..8 {
            now = now.after_ms(RECOVER_MS);
            health.woken(5, now);
        }
        assert_eq!(health.stretch_ms(), 0);
        health.woken(3_600_000, now);
        assert_eq!(health.stretch_ms(), STRETCH_MS_MAX);
    }
}
