//! The importer's side of bindings: which exporters an instance asks for, loses and releases.
//!
//! ```text
//! Asked ──Bound──► Bound ──(released)──► (gone, Unbound sent)
//!   └──────────────────┴──────Lost─────► (gone)
//! ```
//! A served use becomes part of a run only when the program is given it: when the run begins, or by `Effect::Rebind`.
//! As long as no token is in the places and transitions that use the import, a use may be released at any time.

use super::Agent;
use super::binding::{Binding, Use, is_optional, need_to_start, need_to_stay};
use super::local::{Exports, Local};
use super::step::{Keeping, Step};
use crate::notice::Notice;
use crate::sabotage::{self, Sabotage};
use crate::turn::{Bound, BoundImports, Effect};
use litemap::LiteMap;
use rhizo_types::Revision;
use rhizo_types::id::{NodeId, PortName};
use rhizo_types::message::{AgentMessage, Served, UseId};
use rhizo_types::spec::{Import, OnLoss};
use std::collections::BTreeSet;

/// A reaction of an instance to the state of its imports; of several, the last of this list counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// Nothing: every import that is used is served.
    Nothing,
    /// To be paused: an exporter asked for the release, and the target names no other one.
    Pause,
    /// To suspend its exports: a mandatory import is lost, with `on_loss = "suspend"` or `"rebind"`.
    Suspend,
    /// To stop at once: a mandatory import is lost, with `on_loss = "stop"`.
    Stop,
}

impl Need {
    fn after_loss(on_loss: OnLoss) -> Self {
        match on_loss {
            OnLoss::Stop => Self::Stop,
            OnLoss::Suspend | OnLoss::Rebind => Self::Suspend,
        }
    }
}

