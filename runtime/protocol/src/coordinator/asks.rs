//! What operators ask of the coordinator: queued, proposed one after the other, answered when applied.
//!
//! It does not carry anything out: the commands change the ledger, and the rest of the coordinator follows it.

use super::View;
use super::control::Control;
use crate::event::Ask;
use crate::out::Out;
use crate::turn::{Answer, Effect, RequestId};
use rhizo_types::id::NodeId;
use rhizo_types::ledger::{Command, SetSpec};
use rhizo_types::script::Script;
use std::collections::VecDeque;

/// More operators at once than this are told to come again.
const ASKS_MAX: usize = 32;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Asks {
    queue: VecDeque<(RequestId, Ask)>,
}

pub(super) fn answer_accepted(request: RequestId, out: &mut Out) {
    out.effect(Effect::Answer { request, answer: Answer::Accepted });
}

impl Asks {
    pub(super) fn push(&mut self, request: RequestId, ask: Ask, out: &mut Out) {
        if self.queue.len() >= ASKS_MAX {
            out.effect(Effect::Answer { request, answer: Answer::Later });
        } else {
            self.queue.push_back((request, ask));
        }
    }

    /// Answers what needs no command.
    pub(super) fn answer(&mut self, control: &mut Control, view: View<'_>, out: &mut Out) {
        self.queue.retain(|(request, ask)| {
            let answer = match ask {
                Ask::Optimise => {
                    control.look_now();
                    Some(Answer::Accepted)
                }
                Ask::SetSpec { spec, .. } if view.ledger.spec() == Some(spec) => Some(Answer::Accepted),
                Ask::SetSpec { .. } if view.ledger.taking_down => {
                    Some(Answer::Refused("the application is being taken down".to_owned()))
                }
                Ask::TakeDown if view.ledger.taking_down => Some(Answer::Accepted),
                Ask::Leave { node } => may_leave(*node, view),
                // Whoever got no answer asks again.
                Ask::Script(script) if runs(view, script) => Some(Answer::Accepted),
                Ask::Script(_) if view.ledger.script_runs() => {
                    Some(Answer::Refused("another script runs".to_owned()))
                }
                Ask::Script(script) => {
                    let wrong = view.ledger.check_script(script).err();
                    wrong.map(|(line, reason)| Answer::Refused(format!("line {line}: {reason}")))
                }
                Ask::EndScript if !view.ledger.script_runs() => Some(Answer::Accepted),
                _ => None,
            };
            let Some(answer) = answer else { return true };
            out.effect(Effect::Answer { request: *request, answer });
            false
        });
    }

    /// The command of the oldest ask, which waits in the queue until it is applied or answered.
    pub(super) fn command(&mut self, view: View<'_>, out: &mut Out) -> Option<(Command, RequestId)> {
        let (request, ask) = self.queue.pop_front()?;
        let command = match ask {
            Ask::SetSpec { spec, source } => {
                let revision = view.ledger.spec_revision().next();
                Command::SetSpec(Box::new(SetSpec { revision, spec: *spec, source }))
            }
            Ask::TakeDown => Command::TakeDown,
            Ask::Leave { node } => Command::Drain { node },
            Ask::Script(script) => Command::RunScript { number: view.ledger.scripts_issued + 1, script },
            Ask::EndScript => Command::EndScript { number: view.ledger.scripts_issued },
            Ask::Optimise => {
                answer_accepted(request, out);
                return None;
            }
        };
        Some((command, request))
    }

    pub(super) fn resign(self, out: &mut Out) {
        for (request, _) in self.queue {
            out.effect(Effect::Answer { request, answer: Answer::Later });
        }
    }
}

/// Whether this very script runs.
fn runs(view: View<'_>, script: &Script) -> bool {
    view.ledger.script.as_ref().is_some_and(|run| run.is_running() && run.script == *script)
}

/// An immediate answer to a wish to leave, if the ledger already has one.
fn may_leave(node: NodeId, view: View<'_>) -> Option<Answer> {
    match view.ledger.members.get(&node) {
        None => Some(Answer::Refused(format!("{node} is not a member"))),
        Some(member) if member.draining => Some(Answer::Accepted),
        Some(_) if view.ledger.members.values().filter(|member| !member.draining).count() < 2 => {
            Some(Answer::Refused("no other node could go on without it".to_owned()))
        }
        Some(_) => None,
    }
}
