//! The importer's side of bindings: what an instance uses, waits for, loses and must let go.
//!
//! ```text
//! Asked ──Bound──► Bound ──(let go)──► (gone, Unbound sent)
//!   └──────────────────┴────Lost────► (gone)
//! ```
//! A bound use becomes part of a run only when the run is told of it: at its beginning, or by `Effect::Rebind`.
//! As long as no token is where the import is used, letting go costs nothing. Every import keeps its counts, so that
//! the work of an event does not grow with the number of its exporters.

use super::Agent;
use super::local::{Local, Mode};
use crate::ledger::Ledger;
use crate::notice::Notice;
use crate::out::Out;
use crate::sabotage::{self, Sabotage};
use crate::turn::{Bound, BoundImports, Effect};
use litemap::LiteMap;
use rhizo_types::id::{InstanceId, NodeId, PortName};
use rhizo_types::message::{AgentMessage, Served, UseId};
use rhizo_types::spec::{Import, OnLoss, Pick};
use rhizo_types::{Generation, Revision, Time};
use std::collections::{BTreeMap, BTreeSet};

/// One use of an exporter by an instance of this node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Use {
    /// Who imports.
    pub importer: InstanceId,
    /// Through which of its imports.
    pub import: PortName,
    /// What it imports.
    pub exporter: InstanceId,
    /// Which generation of it.
    pub generation: Generation,
    /// On which node that is.
    pub node: NodeId,
    /// What the export serves, once it is active.
    pub served: Option<Served>,
    /// Whether the exporter wants to leave the places of the export, and which target it followed then.
    pub asked_to_leave: Option<Revision>,
}

/// What a target wants one import of an instance to be bound to.
pub(super) type Wanted = LiteMap<InstanceId, (Generation, NodeId)>;

/// One import of one instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Binding {
    pub(super) wanted: Wanted,
    /// Its uses, by exporter.
    pub(super) uses: LiteMap<InstanceId, UseId>,
    /// How many of them are bound.
    pub(super) bound: usize,
    /// Wanted exporters that are not asked in the wanted generation.
    unasked: BTreeSet<InstanceId>,
    /// Exporters whose use shall end: the target or they themselves want it.
    pub(super) leaving: BTreeSet<InstanceId>,
    /// Exporters whose use changed since the run was told.
    touched: BTreeSet<InstanceId>,
    /// An exporter that was lost wants its users restarted.
    restart: bool,
}

/// The exporters that the target in force binds an import to, as far as they are on members.
fn wanted(ledger: &Ledger, importer: &InstanceId, import: &PortName) -> Wanted {
    let exporters = ledger.target.bindings.get(importer).and_then(|imports| imports.get(import));
    let placed = exporters.into_iter().flatten().filter_map(|exporter| {
        let placed = ledger.target.instances.get(exporter)?;
        let member = ledger.members.contains_key(&placed.node) || sabotage::is(Sabotage::RemembersTheDead);
        member.then(|| (exporter.clone(), (placed.generation, placed.node)))
    });
    let mut wanted = Wanted::with_capacity(exporters.map_or(0, BTreeSet::len));
    wanted.extend(placed);
    wanted
}

/// How many exporters a mandatory import needs to start, of `wanted` that the target names.
fn need_to_start(import: &Import, wanted: usize) -> usize {
    let optional = import.optional && !sabotage::is(Sabotage::OptionalIsMandatory);
    if optional { 0 } else { import.pick.needed(wanted) }
}

/// How many exporters a mandatory import needs to stay started: of *all*, one is enough to go on with.
fn need_to_stay(import: &Import, wanted: usize) -> usize {
    match import.pick {
        Pick::All if !import.optional || sabotage::is(Sabotage::OptionalIsMandatory) => 1,
        _ => need_to_start(import, wanted),
    }
}

