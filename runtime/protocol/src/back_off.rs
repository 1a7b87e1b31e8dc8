//! The numbers of the failure policy that the ledger, the agents and the coordinator share.
//!
//! Only constants and arithmetic. `agent/failures.rs` counts failures, `coordinator/failures.rs` judges them.

/// After this many failures in a row a component is *failing*: the first may be bad luck, the second a race with
/// another program that restarts, the third is the fault of the program or of the node.
pub const FAILURES_MAX: u32 = 3;
/// A copy has to be started for longer than this before its version counts as working. Programs that cannot serve
/// usually end within the first seconds, after they have failed to reach something; an `up` should take less than ten.
pub const FAILURE_WINDOW_MS: u64 = 6_000;
/// The wait between runs doubles up to 2^6 times the first (30 s with the usual half second).
const BACK_OFF_DOUBLINGS_MAX: u32 = 6;

/// Returns the wait before the next attempt of a version that has failed this often in a row, in milliseconds. It
/// doubles up to 2^6 times the first.
#[must_use]
pub fn back_off_ms(failures: u32, restart_ms: u64) -> u64 {
    restart_ms << failures.saturating_sub(1).min(BACK_OFF_DOUBLINGS_MAX)
}
