//! The one outstanding proposal, and what follows when its outcome is not known.
//!
//! A proposal is settled when its entry was applied here. One that may or may not be in the log is followed by a
//! mark: when the mark is applied, the ledger tells what became of everything before it.

use crate::event::ProposeResult;
use crate::out::Out;
use crate::turn::{Answer, Effect, ProposalId, RequestId};
use rhizo_types::Time;
use rhizo_types::ledger::Command;

/// After a refusal (leadership is being lost, or not yet known) the next proposal waits a little.
const REFUSED_MS: u64 = 100;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Proposals {
    issued: u64,
    outstanding: Option<Outstanding>,
    unsure: bool,
    not_before: Time,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Outstanding {
    id: ProposalId,
    index: Option<u64>,
    /// The operator's request that it carries out.
    request: Option<RequestId>,
}

impl Proposals {
    pub(super) fn is_ready(&self, now: Time) -> bool {
        self.outstanding.is_none() && now >= self.not_before
    }

    pub(super) fn propose(&mut self, command: Command, request: Option<RequestId>, out: &mut Out) {
        self.issued += 1;
        let id = ProposalId(self.issued);
        self.outstanding = Some(Outstanding { id, index: None, request });
        out.effect(Effect::Propose { id, command });
    }

    /// Takes in a result; an operator who waited for a proposal that came to nothing has to ask again.
    pub(super) fn resolved(&mut self, id: ProposalId, result: ProposeResult, now: Time, out: &mut Out) {
        let Some(outstanding) = self.outstanding.as_mut().filter(|outstanding| outstanding.id == id) else {
            return;
        };
        match result {
            ProposeResult::Committed { index } => {
                outstanding.index = Some(index);
                return;
            }
            ProposeResult::Refused => self.not_before = now.after_ms(REFUSED_MS),
            ProposeResult::Unknown => self.unsure = true,
        }
        if let Some(request) = self.outstanding.take().and_then(|outstanding| outstanding.request) {
            out.effect(Effect::Answer { request, answer: Answer::Later });
        }
    }

    /// Forgets the outstanding proposal once it is applied; returns the request that is thereby done.
    pub(super) fn settle(&mut self, applied: u64) -> Option<RequestId> {
        let done = self.outstanding.as_ref()?.index.is_some_and(|index| index <= applied);
        if done { self.outstanding.take()?.request } else { None }
    }

    /// Whether a mark is needed before anything else; asks once.
    pub(super) fn take_unsure(&mut self) -> bool {
        std::mem::take(&mut self.unsure)
    }

    pub(super) fn resign(self, out: &mut Out) {
        if let Some(request) = self.outstanding.and_then(|outstanding| outstanding.request) {
            out.effect(Effect::Answer { request, answer: Answer::Later });
        }
    }

    pub(super) fn deadline(&self, now: Time) -> Option<Time> {
        (self.outstanding.is_none() && self.not_before > now).then_some(self.not_before)
    }
}
