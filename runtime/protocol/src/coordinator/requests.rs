//! Requests of operators: queued, proposed one after the other, and answered when they are applied.
//!
//! Nothing is carried out here. The commands change the ledger, and the rest of the coordinator follows the ledger.

use super::View;
use crate::event::Request;
use crate::out::Out;
use crate::turn::{Answer, Effect, RequestId};
use rhizo_types::id::{InstanceId, NodeId};
use rhizo_types::ledger::{Command, SetSpec};
use rhizo_types::script::Script;
use rhizo_types::spec::Spec;
use std::collections::VecDeque;

/// The most requests in the queue; a further one is answered with [`Answer::Later`].
const REQUESTS_MAX: usize = 32;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Requests {
    queue: VecDeque<(RequestId, Request)>,
}

pub(super) fn answer_accepted(id: RequestId, out: &mut Out) {
    out.effect(Effect::Answer { request: id, answer: Answer::Accepted });
}

impl Requests {
    pub(super) fn push(&mut self, id: RequestId, request: Request, out: &mut Out) {
        if self.queue.len() >= REQUESTS_MAX {
            out.effect(Effect::Answer { request: id, answer: Answer::Later });
        } else {
            self.queue.push_back((id, request));
        }
    }

    /// Answers the requests that need no command.
    pub(super) fn answer(&mut self, view: View<'_>, out: &mut Out) {
        self.queue.retain(|(id, request)| {
            let answer = match request {
                Request::SetSpec { spec, .. } if is_in_force(spec, view) => Some(Answer::Accepted),
                Request::SetSpec { .. } if view.ledger.taking_down => {
                    Some(Answer::Refused("the application is being taken down".to_owned()))
                }
                Request::SetSpec { spec, .. } if is_of_another_app(spec, view) => {
                    Some(Answer::Refused(format!("the config is for another application, `{}`", spec.app)))
                }
                Request::SetSpec { spec, .. } if let Some(reason) = abandoned_data(spec, view) => {
                    Some(Answer::Refused(reason))
                }
                Request::SetSpec { after: Some(after), .. } if *after != view.ledger.spec_revision() => {
                    Some(Answer::Overtaken)
                }
                Request::TakeDown if view.ledger.taking_down => Some(Answer::Accepted),
                Request::Leave { node } => may_leave(*node, view),
                // An operator who received no answer sends the request again.
                Request::Script(script) if runs(view, script) => Some(Answer::Accepted),
                Request::Script(_) if view.ledger.script_runs() => {
                    Some(Answer::Refused("another script runs".to_owned()))
                }
                Request::Script(script) => {
                    let wrong = view.ledger.check_script(script).err();
                    wrong.map(|(line, reason)| Answer::Refused(format!("line {line}: {reason}")))
                }
                Request::EndScript if !view.ledger.script_runs() => Some(Answer::Accepted),
                Request::GiveUpData { instance } => may_give_up(instance, view),
                _ => None,
            };
            let Some(answer) = answer else { return true };
            out.effect(Effect::Answer { request: *id, answer });
            false
        });
    }

    /// Takes the oldest request out of the queue; returns its command and its number.
    pub(super) fn command(&mut self, view: View<'_>) -> Option<(Command, RequestId)> {
        let (id, request) = self.queue.pop_front()?;
        let command = match request {
            Request::SetSpec { spec, source, .. } => {
                let revision = view.ledger.spec_revision().next();
                Command::SetSpec(Box::new(SetSpec { revision, spec: *spec, source }))
            }
            Request::TakeDown => Command::TakeDown,
            Request::Leave { node } => Command::Drain { node },
            Request::Script(script) => Command::RunScript { number: view.ledger.scripts_issued + 1, script },
            Request::EndScript => Command::EndScript { number: view.ledger.scripts_issued },
            Request::GiveUpData { instance } => {
                let homes = view.ledger.waiting_for_data().filter(|(copy, _)| **copy == instance);
                Command::GiveUpData { copies: homes.map(|(copy, home)| (copy.clone(), *home)).collect() }
            }
        };
        Some((command, id))
    }

    pub(super) fn resign(self, out: &mut Out) {
        for (id, _) in self.queue {
            out.effect(Effect::Answer { request: id, answer: Answer::Later });
        }
    }
}

/// Whether this spec is in force for every component. A component that went back to its former version is tried again
/// by a new revision of the same spec.
fn is_in_force(spec: &Spec, view: View<'_>) -> bool {
    view.ledger.spec() == Some(spec) && view.ledger.unwound.is_empty()
}

fn is_of_another_app(spec: &Spec, view: View<'_>) -> bool {
    view.ledger.genesis.as_ref().is_some_and(|genesis| genesis.app != spec.app)
}

/// Whether this very script runs.
fn runs(view: View<'_>, script: &Script) -> bool {
    view.ledger.script.as_ref().is_some_and(|run| run.is_running() && run.script == *script)
}

/// Returns why a spec is refused that no longer names the provider of a host with pinned data; none if there is none.
fn abandoned_data(spec: &Spec, view: View<'_>) -> Option<String> {
    let ledger = view.ledger;
    let is_kept = |instance: &InstanceId| {
        spec.components.get(&instance.component).is_some_and(|component| component.state.is_pinned())
    };
    ledger.homes.iter().filter(|(instance, _)| is_kept(instance)).find_map(|(instance, home)| {
        let provider = &ledger.members.get(&home.node)?.record.provider;
        (!spec.allows_provider(provider)).then(|| {
            format!(
                "{instance} has its data on {}, whose provider `{provider}` the config no longer has; keep the provider, \
                 or remove `state = \"pinned\"` to give up the data",
                home.node
            )
        })
    })
}

/// Returns why a member with pinned data cannot leave; none if it has none.
fn pinned_on(node: NodeId, view: View<'_>) -> Option<String> {
    let mut homes = view.ledger.homes.keys();
    let instance = homes.find(|instance| view.ledger.pinned_to(instance) == Some(node))?;
    Some(format!("{instance} has its data on {node}, and its state is pinned"))
}

/// Returns the answer to a request to give up the data of a copy that needs no command; none if it needs one.
fn may_give_up(instance: &InstanceId, view: View<'_>) -> Option<Answer> {
    match view.ledger.homes.get(instance) {
        Some(home) if view.ledger.members.contains_key(&home.node) => {
            Some(Answer::Refused(format!("{instance} has its data on {}, which is a member", home.node)))
        }
        Some(_) => None,
        None if view.ledger.state_of(&instance.component).is_kept() => Some(Answer::Accepted),
        None => Some(Answer::Refused(format!("{instance} waits for no data"))),
    }
}

/// The answer to a request to leave that needs no command; none if it needs one.
fn may_leave(node: NodeId, view: View<'_>) -> Option<Answer> {
    match view.ledger.members.get(&node) {
        None => Some(Answer::Refused(format!("{node} is not a member"))),
        Some(member) if member.draining => Some(Answer::Accepted),
        Some(_) if let Some(reason) = pinned_on(node, view) => Some(Answer::Refused(reason)),
        Some(_) if view.ledger.members.values().filter(|member| !member.draining).count() < 2 => {
            Some(Answer::Refused("no other node could go on without it".to_owned()))
        }
        Some(_) => None,
    }
}
