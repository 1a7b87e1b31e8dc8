//! The failures of one instance: how many there were in a row, and how long the next run waits.
//!
//! Only data and arithmetic; `failure` says what follows a failure.

use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;

/// After this many failures in a row on one node, the coordinator looks for another one: the first may be bad luck, the
/// second a race with another program that restarts, the third is the fault of the node or of the program.
pub const FAILURES_MAX: u32 = 3;
/// One failure is forgotten for each such time that an instance stayed started: one that fails once a minute never gets
/// far, and one that fails every few seconds does not count as new each time.
const STEADY_MS: u64 = 60_000;
/// The wait between runs doubles up to 2^6 times the first (30 s with the usual half second).
const BACK_OFF_DOUBLINGS_MAX: u32 = 6;

/// The failures of an instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Failures {
    /// How many there were without a steady time between them.
    pub(super) in_a_row: u32,
    /// The reason of the last one.
    pub(super) last: Option<String>,
    /// Until then no run begins; none: one may begin at any time.
    pub(super) retry_at: Option<Time>,
}

impl Failures {
    /// Counts a failure of an instance that had been started for `up_ms`.
    pub(super) fn add(&mut self, reason: String, up_ms: u64, now: Time, restart_ms: u64) {
        let steady = u32::try_from(up_ms / STEADY_MS).unwrap_or(u32::MAX);
        self.in_a_row = self.in_a_row.saturating_sub(steady) + 1;
        let doublings = (self.in_a_row - 1).min(BACK_OFF_DOUBLINGS_MAX);
        let waits = !sabotage::is(Sabotage::RestartsAtOnce);
        self.retry_at = waits.then(|| now.after_ms(restart_ms << doublings));
        self.last = Some(reason);
    }
}