impl Binding {
    /// Bound uses that shall end.
    fn bound_leaving(&self, uses: &BTreeMap<UseId, Use>) -> usize {
        let leaving = self.leaving.iter().filter_map(|exporter| uses.get(self.uses.get(exporter)?));
        leaving.filter(|used| used.served.is_some()).count()
    }

    /// Bindings of the target that are in effect.
    pub(super) fn settled(&self, uses: &BTreeMap<UseId, Use>) -> usize {
        self.bound - self.bound_leaving(uses)
    }
}

/// What a look at the imports came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Every import that is used is served.
    Met,
    /// A mandatory import must be let go and nothing replaces it: the instance has to be paused first.
    Pause,
    /// A mandatory import was lost.
    Lost(OnLoss),
}

impl Agent {
    /// Takes over from the ledger what the imports of an instance shall be bound to.
    pub(super) fn follow_imports(&self, instance: &InstanceId, local: &mut Local, ledger: &Ledger) {
        for (port, binding) in &mut local.imports {
            binding.wanted = wanted(ledger, instance, port);
            let as_wanted = |exporter: &InstanceId, used: &Use| {
                binding.wanted.get(exporter) == Some(&(used.generation, used.node))
            };
            let current = |exporter: &InstanceId| self.uses.get(binding.uses.get(exporter)?);
            let unasked = binding
                .wanted
                .keys()
                .filter(|exporter| !current(exporter).is_some_and(|used| as_wanted(exporter, used)));
            let leaving = binding.uses.keys().filter(|exporter| {
                current(exporter)
                    .is_some_and(|used| used.asked_to_leave.is_some() || !as_wanted(exporter, used))
            });
            (binding.unasked, binding.leaving) = (unasked.cloned().collect(), leaving.cloned().collect());
        }
    }

    /// Asks for exporters, lets go of what may be let go, and follows losses.
    pub(super) fn step_imports(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        let keeps = !local.begun && sabotage::is(Sabotage::KeepsTheUnwanted);
        if !local.wanted && local.mode == Mode::Up && !keeps {
            local.mode = Mode::Draining;
        }
        if matches!(local.mode, Mode::Lowering | Mode::Clearing { .. }) {
            // What it still uses is let go at the end of this.
            return;
        }
        let component = local.kind.component.clone();
        let mut need = Need::Met;
        for (port, import) in &component.imports {
            self.ask_exporters(instance, local, port, import);
            match self.step_import(instance, local, port, import, out) {
                Need::Met => {}
                Need::Pause if need == Need::Met => need = Need::Pause,
                Need::Pause => {}
                Need::Lost(OnLoss::Stop) => need = Need::Lost(OnLoss::Stop),
                Need::Lost(other) if need != Need::Lost(OnLoss::Stop) => need = Need::Lost(other),
                Need::Lost(_) => {}
            }
        }
        match need {
            Need::Met => self.resume(instance, local, out),
            Need::Pause => local.mode = Mode::Draining,
            Need::Lost(OnLoss::Stop) => self.interrupt(instance, local, out),
            Need::Lost(OnLoss::Suspend | OnLoss::Rebind) => {
                if !local.suspended {
                    local.suspended = true;
                    self.lose_users(instance, local);
                    out.notice(Notice::InstanceSuspended(instance.clone()));
                }
            }
        }
    }

    /// Asks for exporters that the target wants and that are not asked yet.
    fn ask_exporters(&mut self, instance: &InstanceId, local: &mut Local, port: &PortName, import: &Import) {
        let Some(binding) = local.imports.get(port) else { return };
        if binding.unasked.is_empty() || sabotage::is(Sabotage::ForgetsToAsk) {
            return;
        }
        for exporter in binding.unasked.clone() {
            let Some(binding) = local.imports.get(port) else { return };
            let Some((generation, node)) = binding.wanted.get(&exporter).copied() else { continue };
            if let Some(id) = binding.uses.get(&exporter).copied() {
                // An older generation is in use under the same name: it has to be let go first.
                if self.uses.get(&id).is_some_and(|used| used.served.is_some()) && local.is_using(port) {
                    continue;
                }
                if !sabotage::is(Sabotage::LeaksUses) {
                    self.let_go(local, id);
                }
            }
            self.uses_issued += 1;
            let id = UseId(self.uses_issued);
            let used = Use {
                importer: instance.clone(),
                import: port.clone(),
                exporter: exporter.clone(),
                generation,
                node,
                served: None,
                asked_to_leave: None,
            };
            self.uses.insert(id, used);
            if let Some(binding) = local.imports.get_mut(port) {
                binding.unasked.remove(&exporter);
                binding.uses.insert(exporter.clone(), id);
            }
            let (importer, import_port, export) = (instance.clone(), port.clone(), import.export.clone());
            let bind = AgentMessage::Bind { id, importer, import: import_port, exporter, generation, export };
            self.send(node, bind);
        }
    }

