//! The one outstanding proposal, and the mark that resolves an unknown outcome.
//!
//! A proposal is done when its entry was applied on this node. After one with an unknown outcome a mark is proposed:
//! when the mark is applied, every earlier proposal of the term has been applied or is lost.

use crate::event::ProposeResult;
use crate::out::Out;
use crate::turn::{Answer, Effect, ProposalId, RequestId};
use rhizo_types::Time;
use rhizo_types::ledger::Command;

/// Pause after a refusal, which means that the leadership is being lost or not yet known.
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
    /// The operator's request that the proposal carries out.
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

    /// Takes in a result. The operator of a proposal that is refused or unknown gets the answer [`Answer::Later`].
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

    /// Clears the outstanding proposal when it is applied; returns the request that it carried out.
    pub(super) fn settle(&mut self, applied: u64) -> Option<RequestId> {
        let done = self.outstanding.as_ref()?.index.is_some_and(|index| index <= applied);
        if done { self.outstanding.take()?.request } else { None }
    }

    /// Whether a mark has to be proposed; true once after each unknown outcome.
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
