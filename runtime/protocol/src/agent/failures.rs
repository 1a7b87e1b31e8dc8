//! The failures of one instance: how many there were in a row, and how long the next run waits.
//!
//! Only data and arithmetic; `failure` says what follows a failure.

use crate::back_off::{FAILURES_MAX, back_off_ms};
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::failure::RetryWait;

/// One failure is forgotten for each such time that an instance stayed started: one that fails once a minute never gets
/// far, and one that fails every few seconds does not count as new each time.
const STEADY_MS: u64 = 60_000;
/// The failures of an instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Failures {
    /// How many there were without a steady time between them.
    pub(super) in_a_row: u32,
    /// Failures of the version of the component on all hosts, as far as this node knows. The waits follow from it, so
    /// that they go on growing when the version is tried on another host.
    pub(super) of_version: u32,
    /// The reason of the last one.
    pub(super) last: Option<String>,
    /// Until then no run begins; none: one may begin at any time.
    pub(super) retry_at: Option<Time>,
}

impl Failures {
    /// The failures of a new instance, whose version has failed this often on all hosts. If it keeps failing, the first
    /// run waits as the next one on the old host would have.
    pub(super) fn new(of_version: u32, now: Time, restart_ms: u64) -> Self {
        let waits = of_version >= FAILURES_MAX && !sabotage::is(Sabotage::RestartsAtOnce);
        let retry_at = waits.then(|| now.after_ms(back_off_ms(of_version, restart_ms)));
        Self { of_version, retry_at, ..Self::default() }
    }

    /// Counts a failure of an instance that had been started for `up_ms`. On other hosts, its version has failed
    /// `of_version` times.
    pub(super) fn add(&mut self, reason: String, up_ms: u64, of_version: u32, now: Time, restart_ms: u64) {
        let steady = u32::try_from(up_ms / STEADY_MS).unwrap_or(u32::MAX);
        self.in_a_row = self.in_a_row.saturating_sub(steady) + 1;
        self.of_version = self.of_version.saturating_sub(steady).max(of_version) + 1;
        let waits = !sabotage::is(Sabotage::RestartsAtOnce);
        self.retry_at = waits.then(|| now.after_ms(back_off_ms(self.of_version, restart_ms)));
        self.last = Some(reason);
    }

    /// The wait in progress; none when a run may begin at any time.
    pub(super) fn wait(&self, restart_ms: u64) -> Option<RetryWait> {
        let wait = RetryWait { failures: self.of_version, wait_ms: back_off_ms(self.of_version, restart_ms) };
        self.retry_at.map(|_| wait)
    }
}