    fn step_import(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        port: &PortName,
        import: &Import,
        out: &mut Out,
    ) -> Need {
        let mut need = self.loss(local, port, import);
        match need {
            Need::Met => need = self.release(local, port, import),
            Need::Lost(OnLoss::Suspend | OnLoss::Rebind) => self.release_all(local, port),
            Need::Lost(OnLoss::Stop) | Need::Pause => {}
        }
        self.ask_exporters(instance, local, port, import);
        self.tell_run(instance, local, port, import, out);
        need
    }

    /// Whether a mandatory import has fewer exporters than the instance needs to go on.
    fn loss(&self, local: &mut Local, port: &PortName, import: &Import) -> Need {
        let using = local.is_using(port);
        let acting = local.is_acting_with(port);
        let held = local.bound_imports.get(port).map_or(0, LiteMap::len).max(1);
        let suspended = local.suspended;
        let Some(binding) = local.imports.get_mut(port) else { return Need::Met };
        let restart = std::mem::take(&mut binding.restart);
        let optional = import.optional && !sabotage::is(Sabotage::OptionalIsMandatory);
        if optional || !using || sabotage::is(Sabotage::StartsUnserved) {
            return Need::Met;
        }
        // What the target no longer wants is still a use: a smaller target alone stops nobody.
        let need = match import.on_loss {
            OnLoss::Suspend if suspended => need_to_start(import, binding.wanted.len()),
            OnLoss::Suspend | OnLoss::Stop => need_to_stay(import, binding.wanted.len()).min(held),
            OnLoss::Rebind => 1,
        };
        if restart {
            Need::Lost(OnLoss::Stop)
        } else if binding.bound >= need {
            Need::Met
        } else if acting {
            // An action cannot be suspended.
            Need::Lost(OnLoss::Stop)
        } else {
            Need::Lost(import.on_loss)
        }
    }

    /// Lets go of what the target or the exporters want back, as far as the instance can go on without.
    fn release(&mut self, local: &mut Local, port: &PortName, import: &Import) -> Need {
        let Some(binding) = local.imports.get(port).filter(|binding| !binding.leaving.is_empty()) else {
            return Need::Met;
        };
        let using = local.is_using(port);
        let staying = binding.settled(&self.uses);
        let enough = staying >= need_to_stay(import, binding.wanted.len());
        let pending = binding.uses.len() > binding.leaving.len() + staying;
        let mut asked = false;
        let mut kept = Vec::new();
        for exporter in binding.leaving.clone() {
            let Some(id) = local.imports.get(port).and_then(|b| b.uses.get(&exporter)).copied() else {
                continue;
            };
            let Some(used) = self.uses.get(&id) else { continue };
            let needless = !using && !self.is_held(local, port, used);
            if needless || import.optional || enough || used.served.is_none() {
                self.let_go(local, id);
            } else {
                asked |= used.asked_to_leave.is_some_and(|target| target <= self.target);
                kept.push(id);
            }
        }
        if !asked || local.is_acting_with(port) {
            return Need::Met;
        }
        let lets_go = local.will_let_go(port) && !sabotage::is(Sabotage::PausesTheLeaving);
        if lets_go && !(local.actions.is_empty() && local.refusing.is_empty()) {
            // Its behaviours get there, once an action is done or its own users have let go, who were asked to.
            return Need::Met;
        }
        if (pending || lets_go) && local.keeps_until != Some(Time::ZERO) {
            local.keeps = true;
            return Need::Met;
        }
        if import.on_loss == OnLoss::Stop {
            return Need::Pause;
        }
        kept.into_iter().for_each(|id| self.let_go(local, id));
        Need::Lost(import.on_loss)
    }

