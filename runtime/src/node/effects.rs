//! Executes the core's effects: passes each of them to the part of the node that it concerns.
//!
//! Nothing is decided here. An effect is executed at once, or in a spawned task whose result is a later input of the
//! loop.

use super::admin;
use super::shell::Shell;
use rhizo_protocol::event::{ActResult, Event};
use rhizo_protocol::turn::Effect;

impl Shell {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.links.send(to, &message),
            Effect::Links(wanted) => self.links.want(wanted),
            Effect::Propose { id, command } => self.log.propose(id, &command),
            Effect::ChangeMembership(change) => self.log.change_membership(change),
            Effect::TransferLeadership { to } => self.log.transfer_leadership(to),
            Effect::Acquire(call) => self.providers.acquire(*call, self.core.ledger(), &self.log),
            Effect::Release { intent, provider, host } => {
                self.providers.release(intent, &provider, host, &self.log);
            }
            Effect::List { provider } => self.providers.list(provider, self.core.ledger(), &self.log),
            Effect::AskOffers => self.planning.ask_offers(self.providers.list_configured()),
            Effect::Solve(request) => self.planning.ask_offers_for(request, self.providers.list_configured()),
            Effect::ReplyJoin { request, answer } => {
                self.admin.asked.answer_join(request, &answer, self.sealing_key.as_ref());
            }
            Effect::Answer { request, answer } => {
                let answer = admin::decided(&answer, self.core.ledger().spec_revision());
                self.admin.asked.answer(request, &answer);
            }
            Effect::Notice { notice, entry } => self.admin.recent.note(&notice, entry),
            Effect::Halt { reason } => self.halting = Some(reason),
            Effect::Start(call) => self.components.start(*call),
            Effect::Stop { run } => {
                if !self.components.stop(&run) {
                    self.local.push_back(Event::Stopped { run });
                }
            }
            Effect::Act(call) => self.components.act(*call),
            Effect::Cancel { action } => {
                if !self.components.cancel(&action) {
                    let result = ActResult::Cancelled;
                    self.local.push_back(Event::Acted { action, result });
                }
            }
            Effect::Rebind { run, import, bound, unbound } => {
                self.components.rebind(&run, &import, bound, &unbound);
            }
            Effect::SetAttributes { run, attributes } => self.components.set_attributes(&run, attributes),
        }
    }
}