impl Step<'_> {
    /// Asks for exporters, releases those that have to be released, and reacts to losses.
    pub(super) fn step_imports(&mut self) {
        let keeps = self.local.run.is_none() && sabotage::is(Sabotage::KeepsTheUnwanted);
        if !self.local.wanted && !keeps {
            self.local.mode = self.local.mode.turned_down();
        }
        if self.local.mode.exports().is_none() {
            // Lowered or reset: the uses that are left are released at the end.
            return;
        }
        let component = self.local.kind.component.clone();
        let mut need = Need::Nothing;
        for (port, import) in &component.imports {
            self.ask_exporters(port, import);
            need = need.max(self.step_import(port, import));
        }
        match need {
            Need::Nothing => self.resume(),
            Need::Pause => self.local.mode = self.local.mode.turned_down(),
            Need::Suspend => self.suspend(),
            Need::Stop => self.interrupt(),
        }
    }

    /// Asks the exporters that the target names and that are not asked yet.
    fn ask_exporters(&mut self, port: &PortName, import: &Import) {
        let Some(binding) = self.local.imports.get(port) else { return };
        if binding.unasked.is_empty() || sabotage::is(Sabotage::ForgetsToAsk) {
            return;
        }
        for exporter in binding.unasked.clone() {
            let Some(binding) = self.local.imports.get(port) else { return };
            let Some((generation, node)) = binding.wanted.get(&exporter).copied() else { continue };
            if let Some(id) = binding.uses.get(&exporter).copied() {
                // An older generation of the same name is in use: it has to be released first.
                let served = self.agent.uses.get(id).is_some_and(|used| used.served.is_some());
                if served && self.local.is_using(port) {
                    continue;
                }
                if !sabotage::is(Sabotage::LeaksUses) {
                    self.release(id);
                }
            }
            let id = self.agent.uses.add(Use {
                importer: self.instance.clone(),
                import: port.clone(),
                exporter: exporter.clone(),
                generation,
                node,
                served: None,
                asked_to_leave: None,
            });
            if let Some(binding) = self.local.imports.get_mut(port) {
                binding.unasked.remove(&exporter);
                binding.uses.insert(exporter.clone(), id);
            }
            let (importer, import_port, export) =
                (self.instance.clone(), port.clone(), import.export.clone());
            let bind = AgentMessage::Bind { id, importer, import: import_port, exporter, generation, export };
            self.agent.send(node, bind);
        }
    }

    fn step_import(&mut self, port: &PortName, import: &Import) -> Need {
        let mut need = self.loss(port, import);
        match need {
            Need::Nothing => need = self.release_leaving(port, import),
            Need::Suspend => self.release_all_leaving(port),
            Need::Stop | Need::Pause => {}
        }
        self.ask_exporters(port, import);
        self.rebind(port, import);
        need
    }

    /// Whether a mandatory import has fewer exporters than the instance needs to go on, and what follows.
    fn loss(&mut self, port: &PortName, import: &Import) -> Need {
        let using = self.local.is_using(port);
        let acting = self.local.is_acting_with(port);
        let held = self.local.bound_imports.get(port).map_or(0, LiteMap::len).max(1);
        let suspended = self.local.mode.is_suspended();
        let Some(binding) = self.local.imports.get_mut(port) else { return Need::Nothing };
        let restart = std::mem::take(&mut binding.restart);
        if is_optional(import) || !using || sabotage::is(Sabotage::StartsUnserved) {
            return Need::Nothing;
        }
        // An exporter that the target no longer names still counts: a smaller target alone stops no user.
        let need = match import.on_loss {
            OnLoss::Suspend if suspended => need_to_start(import, binding.wanted.len()),
            OnLoss::Suspend | OnLoss::Stop => need_to_stay(import, binding.wanted.len()).min(held),
            OnLoss::Rebind => 1,
        };
        if restart {
            Need::Stop
        } else if binding.bound >= need {
            Need::Nothing
        } else if acting {
            // An action cannot be suspended.
            Need::Stop
        } else {
            Need::after_loss(import.on_loss)
        }
    }

    /// Releases the uses that the target or the exporters want to end, as far as the instance can go on without them.
    fn release_leaving(&mut self, port: &PortName, import: &Import) -> Need {
        let Some(binding) = self.local.imports.get(port).filter(|binding| !binding.leaving.is_empty()) else {
            return Need::Nothing;
        };
        let using = self.local.is_using(port);
        let staying = binding.settled(&self.agent.uses);
        let enough = staying >= need_to_stay(import, binding.wanted.len());
        let pending = binding.uses.len() > binding.leaving.len() + staying;
        let mut asked = false;
        let mut kept = Vec::new();
        for exporter in binding.leaving.clone() {
            let Some(id) = self.local.imports.get(port).and_then(|b| b.uses.get(&exporter)).copied() else {
                continue;
            };
            let Some(used) = self.agent.uses.get(id) else { continue };
            let needless = !using && !is_held(self.local, port, used);
            if needless || import.optional || enough || used.served.is_none() {
                self.release(id);
            } else {
                asked |= used.asked_to_leave.is_some_and(|target| target <= self.agent.target);
                kept.push(id);
            }
        }
        if !asked || self.local.is_acting_with(port) {
            return Need::Nothing;
        }
        let lets_go = self.local.will_let_go(port);
        if lets_go && (self.local.is_acting() || !self.local.refusing.is_empty()) {
            // Its own behaviours end the use, once an action is done or its own users, who were asked, have released
            // it.
            return Need::Nothing;
        }
        if (pending || lets_go) && self.keeping != Keeping::Over {
            self.keeping = Keeping::Kept;
            return Need::Nothing;
        }
        if import.on_loss == OnLoss::Stop {
            return Need::Pause;
        }
        kept.into_iter().for_each(|id| self.release(id));
        Need::after_loss(import.on_loss)
    }

    /// Releases every use that has to end: a suspended instance relies on no exporter, and must not keep one.
    fn release_all_leaving(&mut self, port: &PortName) {
        let Some(binding) = self.local.imports.get(port) else { return };
        let leaving = binding.leaving.iter().filter_map(|exporter| binding.uses.get(exporter));
        for id in leaving.copied().collect::<Vec<UseId>>() {
            self.release(id);
        }
    }

    /// Gives a program the changes of an import.
    fn rebind(&mut self, port: &PortName, import: &Import) {
        let changed =
            |binding: &&mut Binding| !binding.touched.is_empty() || sabotage::is(Sabotage::RebindsAlways);
        let Some(binding) = self.local.imports.get_mut(port).filter(changed) else { return };
        let touched = std::mem::take(&mut binding.touched);
        if self.local.run.is_none() || sabotage::is(Sabotage::RebindsNobody) {
            return;
        }
        let known = self.local.bound_imports.entry(port.clone()).or_default();
        let (mut bound, mut unbound) = (Bound::new(), BTreeSet::new());
        for exporter in touched {
            let id = binding.uses.get(&exporter);
            let served = id.and_then(|id| self.agent.uses.get(*id)?.served.clone());
            match served {
                Some(served) if known.get(&exporter) != Some(&served) => {
                    known.insert(exporter.clone(), served.clone());
                    bound.insert(exporter, served);
                }
                None if known.remove(&exporter).is_some() => {
                    unbound.insert(exporter);
                }
                _ => {}
            }
        }
        if !(bound.is_empty() && unbound.is_empty()) || sabotage::is(Sabotage::RebindsAlways) {
            // The action that begins to use an import is given it in its call, and needs no notification.
            let notify = import.notify && self.local.net().notify.is_some() && self.local.is_using(port);
            if let Some(run) = &mut self.local.run {
                run.notify_due |= notify;
            }
            let run = self.local.run_id(self.instance);
            self.out.effect(Effect::Rebind { run, import: port.clone(), bound, unbound });
        }
    }

    /// Takes the exports away from the users, because a mandatory import is lost.
    fn suspend(&mut self) {
        if !self.local.mode.is_suspended() {
            self.local.mode = self.local.mode.with(Exports::Suspended);
            self.lose_users();
            self.out.notice(Notice::InstanceSuspended(self.instance.clone()));
        }
    }

    /// Offers the exports again, because no mandatory import is missing any more.
    fn resume(&mut self) {
        if self.local.mode.is_suspended() {
            self.local.mode = self.local.mode.with(Exports::Offered);
            self.out.notice(Notice::InstanceResumed(self.instance.clone()));
        }
    }

    /// Whether an import is served well enough to begin to use it.
    pub(super) fn is_served(&self, port: &PortName) -> bool {
        let import = self.local.component().imports.get(port);
        let (Some(import), Some(binding)) = (import, self.local.imports.get(port)) else {
            return true;
        };
        let need = need_to_start(import, binding.wanted.len());
        sabotage::is(Sabotage::StartsUnserved)
            || binding.settled(&self.agent.uses) >= need
            || (binding.bound >= need && self.local.uses_then_releases(port))
    }

    /// Records every binding as known to the program, because the actions of the run that begins are given them.
    pub(super) fn bind_all(&mut self) {
        self.local.bound_imports = BoundImports::with_capacity(self.local.imports.len());
        for (port, binding) in &mut self.local.imports {
            binding.touched.clear();
            let uses = binding.uses.iter().filter_map(|(exporter, id)| {
                Some((exporter.clone(), self.agent.uses.get(*id)?.served.clone()?))
            });
            let mut bound = Bound::with_capacity(binding.bound);
            bound.extend(uses);
            self.local.bound_imports.insert(port.clone(), bound);
        }
    }

    /// Ends a use and sends *Unbound* to the exporter.
    fn release(&mut self, id: UseId) {
        if let Some(used) = self.agent.uses.remove(id) {
            if let Some(binding) = self.local.imports.get_mut(&used.import) {
                binding.detach(&used);
            }
            if !sabotage::is(Sabotage::ForgetsToRelease) {
                self.agent.send(used.node, AgentMessage::Unbound { id });
            }
        }
    }

    /// Releases the uses of every import that is not used, at the end of a run.
    pub(super) fn release_unused(&mut self) {
        let ports: Vec<PortName> = self.local.imports.keys().cloned().collect();
        for port in ports {
            if self.local.is_using(&port) {
                continue;
            }
            let Some(binding) = self.local.imports.get(&port) else { continue };
            let held =
                |id: &UseId| self.agent.uses.get(*id).is_some_and(|used| is_held(self.local, &port, used));
            let unheld: Vec<UseId> = binding.uses.values().copied().filter(|id| !held(id)).collect();
            for id in unheld {
                self.release(id);
            }
            if !sabotage::is(Sabotage::KeepsBindings) {
                self.local.bound_imports.remove(&port);
            }
            if let Some(binding) = self.local.imports.get_mut(&port) {
                binding.touched.clear();
                binding.restart = false;
            }
        }
    }
}