    /// Whether an exporter that wants to leave is kept waiting although it is not used now.
    fn is_held(&self, local: &Local, port: &PortName, used: &Use) -> bool {
        let wanted = local.imports.get(port).and_then(|binding| binding.wanted.get(&used.exporter));
        used.served.is_some()
            && wanted == Some(&(used.generation, used.node))
            && local.uses_then_releases(port)
    }

    /// Lets go of whatever wants to leave: a suspended instance relies on nothing, and must keep nobody.
    fn release_all(&mut self, local: &mut Local, port: &PortName) {
        let Some(binding) = local.imports.get(port) else { return };
        let leaving = binding.leaving.iter().filter_map(|exporter| binding.uses.get(exporter));
        for id in leaving.copied().collect::<Vec<UseId>>() {
            self.let_go(local, id);
        }
    }

    /// Tells a run what has changed of an import.
    fn tell_run(
        &mut self,
        instance: &InstanceId,
        local: &mut Local,
        port: &PortName,
        import: &Import,
        out: &mut Out,
    ) {
        let news =
            |binding: &&mut Binding| !binding.touched.is_empty() || sabotage::is(Sabotage::RebindsAlways);
        let Some(binding) = local.imports.get_mut(port).filter(news) else {
            return;
        };
        let touched = std::mem::take(&mut binding.touched);
        if !local.begun || sabotage::is(Sabotage::RebindsNobody) {
            return;
        }
        let told = local.bound_imports.entry(port.clone()).or_default();
        let (mut bound, mut unbound) = (Bound::new(), BTreeSet::new());
        for exporter in touched {
            let served = binding.uses.get(&exporter).and_then(|id| self.uses.get(id)?.served.clone());
            match served {
                Some(served) if told.get(&exporter) != Some(&served) => {
                    told.insert(exporter.clone(), served.clone());
                    bound.insert(exporter, served);
                }
                None if told.remove(&exporter).is_some() => {
                    unbound.insert(exporter);
                }
                _ => {}
            }
        }
        if !(bound.is_empty() && unbound.is_empty()) || sabotage::is(Sabotage::RebindsAlways) {
            // What is not used yet is told to the action that begins to use it.
            local.notify_due |= import.notify && local.kind.net.notify.is_some() && local.is_using(port);
            out.effect(Effect::Rebind { run: local.run(instance), import: port.clone(), bound, unbound });
        }
    }

    /// Goes on with the exports when nothing is missing any more.
    fn resume(&mut self, instance: &InstanceId, local: &mut Local, out: &mut Out) {
        if std::mem::take(&mut local.suspended) {
            out.notice(Notice::InstanceResumed(instance.clone()));
        }
    }

    /// Whether an import is served well enough to begin to use it.
    pub(super) fn is_served(&self, local: &Local, port: &PortName) -> bool {
        let (Some(import), Some(binding)) = (local.component().imports.get(port), local.imports.get(port))
        else {
            return true;
        };
        let need = need_to_start(import, binding.wanted.len());
        sabotage::is(Sabotage::StartsUnserved)
            || binding.settled(&self.uses) >= need
            || (binding.bound >= need && local.uses_then_releases(port))
    }

    /// What every import is bound to now: what a run is told when it begins.
    pub(super) fn tell_all(&self, local: &mut Local) {
        local.bound_imports = BoundImports::with_capacity(local.imports.len());
        for (port, binding) in &mut local.imports {
            binding.touched.clear();
            let uses = binding
                .uses
                .iter()
                .filter_map(|(exporter, id)| Some((exporter.clone(), self.uses.get(id)?.served.clone()?)));
            let mut told = Bound::with_capacity(binding.bound);
            told.extend(uses);
            local.bound_imports.insert(port.clone(), told);
        }
    }

