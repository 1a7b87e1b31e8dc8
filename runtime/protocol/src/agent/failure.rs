//! The reaction to a failure of an instance. `failures` counts them.
//!
//! Recovery escalates. An action is repeated as its life-cycle says. Then the instance is reset and deployed again on
//! the same node, after a wait that doubles with every failure of its version on any host. From the second failure in a
//! row on, its users are restarted with it. From the third on, the coordinator judges whether the host is at fault.

use super::run::Progress;
use super::step::Step;
use crate::notice::Notice;
use rhizo_types::message::FAILURE_TEXT_BYTES_MAX;

impl Step<'_> {
    /// Counts a failure of the instance, in an action if `step` names one. Its users get *Lost*, every action is ended,
    /// and it is deployed again after a wait.
    pub(super) fn fail(&mut self, step: Option<String>, reason: String) {
        let mut up_ms = 0;
        if let Some(run) = &mut self.local.run {
            if let Progress::Started { since } = run.progress {
                up_ms = self.now.ms_since(since);
            }
            run.progress = Progress::Failed;
        }
        let reason = cut(reason);
        let restart_ms = self.ledger.timers().restart_ms;
        let of_version = self.ledger.failures_of(&self.instance.component, self.local.placed.version);
        self.local.failures.add(reason.clone(), up_ms, of_version, self.now, restart_ms);
        let failures = self.local.failures.in_a_row;
        self.out.notice(Notice::InstanceFailed { instance: self.instance.clone(), step, reason, failures });
        self.lose_users();
        self.clear();
    }
}

/// The beginning of a text that is too long for a report.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > FAILURE_TEXT_BYTES_MAX {
        let end = (0..=FAILURE_TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
