//! Failures of instances: counted, told, waited after, and forgotten after a steady time.
//!
//! Escalation: an action is repeated as its life-cycle says; then the instance is reset and deployed anew in its place,
//! after a wait that doubles; from the second failure in a row on, those who use it are restarted with it; from the
//! third on, the coordinator looks for another place, and for another host if the place seems to be at fault.

use super::Agent;
use super::local::Local;
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use rhizo_types::Time;
use rhizo_types::id::InstanceId;
use rhizo_types::ledger::Timers;
use rhizo_types::message::FAILURE_TEXT_BYTES_MAX;

/// So many failures in a row on one node, and the coordinator looks for another place: the first may be bad
/// luck, the second a race with something else that restarts, the third is the place's or the program's fault.
pub const FAILURES_MAX: u32 = 3;
/// For every such time that an instance stayed started one failure is forgotten: one that fails once a minute never
/// gets far, one that fails every few seconds is not taken for a new one each time.
const STEADY_MS: u64 = 60_000;
/// The waiting time between runs doubles up to 2^6 times the first (30 s with the usual half second).
const BACK_OFF_DOUBLINGS_MAX: u32 = 6;

impl Agent {
    /// The instance has failed: its users are told, everything of it ends, and it begins anew after a wait.
    pub(super) fn fail(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        reason: String,
        now: Time,
        timers: &Timers,
        out: &mut Out,
    ) {
        if let Some(since) = local.started_at.take() {
            let steady = u32::try_from(now.ms_since(since) / STEADY_MS).unwrap_or(u32::MAX);
            local.failures = local.failures.saturating_sub(steady);
        }
        local.failures += 1;
        let doublings = (local.failures - 1).min(BACK_OFF_DOUBLINGS_MAX);
        local.retry_at = Some(now.after_ms(timers.restart_ms << doublings));
        if sabotage::is(Sabotage::RestartsAtOnce) {
            local.retry_at = None;
        }
        let reason = cut(reason);
        local.failure = Some(reason.clone());
        local.failure_told = true;
        out.notice(Notice::InstanceFailed { instance: instance.clone(), reason, failures: local.failures });
        self.lose_users(instance, local);
        self.clear(instance, local, out);
    }
}

/// The beginning of a text that is too long for a report.
fn cut(mut text: String) -> String {
    if text.len() > FAILURE_TEXT_BYTES_MAX {
        let end = (0..=FAILURE_TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