    /// Lets go of a use and tells the exporter.
    fn let_go(&mut self, local: &mut Local, id: UseId) {
        if let Some(used) = self.uses.remove(&id) {
            detach(local, &used);
            if !sabotage::is(Sabotage::ForgetsToRelease) {
                self.send(used.node, AgentMessage::Unbound { id });
            }
        }
    }

    /// Lets go of everything that no token needs, at the end of a run.
    pub(super) fn let_go_unused(&mut self, local: &mut Local) {
        let ports: Vec<PortName> = local.imports.keys().cloned().collect();
        for port in ports.into_iter().filter(|port| !local.is_using(port)).collect::<Vec<_>>() {
            let Some(binding) = local.imports.get(&port) else { continue };
            let held = |id: &UseId| self.uses.get(id).is_some_and(|used| self.is_held(local, &port, used));
            let all: Vec<UseId> = binding.uses.values().copied().filter(|id| !held(id)).collect();
            for id in all {
                self.let_go(local, id);
            }
            if !sabotage::is(Sabotage::KeepsBindings) {
                local.bound_imports.remove(&port);
            }
            if let Some(binding) = local.imports.get_mut(&port) {
                binding.touched.clear();
                binding.restart = false;
            }
        }
    }

    /// The exporter is not active any more, or gone: there is nothing to let go.
    pub(super) fn drop_use(&mut self, id: UseId, restart: bool) {
        let Some(used) = self.uses.remove(&id) else { return };
        if let Some(local) = self.instances.get_mut(&used.importer) {
            detach(local, &used);
            if let Some(binding) = local.imports.get_mut(&used.import) {
                binding.restart |= restart;
            }
        }
        self.dirty.insert(used.importer);
    }

    pub(super) fn bound(&mut self, from: NodeId, id: UseId, served: Served) {
        let Some(used) = self.uses.get_mut(&id).filter(|used| used.node == from) else { return };
        let first = used.served.replace(served).is_none();
        if let Some(binding) =
            self.instances.get_mut(&used.importer).and_then(|local| local.imports.get_mut(&used.import))
        {
            binding.bound += usize::from(first);
            binding.touched.insert(used.exporter.clone());
        }
        self.dirty.insert(used.importer.clone());
    }

    pub(super) fn asked_to_unbind(&mut self, from: NodeId, id: UseId, target: Revision) {
        let Some(used) = self.uses.get_mut(&id).filter(|used| used.node == from) else { return };
        used.asked_to_leave = Some(target);
        if let Some(binding) =
            self.instances.get_mut(&used.importer).and_then(|local| local.imports.get_mut(&used.import))
        {
            binding.leaving.insert(used.exporter.clone());
        }
        self.dirty.insert(used.importer.clone());
    }

    /// Every use this agent knows: for checks in tests and the simulator.
    pub fn uses(&self) -> impl Iterator<Item = (UseId, &Use)> {
        self.uses.iter().map(|(id, used)| (*id, used))
    }

    /// What is under way from this agent to another's: for checks in tests and the simulator.
    pub fn under_way(&self, to: NodeId) -> impl Iterator<Item = &AgentMessage> {
        self.peers.unacknowledged(to)
    }
}

/// Takes a use out of its import's books.
fn detach(local: &mut Local, used: &Use) {
    let Some(binding) = local.imports.get_mut(&used.import) else { return };
    binding.uses.remove(&used.exporter);
    binding.leaving.remove(&used.exporter);
    binding.touched.insert(used.exporter.clone());
    binding.bound -= usize::from(used.served.is_some());
    if binding.wanted.contains_key(&used.exporter) {
        binding.unasked.insert(used.exporter.clone());
    }
}