/// Whether an exporter that wants to leave is kept although the import is not used at present: the instance failed, and
/// will use it again while it is deployed anew.
fn is_held(local: &Local, port: &PortName, used: &Use) -> bool {
    let wanted = local.imports.get(port).and_then(|binding| binding.wanted.get(&used.exporter));
    used.served.is_some() && wanted == Some(&(used.generation, used.node)) && local.uses_then_releases(port)
}

impl Agent {
    /// Ends a use whose export is not active any more, or whose node is gone: there is no exporter to tell.
    pub(super) fn drop_use(&mut self, id: UseId, restart: bool) {
        let Some(used) = self.uses.remove(id) else { return };
        if let Some(local) = self.instances.get_mut(&used.importer)
            && let Some(binding) = local.imports.get_mut(&used.import)
        {
            binding.detach(&used);
            binding.restart |= restart;
        }
        self.dirty.insert(used.importer);
    }

    /// The exporter's agent says that the export is active, or that what it serves has changed.
    pub(super) fn bound(&mut self, from: NodeId, id: UseId, served: Served) {
        let Some(used) = self.uses.get_mut(id, from) else { return };
        let first = used.served.replace(served).is_none();
        if let Some(local) = self.instances.get_mut(&used.importer)
            && let Some(binding) = local.imports.get_mut(&used.import)
        {
            binding.bound += usize::from(first);
            binding.touched.insert(used.exporter.clone());
        }
        self.dirty.insert(used.importer.clone());
    }

    /// The exporter's agent asks for the end of a use.
    pub(super) fn asked_to_unbind(&mut self, from: NodeId, id: UseId, target: Revision) {
        let Some(used) = self.uses.get_mut(id, from) else { return };
        used.asked_to_leave = Some(target);
        if let Some(local) = self.instances.get_mut(&used.importer)
            && let Some(binding) = local.imports.get_mut(&used.import)
        {
            binding.leaving.insert(used.exporter.clone());
        }
        self.dirty.insert(used.importer.clone());
    }

    /// Every use of this agent, for checks in tests and the simulator.
    pub fn uses(&self) -> impl Iterator<Item = (UseId, &Use)> {
        self.uses.iter()
    }

    /// The messages to another agent that it has not acknowledged, for checks in tests and the simulator.
    pub fn under_way(&self, to: NodeId) -> impl Iterator<Item = &AgentMessage> {
        self.peers.unacknowledged(to)
    }
}
