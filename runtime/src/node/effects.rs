//! Executes the core's effects: passes each of them to the part of the node that it concerns.
//!
//! Nothing is decided here. An effect is executed at once, or in a spawned task whose result is a later input of the
//! loop.

use super::admin;
use super::shell::Shell;
use crate::component::imports::ExporterNodes;
use rhizo_protocol::BoundImports;
use rhizo_protocol::event::{ActResult, Event};
use rhizo_protocol::turn::Effect;
use rhizo_traffic::Lookup;
use rhizo_types::InstanceId;

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
            Effect::Start(call) => {
                let nodes = self.exporter_nodes(&call.run.instance, &call.imports);
                self.components.start(*call, nodes);
            }
            Effect::Stop { run } => {
                if !self.components.stop(&run) {
                    self.local.push_back(Event::Stopped { run });
                }
            }
            Effect::Act(call) => {
                let nodes = self.exporter_nodes(&call.id.run.instance, &call.imports);
                self.components.act(*call, nodes);
            }
            Effect::Cancel { action } => {
                if !self.components.cancel(&action) {
                    let result = ActResult::Cancelled;
                    self.local.push_back(Event::Acted { action, result });
                }
            }
            Effect::Rebind { run, import, bound, unbound } => {
                let bound_alone = BoundImports::from_iter([(import.clone(), bound.clone())]);
                let nodes = self.exporter_nodes(&run.instance, &bound_alone);
                self.components.rebind(&run, &import, (bound, nodes), &unbound);
            }
            Effect::SetAttributes { run, attributes } => self.components.set_attributes(&run, attributes),
        }
    }

    /// Returns the node of each exporter that an instance of this node is bound to.
    fn exporter_nodes(&self, importer: &InstanceId, bound: &BoundImports) -> ExporterNodes {
        let agent = self.core.agent();
        let exporters = bound.iter().flat_map(|(import, bound)| bound.keys().map(move |one| (import, one)));
        exporters
            .filter_map(|(import, one)| Some((one.clone(), agent.exporter_node(importer, import, one)?)))
            .collect()
    }

    /// Answers where an export of a copy of this node listens.
    pub(super) fn look_up(&self, lookup: Lookup) {
        let Lookup { instance, export, is_entry, reply } = lookup;
        let address = self.core.agent().active_export(&instance, &export, is_entry);
        // The connection that asked may have ended.
        let _unheard = reply.send(address);
    }
}
